"""Which configs a run has read of models that have variants, and which it hasn't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_triton.text.shown_text import node_name

if TYPE_CHECKING:
    from pytest_triton.checks.run import TritonSession
    from pytest_triton.repository import Model

_MOST_NAMES = 8


def variant_lines(session: TritonSession) -> Iterator[str]:
    """Models that fall back to config.pbtxt, and variants that this run doesn't check."""
    models = {
        model.directory: (model, checked.line.config_name)
        for checked in session.deployments
        for model in checked.repository.models
    }
    wanted = {name for _, name in models.values() if name}
    for name in sorted(wanted):
        without = [
            one for one, asked in models.values() if asked == name and _falls_back(one, name)
        ]
        if without:
            yield f"no configs/{name}.pbtxt, so config.pbtxt was read: {_listed(_names(without))}"
    unread: dict[str, list[str]] = {}
    for model, asked in models.values():
        for variant in model.variants:
            if variant != asked:
                unread.setdefault(variant, []).append(node_name(model.name))
    if unread:
        yield "variants that this run doesn't check (--triton-config-name):"
        for variant, names in sorted(unread.items())[:_MOST_NAMES]:
            yield f"  {variant}: {_listed(names)}"


def _falls_back(model: Model, name: str) -> bool:
    return model.config_file is not None and name not in model.variants


def _names(models: Sequence[Model]) -> list[str]:
    return [node_name(model.name) for model in models]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f", ... ({more:,} more)" if more > 0 else "")
