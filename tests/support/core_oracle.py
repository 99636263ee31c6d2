"""The real core as an oracle: what tritonserver makes of a repository, model by model.

One server start answers for thousands of models. Stand-in backends and simulated GPUs, so that
core alone decides. Servers come from the environment variable PYTEST_TRITON_TEST_SERVERS
("2.51.0=/path/to/tritonserver:2.42.0=..."), else they are the installed releases.
"""

from __future__ import annotations

import http.client
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from google.protobuf import text_format

from pytest_triton.placement.predict import Prediction
from pytest_triton.placement.refusal import classify
from pytest_triton.rehearsal.simulation import SimulatedGpus, assemble_backends
from support.bare_server import BareServer, bare_server
from support.strategies import Case

SERVERS_VARIABLE = "PYTEST_TRITON_TEST_SERVERS"
# Read when this module is imported: tests run in an environment without such variables.
_NAMED_SERVERS = os.environ.get(SERVERS_VARIABLE)


def server_of_release(version: str) -> Path | None:
    """The tritonserver of this release to test with, or None when there is none here."""
    if _NAMED_SERVERS is not None:
        entries = _NAMED_SERVERS.split(os.pathsep)
        pairs = (entry.split("=", 1) for entry in entries if "=" in entry)
        return {release: Path(path) for release, path in pairs}.get(version)
    from pytest_triton.servers.process.releases import find_release, installed_release

    installed = installed_release(find_release(version))
    return installed.binary if installed is not None else None


@dataclass
class CoreOutcome:
    """What core did with one model: ready with groups and instances, or refused with a text.

    `versions` are those that are ready. `groups` are (name, kind, count, gpus) as ModelConfig
    shows them, `instances` counts (name, kind, device) as the backend was asked for them (kept
    for ready models only).
    """

    versions: set[int] = field(default_factory=set)
    text: str = ""
    stage: str = ""
    groups: list[tuple[str, str, int, tuple[int, ...]]] = field(default_factory=list)
    instances: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    @property
    def ready(self) -> bool:
        return bool(self.versions)


def write_repository(repository: Path, models: Mapping[str, Case]) -> None:
    for name, case in models.items():
        directory = repository / name
        directory.mkdir(parents=True)
        for version in case.versions:
            (directory / str(version)).mkdir()
        for entry in case.files if case.versions else ():
            place = directory / str(min(map(str, case.versions))) / entry.rstrip("/")
            if entry.endswith("/"):
                place.mkdir()
            else:
                place.touch()
        if case.config is not None:
            (directory / "config.pbtxt").write_text(text_format.MessageToString(case.config))


def ask_core(
    repository: Path,
    names: Iterable[str],
    gpus: SimulatedGpus,
    binary: Path,
    backends: Iterable[str],
    scratch: Path,
    arguments: Sequence[str] = (),
) -> dict[str, CoreOutcome]:
    """What the server makes of every model of the repository."""
    directory = assemble_backends(scratch / "backends", backends)
    with bare_server(
        repository,
        gpus,
        binary=binary,
        backends=directory,
        arguments=["--allow-metrics=false", *arguments],
    ) as server:
        log = server.log
        outcomes = {name: CoreOutcome() for name in names}
        _read_index(server, outcomes)
        _read_configs(server, outcomes)
    _read_log(log, outcomes)
    return outcomes


def _read_index(server: BareServer, outcomes: dict[str, CoreOutcome]) -> None:
    for entry in server.request("/v2/repository/index", {}):
        outcome = outcomes[entry["name"]]
        if entry.get("state") == "READY":
            outcome.versions.add(int(entry["version"]))
        elif entry.get("reason"):
            outcome.text, outcome.stage = entry["reason"], "load"


def _read_configs(server: BareServer, outcomes: dict[str, CoreOutcome]) -> None:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    for name, outcome in outcomes.items():
        if outcome.ready:
            connection.request("GET", f"/v2/models/{quote(name)}/config")
            config: dict[str, Any] = json.loads(connection.getresponse().read())
            outcome.groups = [
                (
                    group["name"],
                    group["kind"].removeprefix("KIND_"),
                    group["count"],
                    tuple(group["gpus"]),
                )
                for group in config.get("instance_group", ())
            ]
    connection.close()


