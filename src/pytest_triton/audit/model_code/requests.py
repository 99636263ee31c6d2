"""The requests that a python model sends to other models (business logic scripting)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.audit.model_code.source import Place, Source, read_source

_UTILS = "triton_python_backend_utils"
_LOADS = ("load_model", "is_model_ready")  # of models that needn't be there at the start


@dataclass(frozen=True)
class ModelRequest:
    """A request by literals: the model's name, and its version; None where the newest is asked for
    or the version is no literal."""

    path: Path
    place: Place
    model: str
    version_place: Place
    version: int | None = None


def model_requests(path: Path) -> tuple[ModelRequest, ...]:
    """Those in a file that name their model by a literal.

    None of models that the code loads by itself or asks for whether they are there.
    """
    source = read_source(path)
    if source.tree is None or _UTILS not in source.text:
        return ()
    calls = [*_calls(source.tree)]
    optional: set[str] = set()
    for name, call in calls:
        if name in _LOADS:
            model = _argument(call, "model_name", 0)
            if isinstance(model, ast.Constant):
                optional.add(str(model.value))
            elif name == "load_model":
                return ()  # whatever it loads
    found = (_request(source, call) for name, call in calls if name == "InferenceRequest")
    return tuple(one for one in found if one is not None and one.model not in optional)


def _request(source: Source, call: ast.Call) -> ModelRequest | None:
    model = _argument(call, "model_name")
    if not isinstance(model, ast.Constant) or not isinstance(model.value, str) or not model.value:
        return None
    version = _argument(call, "model_version")
    number = version.value if isinstance(version, ast.Constant) else None
    asked = type(number) is int and number > 0
    return ModelRequest(
        source.path,
        source.place(model),
        model.value,
        source.place(version if version is not None else model),
        number if asked and isinstance(number, int) else None,
    )


def _argument(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if position is not None and len(call.args) > position:
        return call.args[position]
    return None


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """The calls of what the backend's module has, by its names there."""
    modules: set[str] = set()
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {one.asname or one.name for one in node.names if one.name == _UTILS}
        elif isinstance(node, ast.ImportFrom) and node.module == _UTILS:
            names.update({one.asname or one.name: one.name for one in node.names})
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in names:
            yield names[function.id], node
        elif (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in modules
        ):
            yield function.attr, node
