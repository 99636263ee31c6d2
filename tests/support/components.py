"""What a machine may lack that tests need: the one place that knows and decides.

A test needs a component if it has its marker, uses one of its fixtures, or is in one of its
folders. Where the component is missing the test is skipped, and one line at the end says how many
were and what would run them; where the environment says CI=true it fails. Tests without the marker
`server` see no tritonserver, so that the marker can't be forgotten.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from pytest_triton.errors import PytestTritonError
from pytest_triton.servers.process.discovery import find_tritonserver
from pytest_triton.servers.process.python_backend import inspect_interpreter
from pytest_triton.servers.process.releases import find_release, installed_release
from support import chromium, docker_daemon

TESTS = Path(__file__).resolve().parents[1]
LIBPYTHON = f"libpython{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass(frozen=True)
class Component:
    """`packages` are Debian's; what brings a component otherwise is said in `how`.

    A test that uses one of `fixtures`, or lies in one of `folders`, has the marker, too.
    """

    marker: str
    name: str
    is_there: Callable[[], bool]
    packages: tuple[str, ...] = ()
    how: str = ""
    fixtures: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()  # markers that a test has as well

    @property
    def reason(self) -> str:
        """Why a test is skipped or fails."""
        return f"needs {self.name}"


def _has_tritonserver() -> bool:
    try:
        find_tritonserver()
    except PytestTritonError:
        return False
    return True


def _has_docker() -> bool:
    if shutil.which("docker") is None:
        return False
    if subprocess.run(["docker", "version"], capture_output=True).returncode != 0:
        return False
    asked = ["docker", "image", "inspect", docker_daemon.IMAGE]
    if subprocess.run(asked, capture_output=True).returncode == 0:
        return True
    return os.geteuid() == 0 and shutil.which("mmdebstrap") is not None  # so it can be made


def _has_libpython() -> bool:
    return inspect_interpreter(Path(sys.executable)).libpython is not None


SERVER = Component(
    "server",
    "a tritonserver",
    _has_tritonserver,
    how=".venv/bin/pytest-triton install",
    folders=("rehearsal", "servers", "suite"),
)
HIDDEN = "/dev/null/hidden-from-tests-without-the-marker-server"
RELEASES = Component("releases", "more releases of tritonserver", lambda: True, how="make releases")
DOCKER = Component(
    "docker",
    "Docker with the image that `make image` makes",
    _has_docker,
    packages=("docker.io", "iptables", "mmdebstrap"),
    fixtures=("docker_image",),
    includes=("server",),
)
COMPONENTS = (
    SERVER,
    RELEASES,
    DOCKER,
    Component(
        "browser",
        "Chromium",
        lambda: chromium.program() is not None,
        packages=("chromium",),
        fixtures=("browser",),
    ),
    Component(
        "compose",
        "docker-compose",
        lambda: shutil.which("docker-compose") is not None,
        packages=("docker-compose",),
    ),
    Component(
        "openssl",
        "openssl",
        lambda: shutil.which("openssl") is not None,
        packages=("openssl",),
        fixtures=("certificates",),
    ),
    Component(
        "real_python",
        f"{LIBPYTHON}.so, which real python backends load",
        _has_libpython,
        packages=(LIBPYTHON,),
        fixtures=("python_with_numpy_1",),
    ),
    Component(
        "git",
        "git",
        lambda: shutil.which("git") is not None,
        packages=("git",),
        fixtures=("git",),
    ),
    Component("root", "root's rights", lambda: os.geteuid() == 0),
)


@functools.cache
def _is_missing(component: Component) -> bool:
    return not component.is_there()


def do_without(component: Component, reason: str = "") -> NoReturn:
    """Skip this test for want of a component, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason or component.reason}: with CI=true nothing is skipped", pytrace=False)
    pytest.skip(reason or component.reason)


def need_release(version: str) -> None:
    """The test that calls this needs that release of tritonserver."""
    if installed_release(find_release(version)) is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        used = getattr(item, "fixturenames", ())
        for component in COMPONENTS:
            folder = (
                item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
            )
            if folder in component.folders or set(used) & set(component.fixtures):
                item.add_marker(component.marker)
            if item.get_closest_marker(component.marker):
                for marker in component.includes:
                    item.add_marker(marker)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for component in COMPONENTS:
        if item.get_closest_marker(component.marker) and _is_missing(component):
            do_without(component)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, bool | None, bool | None]:
    """Hide the installed releases from tests that say that they need no server."""
    cache = os.environ["PYTEST_TRITON_CACHE"]
    if not item.get_closest_marker(SERVER.marker):
        os.environ["PYTEST_TRITON_CACHE"] = HIDDEN
    try:
        return (yield)
    finally:
        os.environ["PYTEST_TRITON_CACHE"] = cache


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and HIDDEN in report.longreprtext:
        hint = f"mark what starts a tritonserver: @pytest.mark.{SERVER.marker}"
        report.sections.append(("tests/support/components.py", hint))
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """The very last line: pytest's own summary comes before."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist
        return
    reasons = [_reason(report) for report in reporter.stats.get("skipped", ())]
    if line := missing_line(reasons):
        reporter.write_line(line, yellow=True)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    where = report.longrepr
    return where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else ""


def missing_line(reasons: Iterable[str]) -> str:
    """What the skipped tests lack, and the command that would run them; "" if nothing."""
    lacking = Counter(
        component
        for reason in reasons
        for component in COMPONENTS
        if reason.startswith(component.reason)
    )
    if not lacking:
        return ""
    needs = ", ".join(f"{component.name} ({count})" for component, count in lacking.items())
    packages = [package for component in lacking for package in component.packages]
    commands = [f"apt-get install {' '.join(packages)}"] if packages else []
    commands += [component.how for component in lacking if component.how]
    rights = ", as root" if packages or any(one.marker == "root" for one in lacking) else ""
    return (
        f"{lacking.total()} tests were skipped: they need {needs}. "
        f"To run them{rights}: {' && '.join([*commands, 'make test-all'])}"
    )