_INSTANCE = re.compile(
    r"TRITONBACKEND_ModelInstanceInitialize: ((m\d+).*) \((GPU|CPU|MODEL) device (\d+)\)"
)
_POLL = re.compile(r"Poll failed for model directory '(.*?)': (.*)")
_FAILED = re.compile(r"failed to load model '(.*?)': (.*)")
_ENSEMBLE = re.compile(r"(ensemble '?(m\d+[^' ]*)'? (?:contains|depends on|allows) .*)")
_IN_ENSEMBLE = re.compile(r"(in ensemble (m\d+[^', ]*),.*)")
_CIRCLE = re.compile(r"(circular dependency between ensembles: (m\d+\S*) .*)")


def _read_log(log: str, outcomes: dict[str, CoreOutcome]) -> None:
    by_number = {re.match(r"m\d+", name).group(): name for name in outcomes}  # type: ignore[union-attr]
    for line in log.splitlines():
        if match := _INSTANCE.search(line):
            outcome = outcomes[by_number[match[2]]]
            if outcome.ready:
                instance = _unquoted(line, match[1]), match[3], int(match[4])
                outcome.instances[instance] += 1
            continue
        for pattern, name_at, text_at in (
            (_POLL, 1, 2),
            (_FAILED, 1, 2),
            (_ENSEMBLE, 2, 1),
            (_IN_ENSEMBLE, 2, 1),
            (_CIRCLE, 2, 1),
        ):
            match = pattern.search(line)
            if match is not None:
                refused = outcomes.get(match[name_at])
                if refused is not None and not refused.text and not refused.ready:
                    refused.text, refused.stage = _unquoted(line, match[text_at]), "poll"
                break


def _unquoted(line: str, text: str) -> str:
    """The text as it was before newer releases wrote the line's message as a JSON string."""
    if not line.endswith('"'):
        return text
    return str(json.loads(f'"{text.removesuffix(chr(34))}"'))


def disagreements(
    models: Mapping[str, Case],
    predictions: Mapping[str, Prediction],
    outcomes: Mapping[str, CoreOutcome],
    *,
    with_text: bool,
) -> Iterator[str]:
    """Where prediction and core differ, each with all that is needed to see why.

    Compared are outcome, reason class and stage; versions, groups and instances of ready models;
    and Triton's very text where that is asked for (that on the version of an ensemble's step
    always: it is the same in all releases).
    """
    for name, case in models.items():
        predicted, outcome = predictions[name], outcomes[name]
        what = _difference(predicted, outcome, with_text=with_text)
        if what:
            yield (
                f"{what} of {name}\npredicted: {predicted}\n  "
                f"{predicted.groups or predicted.refusal!r}\ncore: {outcome}\n"
                f"on disk: {case.on_disk(name)}\n{case.config}"
            )


def _difference(predicted: Prediction, outcome: CoreOutcome, *, with_text: bool) -> str:
    refusal = predicted.refusal
    if (refusal is None) != outcome.ready:
        return "outcome"
    if refusal is not None:
        if refusal.reason != classify(outcome.text):
            return "reason"
        if refusal.stage != outcome.stage:
            return "stage"
        with_text = with_text or "required version" in refusal.text
        if with_text and refusal.text != outcome.text:
            return "text" if _culprits(refusal.text) == _culprits(outcome.text) else ""
        return ""
    if set(predicted.declared.versions) != outcome.versions:
        return "versions"
    groups = [(g.name, g.kind, g.count, g.gpus) for g in predicted.groups]
    if groups != outcome.groups:
        return "groups"
    instances: Counter[tuple[str, str, int]] = Counter()
    for group in predicted.groups:
        devices = (group.gpus if group.kind == "GPU" else (0,)) * group.count
        for instance, device in zip(group.instances, devices, strict=True):
            instances[instance, group.kind, device] += len(outcome.versions)
    return "instances" if instances != outcome.instances else ""


def _culprits(text: str) -> list[str]:
    """The steps that an ensemble is refused for: where several are broken, core names any."""
    return re.findall(r"ensemble '.*?' depends on '(.*?)' ", text)
