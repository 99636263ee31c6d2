"""What a shell's commands around tritonserver mean: its variables, and how the container ends."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_triton.deployment.commands import Ending, Found, find_tritonserver
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.noticing import noticed_by
from pytest_triton.deployment.reading import read_deployments

HIDDEN = "CUDA_VISIBLE_DEVICES"


def found(script: str, **variables: str) -> Found:
    one = find_tritonserver(["bash", "-c", script], variables)
    assert one is not None
    assert not one.unknown
    return one


@pytest.mark.parametrize(
    ("script", "value"),
    [
        (f'export {HIDDEN}=""; tritonserver', ""),
        (f"export A=1 {HIDDEN}=1\ntritonserver", "1"),
        (f"{HIDDEN}=1; export {HIDDEN}; tritonserver", "1"),
        (f"cd /x && export {HIDDEN}=1 && exec tritonserver", "1"),
        (f"declare -x {HIDDEN}=1; tritonserver", "1"),
        (f"set -a; {HIDDEN}=1; tritonserver", "1"),
        (f"export {HIDDEN}=1; {HIDDEN}=2 tritonserver", "2"),
        (f"export A=1; export {HIDDEN}=$A; tritonserver", "1"),
        (f"{HIDDEN}=1; tritonserver", None),
        (f"export {HIDDEN}=1; unset {HIDDEN}; tritonserver", None),
    ],
)
def test_exported_variable_is_the_servers(script: str, value: str | None) -> None:
    one = found(script)
    assert dict(one.sets).get(HIDDEN) == value
    assert not one.open
    if value is not None and shutil.which("bash"):  # as a real shell has it
        printed = subprocess.run(
            ["bash", "-c", script.replace("/x", "/").replace("tritonserver", f"printenv {HIDDEN}")],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert printed.stdout.rstrip("\n") == value


def test_assigned_variable_of_the_container_is_the_servers() -> None:
    assert found(f"{HIDDEN}=1; tritonserver", **{HIDDEN: "0"}).sets == ((HIDDEN, "1"),)
    assert found(f"unset {HIDDEN}; tritonserver", **{HIDDEN: "0"}).unsets == (HIDDEN,)


@pytest.mark.parametrize(
    "script",
    [
        f"export {HIDDEN}=$(next-gpu); tritonserver",
        f"export {HIDDEN}=$RANK; tritonserver",
        f'[ -z "$X" ] && export {HIDDEN}=; tritonserver',
        f"nvidia-smi || export {HIDDEN}=; tritonserver",
        f"if [ -e /x ]; then export {HIDDEN}=; fi; tritonserver",
        f"if [ -e /x ]; then\ncd /; export {HIDDEN}=\nfi\ntritonserver",
    ],
)
def test_variable_that_only_the_run_knows_is_open(script: str) -> None:
    one = found(script)
    assert (one.open, one.unsets, one.sets) == ((HIDDEN,), (HIDDEN,), ())


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        ("tritonserver", "its code"),
        ("exec tritonserver; sleep infinity", "its code"),
        ("tritonserver | tee log", "another code"),
        ("tritonserver 2>&1 | tee log", "another code"),
        ("set -o pipefail; tritonserver | tee log", "its code"),
        ("tritonserver && echo ok", "its code"),
        ("tritonserver || exit 1", "its code"),
        ("tritonserver || true", "another code"),
        ("tritonserver; exit $?", "its code"),
        ("tritonserver; exit 0", "another code"),
        ("tritonserver; echo ended", "another code"),
        ("set -e; tritonserver; echo ended", "its code"),
        ("tritonserver; rc=$?; echo $rc; exit $rc", "its code"),
        ("tritonserver & sleep 0.1; wait $!", "its code"),
        ("tritonserver & wait -n", "its code"),
        ("tritonserver & wait", "another code"),
        ("tritonserver & sleep infinity", "goes on"),
        ("tritonserver ; sleep infinity", "goes on"),
        ("tritonserver || true; tail -f /dev/null", "goes on"),
        ("tritonserver\nwhile true; do sleep 1; done", "goes on"),
        ("set -e; tritonserver; sleep infinity", "its code"),
        ("tritonserver & python app.py", "goes on"),
        ("tritonserver & sleep infinity & wait", "goes on"),
    ],
)
def test_end_of_tritonserver_is_what_its_shell_makes_of_it(
    tmp_path: Path, script: str, ending: Ending
) -> None:
    assert found(script).ending == ending
    server = tmp_path / "tritonserver"
    server.write_text("#!/bin/sh\nexit 7\n")
    server.chmod(0o755)
    script = script.replace("python app.py", "sleep infinity")
    process = subprocess.Popen(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(0.5 if ending == "goes on" else 20)
        seen = "its code" if code in (7, 1) else "another code"
    except subprocess.TimeoutExpired:
        seen = "goes on"
    finally:
        subprocess.run(["kill", "--", f"-{process.pid}"], check=False, stderr=subprocess.DEVNULL)
        process.wait()
    assert seen == ending


@pytest.mark.parametrize(
    ("shell", "ending"),
    [
        (["bash", "-c"], "another code"),
        (["bash", "-ec"], "its code"),
        (["/bin/bash", "-euo", "pipefail", "-c"], "its code"),
        (["bash", "-o", "pipefail", "-c"], "another code"),
        (["bash", "-e", "-l", "-c"], "its code"),
    ],
)
def test_options_of_the_shell_count(shell: list[str], ending: Ending) -> None:
    one = find_tritonserver([*shell, "tritonserver --id=x; echo ended"], {})
    assert one is not None
    assert (one.arguments, one.ending) == (("--id=x",), ending)
    piped = find_tritonserver([*shell, "tritonserver --id=x | tee log"], {})
    assert piped is not None
    assert piped.ending == ("its code" if "pipefail" in shell else "another code")


def compose(tmp_path: Path, script: str, lines: str = "") -> DeployedServer:
    (tmp_path / "file.yaml").write_text(
        f"services:\n  t:\n    image: x\n    command: [bash, -c, '{script}']\n{lines}"
    )
    (server,) = read_deployments("file.yaml", tmp_path, {})
    return server


@pytest.mark.parametrize(
    ("script", "lines", "who"),
    [
        ("tritonserver", "restart: on-failure", "Docker restarts it, over and over"),
        ("tritonserver | tee log", "restart: on-failure", "nobody restarts it: the container ends"),
        ("tritonserver | tee log", "restart: always", "Docker restarts it, over and over"),
        ("tritonserver", "deploy: {restart_policy: {condition: none}}", "; nobody restarts it"),
        ("tritonserver; sleep infinity", "restart: always", "nobody: the container goes on"),
        (
            "tritonserver; sleep infinity",
            "healthcheck: {test: curl -f localhost:8000/v2/health/live}",
            "the healthcheck: unhealthy",
        ),
        (
            "tritonserver & python app.py",
            "healthcheck: {test: curl -f localhost:5000/alive}",
            "nobody: the container goes on",
        ),
    ],
)
def test_who_notices_depends_on_how_the_container_ends(
    tmp_path: Path, script: str, lines: str, who: str
) -> None:
    (noticed,) = noticed_by(compose(tmp_path, script, f"    {lines}\n"), "stops")
    assert who in noticed


def test_pod_that_succeeds_is_not_restarted(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: { name: t }\nspec:\n  restartPolicy: OnFailure\n"
        "  containers: [{ name: t, image: x, command: [sh, -c, 'tritonserver | tee log'] }]\n"
    )
    (server,) = read_deployments("file.yaml", tmp_path, {})
    (noticed,) = noticed_by(server, "stops")
    assert noticed.startswith("nobody restarts it")


def test_hidden_gpus_of_an_export_are_hidden(tmp_path: Path) -> None:
    server = compose(tmp_path, f"export {HIDDEN}=; tritonserver", "    gpus: all\n")
    assert server.visible(4) == 0


def test_open_variable_is_assumed_unset(tmp_path: Path) -> None:
    server = compose(tmp_path, f"export {HIDDEN}=$$(next-gpu); tritonserver", "    gpus: all\n")
    assert server.visible(4) == 4
    ((place, text),) = server.assumed
    assert place.line == 4
    assert "known only when it runs" in text
