"""The assembled python backend: a real server runs real python models with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest

from pytest_triton.servers.process import python_backend, releases
from pytest_triton.servers.process.discovery import STUB, Tritonserver, find_tritonserver
from pytest_triton.servers.process.python_backend import (
    BadInterpreter,
    NoNumpy,
    NoPythonBackend,
    NoSharedLibrary,
    NoStub,
    PythonBackend,
    assemble_python_backend,
    inspect_interpreter,
    way_to_older_numpy,
)
from support.bare_server import end
from support.components import need_release

# More interpreters (with numpy) to try the newest release with: paths, separated by colons.
MORE_PYTHONS = os.environ.get("PYTEST_TRITON_TEST_PYTHONS", "").split(":")
CONFIG = """
backend: "python"
input [{ name: "X", data_type: TYPE_FP32, dims: [ 3 ] }]
output [{ name: "Y", data_type: TYPE_FP32, dims: [ 3 ] }]
instance_group [{ kind: KIND_CPU }]
"""
MODEL = """
import json, os, sys
import helper  # before anything of Triton's
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        import ctypes, sqlite3, ssl  # modules with libraries of their own
        import numpy
        maps = open("/proc/self/maps").read().split()
        facts = {
            "executable": sys.executable,
            "prefix": sys.prefix,
            "version": "%d.%d.%d" % sys.version_info[:3],
            "libpython": sorted({word for word in maps if "libpython" in word}),
            "numpy": numpy.__version__,
            "greeting": getattr(sys, "greeting_of_this_environment", None),
            "path": sys.path,
            "writes bytecode": not sys.dont_write_bytecode,
        }
        with open(os.environ["FACTS_FILE"], "w") as file:
            json.dump(facts, file)

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([
                pb_utils.Tensor("Y", pb_utils.get_input_tensor_by_name(one, "X").as_numpy() + 1)
            ])
            for one in requests
        ]
