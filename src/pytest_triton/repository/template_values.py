"""Values against the templates that use them: those that are missing, and those that none uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_triton.errors import PytestTritonError
from pytest_triton.repository.pbtxt import line_and_column
from pytest_triton.text.paths import shown_path

if TYPE_CHECKING:
    from pytest_triton.repository.config_file import ConfigFile
    from pytest_triton.repository.models import Model, Repository
    from pytest_triton.repository.templates import Missing, ValueSet

_MOST_SHOWN = 40
_MOST_PLACES = 3  # of one name
# Without these the backend loads nothing; for its others a placeholder means the default.
_PARAMETER = re.compile(r'key:\s*"(\w+)"\s*,?\s*value:?\s*\{\s*string_value:\s*"([^"\n]*)"')
_NEEDED = ("gpt_model_type", "gpt_model_path", "encoder_model_path")


class ValuesError(PytestTritonError):
    """Values and templates don't fit together."""

    exit_code = 2


class ValuesMissing(ValuesError):
    """Placeholders of templates have no value."""


class ValuesUnused(ValuesError):
    """Values are given that no template uses."""


def check_values(models: Iterable[Model]) -> None:
    """Raise ValuesMissing for all placeholders of these models that have no value."""
    places: dict[str, list[str]] = {}
    used: set[str] = set()
    for model in models:
        file = model.config_file
        if file is None or file.rendered is None:
            continue
        used |= file.rendered.used
        for one in _missing(file):
            line, column = line_and_column(file.rendered.template, one.offset)
            places.setdefault(one.name, []).append(f"{shown_path(file.path)}:{line}:{column}")
    if not places:
        return
    lines = [f"{name}: {_listed(found)}" for name, found in sorted(places.items())]
    if len(lines) > _MOST_SHOWN:
        lines[_MOST_SHOWN:] = [f"... and {len(lines) - _MOST_SHOWN} more"]
    raise ValuesMissing(
        f"{len(places)} placeholder{'s have' if len(places) > 1 else ' has'} no value:\n  "
        + "\n  ".join(lines),
        fix="give each a value: --triton-values=FILE (JSON, YAML, TOML, .env) or "
        "--triton-values=NAME=VALUE; NAME= for one that may stay empty",
    )


def _missing(file: ConfigFile) -> Iterator[Missing]:
    """The placeholders without a value, but for those that TensorRT-LLM takes for its default."""
    assert file.rendered is not None
    missing = file.rendered.missing
    if not missing:
        return
    optional = ""
    if '"gpt_model_type"' in file.text:
        optional = "\n".join(
            text for key, text in _PARAMETER.findall(file.text) if key not in _NEEDED
        )
    for one in missing:
        mark = f"${{{one.name}}}"
        if mark not in optional or optional.count(mark) != file.text.count(mark):
            yield one


def check_used(repositories: Iterable[Repository], values: ValueSet) -> None:
    """Raise ValuesUnused for values that no template of the repositories uses."""
    used: set[str] = set()
    placeholders: set[str] = set()
    for repository in repositories:
        for model in repository.models:
            rendered = model.config_file.rendered if model.config_file is not None else None
            if rendered is not None:
                used |= rendered.used
                placeholders |= {one.name for one in rendered.missing}
    unused = [(name, origin) for name, origin in values.origins if name not in used]
    if not unused:
        return
    lines = []
    for name, origin in unused[:_MOST_SHOWN]:
        close = get_close_matches(name, sorted(used | placeholders), n=1)
        lines.append(f"{name} ({origin})" + (f": did you mean {close[0]}?" if close else ""))
    if len(unused) > _MOST_SHOWN:
        lines.append(f"... and {len(unused) - _MOST_SHOWN} more")
    raise ValuesUnused(
        f"{len(unused)} value{'s are' if len(unused) > 1 else ' is'} used by no template:\n  "
        + "\n  ".join(lines),
        fix="correct the name, or leave the value out",
    )


def _listed(places: Sequence[str]) -> str:
    more = len(places) - _MOST_PLACES
    return ", ".join(places[:_MOST_PLACES]) + (f" and {more} more" if more > 0 else "")
