"""What is observed of a real, rehearsed server: placements, refusals, its GPUs, and its exit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.client.configs import resolved_configs
from pytest_triton.client.http import HttpApi, ServerSilent
from pytest_triton.evidence import observe as observe_module
from pytest_triton.evidence.observe import observe, traits_of
from pytest_triton.evidence.resolved_config import groups_of, placement_of
from pytest_triton.evidence.usable_gpus import GpusMissing, real_hardware, usable_gpus
from pytest_triton.placement.compare import Observed
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.instances import NOTHING, cpu, gpu, on_model
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.watching import wait_until

pytestmark = pytest.mark.server

ENSEMBLE = """\
platform: "ensemble"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling {
  step [ {
    model_name: "%s" model_version: -1
    input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }
  } ]
}
"""


def start(repository: Path, gpus: str) -> ProcessServer:
    """A live server with stand-in backends."""
    hardware = HardwareRequest.parse(gpus)
    server = launch(ServerSpec((repository,), hardware, stand_ins=OFFICIAL_BACKENDS))
    try:
        server.wait_until_live()
    except BaseException:
        server.stop()
        raise
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    """A server with two simulated GPUs and models of all kinds."""
    models = RepositoryBuilder(tmp_path_factory.mktemp("observe") / "models")
    models.add("mixed", "{ kind: KIND_GPU count: 2 }, { kind: KIND_CPU count: 3 }")
    models.add("on model", "{ kind: KIND_MODEL }")
    models.add("first", "{ kind: KIND_GPU gpus: [ 1 ] }, { kind: KIND_GPU gpus: [ 0, 1 ] }")
    models.add("per cent%20", "{ kind: KIND_CPU }")
    models.add("größe", "{ kind: KIND_CPU }")
    models.add("pinned", "{ kind: KIND_GPU gpus: [ 5 ] }")
    models.add("pinned two", "{ kind: KIND_GPU gpus: [ 5 ] }")
    models.add_config("typo two", 'backend: "python"\nmax_batch: 1\n')
    models.add_config("ensemble", ENSEMBLE % "mixed")
    models.add_config("refused ensemble", ENSEMBLE % "pinned")
    models.add("versions", "{ kind: KIND_GPU count: 2 }", more="version_policy: { all {} }\n")
    (models.path / "versions" / "3").mkdir()
    (models.path / "vanished").mkdir()
    server = start(models.path, "sim:2")
    yield server
    server.stop()


def test_placements(server: ProcessServer) -> None:
    """Names with spaces and other signs can't be said over HTTP: they are asked over gRPC."""
    expected = {
        "mixed": gpu(0, count=2) + gpu(1, count=2) + cpu(count=3),
        "on model": on_model(),
        "first": gpu(0) + gpu(1, count=2),
        "per cent%20": cpu(),
        "größe": cpu(),
        "ensemble": NOTHING,
        "versions": gpu(0, count=2) + gpu(1, count=2),
    }
    seen = observe(server.view, expected)
    assert {name: one.placement for name, one in seen.items()} == expected
    assert {one.state for one in seen.values()} == {"READY"}
    assert {one.sources for one in seen.values()} == {
        ("repository index", "resolved config", "server log")
    }
    assert {one.proof for one in seen.values()} == {"proven"}


REFUSED = {
    "pinned": ("UNAVAILABLE", "gpu-id", "load"),
    "pinned two": ("UNAVAILABLE", "gpu-id", "load"),
    "typo two": ("absent", "config", "poll"),
    "refused ensemble": ("absent", "ensemble", "poll"),
}


@pytest.mark.parametrize("model", REFUSED)
def test_refusals(model: str, server: ProcessServer) -> None:
    seen = observe(server.view, [model])[model]
    assert seen.refusal is not None
    reason, stage = seen.refusal.reason, seen.refusal.stage
    assert (seen.state, reason, stage) == REFUSED[model]
    assert seen.sources == ("repository index", "server log")
    assert seen.proof == "proven"
    assert (seen.placement, seen.ready) == (NOTHING, False)
    assert seen.refusal.text


