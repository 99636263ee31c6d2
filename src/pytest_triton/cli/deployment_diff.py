"""`diff --deployment BEFORE AFTER`: what changes between two versions of a deployment file.

Predicted by Triton's rules, each server by its image's release; no server is started. With
`--rehearse` the real core shows it, with stand-in backends and simulated GPUs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.audit.deployed import DeployedSubject
from pytest_triton.cli.deployed import read_deployed
from pytest_triton.cli.option_names import with_own_options
from pytest_triton.deployment.deployed_server import DeployedServer, Probe
from pytest_triton.deployment.probes import Fault, Served, faults, shown_name
from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.command_line import BadArguments
from pytest_triton.placement.hardware import NO_GPU, target_hardware
from pytest_triton.placement.outcome import service_outcome
from pytest_triton.placement.releases import NEWEST_RELEASE
from pytest_triton.text.shown_text import printable
from pytest_triton.text.tables import lay_out, screen_width

FAILS = "fails always"
OWN, LOST = "its own GPUs", "GPUs lost"


@dataclass(frozen=True)
class Side:
    """A server in one of the two files: what it is, and what is predicted of it.

    `placed` are texts such as "GPU 0", by hardware and model; `service` what becomes of the whole
    server, by hardware. `probes` says of each that there is whether it can succeed. `source` is the
    core that showed it, "" for predictions.
    """

    facts: Mapping[str, str]
    arguments: tuple[str, ...]
    placed: Mapping[tuple[str, str], str]
    service: Mapping[str, str]
    probes: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class ServerChange:
    """A server that isn't the same in both files; a side is None where it isn't at all."""

    name: str
    before: Side | None
    after: Side | None

    @property
    def settings(self) -> list[str]:
        """What the files say otherwise: image, GPUs, probes, arguments."""
        before, after = self.before, self.after
        if before is None or after is None:
            return [f"not in the {'first' if before is None else 'second'} file"]
        found = [
            f"{what}: {before.facts[what]} -> {after.facts[what]}"
            for what in before.facts
            if before.facts[what] != after.facts[what]
        ]
        gone = [one for one in before.arguments if one not in after.arguments]
        new = [one for one in after.arguments if one not in before.arguments]
        return [*found, *(f"without {one}" for one in gone), *(f"with {one}" for one in new)]

    @property
    def source(self) -> str:
        """Which cores showed it; "" for predictions."""
        sources = [one.source for one in (self.before, self.after) if one is not None]
        return " -> ".join(dict.fromkeys(filter(None, sources)))

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """What is predicted otherwise: (model, "" for the service; hardware; before; after)."""
        before, after = self.before, self.after
        if before is None or after is None:
            return []
        keys = sorted({*before.placed, *after.placed})
        models = [
            (model, hardware, before.placed.get((hardware, model), "-"), now)
            for hardware, model in keys
            if (now := after.placed.get((hardware, model), "-"))
            != before.placed.get((hardware, model), "-")
        ]
        services = [
            ("", hardware, before.service[hardware], after.service[hardware])
            for hardware in before.service
            if before.service[hardware] != after.service[hardware]
        ]
        probes = [
            ("", what, before.probes.get(what, "-"), after.probes.get(what, "-"))
            for what in sorted({*before.probes, *after.probes})
            if (before.probes.get(what) == FAILS) != (after.probes.get(what) == FAILS)
        ]
        return [*services, *probes, *models]


def compare(before: Path, after: Path, arguments: argparse.Namespace) -> list[ServerChange]:
    """All servers of both files, by name. Raises PytestTritonError for what can't be compared."""
    read = _rehearsed if arguments.rehearse else _sides
    old, new = (read(str(path), arguments) for path in (before, after))
    if len(old) == len(new) == 1 and old.keys() != new.keys():  # it was given another name
        (name,) = new
        old = {name: next(iter(old.values()))}
    return [ServerChange(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]


def _rehearsed(text: str, arguments: argparse.Namespace) -> dict[str, Side]:
    from pytest_triton.checks.rehearsed_service import ServiceRehearsal
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.deployment.reading import read_deployments
    from pytest_triton.options.settings import Settings

    target = None if arguments.target is None else target_hardware(str(arguments.target))
    settings = Settings(deployment_repo=tuple(arguments.deployment_repo), target=target)
    session = TritonSession(settings)
    session.fetch()
    sides = {}
    try:
        for server in read_deployments(text, Path.cwd()):
            rehearsal = ServiceRehearsal(server, session)
            seen = {OWN: rehearsal.on_its_gpus(), LOST: rehearsal.without_gpus()}
            faulty = _faulty(server, rehearsal.checked.repository.versions_to_load)
            sides[server.name] = Side(
                facts=_facts(server, rehearsal.host, faulty),
                arguments=server.line.shown,
                placed={
                    (label, name): placed
                    for label, one in seen.items()
                    for name, placed in one.placed.items()
                },
                service={label: one.seen.service for label, one in seen.items()},
                probes=_probes(server, faulty),
                source=rehearsal.rehearsed_on(seen[OWN]),
            )
    finally:
        session.close()
    return sides


def _sides(text: str, arguments: argparse.Namespace) -> dict[str, Side]:
    mapped = dict(arguments.deployment_repo)
    deployed = read_deployed([text], mapped, arguments.target, (), NEWEST_RELEASE)
    if deployed.errors:
        raise deployed.errors[0]
    return {subject.server.name: _side(subject) for subject in deployed.subjects}


def _side(subject: DeployedSubject) -> Side:
    server = subject.server
    if subject.models is None:
        error = server.bad_arguments
        why = error.what if error is not None else server.unknown
        raise PytestTritonError(
            f"{server.place('command')}: {why}", fix="correct the command in the file"
        )
    if subject.release is not None:
        try:
            server.line.check_known(subject.release)
        except BadArguments as error:
            raise PytestTritonError(
                f"{server.place('command')}: {error.what}", fix=error.fix
            ) from None
    placed: dict[tuple[str, str], str] = {}
    service: dict[str, str] = {}
    for label, hardware in ((OWN, server.hardware(subject.host)), (LOST, NO_GPU)):
        predictions = subject.models.predictions(hardware)
        placed |= {(label, name): str(one) for name, one in predictions.items()}
        service[label] = service_outcome(predictions, server.line).service
    faulty = _faulty(server, subject.served)
    return Side(
        facts=_facts(server, subject.host, faulty),
        arguments=server.line.shown,
        placed=placed,
        service=service,
        probes=_probes(server, faulty),
    )


_VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
_PROBES = ("healthcheck", "startup probe", "liveness probe", "readiness probe")


def _faulty(server: DeployedServer, served: Served | None) -> dict[str, Fault]:
    """The probes that show nothing of the server, by name."""
    return {shown_name(probe): fault for probe, fault in faults(server, served)}


def _facts(server: DeployedServer, host: int | None, faulty: Mapping[str, Fault]) -> dict[str, str]:
    shm = server.shm_bytes
    hidden = f", but {server.grant.hidden}" if server.grant.hidden else ""
    assumed = " (1 assumed: --target=N says how many)" if server.visible(host) is None else ""
    return {
        "image": server.image or "built here",
        "GPUs": f"{server.grant}{assumed}{hidden}",
        **{name: server.environment.get(name, "not set") for name in _VARIABLES},
        "shared memory": "unlimited" if shm is None else f"{shm >> 20} MB",
        "restarted when it ends": "yes" if server.restarts else "no",
        **dict.fromkeys(_PROBES, "none"),
        **{shown_name(one): _asked(one, faulty) for one in server.probes},
    }


def _asked(probe: Probe, faulty: Mapping[str, Fault]) -> str:
    """What a probe asks, and how patiently."""
    what = " ".join(filter(None, (probe.how, probe.asked))) or "a command"
    port = f" on port {probe.port}" if probe.port else ""
    fault = faulty.get(shown_name(probe))
    never = ", which never fails" if fault is not None and fault.passes else ""
    return (
        f"{what}{port}{never} (after {probe.delay} s, every {probe.period} s, "
        f"{probe.failures} times)"
    )


def _probes(server: DeployedServer, faulty: Mapping[str, Fault]) -> dict[str, str]:
    """What becomes of each probe, by its name."""
    found = {}
    for name in map(shown_name, server.probes):
        fails = name in faulty and not faulty[name].passes
        found[name] = FAILS if fails else "may succeed"
    return found


def run(arguments: argparse.Namespace) -> int:
    try:
        found = compare(arguments.before, arguments.after, arguments)
    except PytestTritonError as error:
        print(with_own_options("diff", f"error: {error}"), file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        print("\n".join(_text(found)))
    return 1 if any(one.rows or one.before is None or one.after is None for one in found) else 0


def _text(found: list[ServerChange]) -> Iterator[str]:
    changed = 0
    for one in found:
        if not (one.settings or one.rows):
            continue
        yield f"{printable(one.name)}: {printable('; '.join(one.settings))}"
        changed += len(one.rows)
        if one.source:
            yield f"  {one.source}"
        if one.rows:
            table = [["model", "hardware", "before", "after"]]
            table += [[printable(row[0]) or "(the service)", *row[1:]] for row in one.rows]
            for lines in lay_out(table, screen_width()):
                yield from (f"  {line}" for line in lines)
        yield ""
    plural = "s" if changed != 1 else ""
    if any(one.source for one in found):
        yield f"{changed} outcome{plural} changed, as a real core showed with simulated GPUs"
    else:
        yield f"{changed} prediction{plural} changed; no server was asked"


def as_json(found: list[ServerChange]) -> dict[str, Any]:
    """The object that `--json` prints; `diff`'s docstring lists its keys."""
    return {
        "format": 1,
        "source": "rehearsed" if any(one.source for one in found) else "predicted",
        "servers": [
            {
                "name": one.name,
                "rehearsed_on": one.source,
                "settings": one.settings,
                "changes": [
                    dict(zip(("model", "hardware", "before", "after"), row, strict=True))
                    for row in one.rows
                ],
            }
            for one in found
        ],
    }
