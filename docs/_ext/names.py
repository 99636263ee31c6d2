"""Fixtures, markers and the public names, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest_triton
from pytest_triton.plugin import fixtures as fixture_module
from pytest_triton.plugin import hooks

# Names in signatures that users can give values for, besides the public ones.
_KNOWN = {"Any", "Callable", "Iterable", "Literal", "Mapping", "None", "Path", "PathLike"}
_KNOWN |= {"GpuDriver", "HardwareRequest", "Pull", "Sequence", "Transfer"}
_QUOTED = re.compile(r"'([^']*)'")


def fixtures() -> str:
    """A section for each fixture, in the order of the module."""
    found = [
        (name, value)
        for name, value in vars(fixture_module).items()
        if re.match("triton_|make_triton", name) and hasattr(value, "_get_wrapped_function")
    ]
    return "\n\n".join("\n".join(_fixture(name, value)) for name, value in found)


def _fixture(name: str, value: Any) -> Iterator[str]:
    function = value._get_wrapped_function()
    marker = value._fixture_function_marker
    returns = _annotation(inspect.signature(function).return_annotation)
    given = re.sub(r"^Iterator\[(.*)\]$", r"\1", returns)
    scope = "the session" if marker.scope == "session" else "one test"
    yield f"(fixture-{name.replace('_', '-')})="
    yield f"### {name}"
    yield ""
    yield inspect.getdoc(function) or ""
    yield ""
    yield f"Type: `{given}`. Lives for {scope}."


def markers() -> str:
    """What each marker is, as `pytest --markers` says."""
    lines = []
    for text in hooks._MARKERS:
        signature, _, what = text.partition(": ")
        lines += [f"### {signature.partition('(')[0]}", "", f"`@pytest.mark.{signature}`", ""]
        lines += [what[:1].upper() + what[1:], ""]
    return "\n".join(lines)


def assertions() -> str:
    return "\n\n".join(_object(name) for name in public() if name.startswith("assert_"))


def exceptions() -> str:
    return "\n\n".join(_object(name) for name in public() if _is_exception(name))


def server() -> str:
    return _object("TritonServer")


def values() -> str:
    """All public names that no other part has."""
    others = ("__version__", "TritonServer", "factories")
    return "\n\n".join(
        _object(name)
        for name in public()
        if name not in others and not name.startswith("assert_") and not _is_exception(name)
    )


def public() -> list[str]:
    return list(pytest_triton.__all__)


def _is_exception(name: str) -> bool:
    value = getattr(pytest_triton, name)
    return isinstance(value, type) and issubclass(value, BaseException)


def _object(name: str) -> str:
    value = getattr(pytest_triton, name)
    if isinstance(value, type):
        kind = "exception" if issubclass(value, BaseException) else "class"
        members = "\n\n".join(_members(value))
        body = f"{_doc(value)}\n\n{members}"
        return _directive(kind, f"{name}{_class_signature(value)}", body, colons=5)
    if callable(value):
        return _directive("function", f"{name}{_signature(value)}", _doc(value))
    text = f"`{value!r}`" if len(repr(value)) < 80 else ", ".join(f"`{one}`" for one in value)
    return _directive("data", name, text)


def _members(owner: type) -> Iterator[str]:
    """Public methods and properties of the class itself, and of the package's classes above it."""
    seen = set()
    for above in owner.__mro__:
        if not above.__module__.startswith("pytest_triton"):
            continue
        for name, value in vars(above).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            getter = getattr(value, "fget", None) or getattr(value, "func", None)
            if getter is not None:
                text = _annotation(inspect.signature(getter).return_annotation)
                yield _directive("property", name, f"`{text}`. {_doc(getter)}")
            elif isinstance(value, (staticmethod, classmethod)):
                function = value.__func__
                yield _directive("method", f"{name}{_signature(function, skip=1)}", _doc(function))
            elif inspect.isfunction(value):
                yield _directive("method", f"{name}{_signature(value, skip=1)}", _doc(value))


def _directive(kind: str, head: str, body: str, colons: int = 4) -> str:
    fence = ":" * colons
    return f"{fence}{{py:{kind}}} {head}\n{body.strip()}\n{fence}"


def _doc(value: object) -> str:
    text = inspect.getdoc(value) or ""
    generated = re.match(r"^\w+\(.*\)( -> .*)?$", text)  # what dataclass writes without a docstring
    return "" if generated else text


def _class_signature(owner: type) -> str:
    """Without parameters that users don't give; "" for a class that they don't make."""
    if getattr(owner, "_is_protocol", False):
        return ""
    try:
        signature = inspect.signature(owner)
    except ValueError:
        return ""
    kept = []
    for one in signature.parameters.values():
        used = set(re.findall(r"\b[A-Z]\w+", _annotation(one.annotation)))
        if one.name.startswith("_") or used - set(public()) - _KNOWN:
            if one.default is inspect.Parameter.empty:
                return ""
            continue
        if len(repr(one.default)) > 60:
            one = one.replace(default=_Shown("..."))
        kept.append(one)
    return _shown(signature.replace(parameters=kept)).removesuffix(" -> None")


def _signature(value: Callable[..., object], skip: int = 0) -> str:
    signature = inspect.signature(value)
    return _shown(signature.replace(parameters=list(signature.parameters.values())[skip:]))


def _shown(signature: inspect.Signature) -> str:
    """As it is written, without quotes around postponed annotations."""
    parameters = [
        one
        if one.annotation is inspect.Parameter.empty
        else one.replace(annotation=_Shown(_annotation(one.annotation)))
        for one in signature.parameters.values()
    ]
    returns = signature.return_annotation
    if returns is not inspect.Signature.empty:
        returns = _Shown(_annotation(returns))
    text = str(signature.replace(parameters=parameters, return_annotation=returns))
    return text.replace("\n", " ")


class _Shown:
    """An annotation or default that is shown as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _annotation(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, type):
        return value.__name__
    return _QUOTED.sub(r"\1", str(value)).replace("typing.", "")