@pytest.mark.parametrize("model", ["nowhere", ""])
def test_model_that_nothing_reports_has_no_evidence(model: str, server: ProcessServer) -> None:
    found = observe(server.view, [model])[model]
    assert replace(found, observations=()) == Observed(NOTHING, None, "absent", ())
    assert found.proof == "not proven"
    assert [str(one) for one in found.observations] == [
        "repository index, high trust: absent (not in it)"
    ]


def test_nothing_asked_is_nothing_seen(server: ProcessServer) -> None:
    assert observe(server.view, []) == {}


def test_many_models_are_seen_as_a_few_are(server: ProcessServer) -> None:
    """Many are asked for over several connections at a time; names may come twice."""
    names = ["mixed", "pinned", "on model", "typo two", "ensemble", "nowhere"]
    many = [*names, *(f"absent {number}" for number in range(200))]
    seen = observe(server.view, many)
    assert list(seen) == many
    assert {name: seen[name] for name in names} == observe(server.view, names)


def test_traits(server: ProcessServer) -> None:
    traits = traits_of(server.view)
    assert traits.backends == frozenset(OFFICIAL_BACKENDS)
    assert ".".join(map(str, traits.version)) == server.tritonserver.version


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("2.51.0", (2, 51, 0)),
        ("2.60.0dev", (2, 60, 0)),
        ("2.60", (2, 60, 0)),
        ("v2.60.1-rc2", (2, 60, 1)),
        ("", (0, 0, 0)),
    ],
)
def test_release_numbers(text: str, release: tuple[int, int, int]) -> None:
    assert observe_module._release(text) == release


# A server that exits


@pytest.fixture
def mortal(repository: RepositoryBuilder) -> Iterator[ProcessServer]:
    repository.add("good", "{ kind: KIND_CPU }")
    repository.add("good model", "{ kind: KIND_CPU }")
    server = start(repository.path, "none")
    yield server
    server.stop()


def kill(server: ProcessServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.running, "the server has ended")


def test_dead_server_is_silent(mortal: ProcessServer) -> None:
    kill(mortal)
    with pytest.raises(ServerSilent, match="gave no answer to POST /v2/repository/index"):
        observe(mortal.view, ["good"])
    with pytest.raises(ServerSilent, match="gave no answer to GET /v2:"):
        traits_of(mortal.view)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["good"], "gave no answer to GET /v2/models/good/config"),
        (["good model"], "did not answer get_model_config of 'good model'"),
        (["good"] * 60, "gave no answer to GET /v2/models/good/config"),
    ],
    ids=["http", "grpc", "several connections"],
)
def test_server_that_exits_in_between_is_silent(
    models: list[str], message: str, mortal: ProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    index: Callable[[HttpApi], list[dict[str, str]]] = HttpApi.index

    def index_and_exit(api: HttpApi) -> list[dict[str, str]]:
        answer = index(api)
        kill(mortal)
        return answer

    monkeypatch.setattr(HttpApi, "index", index_and_exit)
    with pytest.raises(ServerSilent, match=message):
        observe(mortal.view, models)


def test_model_that_is_gone_by_then(mortal: ProcessServer) -> None:
    with pytest.raises(ServerSilent, match="did not answer get_model_config of 'gone one'"):
        list(resolved_configs(mortal.view.endpoints, ["gone one"]))


def test_configs_of_many_models_are_those_that_each_is_asked_for(tmp_path: Path) -> None:
    """From 50 models on they are asked for over a few connections at once."""
    models = RepositoryBuilder(tmp_path / "models")
    names = [f"m{number}" for number in range(59)] + ["with space"]
    for number, name in enumerate(names):
        models.add(name, f"{{ kind: KIND_CPU count: {number % 3 + 1} }}")
    server = start(models.path, "none")
    try:
        found = dict(resolved_configs(server.view.endpoints, names))
        assert sorted(found) == sorted(names)
        for name in (names[0], names[1], names[58], names[59]):
            assert found[name] == dict(resolved_configs(server.view.endpoints, [name]))[name]
        with pytest.raises(ServerSilent, match="no answer to GET /v2/models/gone/config"):
            list(resolved_configs(server.view.endpoints, [*names, "gone"]))
    finally:
        server.stop()


# The configuration as core resolved it

groups = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["KIND_GPU", "KIND_CPU", "KIND_MODEL"])},
        optional={
            "count": st.integers(1, 5),
            "gpus": st.lists(st.integers(0, 7), unique=True, max_size=3),
        },
    )
)


