"""What the doctor finds: each fault is made, and reported with its name and fix.

The command runs as users run it, in a process of its own. Docker daemons and nvidia-smi are
programs of the tests: what they say is what the real ones say in that state.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.__main__ import main
from pytest_triton.doctor import containers, gpus, process
from pytest_triton.doctor.examine import abilities
from pytest_triton.doctor.programs import ask
from pytest_triton.doctor.report import Finding
from pytest_triton.options.rehearsal_image import set_rehearsal_image
from pytest_triton.rehearsal import simulation
from pytest_triton.servers.container.engine import no_docker
from pytest_triton.servers.process.discovery import find_tritonserver
from support.components import need_release

IMAGE = "example.org/tritonserver:1"
NO_DAEMON = "tcp://127.0.0.1:1"  # a port that nothing can listen on without being root's


class Outcome:
    """What one run of the command said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        assert not done.stderr, done.stderr
        self.code = done.returncode
        self.json: dict[str, Any] = json.loads(done.stdout)

    def finding(self, name: str) -> dict[str, Any]:
        return next(one for one in self.json["findings"] if one["name"] == name)

    def possible(self, name: str) -> bool:
        return bool(self.json["abilities"][name]["possible"])


Doctor = Callable[..., Outcome]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Runs the command with these arguments and changes of the environment."""
    (tmp_path / "bin").mkdir()

    def run(*arguments: str, **changes: str) -> Outcome:
        environ = {
            **os.environ,
            "PATH": str(tmp_path / "bin"),
            "DOCKER_HOST": NO_DAEMON,
            "DOCKER_CONFIG": str(tmp_path / "docker-config"),
            **changes,
        }
        environ.pop("CUDA_VISIBLE_DEVICES", None)
        environ.update(changes)
        command = [sys.executable, "-m", "pytest_triton", "doctor", "--json"]
        command += ["--image", IMAGE, *arguments]
        return Outcome(
            subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
        )

    return run


# --- a tritonserver process --------------------------------------------------------------------


def test_machine_that_has_an_installed_release_can_rehearse(doctor: Doctor) -> None:
    found = doctor()
    assert found.code == 0
    assert found.possible("rehearsal")
    assert found.finding("tritonserver")["facts"]["origin"] == "installed release"
    assert found.finding("rehearsal libraries")["status"] == "ok"
    assert not found.possible("gpus")
    assert not found.possible("container")


def test_no_tritonserver_and_no_docker(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(PYTEST_TRITON_CACHE=str(tmp_path / "empty"))
    assert found.code == 1
    assert found.json["unmet"] == ["rehearsal or container"]
    server = found.finding("tritonserver")
    assert server["status"] == "missing"
    assert "pytest-triton install" in server["fix"]
    assert found.finding("python backend")["status"] == "missing"


def test_tritonserver_without_its_libraries(doctor: Doctor, tmp_path: Path) -> None:
    shutil.copy(find_tritonserver().binary, tmp_path / "bin/tritonserver")
    found = doctor()
    server = found.finding("tritonserver")
    assert server["status"] == "missing"
    assert "doesn't start" in server["text"]
    assert ".so" in server["text"]
    assert not found.possible("rehearsal")


@pytest.mark.parametrize(
    ("version", "status"), [("2.73.0", "ok"), ("2.74.0", "warning"), ("2.74.0dev", "warning")]
)
def test_tritonserver_newer_than_the_known_releases_is_a_warning(
    tmp_path: Path, version: str, status: str
) -> None:
    """The server is one of 2.51.0 that says another version of itself, in Triton's own file."""
    need_release("2.51.0")
    found = find_tritonserver(version="2.51.0")
    root = tmp_path / "tritonserver"
    (root / "bin").mkdir(parents=True)
    shutil.copy(found.binary, root / "bin" / "tritonserver")
    (root / "lib").mkdir()
    for folder in found.library_dirs:
        for file in folder.iterdir():
            (root / "lib" / file.name).symlink_to(file)
    (root / "TRITON_VERSION").write_text(version)
    finding, server = process.examine_tritonserver(
        root / "bin" / "tritonserver", None, 30.0, os.environ
    )
    assert finding.status == status, finding
    assert server is not None
    if status == "warning":
        assert "newer than 2.73.0 (26.09)" in finding.text
        assert "make test-release" in finding.fix


