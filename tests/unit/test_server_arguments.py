"""Arguments for tritonserver that the plugin sets itself, in every spelling that Triton takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.options.arguments import argument_layer
from pytest_triton.options.server_arguments import (
    ArgumentRefused,
    check_arguments,
    check_environment,
    names_flag,
)


def refusal(*arguments: str, explicit: bool = False) -> str:
    with pytest.raises(ArgumentRefused) as caught:
        check_arguments(arguments, explicit=explicit)
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--http-port=8000"], "ports of its own"),
        (["--http-port", "8000"], "ports of its own"),
        (["--http-port 8000"], "ports of its own"),
        (["--log-verbose=1", "--http-p=8000"], "ports of its own"),
        (["--grpc-port=1"], "ports of its own"),
        (["--metrics-port=1"], "ports of its own"),
        (["--http-address=0.0.0.0"], "ports of its own"),
        (["--grpc-address", "0.0.0.0"], "ports of its own"),
        (["--metrics-address=0.0.0.0"], "ports of its own"),
        (["--reuse-grpc-port=1"], "ports of its own"),
        (["--model-repository=/models"], "names the model repositories"),
        (["--model-store=/models"], "names the model repositories"),
        (["--model-rep", "/models"], "names the model repositories"),
        (["--allow-http=false"], "over HTTP and gRPC"),
        (["--allow-http", "False"], "over HTTP and gRPC"),
        (["--allow-grpc=off"], "over HTTP and gRPC"),
        (["--grpc-use-ssl=true"], "without TLS"),
        (["--grpc-use-ssl-mutual=1"], "without TLS"),
        (["--log-file=/tmp/x"], "reads the server's log"),
        (["--log-format=ISO8601"], "reads the server's log"),
        (["--log-info=false"], "reads the server's log"),
        (["--log-error", "0"], "reads the server's log"),
        (["--id=mine"], "gives each server an id"),
        (["--exit-on-error=true"], "sets it to false"),
        (["--backend-directory=/opt"], "names the backend directory"),
        (["--backend-d=/opt"], "names the backend directory"),
        (["--backend-config=backend-directory=/opt"], "names the backend directory"),
        (["--backend-config=python,shm-region-prefix-name=x"], "names the shared memory"),
        (["--http-restricted-api=inference,health:k=v"], "health, metadata, model-config"),
        (["--grpc-restricted-protocol", "model-repository:k=v"], "health, metadata, model-config"),
        (["--allow-vertex-ai=true"], "a port that other machines reach"),
        (["--allow-sagemaker=1"], "a port that other machines reach"),
        (["--help"], "print its usage"),
    ],
)
def test_argument_that_plugin_sets_is_refused_with_reason(arguments: list[str], why: str) -> None:
    text = refusal(*arguments)
    assert why in text
    assert arguments[-1] in text


def test_shortened_argument_is_refused_by_its_full_name() -> None:
    assert "--http-p=8000 (short for --http-port)" in refusal("--http-p=8000")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--log-verbose=1"],
        ["--allow-metrics=false"],
        ["--allow-gpu-metrics=false"],
        ["--allow-http=true"],
        ["--grpc-use-ssl=false"],
        ["--log-info=true"],
        ["--strict-readiness", "false"],
        ["--http-restricted-api=statistics,trace:health=metadata"],
        ["--backend-config=python,shm-default-byte-size=1048576"],
        ["--backend-config=tensorflow,version=2"],
        ["--disable-auto-complete-config"],
        ["--cache-config=local,size=1048576"],
        ["--cache-directory=/opt/caches"],
        ["--model-control-mode=explicit", "--load-model=a"],
        ["--"],
        [],
    ],
)
def test_argument_that_plugin_does_not_set_is_taken(arguments: list[str]) -> None:
    check_arguments(arguments)


@pytest.mark.parametrize("argument", ["--model-control-mode=poll", "--load-model=a"])
def test_model_control_is_refused_where_plugin_sets_it(argument: str) -> None:
    assert "load=[" in refusal(argument, explicit=True)
    with pytest.raises(ArgumentRefused):
        argument_layer("marker", {"arguments": [argument], "changes": True}, Path())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--log-verbos_=1"], "did you mean --log-verbose?"),
        (["--strict_readiness=false"], "no tritonserver up to 2.72.0 knows this flag"),
        (["--frobnicate"], "a newer pytest-triton knows the flags of newer releases"),
        (["--grpc-keep=1"], "several flags begin with --grpc-keep"),
        (["-log-verbose=1"], "is no flag"),
        (["--log-verbose"], "needs a value"),
        (["--http-thread-count=many"], "expects a number"),
        (["--strict-readiness=maybe"], "expects true or false"),
        (["--disable-auto-complete-config=true"], "takes no value"),
    ],
)
def test_argument_that_no_tritonserver_takes_is_refused_with_what_was_meant(
    arguments: list[str], why: str
) -> None:
    assert why in refusal(*arguments)
    with pytest.raises(ArgumentRefused):
        argument_layer("marker", {"arguments": arguments}, Path())


def test_models_to_load_without_explicit_mode_are_refused_once_all_is_known() -> None:
    check_arguments(["--load-model=a"])  # a fixture may bring the other
    with pytest.raises(ArgumentRefused, match="only with --model-control-mode=explicit"):
        check_arguments(["--load-model=a"], complete=True)


def test_flag_and_value_in_one_text_are_refused() -> None:
    assert "write --log-verbose=1" in refusal("--log-verbose 1")


def test_vertex_mode_is_refused() -> None:
    check_environment({"AIP_MODE": "TRAINING"})
    with pytest.raises(ArgumentRefused, match="AIP_MODE"):
        check_environment({"AIP_MODE": "PREDICTION"})


def test_names_flag_of_arguments_is_reported() -> None:
    assert names_flag(["--cache-dir", "/x"], "cache-directory")
    assert names_flag(["--cache-directory=/x"], "cache-directory")
    assert not names_flag(["--cache-config=local,size=1"], "cache-directory")
