"""tritonserver's command line in what a container runs."""

from __future__ import annotations

import pytest

from pytest_triton.deployment.commands import find_tritonserver
from pytest_triton.deployment.variables import Unresolved, interpolated, references_resolved

KNOWN = {"REPO": "/models", "MORE": "--log-verbose=1 --id=x"}


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["tritonserver", "--a"], ["--a"]),
        (["/opt/tritonserver/bin/tritonserver"], []),
        (["/opt/nvidia/nvidia_entrypoint.sh", "tritonserver", "--a=1"], ["--a=1"]),
        (["bash", "-c", "tritonserver --a --b='c d'"], ["--a", "--b=c d"]),
        (["/bin/sh", "-ec", "exec tritonserver --a\n"], ["--a"]),
        (["bash", "-lc", "pip install x && tritonserver --a; sleep 1"], ["--a"]),
        (["bash", "-c", "tritonserver \\\n  --a \\\n  --b"], ["--a", "--b"]),
        (["sh", "-c", "tritonserver --a 2>&1 | tee /tmp/log"], ["--a"]),
        (["sh", "-c", "tritonserver --a > /dev/null &"], ["--a"]),
        (["sh", "-c", "tritonserver --model-repository=$REPO ${NO:-} ${X:---b}"], None),
        (["sh", "-c", "tritonserver $MORE"], ["--log-verbose=1", "--id=x"]),
        (["sh", "-c", "REPO=/other; tritonserver --a=$REPO"], ["--a=/other"]),
        (["sh", "-c", "export A=1 && tritonserver --a=${A}"], ["--a=1"]),
        (["sh", "-c", "CUDA_VISIBLE_DEVICES=1 tritonserver --a"], ["--a"]),
        (["mpirun", "-n", "1", "tritonserver", "--a"], ["--a"]),
    ],
)
def test_tritonserver_is_found_in_a_command(words: list[str], arguments: list[str] | None) -> None:
    found = find_tritonserver(words, KNOWN)
    assert found is not None
    assert not found.unknown
    expected = ["--model-repository=/models", "--b"] if arguments is None else arguments
    assert list(found.arguments) == expected


def test_variables_that_a_command_sets_are_known() -> None:
    found = find_tritonserver(["sh", "-c", "CUDA_VISIBLE_DEVICES=1 tritonserver"], {})
    assert found is not None
    assert found.sets == (("CUDA_VISIBLE_DEVICES", "1"),)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("tritonserver --a=$NOWHERE", "$NOWHERE has no value"),
        ("tritonserver --a=$(nproc)", "known only when it runs"),
        ("tritonserver --a='x", "can't be read"),
        ("for i in 1; do tritonserver; done", "can't be read here"),
    ],
)
def test_what_only_a_shell_knows_is_unknown_with_reason(script: str, words: str) -> None:
    found = find_tritonserver(["bash", "-c", script], {})
    assert found is not None
    assert words in found.unknown


@pytest.mark.parametrize(
    "words", [["sleep", "infinity"], ["bash", "-c", "python serve.py"], ["nginx"], []]
)
def test_other_commands_are_no_server(words: list[str]) -> None:
    assert find_tritonserver(words, {}) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A-${A}", "1-1"),
        ("${B:-x}${B-x}", "xx"),
        ("${E:-x}|${E-x}", "x|"),
        ("${A:+y}${B:+y}", "y"),
        ("$$A", "$A"),
        ("${B:-${A}}", "1"),
    ],
)
def test_variables_of_compose_files_are_filled_in(text: str, value: str) -> None:
    assert interpolated(text, {"A": "1", "E": ""}) == value


@pytest.mark.parametrize("text", ["$B", "${B}", "${B:?needed}", "${E:?needed}"])
def test_variable_without_value_is_unresolved(text: str) -> None:
    with pytest.raises(Unresolved):
        interpolated(text, {"E": ""})


def test_references_of_kubernetes_are_filled_in() -> None:
    assert references_resolved("$(A)/$(B)/$$(A)", {"A": "1"}) == "1/$(B)/$(A)"
