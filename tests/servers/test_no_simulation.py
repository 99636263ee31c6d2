"""Simulated GPUs that were preloaded by hand never pass for real ones."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_triton import TritonContainer
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import (
    CONTROL_VARIABLE,
    GPUS_LIBRARY,
    OFFICIAL_BACKENDS,
    SimulatedGpus,
    environment,
    library,
    write_control,
)
from pytest_triton.servers.launching import launch
from pytest_triton.servers.no_simulation import (
    SimulationFound,
    check_container,
    check_process,
    check_variables,
)
from pytest_triton.servers.process import server as process_server
from pytest_triton.servers.process.server import ProcessServer
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE
from support.foreign_gpus import foreign_gpus
from support.watching import wait_until


@pytest.fixture
def by_hand(tmp_path: Path) -> dict[str, str]:
    """The variables of the simulation, with its library under another name."""
    control, renamed = tmp_path / "gpus", tmp_path / "libcuda_helper.so"
    write_control(control, SimulatedGpus(2))
    shutil.copy(library(GPUS_LIBRARY), renamed)
    return {**environment(control, {}), "LD_PRELOAD": str(renamed)}


@pytest.mark.real_python
@pytest.mark.parametrize("gpus", ["none", "1", "all"])
def test_process_with_the_simulation_in_its_environment_is_not_started(
    repository: RepositoryBuilder,
    folders_left: None,
    by_hand: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    gpus: str,
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    for name, value in by_hand.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SimulationFound) as raised:
        launch(ServerSpec((repository.path,), HardwareRequest.parse(gpus)))
    assert f"LD_PRELOAD has {by_hand['LD_PRELOAD']}; {CONTROL_VARIABLE} is set" in str(raised.value)


def test_running_server_with_the_simulation_is_recognized(
    repository: RepositoryBuilder, folders_left: None
) -> None:
    repository.add("gpu", "{ kind: KIND_GPU }")
    for gpus, found in (("sim:2", True), ("none", False)):
        hardware = HardwareRequest.parse(gpus)
        server = launch(ServerSpec((repository.path,), hardware, stand_ins=OFFICIAL_BACKENDS))
        assert isinstance(server, ProcessServer)
        try:
            server.wait_until_live()
            if not found:
                check_process(server.pid)
                continue
            with pytest.raises(SimulationFound) as raised:
                check_process(server.pid)
            is_mapped = f"{CONTROL_VARIABLE} is set; {library(GPUS_LIBRARY)} is mapped"
            assert is_mapped in str(raised.value)
        finally:
            server.stop()


def test_process_for_real_gpus_is_looked_at_once_it_runs(
    repository: RepositoryBuilder,
    folders_left: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The simulation gets in behind the look at the environment, as by a wrapper."""
    repository.add("gpu", "{ kind: KIND_GPU }")
    for name, value in foreign_gpus(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(CONTROL_VARIABLE, str(tmp_path / "control"))
    monkeypatch.setattr(process_server, "check_variables", lambda variables: None)
    hardware = HardwareRequest.parse("2")
    server = launch(ServerSpec((repository.path,), hardware, stand_ins=OFFICIAL_BACKENDS))
    try:
        with pytest.raises(SimulationFound, match="the running server"):
            server.wait_until_live()
    finally:
        server.stop()


def test_library_under_another_name_is_recognized_in_a_running_process(
    by_hand: dict[str, str],
) -> None:
    with subprocess.Popen(["sleep", "60"], env={"LD_PRELOAD": by_hand["LD_PRELOAD"]}) as process:
        try:
            wait_until(
                lambda: "libcuda_helper" in Path(f"/proc/{process.pid}/maps").read_text(), "it"
            )
            with pytest.raises(SimulationFound, match=r"libcuda_helper\.so is mapped"):
                check_process(process.pid)
        finally:
            process.kill()


def test_container_with_the_simulation_is_recognized(
    repository: RepositoryBuilder, docker_image: str, folders_left: None
) -> None:
    repository.add("gpu", "{ kind: KIND_GPU }")
    common = {"image": IMAGE, "stand_ins": OFFICIAL_BACKENDS}
    with (
        TritonContainer(repository.path, gpus="sim:2", **common) as triton,  # type: ignore[arg-type]
        pytest.raises(SimulationFound) as raised,
    ):
        check_container(triton.get_wrapped_container())
    assert f"{CONTROL_VARIABLE}=" in str(raised.value)
    assert f"/{GPUS_LIBRARY}." in str(raised.value)
    with TritonContainer(repository.path, **common) as triton:  # type: ignore[arg-type]
        check_container(triton.get_wrapped_container())


def test_container_is_not_given_the_simulation_as_real_hardware(
    repository: RepositoryBuilder,
    docker_image: str,
    folders_left: None,
    by_hand: dict[str, str],
) -> None:
    repository.add("gpu", "{ kind: KIND_GPU }")
    with pytest.raises(SimulationFound):
        TritonContainer(repository.path, image=IMAGE, environment=by_hand).start()


def test_other_preloads_are_nothing_to_refuse() -> None:
    check_variables({"LD_PRELOAD": "/usr/lib/libasan.so nothing.so", "PATH": "/bin"})
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        check_process(process.pid)  # other tests may have the libraries in this process


@pytest.mark.parametrize(
    "part",
    ["triton-fixtures", "triton-requirements", "triton-repository-checks", "triton-suite-reports"],
)
def test_part_left_out_with_something_required_is_a_usage_error(
    pytester: pytest.Pytester, part: str
) -> None:
    RepositoryBuilder(pytester.path / "models").add("a", "{ kind: KIND_CPU }")
    asked = ("--triton-repo=models", "--triton-require=gpus=1", "--triton-gpus=1")
    result = pytester.runpytest_subprocess(*asked, "-p", f"no:{part}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*-p no:{part} leaves out a part of pytest-triton*"])