def test_program_that_is_no_tritonserver(doctor: Doctor, tmp_path: Path) -> None:
    shutil.copy("/bin/false", tmp_path / "bin/tritonserver")
    assert "doesn't start" in doctor().finding("tritonserver")["text"]


@pytest.mark.parametrize("release", ["2.33.0", "2.36.0", "2.39.0", "2.42.0", "2.51.0"])
def test_every_release_is_found_by_its_version_and_reports_its_cuda(
    doctor: Doctor, release: str
) -> None:
    need_release(release)
    server = doctor("--version", release).finding("tritonserver")
    assert (server["status"], server["facts"]["version"]) == ("ok", release)
    cuda = process.cuda_of(find_tritonserver(version=release))
    assert cuda is not None
    assert cuda[0] == 12


@pytest.mark.real_python
def test_missing_rehearsal_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "library", partial(simulation.library, folder=tmp_path))
    monkeypatch.setenv("DOCKER_HOST", NO_DAEMON)
    assert main(["doctor", "--json"]) == 1
    reported = json.loads(capsys.readouterr().out)
    assert reported["abilities"]["rehearsal"]["lacks"] == ["rehearsal libraries"]
    assert reported["abilities"]["real-backends"]["possible"]


def test_python_that_is_none(doctor: Doctor) -> None:
    found = doctor("--python", "/bin/false")
    backend = found.finding("python backend")
    assert backend["status"] == "missing"
    assert "--python=PYTHON" in backend["fix"]
    assert found.possible("rehearsal")
    assert not found.possible("real-backends")


@pytest.mark.real_python
def test_numpy_that_the_stubs_are_not_built_for_is_a_warning_with_a_fix(doctor: Doctor) -> None:
    backend = doctor().finding("python backend")
    if metadata.version("numpy").startswith("1."):
        assert backend["status"] == "ok"
        return
    assert backend["status"] == "warning"
    assert "numpy 2" in backend["text"]
    assert backend["fix"].startswith("for inference ")
    assert "numpy<2" in backend["fix"] or "numpy < 2" in backend["fix"]


def test_python_that_never_answers(doctor: Doctor, tmp_path: Path) -> None:
    python = _program(tmp_path / "bin/python3", "exec /bin/sleep 600")
    found = doctor("--python", str(python), "--timeout", "0.5")
    assert found.finding("python backend")["status"] == "missing"
    assert "0.5 s" in found.finding("python backend")["text"]


def test_shared_memory_that_is_not_there(tmp_path: Path) -> None:
    found = process.examine_shared_memory(tmp_path / "shm")
    assert found.status == "missing"
    assert "--shm-size" in found.fix


def test_little_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = os.statvfs(tmp_path)
    blocks = (64 << 20) // real.f_frsize  # what Docker gives a container
    fields = [*real[:4], blocks, *real[5:10]]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))
    found = process.examine_shared_memory(tmp_path)
    assert found.status == "warning"
    assert "67 MB" in found.text


# --- GPUs --------------------------------------------------------------------------------------

TWO_H100 = """\
0, GPU-5d0d0a1e-0000-0000-0000-000000000000, NVIDIA H100 80GB HBM3, 550.54.15, 81559, 9.0
1, GPU-5d0d0a1e-0000-0000-0000-000000000001, NVIDIA H100 80GB HBM3, 550.54.15, 81559, 9.0
"""
MISMATCH = (
    "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 560.35"
)
NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
    "the latest NVIDIA driver is installed and running."
)
LOST = (
    "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost.  Reboot the system "
    "to recover this GPU"
)


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _smi(folder: Path, text: str, code: int = 0) -> Path:
    """An nvidia-smi that says `text` to every question."""
    (folder / "said").write_text(text)
    return _program(folder / "nvidia-smi", f"/bin/cat {folder}/said\nexit {code}")


