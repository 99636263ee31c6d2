"""`install`: real processes, real pip, and small stand-in wheels where a failure is wanted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_triton.servers.process import releases
from pytest_triton.servers.process.releases import Release

SOURCES = Path(releases.__file__).parents[3]
NAMES = {name for one in releases.RELEASES for name in (one.version, one.ngc, one.pytriton)}
WHEEL = "nvidia_pytriton-9.9.9-py3-none-any.whl"
MEMBERS = {
    "pytriton/__init__.py": b"raise RuntimeError('not needed')",
    "pytriton/tritonserver/bin/tritonserver": b"",
    "pytriton/tritonserver/backends/python/libtriton_python.so": b"library",
    "pytriton/tritonserver/python_backend_stubs/3.12/triton_python_backend_stub": b"stub",
    "nvidia_pytriton.libs/libcudart.so": b"cudart" * 5000,
    "nvidia_pytriton.libs/libpython3-419a3a08.13.so.1.0": b"not this one",
    "nvidia_pytriton-9.9.9.dist-info/METADATA": b"Metadata-Version: 2.1\n"
    b"Name: nvidia-pytriton\nVersion: 9.9.9\nRequires-Python: <3\n",
    "nvidia_pytriton-9.9.9.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    "nvidia_pytriton-9.9.9.dist-info/licenses/LICENSE": b"a licence",
    "nvidia_pytriton-9.9.9.dist-info/RECORD": b"",
}
# The command with another table of releases, in a process of its own.
COMMAND = """
import json, sys
from pytest_triton.servers.process import releases
from pytest_triton.__main__ import main
releases.RELEASES = tuple(
    releases.Release(**{**one, "stubs": tuple(one["stubs"]), "glibc": tuple(one["glibc"])})
    for one in json.loads(sys.argv[1])
)
sys.exit(main(sys.argv[2:]))
"""


@dataclasses.dataclass(frozen=True)
class StandIn:
    """A release with a small wheel, whose server is a shell script, and a cache for it."""

    release: Release
    wheel: Path
    cache: Path
    environ: dict[str, str]

    @property
    def target(self) -> Path:
        return self.cache / "releases" / self.release.version

    def command(self, *arguments: str, python: str = sys.executable) -> list[str]:
        table = json.dumps([dataclasses.asdict(self.release)])
        return [python, "-c", COMMAND, table, "install", *arguments]

    def run(
        self, *arguments: str, python: str = sys.executable, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, python=python),
            env=self.environ | environ,
            capture_output=True,
            text=True,
        )

    def leftovers(self) -> list[str]:
        folder = self.cache / "releases"
        if not folder.is_dir():
            return []
        expected = {self.release.version, f"{self.release.version}.lock"}
        return sorted({one.name for one in folder.iterdir()} - expected)


MakeStandIn = Callable[..., StandIn]


@pytest.fixture
def make_stand_in(tmp_path: Path) -> MakeStandIn:
    def make(script: str = "exit 1", members: dict[str, bytes] | None = None) -> StandIn:
        folder = tmp_path / "wheels"
        folder.mkdir()
        wheel = folder / WHEEL
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in (MEMBERS if members is None else members).items():
                if name == releases.BINARY:
                    content = f"#!/bin/sh\n{script}\n".encode()
                archive.writestr(name, content)
        release = Release(
            version="2.99.0",
            ngc="29.09",
            pytriton="9.9.9",
            wheel=WHEEL,
            size=wheel.stat().st_size,
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            stubs=("3.12",),
            glibc=(2, 17),
        )
        # pip sees this folder only, whatever the user's own settings are.
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))} | {
            "PYTEST_TRITON_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(SOURCES),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder),
        }
        return StandIn(release, wheel, tmp_path / "cache", environ)

    return make


def test_table_is_newest_first_and_every_name_of_a_release_finds_it() -> None:
    versions = [tuple(map(int, one.version.split("."))) for one in releases.RELEASES]
    assert versions == sorted(versions, reverse=True)
    assert releases.find_release() is releases.RELEASES[0]
    assert releases.find_release("2.42") is releases.find_release("2.42.0")
    assert releases.find_release("v2.51").version == "2.51.0"
    for release in releases.RELEASES:
        for name in (release.version, release.ngc, release.pytriton, f"v{release.version}"):
            assert releases.find_release(name) is release


@given(st.text())
def test_any_other_name_is_refused_with_the_known_ones(name: str) -> None:
    assume(name.strip().removeprefix("v") not in NAMES)
    with pytest.raises(releases.UnknownRelease) as caught:
        releases.find_release(name)
    assert all(release.version in caught.value.fix for release in releases.RELEASES)


FOLDERS = ["", releases.SERVER_DIR, releases.LIBRARY_DIR, "x.dist-info"]
SEGMENTS = st.lists(st.sampled_from(["..", ".", "", "a", "LICENSE"]), max_size=8)


@given(st.sampled_from(FOLDERS), SEGMENTS)
def test_no_member_of_a_wheel_leaves_the_folder(folder: str, segments: list[str]) -> None:
    member = "/".join([folder, *segments])
    target = releases._target_name(member)
    if target is not None:
        assert os.path.normpath(f"/some/release/{target}").startswith("/some/release/")
        assert not os.path.isabs(target)


def test_cache_folder_follows_the_environment(tmp_path: Path) -> None:
    assert releases.cache_dir({"PYTEST_TRITON_CACHE": str(tmp_path)}) == tmp_path
    assert releases.cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/pytest-triton")
    home = Path.home() / ".cache" / "pytest-triton"
    assert releases.cache_dir({}) == home
    assert releases.cache_dir({"XDG_CACHE_HOME": "relative"}) == home


def test_pip_gets_it_and_only_what_a_server_needs_is_unpacked(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    done = stand_in.run()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(
        re.search("numpy ?< ?2", line) for line in lines[2:]
    )  # a hint where this Python has numpy 2
    assert lines[0].startswith("installing tritonserver 2.99.0 (NGC 29.09")
    assert lines[1].endswith(str(stand_in.target / releases.BINARY))
    files = {str(f.relative_to(stand_in.target)) for f in stand_in.target.rglob("*") if f.is_file()}
    assert files == {
        "manifest.json",
        "licenses/LICENSE",
        "nvidia_pytriton.libs/libcudart.so",
        "pytriton/tritonserver/bin/tritonserver",
        "pytriton/tritonserver/backends/python/libtriton_python.so",
        "pytriton/tritonserver/python_backend_stubs/3.12/triton_python_backend_stub",
    }
    for name in ("bin/tritonserver", "python_backend_stubs/3.12/triton_python_backend_stub"):
        assert os.access(stand_in.target / releases.SERVER_DIR / name, os.X_OK), name
    assert stand_in.leftovers() == []

    again = stand_in.run("29.09")
    assert again.returncode == 0
    assert "already installed" in again.stdout


def test_list_and_remove(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    assert stand_in.run("--list").stdout.splitlines()[1].split() == [
        *("2.99.0", "29.09", "3.12", "0", "MB", "no")
    ]
    assert "nothing to remove" in stand_in.run("--remove", "2.99.0").stdout
    assert stand_in.run("--wheel", str(stand_in.wheel)).returncode == 0
    assert str(stand_in.target) in stand_in.run("--list").stdout
    done = stand_in.run("--remove", "29.09")
    assert done.returncode == 0
    assert done.stdout.startswith("removed tritonserver 2.99.0")
    assert not stand_in.target.exists()
    assert stand_in.leftovers() == []
    assert stand_in.run("--list").stdout.split()[-1] == "no"


def test_json_says_what_was_changed_and_what_is_installed(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()

    def answer(*arguments: str) -> dict[str, Any]:
        done = stand_in.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return cast("dict[str, Any]", json.loads(done.stdout))

    release = {
        "version": "2.99.0",
        "ngc": "29.09",
        "size": stand_in.release.size,
        "python": ["3.12"],
        "installed": None,
    }
    assert answer("--list") == {"format": 1, "changed": False, "releases": [release]}
    (done,) = answer()["releases"]
    assert done["installed"]["binary"] == str(stand_in.target / releases.BINARY)
    assert answer() == {"format": 1, "changed": False, "releases": [done]}
    assert answer("--remove", "29.09") == {"format": 1, "changed": True, "releases": [release]}
    assert answer("--remove", "29.09")["changed"] is False


def test_wheel_is_known_by_its_hash_not_its_name(
    make_stand_in: MakeStandIn, tmp_path: Path
) -> None:
    stand_in = make_stand_in()
    renamed = stand_in.wheel.rename(tmp_path / "some download (1)")
    assert stand_in.run("--wheel", str(renamed)).returncode == 0
    assert stand_in.target.is_dir()


def test_wheel_of_another_release_than_the_named(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    other = dataclasses.replace(stand_in.release, version="2.98.0", ngc="29.08", sha256="0" * 64)
    table = json.dumps([dataclasses.asdict(one) for one in (other, stand_in.release)])
    command = [sys.executable, "-c", COMMAND, table, "install", "2.98.0", "--wheel"]
    done = subprocess.run(
        [*command, str(stand_in.wheel)], env=stand_in.environ, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "holds tritonserver 2.99.0" in done.stderr
    assert not stand_in.cache.exists()


@given(data=st.data())
def test_damaged_wheel_is_never_unpacked(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = b"PK\x03\x04" + bytes(range(256))
    release = dataclasses.replace(releases.RELEASES[0], sha256=hashlib.sha256(good).hexdigest())
    bad = data.draw(
        st.one_of(
            st.integers(0, len(good) - 1).map(lambda cut: good[:cut]),
            st.integers(0, len(good) - 1).map(
                lambda at: good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
            ),
            st.binary(),
        )
    )
    folder = tmp_path_factory.mktemp("damaged")
    wheel = folder / "file.whl"
    wheel.write_bytes(bad)
    with pytest.raises(releases.WrongWheel, match="sha256"):
        releases.unpack(release, wheel, folder / "out")
    assert not (folder / "out").exists()


@pytest.mark.parametrize("members", [{"pytriton/__init__.py": b""}, {}])
def test_wheel_without_a_server(make_stand_in: MakeStandIn, members: dict[str, bytes]) -> None:
    stand_in = make_stand_in(members=members)
    done = stand_in.run("--wheel", str(stand_in.wheel))
    assert done.returncode == 1
    assert "holds no pytriton/tritonserver/bin/tritonserver" in done.stderr
    assert stand_in.leftovers() == []


@pytest.mark.parametrize("kind", ["missing", "folder", "other"])
def test_what_is_no_wheel_is_refused(make_stand_in: MakeStandIn, tmp_path: Path, kind: str) -> None:
    stand_in = make_stand_in()
    file = tmp_path / "given"
    if kind == "folder":
        file.mkdir()
    elif kind == "other":
        file.write_text("something else")
    done = stand_in.run("--wheel", str(file))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "What to do: " in done.stderr
    assert not stand_in.cache.exists()


def test_wheel_from_the_index_with_another_hash_is_refused(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    with zipfile.ZipFile(stand_in.wheel, "a") as archive:
        archive.writestr("pytriton/tritonserver/bin/added", b"by somebody else")
    done = stand_in.run()
    assert done.returncode == 1
    assert stand_in.release.sha256 in done.stderr
    assert not stand_in.target.exists()
    assert stand_in.leftovers() == []


def test_release_that_lost_a_file_is_installed_again(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    assert stand_in.run().returncode == 0
    library = stand_in.target / "nvidia_pytriton.libs/libcudart.so"
    for damage in (library.unlink, lambda: library.write_bytes(b"cut")):
        damage()
        assert stand_in.run("--list").stdout.split()[-1] == "no"
        done = stand_in.run()
        assert done.returncode == 0, done.stderr
        assert library.read_bytes() == MEMBERS["nvidia_pytriton.libs/libcudart.so"]
    (stand_in.target / "manifest.json").write_text("[]")
    assert stand_in.run("--list").stdout.split()[-1] == "no"


def test_environment_without_pip_uses_the_one_that_python_brings(
    make_stand_in: MakeStandIn, tmp_path: Path
) -> None:
    pytest.importorskip("ensurepip", reason="this Python comes without ensurepip")
    stand_in = make_stand_in()
    # Nothing is installed in it: so the command needs nothing but the standard library, too.
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare/bin/python")
    assert subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 1
    done = stand_in.run(python=python)
    assert done.returncode == 0, done.stderr
    assert stand_in.target.is_dir()


def test_without_any_pip_it_says_what_was_tried_and_how_to_do_it_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [
        ("pip of this environment", [sys.executable, "-m", "no_such_pip"]),
        ("uv", [str(tmp_path / "uv"), "tool", "run", "pip"]),
    ]
    monkeypatch.setattr(releases, "_pip_commands", lambda: iter(commands))
    with pytest.raises(releases.CannotDownload) as caught:
        releases.download(releases.RELEASES[0], tmp_path / "into")
    assert "No module named no_such_pip" in caught.value.tried[0]
    assert "No such file" in caught.value.tried[1]
    assert "install --wheel FILE" in caught.value.fix
    assert releases.RELEASES[0].wheel in caught.value.fix


@pytest.mark.parametrize(
    "variables",
    [
        {"UV_INDEX_URL": "https://example.org/simple?a=b"},
        {"UV_DEFAULT_INDEX": "company=https://example.org/simple?a=b"},
    ],
)
def test_index_that_is_named_to_uv_holds_where_there_is_no_pip(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    ways = [("pip of this environment", ["false"]), ("uv", ["true"])]
    monkeypatch.setattr(releases, "_pip_commands", lambda: iter(ways))
    own = {name: value for name, value in os.environ.items() if name != "PIP_INDEX_URL"}
    command, env, _ = releases._usable_pip(own | variables)
    assert command == ["true"]
    assert env["PIP_INDEX_URL"] == "https://example.org/simple?a=b"
    _, env, _ = releases._usable_pip(own | variables | {"PIP_INDEX_URL": "own"})
    assert env["PIP_INDEX_URL"] == "own"


def test_uv_is_one_of_the_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert ("uv", [str(uv), "tool", "run", "--quiet", "pip"]) in list(releases._pip_commands())


def test_no_network(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del stand_in.environ[name]
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        done = stand_in.run(PIP_INDEX_URL=index, PIP_RETRIES="1", NO_PROXY="127.0.0.1")
    assert done.returncode == 1
    assert "pip couldn't reach the package index" in done.stderr
    assert "--wheel FILE" in done.stderr
    assert "Traceback" not in done.stderr


def test_index_without_the_wheel(make_stand_in: MakeStandIn, tmp_path: Path) -> None:
    stand_in = make_stand_in()
    (tmp_path / "empty").mkdir()
    done = stand_in.run(PIP_FIND_LINKS=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "No matching distribution" in done.stderr
    assert "pip config list" in done.stderr
    assert stand_in.leftovers() == []


def test_cache_that_cannot_be_made(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    done = stand_in.run(PYTEST_TRITON_CACHE=str(stand_in.wheel / "cache"))
    assert done.returncode == 1
    assert "can't be written: Not a directory" in done.stderr
    assert "PYTEST_TRITON_CACHE" in done.stderr


def test_read_only_cache(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    cache = stand_in.cache
    cache.mkdir(mode=0o500)
    if os.geteuid() == 0:  # who may write everywhere, but for what the kernel makes up
        cache = Path("/sys/kernel/pytest-triton")
    done = stand_in.run(PYTEST_TRITON_CACHE=str(cache))
    assert done.returncode == 1
    assert re.search("can't be written: (Permission denied|Operation not permitted)", done.stderr)


def test_disk_that_takes_no_more(make_stand_in: MakeStandIn) -> None:
    stand_in = make_stand_in()
    limit = 20_000  # less than the library in the wheel: its writing fails half way
    done = subprocess.run(
        stand_in.command("--wheel", str(stand_in.wheel)),
        env=stand_in.environ,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "The disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not stand_in.target.exists()
    assert stand_in.leftovers() == []


def test_server_that_lacks_a_library_is_not_kept(make_stand_in: MakeStandIn) -> None:
    message = "error while loading shared libraries: libfoo.so.1"
    stand_in = make_stand_in(f"echo '{message}' >&2; exit 127")
    done = stand_in.run()
    assert done.returncode == 1
    assert message in done.stderr
    assert not stand_in.target.exists()
    assert stand_in.leftovers() == []


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ((sys, "platform"), "darwin", "for Linux"),
        ((platform, "machine"), lambda: "aarch64", "is for x86_64; this machine is aarch64"),
        ((platform, "machine"), lambda: "riscv64", "x86_64 and aarch64; this machine is riscv64"),
        ((os, "confstr"), lambda name: None, "another C library"),
        ((os, "confstr"), lambda name: "glibc 2.31", "this system has 2.31"),
        ((os, "confstr"), lambda name: "glibc 2.9", "this system has 2.9"),
    ],
)
def test_machines_that_cannot_run_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    attribute: tuple[object, str],
    value: object,
    message: str,
) -> None:
    monkeypatch.setattr(*attribute, value)
    with pytest.raises(releases.UnsupportedPlatform, match=message) as caught:
        releases.install(releases.RELEASES[0], environ={"PYTEST_TRITON_CACHE": str(tmp_path / "c")})
    assert "container" in caught.value.fix
    assert ("install 2.33.0 instead" in caught.value.fix) == (message == "this system has 2.31")
    assert not (tmp_path / "c").exists()


def test_release_for_arm_is_of_its_own_wheel_in_a_folder_of_its_own() -> None:
    arm, intel = releases.find_release("24.10", "aarch64"), releases.find_release("24.10", "x86_64")
    assert (arm.version, arm.machine) == ("2.51.0", "aarch64")
    assert arm.wheel.endswith("_aarch64.whl")
    assert (arm.folder, intel.folder) == ("2.51.0-aarch64", "2.51.0")
    assert releases.releases_for("aarch64") == (arm,)
    with pytest.raises(releases.UnknownRelease, match="to install for aarch64") as caught:
        releases.find_release("2.42.0", "aarch64")
    assert "2.42.0" not in caught.value.fix


def test_wheel_of_another_machine_is_refused_for_that(
    make_stand_in: MakeStandIn, tmp_path: Path
) -> None:
    stand_in = make_stand_in()
    foreign = dataclasses.replace(stand_in.release, machine="aarch64")
    with pytest.raises(releases.UnsupportedPlatform, match="is for aarch64; this") as caught:
        releases.install(foreign, wheel=stand_in.wheel, environ=stand_in.environ)
    assert releases.find_release().wheel in caught.value.fix


def test_wheel_for_another_machine_is_downloaded_on_demand(
    make_stand_in: MakeStandIn, tmp_path: Path
) -> None:
    stand_in = make_stand_in()
    name = stand_in.wheel.name.replace("any", "manylinux_2_35_aarch64")
    stand_in.wheel.rename(stand_in.wheel.with_name(name))
    foreign = dataclasses.replace(stand_in.release, wheel=name, machine="aarch64")
    with pytest.raises(releases.CannotDownload):
        releases.download(foreign, tmp_path / "here", environ=stand_in.environ)
    into = tmp_path / "there"
    found = releases.download(foreign, into, environ=stand_in.environ, for_this_machine=False)
    assert found == into / name


class Gate:
    """A named pipe on which the stand-in's server waits while `install` tries it out."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"
        self.runs = folder / "runs"
        os.mkfifo(self.path)
        # For reading too, so that neither end ever waits for the other to open it.
        self.pipe = os.open(self.path, os.O_RDWR)
        # Only the first waits, so that a second one where there must be none can't hang the test.
        self.script = f"[ -e {self.runs} ] || wait=yes\necho run >> {self.runs}\n"
        self.script += f"[ -z $wait ] || read line < {self.path}\nexit 1"

    def wait_for_arrival(self, installer: subprocess.Popen[str]) -> None:
        """Return when a server has come to the gate: everything is unpacked by then."""
        while not self.runs.exists():
            assert installer.poll() is None
            time.sleep(0.01)

    def let_one_through(self) -> None:
        os.write(self.pipe, b"go\n")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    os.close(gate.pipe)


