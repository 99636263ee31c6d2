"""Put a python backend together that runs models on the user's interpreter.

The python backend runs each model in a process of its own, the *stub*: a program that is built
for one Python version, loads that version's shared `libpython`, and imports numpy. So a server
needs the stub that fits the interpreter, beside `libtriton_python.so` and
`triton_python_backend_utils.py`, in a folder `python` of its backend directory. Such a directory
is assembled here, outside site-packages; nothing is written into the server's own folders.

How the stub becomes the user's interpreter: Python looks for the program `python3` on PATH to
find out where it is at home, and, if that is a virtual environment, which one. With the
interpreter's own folder first on PATH the models see the packages of its environment, editable
installations too. Only if there is no such `python3`, a folder with a link of that name stands in.
https://docs.python.org/3/c-api/init_config.html#python-path-configuration

Stubs for Python 3.11 and newer start in isolated mode: they ignore PYTHONPATH, PYTHONHOME,
PYTHONDONTWRITEBYTECODE and the user's own site-packages. What the interpreter has on sys.path
because of those is added by a few lines at the head of `triton_python_backend_utils.py`. A stub
imports that after `model.py`, too late to keep bytecode out of the repository: so `python3` on PATH
is then one of an environment of our own, whose one `.pth` file switches bytecode off and makes the
interpreter's environment the current one again, before its site-packages are added.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.process import releases
from pytest_triton.servers.process.discovery import STUB, Tritonserver, libpython_of_stub


class BadInterpreter(PytestTritonError):
    """The named Python doesn't exist, doesn't run, or isn't a Python."""


class NoPythonBackend(PytestTritonError):
    """The server has no python backend at all."""


class NoStub(PytestTritonError):
    """The server's python backend has no stub for that Python version."""


class NoSharedLibrary(PytestTritonError):
    """The interpreter has no shared libpython, which the stub loads."""


class NoNumpy(PytestTritonError):
    """numpy can't be imported by the interpreter."""


@dataclass(frozen=True)
class Interpreter:
    """What a Python says about itself.

    `tag` is the version that a stub must be built for ("3.12"; "3.13t" is the free-threaded one).
    `libpython` is its shared library, None if it has none; `prefix` its environment's folder (in
    `exec_prefix` is what is built for a platform), `home` that of the Python which it was made of,
    `numpy` the version of the numpy that it imports ("?" if that isn't known), None if there
    is none. `path` is its sys.path, without the current folder.
    """

    executable: Path
    version: str
    tag: str
    libpython: Path | None
    prefix: Path
    exec_prefix: Path
    home: Path
    numpy: str | None
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"Python {self.version} ({self.executable})"


@dataclass(frozen=True)
class PythonBackend:
    """A backend directory with a python backend, and what a server's environment needs for it.

    `directory` is for `--backend-directory`. `environment` holds whole values, which replace those
    in the environment of the tritonserver process. `interpreter` is None when the server's own
    stub is used as it is. `caveat` says what doesn't work all the same (None: nothing known); to
    be shown, and to be heeded by whatever sends inference requests.
    """

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    interpreter: Interpreter | None = None
    caveat: str | None = None