"""


@pytest.fixture(scope="module")
def newest() -> Tritonserver:
    release = releases.install(releases.RELEASES[0]).release
    return find_tritonserver(version=release.version)


def request(url: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None


@contextmanager
def running(server: Tritonserver, backend: PythonBackend, folder: Path) -> Iterator[str]:
    """The URL of a server with the one model `add`, when it has loaded what it could."""
    version = folder / "models/add/1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_text(MODEL)
    (version / "helper.py").write_text("")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(server.binary),
        f"--model-repository={folder / 'models'}",
        f"--backend-directory={backend.directory}",
        f"--http-port={port}",
        "--http-address=127.0.0.1",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--exit-on-error=false",
    ]
    environ = {**os.environ, **backend.environment, "CUDA_VISIBLE_DEVICES": ""}
    environ["FACTS_FILE"] = str(folder / "facts.json")
    environ["PYTHONDONTWRITEBYTECODE"] = "1"  # as the plugin sets it; stubs of 3.11 ignore it
    url = f"http://127.0.0.1:{port}"
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                if request(f"{url}/v2/health/live")[0] == 200:
                    break
            except OSError:
                time.sleep(0.02)
        yield url
    finally:
        end(process)


def add_one(url: str) -> tuple[int, Any]:
    tensor = {"name": "X", "shape": [3], "datatype": "FP32", "data": [1, 20, 300]}
    status, answer = request(f"{url}/v2/models/add/infer", {"inputs": [tensor]})
    return status, answer["outputs"][0]["data"] if status == 200 else answer["error"]


def check_for_real(
    server: Tritonserver, python: Path | None, folder: Path, **environ: str
) -> dict[str, Any]:
    """Run the model on `python`; return what it saw there."""
    backend = assemble_python_backend(
        server, python, folder / "backends", environ=os.environ | environ
    )
    asked = backend.interpreter
    assert asked is not None
    with running(server, backend, folder) as url:
        log = (folder / "log").read_text()
        assert request(f"{url}/v2/models/add/ready")[0] == 200, log
        status, answer = add_one(url)
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    assert facts["version"] == asked.version
    assert facts["numpy"] == asked.numpy
    assert not facts["writes bytecode"]
    assert not list((folder / "models").rglob("__pycache__")), "the repository is never written"
    assert not [one for one in facts["path"] if ".environment" in one]
    assert Path(facts["prefix"]).resolve() == asked.prefix.resolve()
    assert asked.libpython is not None
    assert facts["libpython"] == [str(asked.libpython.resolve())]
    if backend.caveat is None:
        assert (status, answer) == (200, [2, 21, 301])
    else:
        # The day this comes out right, the caveat has to go.
        assert (status, answer) != (200, [2, 21, 301])
        assert facts["numpy"].startswith("2.")
    return facts


@pytest.mark.real_python
def test_models_run_on_the_running_interpreter(newest: Tritonserver, tmp_path: Path) -> None:
    facts = check_for_real(newest, None, tmp_path)
    assert Path(facts["executable"]).samefile(sys.executable)
    assert Path(facts["prefix"]) == Path(sys.prefix)


@pytest.mark.real_python
@pytest.mark.parametrize("python", [one for one in MORE_PYTHONS if one] or [sys.executable])
def test_models_run_on_other_interpreters(
    newest: Tritonserver, tmp_path: Path, python: str
) -> None:
    check_for_real(newest, Path(python), tmp_path)


@pytest.mark.real_python
@pytest.mark.parametrize("release", releases.RELEASES[1:], ids=lambda one: one.version)
def test_models_run_on_older_releases(release: releases.Release, tmp_path: Path) -> None:
    need_release(release.version)
    server = find_tritonserver(version=release.version)
    fitting = [
        python
        for python in [sys.executable, *filter(None, MORE_PYTHONS)]
        if inspect_interpreter(Path(python)).tag in release.stubs
    ]
    if not fitting:
        with pytest.raises(NoStub):
            assemble_python_backend(server, None, tmp_path)
        return
    check_for_real(server, Path(fitting[0]), tmp_path)


@pytest.mark.real_python
def test_models_see_a_virtual_environment_as_it_sees_itself(
    newest: Tritonserver, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    (site_packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    # Code in a .pth file, as modern editable installations have it.
    (site_packages / "mine.pth").write_text(
        f"{Path(numpy.__file__).parents[1]}\nimport sys; sys.greeting_of_this_environment = 'hi'\n"
    )
    facts = check_for_real(newest, tmp_path / "venv/bin/python", tmp_path)
    assert facts["prefix"] == str(tmp_path / "venv")
    assert facts["greeting"] == "hi"


@pytest.mark.real_python
def test_models_import_from_pythonpath_in_its_order(
    newest: Tritonserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "b", tmp_path / "it's {a}"]  # what could end a string or a format
    for folder in folders:
        folder.mkdir()
    venv.create(tmp_path / "venv", symlinks=True)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([*map(str, folders), str(Path(numpy.__file__).parents[1])])
    )
    facts = check_for_real(newest, tmp_path / "venv/bin/python", tmp_path)
    seen = [entry for entry in facts["path"] if entry in map(str, folders)]
    assert seen == list(map(str, folders))


@pytest.mark.real_python
def test_interpreter_of_another_name(
    newest: Tritonserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "my-python"
    odd.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PYTHONPATH", str(Path(numpy.__file__).parents[1]))
    # No other python3 may get in the way, and the right one has to be found all the same.
    other = tmp_path / "other"
    other.mkdir()
    (other / "python3").symlink_to("/bin/false")
    facts = check_for_real(newest, odd, tmp_path, PATH=f"{other}:{os.environ['PATH']}")
    assert Path(facts["executable"]).samefile(odd)


@pytest.mark.real_python
def test_nothing_of_the_server_is_changed(newest: Tritonserver, tmp_path: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        root = newest.binary.parents[3]
        return {one: (one.stat().st_mtime_ns, one.stat().st_mode) for one in root.rglob("*")}

    before = state()
    first = assemble_python_backend(newest, None, tmp_path / "backends")
    assert assemble_python_backend(newest, None, tmp_path / "backends") == first  # again: no harm
    assert state() == before


@pytest.mark.real_python
def test_environment_keeps_what_the_user_has(newest: Tritonserver, tmp_path: Path) -> None:
    environ = {"PATH": "/mine/bin", "LD_LIBRARY_PATH": "/mine/lib", "OTHER": "x"}
    made = assemble_python_backend(newest, None, tmp_path, environ=environ).environment
    assert set(made) == {"PATH", "LD_LIBRARY_PATH"}
    assert made["PATH"].split(":")[1:] == ["/mine/bin"]
    libraries = [str(folder) for folder in newest.library_dirs]
    assert made["LD_LIBRARY_PATH"].split(":")[1:] == [*libraries, "/mine/lib"]
    bare = assemble_python_backend(newest, None, tmp_path, environ={}).environment
    assert "" not in bare["PATH"].split(":") + bare["LD_LIBRARY_PATH"].split(":")


def fake_server(root: Path, stub: bytes, version: str | None = None) -> Tritonserver:
    """The files of a server whose stub, for `version` or lying alone, has that content."""
    python = root / "backends/python"
    python.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (python / name).write_text(name)
    (root / "backends/onnxruntime").mkdir()
    path = root / "python_backend_stubs" / version / STUB if version else python / STUB
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stub)
    tag = version or "3.12"
    return Tritonserver(
        binary=root / "bin/tritonserver",
        library_dirs=(root / "lib",),
        backends=root / "backends",
        stubs=((tag, path),),
        version=None,
        origin="named",
    )


RUNNING = "{}.{}".format(*sys.version_info[:2])


def test_image_uses_its_own_python_unless_another_is_named(tmp_path: Path) -> None:
    image = fake_server(tmp_path / "image", b"\0libpython3.12.so.1.0\0")
    backend = assemble_python_backend(image, None, tmp_path / "into")
    assert backend == PythonBackend(directory=tmp_path / "image/backends")
    assert not (tmp_path / "into").exists()


def test_wheel_with_a_lone_stub_is_no_image(tmp_path: Path) -> None:
    old = fake_server(tmp_path / "old", b"\0libpython3-a12cd27d.8.so.1.0\0")
    with pytest.raises(NoStub):
        assemble_python_backend(
            Tritonserver(**{**vars(old), "stubs": (("3.8", old.stubs[0][1]),)}), None, tmp_path
        )


@pytest.mark.real_python
def test_other_backends_come_along_and_the_stub_is_a_link(tmp_path: Path) -> None:
    stub = f"\0libpython{RUNNING}.so.1.0\0".encode()
    server = fake_server(tmp_path / "server", stub, RUNNING)
    backend = assemble_python_backend(server, None, tmp_path / "into")
    assert backend.directory == tmp_path / "into"
    assert (tmp_path / "into/onnxruntime").samefile(tmp_path / "server/backends/onnxruntime")
    assert (tmp_path / "into/python" / STUB).samefile(server.stubs[0][1])
    assert (tmp_path / "into/python/libtriton_python.so").is_symlink()


@pytest.mark.real_python
def test_stub_whose_own_libpython_is_near_becomes_a_copy(tmp_path: Path) -> None:
    name = f"libpython3-419a3a08.{sys.version_info[1]}.so.1.0"
    server = fake_server(tmp_path / "server", f"\0{name}\0".encode(), RUNNING)
    (tmp_path / "server/lib").mkdir()
    (tmp_path / "server/lib" / name).write_text("the wheel's own")
    backend = assemble_python_backend(server, None, tmp_path / "into")
    stub = tmp_path / "into/python" / STUB
    assert not stub.is_symlink()
    assert stub.read_bytes() == server.stubs[0][1].read_bytes()
    first = Path(backend.environment["LD_LIBRARY_PATH"].split(":")[0])
    libpython = inspect_interpreter().libpython
    assert libpython is not None
    assert (first / name).samefile(libpython)


@pytest.mark.parametrize(
    ("stub", "numpy_version", "caveat"),
    [
        (b"\0numpy.core.multiarray\0", "2.0.1", True),
        (b"\0numpy.core.multiarray\0", "1.26.4", False),
        (b"\0numpy.core.multiarray\0", "?", False),
        (b"\0NumpyVersion\0", "2.0.1", False),
    ],
)
def test_numpy_2_with_a_stub_for_numpy_1(
    tmp_path: Path, stub: bytes, numpy_version: str, caveat: bool
) -> None:
    python = fake_python(tmp_path, numpy=numpy_version)
    server = fake_server(tmp_path / "server", stub, "3.12")
    made = assemble_python_backend(server, python, tmp_path / "into")
    assert (made.caveat is not None) == caveat
    if made.caveat:
        assert numpy_version in made.caveat
        assert f"run `{python} -m pip install 'numpy<2'`" in made.caveat


def test_python_without_an_older_numpy_is_not_told_to_install_it() -> None:
    for tag in ("3.13", "3.13t", "3.14"):
        assert "pip install" not in way_to_older_numpy("python", tag)
        assert "of Python 3.12 or older" in way_to_older_numpy("python", tag)
    assert way_to_older_numpy("/v/bin/python", "3.12").startswith("run `/v/bin/python -m pip")


def fake_python(folder: Path, **answer: object) -> Path:
    """A program that answers the probe as a Python would that isn't on this machine."""
    (folder / "libpython3.12.so.1.0").touch()
    path = folder / "bin/python3"
    path.parent.mkdir()
    said = {
        "implementation": "cpython",
        "executable": str(path),
        "version": "3.12.9",
        "tag": "3.12",
        "libpython": str(folder / "libpython3.12.so.1.0"),
        "prefix": str(folder),
        "exec_prefix": str(folder),
        "home": str(folder / "bin"),
        "numpy": "1.26.4",
        "path": ["/some/packages"],
    }
    path.write_text(f"#!/bin/sh\necho sitecustomize says hello\necho '{json.dumps(said | answer)}'")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"libpython": None}, NoSharedLibrary, "apt install libpython3.12"),
        ({"numpy": None}, NoNumpy, "-m pip install numpy"),
        ({"tag": "3.13t", "version": "3.13.0"}, NoStub, "no installable release has one for 3.13t"),
        ({"tag": "3.11", "version": "3.11.0"}, NoStub, "2.51.0 (24.10), 2.42.0 (24.01)"),
        ({"implementation": "pypy"}, NoStub, "no installable release has one for pypy3.12"),
        ({"version": None, "tag": None, "libpython": 7}, BadInterpreter, "--triton-python"),
    ],
)
def test_interpreters_that_do_not_fit(
    tmp_path: Path, answer: dict[str, object], error: type[Exception], message: str
) -> None:
    server = fake_server(tmp_path / "server", b"", "3.12")
    with pytest.raises(error) as caught:
        assemble_python_backend(server, fake_python(tmp_path, **answer), tmp_path / "into")
    assert message in str(caught.value)
    assert not (tmp_path / "into").exists()