def test_two_gpus(doctor: Doctor, tmp_path: Path) -> None:
    _smi(tmp_path / "bin", TWO_H100)
    found = doctor("--require=gpus=2")
    assert found.code == 0
    assert found.json["gpus"] == 2
    assert "0: NVIDIA H100 80GB HBM3 · 1:" in found.finding("GPUs")["text"]
    assert found.finding("driver")["status"] == "ok"
    assert found.possible("gpus")
    assert doctor("--require=gpus=3").json["unmet"] == ["gpus=3"]


def test_no_nvidia_smi(doctor: Doctor) -> None:
    found = doctor("--require=gpus")
    assert found.code == 1
    assert "not on PATH" in found.finding("GPUs")["text"]


@pytest.mark.parametrize(
    ("said", "code", "reported"),
    [
        (MISMATCH, 18, "the driver was updated"),
        (NOT_LOADED, 9, "driver is not loaded"),
        ("No devices were found", 6, "finds no GPU"),
        (LOST, 15, "a GPU is lost"),
        ("", 0, "names no GPU"),
        ("Segmentation fault", 139, "failed with 139"),
    ],
)
def test_nvidia_smi_that_fails(
    doctor: Doctor, tmp_path: Path, said: str, code: int, reported: str
) -> None:
    _smi(tmp_path / "bin", said, code)
    found = doctor("--require=gpus")
    assert found.code == 1
    gpu = found.finding("GPUs")
    assert reported in gpu["text"]
    assert "says nothing" in gpu["text"], "that Triton falls back in silence"
    assert gpu["fix"]
    assert found.possible("rehearsal")