@given(groups, st.booleans())
def test_every_instance_of_a_resolved_config_is_counted(
    drawn: list[dict[str, Any]], as_text: bool
) -> None:
    """gRPC's JSON writes int32 as numbers too, but be as kind to text, as JSON's int64 is."""
    found = placement_of(groups_of({"instance_group": _as_text(drawn) if as_text else drawn}))
    total = sum(
        group.get("count", 1) * (len(group.get("gpus", ())) if group["kind"] == "KIND_GPU" else 1)
        for group in drawn
    )
    assert found.total == total
    assert set(found.devices) == {
        device for group in drawn if group["kind"] == "KIND_GPU" for device in group.get("gpus", ())
    }


def _as_text(drawn: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    return [
        {
            key: list(map(str, value)) if key == "gpus" else str(value)
            for key, value in group.items()
        }
        for group in drawn
    ]


def test_ensembles_config_has_no_groups() -> None:
    assert groups_of({"name": "ensemble"}) == ()
    assert placement_of(()) == NOTHING


# The GPUs that the server itself reports


@pytest.fixture
def log_on(repository: RepositoryBuilder) -> Callable[[str], SimpleNamespace]:
    """What a server with these GPUs leaves behind: its log, spec and description."""
    repository.add("good", "{ kind: KIND_CPU }")

    def log_on(gpus: str) -> SimpleNamespace:
        server = start(repository.path, gpus)
        try:
            text = server.log.since()
        finally:
            server.stop()
        log = SimpleNamespace(since=lambda: text)
        return SimpleNamespace(log=log, spec=server.spec, description=server.description)

    return log_on


@pytest.mark.parametrize("count", range(5))
def test_usable_gpus(count: int, log_on: Callable[[str], SimpleNamespace]) -> None:
    assert usable_gpus(log_on(f"sim:{count}").log.since()) == tuple(range(count))


def test_no_gpu_at_all(log_on: Callable[[str], SimpleNamespace]) -> None:
    assert usable_gpus(log_on("none").log.since()) == ()


@pytest.mark.parametrize(("asked", "count"), [("2", 2), ("all", 2), ("0,1", 2)])
def test_gpus_that_were_asked_for_are_believed_when_the_server_has_them(
    asked: str, count: int, log_on: Callable[[str], SimpleNamespace]
) -> None:
    server = log_on("sim:2")
    server.spec = replace(server.spec, hardware=HardwareRequest.parse(asked))
    hardware = real_hardware(server)  # type: ignore[arg-type]
    assert [one.index for one in hardware.gpus] == list(range(count))
    assert not hardware.simulated


@pytest.mark.parametrize(
    ("there", "asked", "message"),
    [
        ("none", "all", "all GPUs asked for, but .* can use no GPUs."),
        ("sim:0", "1", "1 GPU asked for, but .* can use no GPUs."),
        ("sim:1", "2", "2 GPUs asked for, but .* can use 1 GPU."),
        ("sim:3", "2", "2 GPUs asked for, but .* can use 3 GPUs."),
        ("sim:2@5.2", "2", "2 GPUs asked for, but .* can use no GPUs."),
    ],
)
def test_gpus_that_are_missing(
    there: str, asked: str, message: str, log_on: Callable[[str], SimpleNamespace]
) -> None:
    server = log_on(there)
    server.spec = replace(server.spec, hardware=HardwareRequest.parse(asked))
    with pytest.raises(GpusMissing, match=message) as raised:
        real_hardware(server)  # type: ignore[arg-type]
    simulated = {"all": "sim:1", "1": "sim:1", "2": "sim:2"}[asked]
    assert raised.value.fix.endswith(f"rehearse with simulated ones: --triton-gpus={simulated}")
