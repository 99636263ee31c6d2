"""A server that is given only some of its models, to find those that it crashes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.checks.crash_search import Culprits
from pytest_triton.repository import Model
from pytest_triton.servers.server_errors import ServerExited
from pytest_triton.servers.spec import ServerSpec

_MOST_NAMES = 20


@dataclass(frozen=True)
class Parts:
    """A server's spec, and where each of its models is."""

    spec: ServerSpec
    places: Mapping[str, tuple[Path, ...]]

    @classmethod
    def of(cls, spec: ServerSpec, models: Sequence[Model]) -> Parts:
        places: dict[str, tuple[Path, ...]] = {}
        for model in models:
            if model.directory not in spec.left_out:
                places[model.name] = (*places.get(model.name, ()), model.directory)
        return cls(spec, places)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.places))

    def only(self, names: Collection[str], attempt: int) -> ServerSpec:
        """The same server with these models only; equal ones differ by their attempt."""
        out = {path for name, paths in self.places.items() if name not in names for path in paths}
        load = self.spec.load
        return replace(
            self.spec,
            left_out=tuple(sorted({*self.spec.left_out, *out})),
            load=None if load is None else tuple(name for name in load if name in names),
            attempt=attempt,
        )


def crash_texts(found: Culprits, known: Collection[str], error: ServerExited) -> Mapping[str, str]:
    """Of each model that the server crashes on: what was seen. `known` were found before."""
    how = error.what.partition("\n")[0]
    texts = dict.fromkeys(known, how)
    for group in found.groups:
        among = "" if len(group) == 1 else f"; one of these, or several together: {_listed(group)}"
        if not found.certain and len(group) > 1:
            among += f" (no more was tried after {found.starts} starts)"
        texts.update(dict.fromkeys(group, how + among))
    return texts


def crash_note(spec: ServerSpec, culprits: Collection[str], found: Culprits) -> str:
    """What a run reports it, in a line."""
    what = f"{spec.hardware.label}: the server exited at its start"
    if not culprits:
        return f"{what}, and with the same models it lived at another: a crash by chance"
    starts = f" ({found.starts} more starts)" if found.groups else ""
    return f"{what}; it lives without {_listed(sorted(culprits))}{starts}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