# Runs in the interpreter that is asked: any Python 3, nothing but the standard library.
_PROBE = r"""
import json, os, sys, sysconfig
path = [entry for entry in sys.path if entry and os.path.exists(entry)]
from importlib.util import find_spec
get = sysconfig.get_config_var
names = [get("INSTSONAME"), get("LDLIBRARY")]
exact = "libpython%d.%d%s.so" % (sys.version_info[0], sys.version_info[1], sys.abiflags)
names += [exact + ".1.0", exact]
base = getattr(sys, "base_exec_prefix", sys.exec_prefix)
folders = [get("LIBDIR"), os.path.join(get("LIBDIR") or "", get("MULTIARCH") or "")]
folders += [os.path.join(base, "lib"), os.path.join(base, "lib", get("MULTIARCH") or "")]
folders += [os.path.join(base, "lib64"), get("LIBPL")]
files = [os.path.join(d, n) for n in names if n and ".so" in n for d in folders if d]
numpy = None
if getattr(find_spec("numpy"), "origin", None):
    try:
        from importlib.metadata import version
        numpy = version("numpy")
    except Exception:
        numpy = "?"
print("\n" + json.dumps({
    "implementation": sys.implementation.name,
    "executable": sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "tag": "%d.%d%s" % (sys.version_info[0], sys.version_info[1], sys.abiflags),
    "libpython": next((f for f in files if os.path.isfile(f)), None),
    "prefix": sys.prefix,
    "exec_prefix": sys.exec_prefix,
    "home": os.path.dirname(getattr(sys, "_base_executable", None) or sys.executable),
    "numpy": numpy,
    "path": [os.path.abspath(entry) for entry in path],
}))
"""
_PROBE_SECONDS = 60
_LAST_WITH_NUMPY_1 = (3, 12)  # the newest Python that such a numpy was built for

_UTILS = "triton_python_backend_utils.py"
_SAME_PATH = """\
# Added by pytest-triton, so that models can import what the interpreter can, and write no bytecode
# into the repository.
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [entry for entry in {path!r} if entry not in sys.path]

"""


def inspect_interpreter(python: Path | None = None) -> Interpreter:
    """Ask a Python (the running one by default) what it is; once, then from memory.

    Raises BadInterpreter.
    """
    named = str(python) if python is not None else sys.executable
    if not named:
        raise BadInterpreter(
            "The running Python doesn't know where its executable is.",
            fix="name the interpreter that python models run on: --triton-python=PYTHON.",
        )
    if os.sep not in named:
        named = shutil.which(named) or named
    # Links are left alone: the way to a virtual environment's Python is what makes it one.
    return _ask(os.path.abspath(os.path.expanduser(named)))


