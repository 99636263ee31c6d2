"""The ledger's schema as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any


def ledger() -> str:
    """A section for each kind of object in a ledger."""
    text = files("pytest_triton.ledger").joinpath("ledger.schema.json").read_text("utf-8")
    defined = json.loads(text)["$defs"]
    return "\n\n".join("\n".join(_section(name, one)) for name, one in defined.items())


def _section(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    yield f"(ledger-{name.lower()})="
    yield f"## {name}"
    yield ""
    yield one.get("description", "")
    properties = one.get("properties", {})
    if not properties:
        return
    yield ""
    yield "| field | type | default |"
    yield "|---|---|---|"
    for field, about in properties.items():
        default = f"`{json.dumps(about['default'])}`" if "default" in about else "required"
        if field not in one.get("required", ()) and "default" not in about:
            default = "-"
        yield f"| `{field}` | {_type(about)} | {default} |"


def _type(about: Mapping[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(_type(one) for one in about["anyOf"])
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#ledger-{name.lower()})"
    if "enum" in about:
        return " or ".join(f"`{json.dumps(one)}`" for one in about["enum"])
    if about.get("type") == "array":
        several = about.get("prefixItems") or [about.get("items") or {}]
        return f"list of {', '.join(_type(one) for one in several)}"
    return str(about.get("type", "any"))
