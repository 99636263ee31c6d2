"""`predict --measured`: models against what Model Analyzer measured their variants on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import Hardware
from pytest_triton.placement.measured import (
    fewest_gpus_as_measured,
    is_as_measured,
    without_flaws,
)
from pytest_triton.placement.predict import Prediction, ServerTraits
from pytest_triton.placement.variant_names import model_of_variant, natural_order
from pytest_triton.repository import Model
from pytest_triton.repository.measured_results import Measured
from pytest_triton.text.shown_text import printable

Results = Mapping[str, Sequence[Measured]]


class NothingMeasured(PytestTritonError):
    """Results of other models than those of the repositories."""


@dataclass(frozen=True)
class MeasuredModel:
    """A model, and what its config was measured on.

    `variants` are those whose measurements count: the model itself, or all of its own where it
    has their model's name: then one of them was chosen. `as_measured` are those whose placement
    it has, for each hardware. `fewest` is the number of GPUs that give it the placement of one.
    """

    name: str
    variants: Results
    predictions: tuple[Prediction, ...]
    as_measured: tuple[tuple[str, ...], ...]
    fewest: int | None
    is_chosen: bool
    says_no_kind: bool

    @property
    def agrees(self) -> bool:
        """Whether it has a placement that was measured, on any of the hardware."""
        return any(self.as_measured)

    @property
    def text(self) -> str:
        """What was measured: "2:GPU", of several "1:GPU or 2:GPU"."""
        texts = dict.fromkeys(one.text for each in self.variants.values() for one in each)
        return " or ".join(texts)


def compare(
    models: Sequence[Model],
    declared: Mapping[str, Declared],
    results: Results,
    asked: Sequence[Hardware],
    server: ServerTraits,
) -> list[MeasuredModel]:
    """The models that were measured, in their natural order."""
    of_model: dict[str, dict[str, Sequence[Measured]]] = {}
    for name, each in results.items():
        of_model.setdefault(model_of_variant(name), {})[name] = each
    found = []
    for model in sorted(models, key=lambda one: natural_order(one.name)):
        name = model.name
        variants = {name: results[name]} if name in results else of_model.get(name, {})
        if not variants or name not in declared or declared[name].is_ensemble:
            continue
        one = declared[name]
        found.append(
            MeasuredModel(
                name,
                variants,
                tuple(without_flaws(one, hardware, server) for hardware in asked),
                tuple(tuple(_matching(one, variants, each, server)) for each in asked),
                _fewest(one, variants, server),
                is_chosen=name not in results,
                says_no_kind=any(group.kind == "AUTO" for group in one.groups) or not one.groups,
            )
        )
    return found


def _matching(
    declared: Declared, variants: Results, hardware: Hardware, server: ServerTraits
) -> Iterator[str]:
    for name in sorted(variants, key=natural_order):
        if any(is_as_measured(declared, one.counts, hardware, server) for one in variants[name]):
            yield name


def _fewest(declared: Declared, variants: Results, server: ServerTraits) -> int | None:
    numbers = [
        fewest_gpus_as_measured(declared, one.counts, server)
        for each in variants.values()
        for one in each
    ]
    return min((number for number in numbers if number is not None), default=None)


def check_any(found: Sequence[Sequence[MeasuredModel]], results: Results, file: str) -> None:
    """Raises NothingMeasured if no model of the repositories was measured."""
    if not any(found):
        names = ", ".join(printable(name) for name in sorted(results, key=natural_order)[:10])
        raise NothingMeasured(
            f"{file} has measurements, and none of a model of these repositories",
            tried=[f"the names that it has: {names}{', ...' if len(results) > 10 else ''}"],
            fix="name the repository that Model Analyzer wrote (--output-model-repository-path), "
            "or the one that serves what was chosen, under the model's own name",
        )


def rows(found: Sequence[MeasuredModel], labels: Sequence[str]) -> list[list[str]]:
    """The lines of a table."""
    table = [["measured", "on", *labels]]
    for one in found:
        cells = []
        for prediction, variants in zip(one.predictions, one.as_measured, strict=True):
            mark = f" (as {' and '.join(variants[:2])})" if one.is_chosen else " (as measured)"
            more = " and others" if one.is_chosen and len(variants) > 2 else ""
            cells.append(f"{prediction}{mark[:-1] + more + ')' if variants else ''}")
        table.append([printable(one.name), one.text, *cells])
    return table


def failures(found: Sequence[MeasuredModel]) -> Iterator[str]:
    """What has no placement that was measured, and why."""
    differing = [one for one in found if not one.agrees]
    if differing:
        names = ", ".join(printable(one.name) for one in differing)
        yield f"error: not placed as measured on any of this hardware: {names}"
    for fewest in sorted({one.fewest for one in differing if one.fewest is not None}):
        names = ", ".join(printable(one.name) for one in differing if one.fewest == fewest)
        gpus = " ".join(dict.fromkeys(["0", str(fewest)]))
        number = f"{fewest} GPU{'s' if fewest != 1 else ''}"
        yield f"  as measured on {number} (--gpus {gpus}): {names}"
    for one in differing:
        if one.fewest is None:
            yield f"  {printable(one.name)} gets {one.text} on no number of GPUs: {_reason(one)}"


def _reason(one: MeasuredModel) -> str:
    if one.is_chosen:
        return "its config is that of none of the measured variants"
    if one.says_no_kind:
        return (
            "it declares no kind, which Model Analyzer counts as GPU wherever there is one, "
            "whatever the backend does"
        )
    return "its config isn't the one that was measured"


def as_json(found: Sequence[MeasuredModel], specs: Sequence[str]) -> list[Mapping[str, Any]]:
    return [
        {
            "name": one.name,
            "measured": [
                {"variant": variant, "text": each.text, "instances": dict(each.counts)}
                for variant, several in one.variants.items()
                for each in several
            ],
            "as_measured": [
                {"hardware": spec, "variants": list(variants)}
                for spec, variants in zip(specs, one.as_measured, strict=True)
            ],
            "fewest_gpus": one.fewest,
        }
        for one in found
    ]