def test_nvidia_smi_that_hangs_is_ended_with_its_children(doctor: Doctor, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    _program(
        tmp_path / "bin/nvidia-smi", f"/bin/sleep 600 &\necho $$ $! > {pids}\nexec /bin/sleep 600"
    )
    found = doctor("--timeout", "0.5")
    assert "did not answer within 0.5 s" in found.finding("GPUs")["text"]
    for pid in pids.read_text().split():
        assert not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_driver_too_old_for_the_server(doctor: Doctor, tmp_path: Path) -> None:
    _smi(tmp_path / "bin", TWO_H100.replace("550.54.15", "470.82.01"))
    found = doctor()
    driver = found.finding("driver")
    assert driver["status"] == "missing"
    assert "470.82.01 is too old" in driver["text"]
    assert "525" in driver["fix"]
    assert found.json["abilities"]["gpus"]["lacks"] == ["driver"]


def test_old_nvidia_smi_that_knows_no_compute_capability(doctor: Doctor, tmp_path: Path) -> None:
    rows = tmp_path / "bin/rows"
    rows.write_text("0, GPU-1, Tesla T4, 470.82.01, 15109\n")
    _program(
        tmp_path / "bin/nvidia-smi",
        'case "$1" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\';'
        f' exit 2;; esac\nwhile read -r l; do echo "$l"; done < {rows}',
    )
    assert doctor().finding("GPUs")["facts"]["gpus"][0]["name"] == "Tesla T4"


def test_card_too_old_for_triton_does_not_count(doctor: Doctor, tmp_path: Path) -> None:
    _smi(tmp_path / "bin", TWO_H100 + "2, GPU-2, Tesla K80, 550.54.15, 11441, 3.7\n")
    found = doctor()
    assert found.json["gpus"] == 2
    assert found.finding("GPUs")["status"] == "warning"
    assert "Tesla K80" in found.finding("GPUs")["text"]
    _smi(tmp_path / "bin", "0, GPU-2, Tesla K80, 470.82.01, 11441, 3.7\n")
    assert doctor().finding("GPUs")["status"] == "missing"


def test_hidden_gpus(doctor: Doctor, tmp_path: Path) -> None:
    _smi(tmp_path / "bin", TWO_H100)
    found = doctor("--require=gpus", CUDA_VISIBLE_DEVICES="")
    assert found.code == 1
    assert "CUDA_VISIBLE_DEVICES" in found.finding("GPUs")["text"]


def test_warnings_between_the_rows_are_no_gpus(tmp_path: Path) -> None:
    smi = _smi(tmp_path, "WARNING: infoROM is corrupted at gpu 0000:3B:00.0\n" + TWO_H100)
    _, found = gpus.examine_gpus(5, {"PATH": str(smi.parent)})
    assert [gpu.index for gpu in found] == [0, 1]


def test_program_that_cannot_be_started() -> None:
    assert "can't be started" in ask(["/nonexistent/program"], 1, {}).flaw


# --- containers --------------------------------------------------------------------------------

INFO: Mapping[str, Any] = {
    "OSType": "linux",
    "OperatingSystem": "Ubuntu 24.04",
    "Architecture": "x86_64",
    "Driver": "overlay2",
    "Runtimes": {"runc": {}},
    "DefaultRuntime": "runc",
    "CDISpecDirs": ["/nonexistent/cdi"],
    "DockerRootDir": "/var/lib/docker",
}


class Daemon:
    """A Docker daemon's API, as far as the doctor asks it. `host` is for DOCKER_HOST."""

    def __init__(self) -> None:
        self.info: dict[str, Any] = dict(INFO)
        self.image: dict[str, Any] | None = None
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, answer = daemon._answer(self.path)
                body = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"tcp://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if path.endswith("/version"):
            return 200, {"Version": "28.2.2", "ApiVersion": "1.50"}
        if path.endswith("/info"):
            return 200, self.info
        if self.image is None:
            return 404, {"message": "No such image"}
        return 200, self.image

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.close()


def test_container_without_gpus(doctor: Doctor, daemon: Daemon) -> None:
    daemon.image = {"Id": "sha256:1", "Size": 2_500_000_000, "Config": {"Env": []}}
    found = doctor("--require=container", DOCKER_HOST=daemon.host)
    assert found.code == 0
    assert found.finding("Docker")["text"].startswith("daemon 28.2.2")
    assert "2.5 GB" in found.finding("image")["text"]
    assert found.finding("NVIDIA toolkit")["status"] == "missing"
    assert "nvidia-container-toolkit" in found.finding("NVIDIA toolkit")["fix"]
    assert not found.possible("container-gpus")


def test_container_is_enough_where_no_tritonserver_is(
    doctor: Doctor, daemon: Daemon, tmp_path: Path
) -> None:
    found = doctor(DOCKER_HOST=daemon.host, PYTEST_TRITON_CACHE=str(tmp_path / "empty"))
    assert found.code == 0
    assert not found.possible("rehearsal")


def test_rehearsals_that_run_in_an_image_need_docker_and_that_image(
    doctor: Doctor, daemon: Daemon, tmp_path: Path
) -> None:
    cache = {"PYTEST_TRITON_CACHE": str(tmp_path / "empty"), "DOCKER_HOST": daemon.host}
    set_rehearsal_image("pytest-triton/tritonserver:2.51.0", cache)
    found = doctor("--require=rehearsal", **cache)
    assert found.code == 1
    assert "build it: pytest-triton image" in found.finding("rehearsal image")["fix"]
    daemon.image = {"Id": "sha256:1", "Size": 1, "Config": {"Env": []}}
    found = doctor("--require=rehearsal", **cache)
    assert found.code == 0
    assert found.possible("rehearsal")
    assert "without further options" in found.finding("rehearsal image")["text"]
    assert "rehearsal libraries" not in [one["name"] for one in found.json["findings"]]
    nothing = doctor("--require=rehearsal", **{**cache, "DOCKER_HOST": "tcp://127.0.0.1:1"})
    assert nothing.json["abilities"]["rehearsal"]["lacks"] == ["Docker"]


def test_gpus_in_containers(doctor: Doctor, daemon: Daemon, tmp_path: Path) -> None:
    _smi(tmp_path / "bin", TWO_H100)
    daemon.info["Runtimes"] = {"runc": {}, "nvidia": {}}
    daemon.image = {"Size": 1, "Config": {"Env": ["PATH=/bin", "CUDA_VERSION=12.6.2.004"]}}
    found = doctor("--require=container-gpus", DOCKER_HOST=daemon.host)
    assert found.code == 0
    assert "CUDA 12.6" in found.finding("driver for image")["text"]


def test_driver_too_old_for_the_image(doctor: Doctor, daemon: Daemon, tmp_path: Path) -> None:
    _smi(tmp_path / "bin", TWO_H100)
    daemon.info["Runtimes"] = {"nvidia": {}}
    daemon.image = {"Size": 1, "Config": {"Env": ["CUDA_VERSION=13.0.0.044"]}}
    found = doctor(DOCKER_HOST=daemon.host)
    assert found.finding("driver")["status"] == "ok"
    assert found.json["abilities"]["container-gpus"]["lacks"] == ["driver for image"]
    assert found.possible("gpus")


def test_nvidia_as_the_default_runtime_is_a_warning(doctor: Doctor, daemon: Daemon) -> None:
    daemon.info.update(Runtimes={"nvidia": {}}, DefaultRuntime="nvidia")
    assert doctor(DOCKER_HOST=daemon.host).finding("NVIDIA toolkit")["status"] == "warning"


def test_hook_of_the_toolkit_is_enough_for_a_local_daemon(tmp_path: Path) -> None:
    local = containers.DockerDaemon("unix:///var/run/docker.sock", True, INFO)
    environ = {"PATH": str(tmp_path)}
    assert containers.examine_toolkit(local, environ, more="").status == "missing"
    _program(tmp_path / "nvidia-container-runtime-hook", "exit 0")
    assert containers.examine_toolkit(local, environ, more="").status == "ok"


def test_cdi(tmp_path: Path) -> None:
    def found(**info: object) -> Finding:
        daemon = containers.DockerDaemon("unix:///s", True, {**INFO, **info})
        finding = containers.examine_cdi(daemon, gpus=1)
        assert finding is not None
        return finding

    assert found(CDISpecDirs=[str(tmp_path)]).status == "warning"
    (tmp_path / "nvidia.yaml").write_text("cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices: []\n")
    assert found(CDISpecDirs=[str(tmp_path)]).status == "ok"
    (tmp_path / "nvidia.yaml").write_text("cdiVersion: 0.6.0\nkind: vendor.com/net\n")
    assert found(CDISpecDirs=[str(tmp_path)]).status == "warning"
    (tmp_path / "n.json").write_text('{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu"}')
    assert found(CDISpecDirs=[str(tmp_path)]).status == "ok"
    assert "off" in found(CDISpecDirs=[]).text
    assert found(DiscoveredDevices=[{"ID": "nvidia.com/gpu=0"}]).status == "ok"


def test_cdi_of_a_machine_without_gpus_is_nothing_to_warn_of() -> None:
    daemon = containers.DockerDaemon("unix:///s", True, {**INFO, "CDISpecDirs": []})
    assert containers.examine_cdi(daemon, gpus=0) is None
    elsewhere = containers.DockerDaemon("tcp://there:1", False, INFO)
    assert containers.examine_cdi(elsewhere, gpus=0) is not None, "GPUs there aren't seen from here"


def test_no_room_for_the_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = {**INFO, "DockerRootDir": str(tmp_path)}
    local = containers.DockerDaemon("unix:///var/run/docker.sock", True, info)
    usage = shutil.disk_usage(tmp_path)._replace(free=3 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = containers.examine_image(IMAGE, local)
    assert found.status == "missing"
    assert "docker system prune" in found.fix
    lacks = abilities([Finding("Docker", "ok", ""), found])
    assert next(one for one in lacks if one.name == "container").lacks == ("image",)


@pytest.mark.parametrize(
    ("image", "cuda"),
    [
        ("nvcr.io/nvidia/tritonserver:25.08-py3", (13, 0)),
        ("nvcr.io/nvidia/tritonserver:24.10-py3-min", (12, 0)),
        ("nvcr.io/nvidia/tritonserver:22.05-py3", (11, 0)),
        ("example.org/mine:1", None),
    ],
)
def test_cuda_of_an_image_that_is_not_there(image: str, cuda: tuple[int, int] | None) -> None:
    assert containers.cuda_of_image(image, None) == cuda


@pytest.mark.parametrize(
    ("host", "reported"),
    [
        (NO_DAEMON, "connection refused"),
        ("unix:///nonexistent/docker.sock", "no such socket"),
        ("tcp://nonexistent.invalid:1", "no such host"),
        ("bogus", "port is required"),
    ],
)
def test_no_docker_daemon(doctor: Doctor, host: str, reported: str) -> None:
    found = doctor("--require=container", DOCKER_HOST=host)
    assert found.code == 1
    docker = found.finding("Docker")
    assert (docker["status"], reported in docker["text"]) == ("missing", True), docker
    assert docker["fix"]
    assert found.possible("rehearsal")


def test_daemon_that_hangs(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        found = doctor("--timeout", "3", DOCKER_HOST=host)
    assert "no answer within 3 s" in found.finding("Docker")["text"]


def test_daemon_that_nobody_is_let_to() -> None:
    error = ConnectionError("Connection aborted.", PermissionError(13, "Permission denied"))
    found = containers.unreachable("unix:///var/run/docker.sock", error, 1)
    assert "usermod -aG docker" in found.fix


def test_reason_that_docker_wraps_is_the_systems_own_text() -> None:
    error = ConnectionError("Connection aborted.", FileNotFoundError(2, "No such file"))
    assert no_docker(error).what == "No container engine answers: No such file"
    assert no_docker(ValueError("else")).what == "No container engine answers: else"


def test_daemon_for_windows_containers(doctor: Doctor, daemon: Daemon) -> None:
    daemon.info["OSType"] = "windows"
    found = doctor(DOCKER_HOST=daemon.host)
    assert "for Linux" in found.finding("Docker")["text"]
    assert not found.possible("container")


def test_daemon_of_dockers_current_context(doctor: Doctor, daemon: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "docker-config"
    name = hashlib.sha256(b"other").hexdigest()
    meta = config / "contexts/meta" / name
    meta.mkdir(parents=True)
    (config / "config.json").write_text('{"currentContext": "other"}')
    (meta / "meta.json").write_text(
        json.dumps(
            {"Name": "other", "Metadata": {}, "Endpoints": {"docker": {"Host": daemon.host}}}
        )
    )
    assert doctor(DOCKER_HOST="").finding("Docker")["facts"]["host"] == daemon.host


# --- the command -------------------------------------------------------------------------------


def test_text_names_every_finding_and_fix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_DAEMON)
    assert main(["doctor"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "rehearsal yes a real tritonserver" in out
    assert "container no Triton in a container: lacks Docker" in out
    assert "fix: start Docker" in out


def test_what_is_not_met_is_named_with_its_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_DAEMON)
    assert main(["doctor", "--require=container", "--require=rehearsal"]) == 1
    out = capsys.readouterr().out
    assert "not possible here: container (missing: Docker)" in out
    assert "not possible here: rehearsal" not in out


@pytest.mark.parametrize("arguments", [["--require=luck"], ["--timeout=0"], ["--require=gpus=0"]])
def test_wrong_usage_is_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *arguments])
    assert ended.value.code == 2
    assert arguments[0].partition("=")[2] in capsys.readouterr().err


def test_nothing_is_left_behind(doctor: Doctor, folders_left: None, tmp_path: Path) -> None:
    doctor()
