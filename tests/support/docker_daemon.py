"""Docker for tests: the image, and a daemon of one's own that sees other files than the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

IMAGE = "pytest-triton/tritonserver:2.51.0"
BASE = "pytest-triton/base:bookworm-gcc"  # what scripts/build-image makes it on; no Triton
ROOT = Path(__file__).resolve().parents[2]

# dockerd asks for this program before it accepts `--gpus`; ours does nothing.
_HOOK = "#!/bin/sh\nexit 0\n"


def build_image() -> None:
    """Build the image unless Docker has it. Tests have the fixture `docker_image` for it."""
    built = subprocess.run(
        [ROOT / "scripts" / "build-image", sys.executable], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    _others.update(ours())


_others: set[str] = set()  # of another pytest that has been running since before


def ours() -> list[str]:
    """The names of all containers of these tests, running or not."""
    listed = subprocess.run(
        ["docker", "ps", "--all", "--filter", "label=pytest-triton", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split() if name not in _others]


class OtherDaemon:
    """A dockerd on a TCP port of the loopback that doesn't see what lies under `hidden`.

    That is what a daemon on another machine is like, or one beside the container that the tests
    run in. `folder` is where it keeps its own, for later runs too; `host` is for DOCKER_HOST.
    Needs root.
    """

    def __init__(self, folder: Path, hidden: Path) -> None:
        self.folder = folder
        self._hidden = hidden
        self._process: subprocess.Popen[bytes] | None = None
        self._nvidia = False
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self._bridge = f"pt{os.getpid()}"
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "addr", "add", "172.30.77.1/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")

    def start(self, *, nvidia: bool = False) -> None:
        """Start it, with or without something that passes for NVIDIA's toolkit.

        One that runs already, the other way, is restarted.
        """
        if self._process is not None:
            if nvidia == self._nvidia:
                return
            self.stop()
        self._nvidia = nvidia
        programs = self.folder / "programs"
        shutil.rmtree(programs, ignore_errors=True)
        programs.mkdir(parents=True)
        if nvidia:
            hook = programs / "nvidia-container-runtime-hook"
            hook.write_text(_HOOK)
            hook.chmod(0o755)
        command = [
            "dockerd",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/run",
            f"--pidfile={self.folder}/pid",
            f"--host={self.host}",
            f"--bridge={self._bridge}",
            "--tls=false",
        ]
        hide = 'mount -t tmpfs none "$0" && exec "$@"'
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", hide, str(self._hidden), *command],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                    "TMPDIR": "/tmp",  # a test's own is hidden from it
                },
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "dockerd did not come up"
            time.sleep(0.1)

    def load_image(self) -> None:
        """Give it the image that the other daemon has, unless it has it from an earlier run."""
        there = _run("docker", "--host", self.host, "images", "--quiet", "--no-trunc", IMAGE)
        if there == _run("docker", "images", "--quiet", "--no-trunc", IMAGE):
            return
        with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as save:
            _run("docker", "--host", self.host, "load", "--quiet", stdin=save.stdout)

    def stop(self) -> None:
        """Stop it; its containers end with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def close(self) -> None:
        self.stop()
        _run("ip", "link", "delete", self._bridge)

    def _answers(self) -> bool:
        asked = subprocess.run(["docker", "--host", self.host, "version"], capture_output=True)
        return asked.returncode == 0


def _run(*command: str, stdin: IO[bytes] | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=stdin).stdout.decode()
