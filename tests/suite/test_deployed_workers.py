"""Deployments and pytest-xdist: the same results, and as many servers, however tests are dealt."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("folders_left")]

# Counts the server starts of a whole run: each launch adds a line to a file.
COUNTING = """
import os
from pytest_triton.servers import launching

_launch = launching.launch

def launch(spec, **more):
    with open(os.environ["STARTS"], "a") as file:
        file.write(f"{spec.hardware} {spec.arguments[-1]}\\n")
    return _launch(spec, **more)

launching.launch = launch
"""
SERVICE = """  {name}:
    image: nvcr.io/nvidia/tritonserver:24.10-py3
    command: tritonserver --model-repository=/models --model-control-mode=explicit --load-model={m}
    volumes: [./models:/models]
    gpus: [{{ count: {gpus} }}]
"""
SERVERS = (("a", "pinned", 1), ("b", "pinned", 2), ("c", "nothing", 1), ("again", "pinned", 1))
WAYS = [
    ("-n2", f"--dist={mode}")
    for mode in ("load", "loadfile", "loadscope", "loadgroup", "worksteal", "each")
]


@pytest.fixture
def project(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add("pinned", "{ kind: KIND_GPU }", backend="onnxruntime")
    repository.add("nothing", "", backend="onnxruntime")
    services = "".join(SERVICE.format(name=name, m=model, gpus=n) for name, model, n in SERVERS)
    (pytester.path / "compose.yaml").write_text(f"services:\n{services}")
    pytester.makeconftest(COUNTING)
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    return pytester


def look(project: pytest.Pytester, starts: Path, *way: str) -> tuple[list[str], list[str], int]:
    """The table's rows, the servers that were started, and how many tests failed."""
    starts.unlink(missing_ok=True)
    result = project.runpytest_subprocess(
        "-q", "--triton-deployment=compose.yaml", "-k", "test_deployment", *way
    )
    lines = result.outlines
    head = next(n for n, line in enumerate(lines) if line.startswith("server "))
    end = next(n for n in range(head, len(lines)) if lines[n].startswith("="))
    failed = result.parseoutcomes().get("failed", 0)
    return lines[head:end], sorted(starts.read_text().splitlines()), failed


def test_workers_do_what_one_process_does(project: pytest.Pytester, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    rows, started, failed = look(project, starts)
    assert [line.split()[0] for line in rows if line[0] != " "][1:] == [one[0] for one in SERVERS]
    assert len(started) == 11  # two each, and one more where the server stops
    assert failed == 1
    for way in WAYS:
        found = look(project, starts, *way)
        times = 2 if way[-1] == "--dist=each" else 1
        assert found == (rows, sorted(started * times), failed * times), way