@pytest.mark.real_python
def test_real_interpreter_without_numpy(newest: Tritonserver, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare/bin/python"
    with pytest.raises(NoNumpy) as caught:
        assemble_python_backend(newest, python, tmp_path / "into")
    assert f"{python} -m pip install numpy" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/python3", "No such file"),
        ("no-such-python", "No such file"),
        ("/", "Permission denied"),
        ("/bin/false", "doesn't behave like a Python 3 (exit code 1): nothing"),
        ("/bin/echo", "doesn't behave like a Python 3 (exit code 0)"),
    ],
)
def test_what_is_no_python(name: str, message: str) -> None:
    with pytest.raises(BadInterpreter) as caught:
        inspect_interpreter(Path(name))
    assert message in caught.value.what
    assert "--triton-python" in caught.value.fix


def test_python_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_backend, "_PROBE_SECONDS", 0.1)
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    with pytest.raises(BadInterpreter, match="didn't answer"):
        inspect_interpreter(silent)


def test_interpreter_is_asked_once(tmp_path: Path) -> None:
    python = fake_python(tmp_path)
    first = inspect_interpreter(python)
    python.unlink()
    assert inspect_interpreter(python) == first


def test_inspecting_the_running_interpreter() -> None:
    one = inspect_interpreter()
    assert one.executable == Path(sys.executable)
    assert one.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert one.numpy == numpy.__version__


def test_server_without_a_python_backend(tmp_path: Path) -> None:
    server = fake_server(tmp_path / "server", b"", "3.12")
    (tmp_path / "server/backends/python/libtriton_python.so").unlink()
    for one in (server, Tritonserver(**{**vars(server), "backends": None})):
        with pytest.raises(NoPythonBackend, match="has no python backend"):
            assemble_python_backend(one, None, tmp_path / "into")
