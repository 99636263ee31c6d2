"""The message class: the client's own, loaded without the client."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from pytest_triton.repository import schema

HEAVY = ("grpc", "numpy", "tritonclient")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_loading_the_schema_imports_neither_grpc_nor_numpy() -> None:
    code = "import sys; from pytest_triton.repository import model_config_type as t; t();"
    code += f"print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_importing_the_package_does_not_load_protobuf() -> None:
    code = "import sys, pytest_triton.repository; print('google.protobuf' in sys.modules)"
    assert run(code) == "False"


ORDERS = {
    "ours first": (
        "from pytest_triton.repository import model_config_type as t; ours = t()",
        "import tritonclient.grpc",
    ),
    "theirs first": (
        "import tritonclient.grpc",
        "from pytest_triton.repository import model_config_type as t; ours = t()",
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_it_is_the_class_of_the_client(order: str) -> None:
    compare = [
        "from tritonclient.grpc import model_config_pb2, service_pb2",
        "assert ours is model_config_pb2.ModelConfig",
        "answer = service_pb2.ModelConfigResponse(config=ours(name='x'))",
        "print(type(answer.config) is ours, answer.config.name)",
    ]
    assert run("\n".join([*ORDERS[order], *compare])) == "True x"


def test_missing_client_is_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    schema.model_config_module.cache_clear()
    monkeypatch.delitem(sys.modules, "tritonclient.grpc.model_config_pb2", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(schema.SchemaUnavailable, match="tritonclient is not installed"):
            schema.model_config_type()
    finally:
        schema.model_config_module.cache_clear()