@functools.cache
def _ask(path: str) -> Interpreter:
    fix = "name an existing Python 3 with --triton-python=PYTHON, or leave the option out."
    try:
        done = subprocess.run(
            [path, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BadInterpreter(
            f"{path} didn't answer within {_PROBE_SECONDS} s when it was asked for its version.",
            fix=fix,
        ) from None
    except OSError as error:
        raise BadInterpreter(
            f"{path} can't be run as a Python: {error.strerror}.", fix=fix
        ) from error
    try:
        answer = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        return Interpreter(
            executable=Path(answer["executable"] or path),
            version=answer["version"],
            tag=answer["tag"] if answer["implementation"] == "cpython" else "pypy" + answer["tag"],
            libpython=Path(answer["libpython"]) if answer["libpython"] else None,
            prefix=Path(answer["prefix"]),
            exec_prefix=Path(answer["exec_prefix"]),
            home=Path(answer["home"]),
            numpy=answer["numpy"],
            path=tuple(answer["path"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise BadInterpreter(
            f"{path} doesn't behave like a Python 3 (exit code {done.returncode}): {said}",
            tried=[f"{path} -c SCRIPT"],
            fix=fix,
        ) from None


def assemble_python_backend(
    server: Tritonserver,
    python: Path | None,
    into: Path,
    *,
    environ: Mapping[str, str] = os.environ,
) -> PythonBackend:
    """Make the folder `into` a backend directory whose python backend runs on `python`.

    Without `python` it is the running interpreter; but a server whose only stub is made for its
    own system's Python (Triton's images) is then used as it is. The server's other backends are
    linked into `into` as well. `environ` is what the values to prepend to come from.
    Raises the errors of this module; OSError when `into` can't be written.
    """
    own = server.backends / "python" if server.backends else None
    if own is None or not (own / "libtriton_python.so").is_file():
        raise NoPythonBackend(
            f"{server} has no python backend.",
            tried=[str(own) if own else f"no backend directory near {server.binary}"],
            fix="use another server, or stand-in backends: --triton-backends=stand-in.",
        )
    if python is None and _brings_its_own_python(server, own):
        return PythonBackend(directory=own.parent)

    interpreter = inspect_interpreter(python)
    stub = _fitting_stub(server, interpreter)
    if interpreter.libpython is None:
        raise NoSharedLibrary(
            f"{interpreter} has no shared libpython, which Triton's python backend loads.",
            tried=["its library folders, and the name in its sysconfig"],
            fix=f"install it (Debian and Ubuntu: `apt install libpython{interpreter.tag}`; pyenv: "
            "`PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install ...`), or name another "
            "interpreter with --triton-python=PYTHON.",
        )
    if interpreter.numpy is None:
        raise NoNumpy(
            f"{interpreter} can't import numpy, which Triton's python backend needs.",
            fix=f"`{interpreter.executable} -m pip install numpy`, or name another interpreter "
            "with --triton-python=PYTHON.",
        )

    into = Path(os.path.abspath(into))
    target = into / "python"
    libraries = into / ".libpython"
    target.mkdir(parents=True, exist_ok=True)
    libraries.mkdir(exist_ok=True)
    for file in own.iterdir():
        if file.name not in (STUB, _UTILS):
            _link(file, target / file.name)
    utils = (own / _UTILS).read_text("utf-8")
    head = _SAME_PATH.format(path=list(interpreter.path))
    (target / _UTILS).unlink(missing_ok=True)  # never write through a link
    (target / _UTILS).write_text(head + utils, "utf-8")
    for folder in own.parent.iterdir():
        if folder.name != "python":
            _link(folder, into / folder.name)

    # Only this one library, not its whole folder, so that a conda environment's other libraries
    # can't get in the server's way.
    known = libpython_of_stub(stub)
    names = {interpreter.libpython.name, *(known[1] if known else ())}
    for name in names:
        _link(interpreter.libpython, libraries / name)
    if any((folder / name).exists() for folder in server.library_dirs for name in names):
        # The stub would find the wheel's own libpython, relative to where it lies; a copy doesn't.
        shutil.copy(stub, target / STUB)
    else:
        _link(stub, target / STUB)

    return PythonBackend(
        directory=into,
        environment={
            "LD_LIBRARY_PATH": _joined(
                libraries, *server.library_dirs, environ.get("LD_LIBRARY_PATH")
            ),
            "PATH": _joined(_first_on_path(interpreter, into), environ.get("PATH")),
        },
        interpreter=interpreter,
        caveat=_numpy_caveat(stub, interpreter),
    )


def _numpy_caveat(stub: Path, interpreter: Interpreter) -> str | None:
    """What is wrong with tensors when a stub built for numpy 1 meets numpy 2.

    pybind11 before 2.12, in the stubs of all installable releases, reads an element's size where
    numpy 2 keeps something else: it gets 0. Models load and start; but every element of an input
    tensor has the value of the first, and an output tensor is refused ("output tensor shape does
    not match size of output"). Such a pybind11 names the module of numpy 1 in full.
    """
    if not (interpreter.numpy or "").startswith(tuple("23456789")):
        return None
    if b"numpy.core.multiarray\0" not in stub.read_bytes():
        return None
    return (
        f"python models load, but inference on them is wrong: this server's python backend is "
        f"built for numpy 1, and {interpreter.executable} has numpy {interpreter.numpy}. For "
        f"inference {way_to_older_numpy(interpreter.executable, interpreter.tag)}, or use a "
        "container."
    )


def way_to_older_numpy(python: Path | str, tag: str) -> str:
    """How real python models get a numpy that the stubs are built for: an imperative."""
    if _release(tag) > _LAST_WITH_NUMPY_1:
        return (
            "name an interpreter with numpy < 2 (of Python 3.12 or older) by --triton-python=PYTHON"
        )
    return (
        f"run `{python} -m pip install 'numpy<2'`, or name an interpreter that has it by "
        "--triton-python=PYTHON"
    )


def _brings_its_own_python(server: Tritonserver, own: Path) -> bool:
    """Is the only stub one that lies beside the backend and loads the system's libpython?"""
    if [path for _, path in server.stubs] != [own / STUB]:
        return False
    known = libpython_of_stub(own / STUB)
    return known is not None and not any(name.startswith("libpython3-") for name in known[1])


def _fitting_stub(server: Tritonserver, interpreter: Interpreter) -> Path:
    for tag, path in server.stubs:
        if tag == interpreter.tag:
            return path
    have = ", ".join(tag for tag, _ in server.stubs) or "none"
    fitting = [
        f"{release.version} ({release.ngc})"
        for release in releases.RELEASES
        if interpreter.tag in release.stubs
    ]
    raise NoStub(
        f"{server} can't run python models on {interpreter}: "
        f"its python backend has stubs for Python {have} only.",
        fix=(
            f"use a release that has one for {interpreter.tag} ({', '.join(fitting)}: "
            "`pytest-triton install RELEASE`, --triton-version=RELEASE), or "
            if fitting
            else f"no installable release has one for {interpreter.tag}: "
        )
        + f"name an interpreter of another version with --triton-python=PYTHON ({have}).",
    )


# One line, since `site` runs each on its own; `sitedir` is the folder of this file.
_SWITCH = (
    "import sys; sys.dont_write_bytecode = True; "
    "sys.prefix, sys.exec_prefix, sys.executable = {prefix!a}, {exec_prefix!a}, {executable!a}; "
    "sys.path.remove(sitedir)\n"
)


def _first_on_path(interpreter: Interpreter, into: Path) -> Path:
    """The folder of the `python3` by which a stub finds out where it is at home."""
    if _release(interpreter.tag) < (3, 11):
        return _folder_of_python3(interpreter, into)  # it reads PYTHONDONTWRITEBYTECODE
    environment = into / ".environment"
    packages = environment / "lib" / f"python{interpreter.tag}" / "site-packages"
    packages.mkdir(parents=True, exist_ok=True)
    switch = _SWITCH.format(
        prefix=str(interpreter.prefix),
        exec_prefix=str(interpreter.exec_prefix),
        executable=str(interpreter.executable),
    )
    (packages / "pytest_triton.pth").write_text(switch, "utf-8")
    (environment / "bin").mkdir(exist_ok=True)
    _link(interpreter.executable, environment / "bin" / "python3")
    config = environment / "pyvenv.cfg"
    try:
        config.write_bytes((interpreter.prefix / "pyvenv.cfg").read_bytes())
    except OSError:  # it isn't a virtual environment's
        home = os.fsencode(interpreter.home)
        config.write_bytes(b"home = %s\ninclude-system-site-packages = false\n" % home)
    return environment / "bin"


def _release(tag: str) -> tuple[int, ...]:
    """Of "3.13t": (3, 13)."""
    return tuple(int(number) for number in re.findall(r"\d+", tag)[:2])


def _folder_of_python3(interpreter: Interpreter, into: Path) -> Path:
    """A folder in which `python3` is the interpreter."""
    folder = interpreter.executable.parent
    try:
        if (folder / "python3").samefile(interpreter.executable):
            return folder
    except OSError:
        pass
    substitute = into / ".bin"
    substitute.mkdir(exist_ok=True)
    _link(interpreter.executable, substitute / "python3")
    return substitute


def _link(source: Path, link: Path) -> None:
    """Make `link` a symbolic link to `source`, also if one stands there already."""
    link.unlink(missing_ok=True)
    link.symlink_to(source)


def _joined(*parts: Path | str | None) -> str:
    return os.pathsep.join(str(part) for part in parts if part)
