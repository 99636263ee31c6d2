"""The release that a run is about: who says which one, and what goes by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.checks.release import release_of
from pytest_triton.options.hosts import ProcessHost
from pytest_triton.options.resolving import read_settings
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.releases import NEWEST_KNOWN, ChosenRelease, shown_release
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.discovery import find_tritonserver
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder

AOTI = """\
platform: "torch_aoti"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_GPU } ]
"""
REFUSED = "*unexpected platform type 'torch_aoti' for aoti*"
PLAIN = ("-p", "no:cacheprovider", "-p", "no:randomly", "--triton-repo=models")


@pytest.fixture
def models(pytester: pytest.Pytester) -> RepositoryBuilder:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add_config("aoti", AOTI)
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    return repository


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    """A tritonserver without a file that says its version."""
    found = find_tritonserver(version="2.51.0")
    root = tmp_path / "unnamed" / "tritonserver"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tritonserver").write_bytes(found.binary.read_bytes())
    (root / "bin" / "tritonserver").chmod(0o755)
    for folder in found.library_dirs:
        if folder.parent == found.binary.parent.parent:
            (root / folder.name).symlink_to(folder)
    (root / "lib").mkdir(exist_ok=True)
    for folder in found.library_dirs:
        if folder.parent != found.binary.parent.parent:
            for file in folder.iterdir():
                (root / "lib" / file.name).symlink_to(file)
    return root / "bin" / "tritonserver"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--triton-image=nvcr.io/nvidia/tritonserver:26.06-py3"], "2.70.0 (26.06), of the image"),
        (["--triton-image=mine:latest"], str(NEWEST_KNOWN)),
        (["--triton-server=grpc://127.0.0.1:1"], str(NEWEST_KNOWN)),
        (["--triton-binary=/there/is/none"], str(NEWEST_KNOWN)),
        (["--triton-version=2.42.0"], "2.42.0 (24.01), of the server"),
        (
            ["--triton-release=26.06", "--triton-version=2.42.0"],
            "2.70.0 (26.06), --triton-release (command line)",
        ),
        (
            ["--triton-release=2.66.0", "--triton-image=nvcr.io/nvidia/tritonserver:26.06-py3"],
            "2.66.0 (26.02), --triton-release (command line)",
        ),
    ],
)
@pytest.mark.server
def test_release_of_a_run_comes_from_the_strongest_source(
    pytester: pytest.Pytester, arguments: list[str], expected: str
) -> None:
    found = release_of(read_settings(pytester.parseconfig(*arguments), {}))
    assert str(found).startswith(expected)
    assert found.assumed == (found == NEWEST_KNOWN)


def test_header_says_the_release_and_its_source(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    image = "--triton-image=nvcr.io/nvidia/tritonserver:26.06-py3"
    result = pytester.runpytest(*PLAIN, image, "--collect-only")
    result.stdout.fnmatch_lines(["triton release: 2.70.0 (26.06), of the image, by its tag"])
    pytester.makeini("[pytest]\ntriton_release = 26.03\n")
    result = pytester.runpytest(*PLAIN, image, "--collect-only")
    result.stdout.fnmatch_lines(["triton release: 2.67.0 (26.03), --triton-release (ini file)"])
    result = pytester.runpytest(*PLAIN, "--triton-release=", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.server
def test_checks_without_a_server_go_by_the_servers_release(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest(*PLAIN, "--triton-version=2.51.0")
    result.stdout.fnmatch_lines(["triton release: 2.51.0 (24.10), of the server", REFUSED])
    result.assert_outcomes(failed=1, passed=9)


@pytest.mark.server
def test_model_that_the_named_release_takes_is_not_proven_by_an_older_server(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest(*PLAIN, "--triton-version=2.51.0", "--triton-release=26.06")
    result.stdout.fnmatch_lines(
        [
            "triton release: 2.70.0 (26.06), --triton-release (command line)",
            "not proven: the server is of another release, which refuses the model itself",
            "  predicted *refused: no GPU *release 2.70.0 (26.06)*",
            "  observed *refused: *",
            "  server *tritonserver 2.51.0 (process, installed release)*",
            "  Triton *unexpected platform type 'torch_aoti' for aoti",
            "*--triton-image*",
            "  predicted *GPU 0 · GPU 1 *release 2.70.0 (26.06)*",
        ]
    )
    result.assert_outcomes(failed=2, passed=8)
    assert "aoti::test_config" not in "".join(
        line for line in result.outlines if line.startswith("FAILED")
    )


@pytest.mark.server
def test_release_before_aoti_refuses_it_on_any_server(
    pytester: pytest.Pytester, models: RepositoryBuilder
) -> None:
    result = pytester.runpytest(*PLAIN, "-k", "test_config", "--triton-release=2.66.0")
    result.stdout.fnmatch_lines([REFUSED])
    result.assert_outcomes(failed=1, passed=1, deselected=8)


@pytest.mark.server
def test_server_that_no_file_names_says_its_release_itself(
    pytester: pytest.Pytester, models: RepositoryBuilder, nameless: Path
) -> None:
    result = pytester.runpytest(*PLAIN, f"--triton-binary={nameless}")
    newest = shown_release(NEWEST_KNOWN.version)
    result.stdout.fnmatch_lines(
        [f"triton release: {newest}, the newest known, until the server says its own *", REFUSED]
    )
    result.assert_outcomes(failed=1, passed=9)


@pytest.fixture
def deployed(models: RepositoryBuilder) -> Iterator[ProcessServer]:
    hardware = HardwareRequest.parse("sim:2")
    server = launch(
        ServerSpec(
            (models.path,), hardware, ProcessHost(version="2.51.0"), stand_ins=OFFICIAL_BACKENDS
        )
    )
    try:
        server.wait_until_live()
        yield server
    finally:
        server.stop()


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_attached_server_says_its_release_itself(
    pytester: pytest.Pytester, deployed: ProcessServer, scheme: str
) -> None:
    url = f"--triton-server={scheme}://{deployed.grpc if scheme == 'grpc' else deployed.http}"
    result = pytester.runpytest_subprocess(*PLAIN, url, "-k", "test_config")
    result.stdout.fnmatch_lines(
        ["*a Torch AOTI model * needs Triton 2.67.0 (26.03) or newer*", REFUSED]
    )
    result.assert_outcomes(failed=1, passed=1, deselected=8)


def test_release_is_shown_with_its_source() -> None:
    assert str(ChosenRelease((2, 70, 0), "--release")) == "2.70.0 (26.06), --release"
