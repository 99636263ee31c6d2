"""Two ledgers of one repository: which placements changed, and what else did that may be why.

Made for upgrades: another Triton, another image, other hardware. Models are paired by deployment
(whatever it is called if each ledger knows one only) and hardware: the same request, or else the
same number of GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_triton.ledger.entries import Entry, Ledger
from pytest_triton.ledger.fold import is_answer

Models = Mapping[tuple[str, str], Mapping[str, Entry]]  # (deployment, model) -> spec -> entry


@dataclass(frozen=True, slots=True)
class Change:
    """A model whose placement isn't the same: `before` or `after` is None where it isn't at all.

    `causes` are what differs between the two entries beside the placement, the likeliest first;
    without any, nothing that a ledger knows explains it.
    """

    deployment: str
    model: str
    before: Entry | None
    after: Entry | None
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """`same` is the number of pairs that are placed alike, `surroundings` what changed for all."""

    changes: tuple[Change, ...]
    same: int
    surroundings: tuple[str, ...]


def difference(before: Ledger, after: Ledger) -> Difference:
    """Compare two merged ledgers."""
    old, new = _without_deployments(_models(before), _models(after))
    changes: list[Change] = []
    same = 0
    shared: dict[str, None] | None = None
    for key in sorted({*old, *new}):
        for first, second in _pairs(old.get(key, {}), new.get(key, {})):
            causes = causes_of(first, second) if first and second else ()
            if first and second:
                known = dict.fromkeys(cause for cause in causes if cause != _CONFIG)
                shared = known if shared is None else {c: None for c in shared if c in known}
            if first and second and placed(first) == placed(second):
                same += 1
            else:
                changes.append(Change(*key, first, second, causes))
    return Difference(tuple(changes), same, tuple(shared or ()))


def placed(entry: Entry) -> str:
    """Where a model was seen, in a table's cell; without a server the verdict."""
    return str(entry.observed) if entry.observed is not None else entry.verdict


_CONFIG = "its config changed"


def causes_of(before: Entry, after: Entry) -> tuple[str, ...]:
    """What differs between two entries of one model, the likeliest cause first."""
    return tuple(_causes(before, after))


def _causes(before: Entry, after: Entry) -> Iterator[str]:
    if before.config.hash != after.config.hash:
        yield _CONFIG
    old, new = before.hardware, after.hardware
    if (old.gpus, old.simulated) != (new.gpus, new.simulated) or old.label != new.label:
        yield f"hardware: {old.label} -> {new.label}"
    if before.server is None or after.server is None:
        return
    pairs = (
        ("Triton", before.server.version, after.server.version),
        ("GPUs", _gpus(before), _gpus(after)),
        ("run", before.run, after.run),
        ("image", before.server.image or "none", after.server.image or "none"),
        ("image digest", before.server.image_digest, after.server.image_digest),
        ("driver", before.server.driver, after.server.driver),
    )
    for name, first, second in pairs:
        if first and second and first != second:
            yield f"{name}: {first} -> {second}"


def _gpus(entry: Entry) -> str:
    gpus = entry.server.gpus if entry.server is not None else ()
    return ", ".join(dict.fromkeys(gpu.name for gpu in gpus if gpu.name))


def _models(ledger: Ledger) -> dict[tuple[str, str], dict[str, Entry]]:
    """Of each model and hardware one entry: an answer rather than none, real, then the latest."""
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in ledger.placements:
        entries = found.setdefault((entry.deployment, entry.model), {})
        spec = entry.hardware.spec
        if spec not in entries or _weight(entry) > _weight(entries[spec]):
            entries[spec] = entry
    return found


def _weight(entry: Entry) -> tuple[bool, bool, int, str]:
    return is_answer(entry.verdict), entry.is_real, len(entry.job.replaces), entry.job.started


def _without_deployments(old: Models, new: Models) -> tuple[Models, Models]:
    """If each has one deployment only, what it is called doesn't matter: it is the newer name."""
    deployments = [{deployment for deployment, _ in models} for models in (old, new)]
    if all(len(one) == 1 for one in deployments):
        (name,) = deployments[1]
        old = {(name, model): entries for (_, model), entries in old.items()}
    return old, new


def _pairs(
    old: Mapping[str, Entry], new: Mapping[str, Entry]
) -> Iterator[tuple[Entry | None, Entry | None]]:
    left, right = dict(old), dict(new)
    for spec in sorted(left.keys() & right.keys()):
        yield left.pop(spec), right.pop(spec)
    for one in sorted(left):
        match = next((spec for spec in sorted(right) if _alike(left[one], right[spec])), None)
        yield left[one], None if match is None else right.pop(match)
    for one in sorted(right):
        yield None, right[one]


def _alike(one: Entry, other: Entry) -> bool:
    return one.hardware.gpus is not None and one.hardware.gpus == other.hardware.gpus