Start = Callable[[StandIn], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `install` of a stand-in; none is left at the end."""
    processes = []

    def start(stand_in: StandIn) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            stand_in.command("--wheel", str(stand_in.wheel)),
            env=stand_in.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_of_two_at_once_one_works_and_the_other_waits(
    make_stand_in: MakeStandIn, gate: Gate, start: Start
) -> None:
    stand_in = make_stand_in(gate.script)
    first = start(stand_in)
    gate.wait_for_arrival(first)
    second = start(stand_in)
    assert second.stdout is not None
    assert second.stdout.readline().startswith("installing")
    assert second.stdout.readline().startswith("waiting for another process")
    gate.let_one_through()
    for process in (first, second):
        assert process.stdout is not None
        assert "installed" in process.stdout.read()
        assert process.wait() == 0
    assert gate.runs.read_text() == "run\n"
    assert stand_in.leftovers() == []


def test_many_at_once(make_stand_in: MakeStandIn, tmp_path: Path) -> None:
    stand_in = make_stand_in(f"echo run >> {tmp_path / 'runs'}; exit 1")
    command = stand_in.command("--wheel", str(stand_in.wheel))
    processes = [
        subprocess.Popen(command, env=stand_in.environ, stdout=subprocess.DEVNULL) for _ in range(6)
    ]
    assert [process.wait() for process in processes] == [0] * 6
    assert (tmp_path / "runs").read_text() == "run\n"
    assert stand_in.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_in_the_middle(
    make_stand_in: MakeStandIn, gate: Gate, start: Start, number: signal.Signals
) -> None:
    stand_in = make_stand_in(gate.script)
    installer = start(stand_in)
    gate.wait_for_arrival(installer)
    installer.send_signal(number)
    installer.wait(60)
    interrupted = number == signal.SIGINT
    assert installer.returncode == (130 if interrupted else -number)
    assert len(stand_in.leftovers()) == (0 if interrupted else 1)
    gate.let_one_through()  # the orphan, if there is one
    assert not stand_in.target.exists()
    assert stand_in.run("--list").stdout.split()[-1] == "no"

    done = stand_in.run("--wheel", str(stand_in.wheel))
    assert done.returncode == 0, done.stderr
    assert stand_in.leftovers() == []
    assert stand_in.run("--list").stdout.split()[-1] != "no"


def test_newest_release_really_comes_from_the_index(tmp_path: Path) -> None:
    environ = dict(os.environ) | {"PYTEST_TRITON_CACHE": str(tmp_path)}
    release = releases.RELEASES[0]
    done = releases.install(release, environ=environ)
    assert done == releases.installed_release(release, environ)
    assert releases.installed_releases(environ) == (done,)
    assert done.binary.is_file()
    assert (done.path / "licenses/LICENSE").is_file()
    stubs = done.path / releases.SERVER_DIR / "python_backend_stubs"
    assert {stub.name for stub in stubs.iterdir()} == set(release.stubs)
    helped = subprocess.run([done.binary, "--help"], capture_output=True, text=True)
    assert "Usage: tritonserver" in helped.stdout + helped.stderr
