"""Which files were assumed, since a repository's weights are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_triton.text.shown_text import node_name

if TYPE_CHECKING:
    from pytest_triton.checks.run import TritonSession

_MOST_LINES = 10
_MOST_NAMES = 8  # of a line


def assumed_count(session: TritonSession) -> str:
    """For the header: ` · 3 models: files assumed`, or "" if none are."""
    models = [model for one in session.deployments for model in one.repository.models]
    return counted(len({model.directory for model in models if model.assumed}), " · ")


def counted(models: int, before: str = "") -> str:
    """`3 models: files assumed`, or "" for none."""
    return f"{before}{models:,} model{'s' if models != 1 else ''}: files assumed" if models else ""


def assumed_lines(assumed: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What was assumed, by model; models that lack the same share a line."""
    if not assumed:
        return
    together: dict[tuple[str, ...], list[str]] = {}
    for model, names in sorted(assumed.items()):
        together.setdefault(tuple(names), []).append(node_name(model))
    yield f"{counted(len(assumed))}, since weights are elsewhere:"
    for names, models in [*together.items()][:_MOST_LINES]:
        yield f"  {_listed(models)}: {_listed(names)}"
    if len(together) > _MOST_LINES:
        yield f"  ... and {len(together) - _MOST_LINES:,} more"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f", ... ({more:,} more)" if more > 0 else "")
