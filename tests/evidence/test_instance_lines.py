"""Placements read from the lines that backends write when they make an instance.

Against the logs of five real releases, with stand-ins and with the real python backend. Releases
that can't be had as a process write in other formats still; samples of these are written by hand,
after Triton's sources and release notes, have not been seen, and say so in their names.
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.evidence.instance_lines import InstanceLog, ReportedInstances
from pytest_triton.options.hosts import ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.instances import NOTHING, Placement, cpu, gpu, on_model
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.python_backend import NoStub
from pytest_triton.servers.process.releases import RELEASES
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.components import need_release

VERSIONS = [release.version for release in RELEASES]


@contextmanager
def serving(repository: RepositoryBuilder, version: str, **more: object) -> Iterator[ProcessServer]:
    need_release(version)
    spec = ServerSpec(
        (repository.path,),
        HardwareRequest.parse("sim:2"),
        ProcessHost(version=version),
        **more,  # type: ignore[arg-type]
    )
    server = launch(spec)
    try:
        server.wait_until_live()
        yield server
    finally:
        server.stop()


def reported(
    server: ProcessServer, groups: Mapping[str, list[str]]
) -> Mapping[str, ReportedInstances]:
    return InstanceLog(server.log.since()).reported(groups)


def placements(found: Mapping[str, ReportedInstances]) -> dict[str, Placement | None]:
    return {model: one.placement for model, one in found.items()}


@pytest.mark.server
@pytest.mark.parametrize("version", VERSIONS)
def test_stand_ins_of(version: str, repository: RepositoryBuilder) -> None:
    repository.add("mixed", "{ kind: KIND_GPU count: 2 }, { kind: KIND_CPU count: 3 }")
    repository.add("und", "")
    repository.add("on model", "{ kind: KIND_MODEL }")
    repository.add("line\nbreak", "{ kind: KIND_CPU }")
    odd = 'odd (CPU device 3)\\" x'
    repository.add("named", f'{{ name: "{odd}" kind: KIND_GPU gpus: [ 1 ] }}')
    repository.add("passive", "{ kind: KIND_GPU passive: true }")
    repository.add("versions", "{ kind: KIND_GPU count: 2 }", more="version_policy: { all {} }\n")
    (repository.path / "versions" / "3").mkdir()
    repository.add("refused", "{ kind: KIND_GPU }", backend="openvino")
    groups = {
        "mixed": ["mixed_0", "mixed_1"],
        "und": ["und"],
        "on model": ["on model_0"],
        "line\nbreak": ["line\nbreak_0"],
        "named": [odd.replace("\\", "")],
        "passive": ["passive_0"],
        "versions": ["versions_0"],
        "refused": ["refused_0"],
    }
    with serving(repository, version, stand_ins=OFFICIAL_BACKENDS) as server:
        assert placements(reported(server, groups)) == {
            "mixed": gpu(0, count=2) + gpu(1, count=2) + cpu(count=3),
            "und": gpu(0) + gpu(1),
            "on model": on_model(),
            "line\nbreak": cpu(),
            "named": gpu(1),
            "passive": gpu(0) + gpu(1),
            "versions": gpu(0, count=2) + gpu(1, count=2),
            "refused": None,
        }


@pytest.mark.real_python
@pytest.mark.server
@pytest.mark.parametrize("arguments", [(), ("--log-verbose=1",)], ids=["", "verbose"])
@pytest.mark.parametrize("version", VERSIONS)
def test_real_python_backend_of(
    version: str, arguments: tuple[str, ...], repository: RepositoryBuilder
) -> None:
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU }")
    if version == "2.33.0" and sys.version_info[:2] != (3, 8):
        with pytest.raises(NoStub, match=r"has stubs for Python 3\.8 only"):
            launch(
                ServerSpec(
                    (repository.path,), HardwareRequest.parse("sim:2"), ProcessHost(version=version)
                )
            )
        return
    with serving(repository, version, arguments=arguments) as server:
        log = server.log.since()
    expected = gpu(0) + gpu(1) + cpu()
    groups = {"mixed": ["mixed_0", "mixed_1"]}
    assert placements(InstanceLog(log).reported(groups)) == {"mixed": expected}
    if arguments:  # the lines of the shared backend base alone say the same
        without = "\n".join(line for line in log.splitlines() if "InstanceInitialize" not in line)
        assert placements(InstanceLog(without).reported(groups)) == {"mixed": expected}


@pytest.mark.server
@pytest.mark.parametrize("version", VERSIONS)
def test_reloads_of(version: str, repository: RepositoryBuilder) -> None:
    config = repository.add("m", "{ kind: KIND_CPU count: 2 }")
    groups = {"m": ["m_0"]}
    with serving(
        repository, version, stand_ins=OFFICIAL_BACKENDS, model_control="explicit"
    ) as server:
        assert placements(reported(server, groups)) == {"m": cpu(count=2)}
        assert ask(server, "load") == 200  # nothing has changed
        assert placements(reported(server, groups)) == {"m": cpu(count=2)}

        change(config, "count: 2", "count: 3")
        assert ask(server, "load") == 200
        now = reported(server, groups)["m"]
        if now.placement is None:
            assert "maybe in place" in now.text
        else:
            assert now.placement == cpu(count=3)

        change(config, "KIND_CPU", "KIND_GPU gpus: [ 9 ]")
        assert ask(server, "load") == 400  # refused; the old instances serve on
        assert reported(server, groups)["m"].placement in (None, cpu(count=3))


@pytest.mark.server
@pytest.mark.parametrize("version", VERSIONS)
def test_load_after_an_unload_of(version: str, repository: RepositoryBuilder) -> None:
    config = repository.add("m", "{ kind: KIND_CPU count: 2 }")
    with serving(
        repository, version, stand_ins=OFFICIAL_BACKENDS, model_control="explicit"
    ) as server:
        assert ask(server, "unload") == 200
        wait_for(server, "successfully unloaded 'm'")
        assert placements(reported(server, {"m": ["m_0"]})) == {"m": None}
        change(config, "KIND_CPU", "KIND_GPU")
        assert ask(server, "load") == 200
        assert placements(reported(server, {"m": ["m_0"]})) == {
            "m": gpu(0, count=2) + gpu(1, count=2)
        }


def ask(server: ProcessServer, verb: str) -> int:
    host, _, port = server.http.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request("POST", f"/v2/repository/models/m/{verb}")
        return connection.getresponse().status
    finally:
        connection.close()


def change(config: Path, old: str, new: str) -> None:
    config.write_text(config.read_text().replace(old, new))


def wait_for(server: ProcessServer, message: str) -> None:
    deadline = time.monotonic() + 20
    while message not in server.log.since():
        assert time.monotonic() < deadline, f"the log never said {message!r}"
        time.sleep(0.01)


# --- written by hand, not seen -----------------------------------------------------------------

HEAD = "I0601 10:00:00.000001 1 model_lifecycle.cc:473] "
LOADED = f'{HEAD}"loading: m:1"\n{{}}{HEAD}"successfully loaded \'m\'"\n'
LOADED += "| server_version                   | 2.60.0 |\n"


def line(text: str) -> str:
    return f'I0601 10:00:00.000002 1 some_backend.cc:77] "{text}"\n'


INITIALIZE = "TRITONBACKEND_ModelInstanceInitialize: "
BY_HAND = {
    "openvino names no device": (line(INITIALIZE + "m_0_0 (CPU)"), cpu()),
    "pytorch from r26.05 on is silent": ("", None),
    "pytorch from r26.05 on, with --log-verbose=1": (
        line("Creating instance m_0_0 on GPU 1 (8.0) using artifact 'model.pt'"),
        gpu(1),
    ),
    "a compute capability of two digits": (
        line("Creating instance m_0_0 on GPU 0 (12.0) using artifact 'model.onnx'"),
        gpu(0),
    ),
    "both lines of one instance": (
        line(INITIALIZE + "m_0_0 (GPU device 0)")
        + line("Creating instance m_0_0 on GPU 0 (9.0) using artifact 'model.pt'"),
        gpu(0),
    ),
    "order varies": (
        line(INITIALIZE + "m_0_1 (GPU device 1)") + line(INITIALIZE + "m_0_0 (GPU device 0)"),
        gpu(0) + gpu(1),
    ),
    "a GPU without its number": (line(INITIALIZE + "m_0_0 (GPU)"), None),
    "CPU and MODEL instances say device 0 too": (
        line(INITIALIZE + "m_0_0 (CPU device 0)") + line(INITIALIZE + "m_1_0 (MODEL device 0)"),
        cpu() + on_model(),
    ),
    "a model printed just before, and just behind": (
        "50%|###  |" + line(INITIALIZE + "m_0_0 (GPU device 0)").rstrip() + "done\n",
        gpu(0),
    ),
    "a model that quotes no log": (
        line(INITIALIZE + "m_0_0 (CPU)") + INITIALIZE + "m_0_1 (GPU device 0)\n",
        cpu(),
    ),
    "the stub's own line": (
        line(INITIALIZE + "m_0_0 (CPU device 0)")
        + line(INITIALIZE + "instance initialization successful m_0_0 (device 0)"),
        cpu(),
    ),
    "INFO on stdout comes before or after the errors on stderr": (
        'E0601 10:00:00.000009 1 tritonserver.cc:2803] "Internal: failed to load all models"\n'
        + line(INITIALIZE + "m_0_0 (CPU device 0)"),
        cpu(),
    ),
}


@pytest.mark.parametrize(("lines", "placement"), BY_HAND.values(), ids=BY_HAND)
def test_written_by_hand(lines: str, placement: Placement | None) -> None:
    found = InstanceLog(LOADED.format(lines)).reported({"m": ["m_0", "m_1"]})
    assert placements(found) == {"m": placement}
    assert found["m"].text


def test_written_by_hand_an_ensemble_has_a_load_and_no_instance() -> None:
    assert placements(InstanceLog(LOADED.format("")).reported({"m": []})) == {"m": NOTHING}


def test_models_whose_instances_have_one_name_are_not_distinguished() -> None:
    """`a`'s second group is called as undeclared `a_1`'s only one."""
    both = line(INITIALIZE + "a_1_0 (CPU device 0)") * 2
    log = LOADED.format(both).replace("'m'", "'a'").replace("m:1", "a:1")
    log += LOADED.format("").replace("'m'", "'a_1'").replace("m:1", "a_1:1")
    found = InstanceLog(log).reported({"a": ["a_0", "a_1"], "a_1": ["a_1"], "m": []})
    assert found["a"] == ReportedInstances(None, "a_1_0 is an instance of a and of a_1")
    assert found["m"].placement is None, "it was never loaded"


def test_load_that_goes_on_reports_nothing_yet() -> None:
    log = LOADED.format(line(INITIALIZE + "m_0_0 (CPU device 0)"))
    again = log + f'{HEAD}"loading: m:1"\n'
    assert InstanceLog(again).reported({"m": ["m_0"]})["m"].placement is None


def test_version_that_failed_makes_the_load_no_proof() -> None:
    lines = f'{HEAD}"loading: m:2"\n' + line(INITIALIZE + "m_0_0 (CPU device 0)")
    lines += "E0601 10:00:00.000009 1 a.cc:1] \"failed to load 'm' version 2: Internal: no\"\n"
    assert InstanceLog(LOADED.format(lines)).reported({"m": ["m_0"]})["m"].placement is None


@given(st.text(), st.text())
def test_no_log_is_too_odd(log: str, name: str) -> None:
    InstanceLog(log).reported({name: [name]})
    InstanceLog(LOADED.format(line(INITIALIZE + log))).reported({"m": [name], name: ["m"]})


@given(
    st.text(st.characters(exclude_characters='"\\\r\n', codec="utf-8"), min_size=1),
    st.sampled_from([("GPU device 1", gpu(1)), ("CPU device 0", cpu()), ("CPU", cpu())]),
)
def test_every_name_is_found(name: str, where: tuple[str, Placement]) -> None:
    text, placement = where
    log = LOADED.format(line(f"{INITIALIZE}{name}_0 ({text})"))
    assert placements(InstanceLog(log).reported({"m": [name]})) == {"m": placement}
