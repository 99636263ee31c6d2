"""`pytest-triton predict`: what Triton's rules make of a repository, without a server.

Exit codes: 0 if every model is ready on at least one hardware asked about; 1 if one is
ready on none of them, can't be read or isn't there (standard error says which), or, with
`--measured`, if one that was measured is placed as measured on none of them; 2 for wrong usage.
A fallback is no failure here: people ask in order to see it. pytest's test_explicit_placement
fails for it.

With `--json` one object goes to standard output. Its keys are stable; new ones may join them:

    format       1
    source       "predicted": no server was asked
    release      "2.51.0", whose rules these are
    hardware     a list, in the order of --gpus: {spec, label, gpus, ready, fallbacks, refused}
                 (gpus: how many there are; the others: how many models)
    deployments  a list: {text, paths, problems, not_loaded, models}, with --measured also measured
      problems   what is wrong with the repositories themselves: a list of {place, message, fix,
                 triton} (triton: its text, "" where not known)
      not_loaded the models that --server-args leaves out
      measured   what was measured of them: a list of {name, measured, as_measured, fewest_gpus}
                 (measured: a list of {variant, text, instances}, text "2:GPU + 1:CPU", instances
                 by kind; as_measured: a list of {hardware, variants}, with the variants whose
                 placement the model has there; fewest_gpus: how many give it one of them, or null)
      models     a list: {name, repository, config, readable, declared, assumed, variant_of,
                 problems, predictions} (repository, config: paths, config null if there is none;
                 declared: "GPU + CPU x2"; assumed: what isn't there and is taken to be, with
                 --weights; variant_of: the model that it is Model Analyzer's variant of, or null)
        predictions  a list, in the order of --gpus: {hardware, ready, placement, instances,
                     fallback, refusal} (hardware: the spec; placement: "GPU 0 · CPU x2";
                     instances: a list of {kind, device, count}, device null but for kind "GPU";
                     refusal: null or {reason, stage, text}, reason one of
                     pytest_triton.placement.refusal.REASONS, stage "poll" or "load"); with
                     --explain also {steps, advice} (steps: a list of sentences, empty for a model
                     that can't be read; advice: null or {cause, lines})
    unserved     the models that are ready on none of the hardware: a list of {deployment, model,
                 ready_on} (ready_on: the spec of hardware that would serve it, null if none would)

With `--explain MODEL` only that model is in it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.cli.deployments import read_deployment
from pytest_triton.cli.measured import MeasuredModel, Results, check_any, compare
from pytest_triton.cli.measured import as_json as measured_as_json
from pytest_triton.cli.measured import failures as measured_failures
from pytest_triton.cli.measured import rows as measured_rows
from pytest_triton.cli.option_names import with_own_options
from pytest_triton.cli.reading_options import add_reading, assumed_note, check_values, readings_of
from pytest_triton.cli.server_options import (
    add_own_backends,
    add_release,
    add_server_args,
    server_of,
)
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.errors import OptionError, PytestTritonError
from pytest_triton.placement.advice import advise
from pytest_triton.placement.command_line import CommandLine
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import GpuCount, Hardware, HardwareRequest, newest_gpus
from pytest_triton.placement.instances import NOTHING
from pytest_triton.placement.measured import without_flaws
from pytest_triton.placement.predict import Prediction, ServerTraits
from pytest_triton.placement.refusal import Refusal
from pytest_triton.placement.releases import (
    NEWEST_RELEASE,
    ChosenRelease,
    shown_release,
    shown_version,
)
from pytest_triton.placement.unserved import fewest_gpus, needs
from pytest_triton.placement.variant_names import model_of_variant, natural_order
from pytest_triton.repository import Model
from pytest_triton.repository.measured_results import read_results
from pytest_triton.repository.near_misses import CONFIG_NAME
from pytest_triton.repository.refusals import (
    shown_problem,
    with_known_backends,
)
from pytest_triton.text.paths import place_of, shown_path
from pytest_triton.text.shown_text import printable
from pytest_triton.text.tables import lay_out, screen_width
from pytest_triton.text.wrapping import wrapped

_MOST_GPUS = 1000
_WIDTH = 92  # characters a line of prose


class UnknownModel(PytestTritonError):
    """No model of this name is in the repositories."""

    exit_code = 2


@dataclass(frozen=True)
class Asked:
    """One hardware that is asked about, as the user wrote it."""

    spec: str
    label: str
    hardware: Hardware


@dataclass(frozen=True)
class PredictedModel:
    """One model, with a prediction for each hardware."""

    model: Model
    declared: str
    predictions: tuple[Prediction, ...]
    refused: Diagnostic | None = None
    ready_on: str | None = None  # of a model that none of it serves: the hardware that would

    @property
    def is_served(self) -> bool:
        """Whether any of the hardware serves it."""
        return any(prediction.ready for prediction in self.predictions)

    @property
    def problems(self) -> list[Diagnostic]:
        """Why Triton refuses what is on disk, whatever the hardware."""
        found = [one for one in self.model.problems if one.refuses]
        if self.refused is not None and not any(
            one.triton == self.refused.triton or one.message == self.refused.message
            for one in found
        ):
            found.append(self.refused)
        return found


@dataclass(frozen=True)
class PredictedDeployment:
    """The models of one server, the variants of each together.

    `everywhere` are all its predictions, for each hardware. `measured` are the models that Model
    Analyzer's results know.
    """

    checked: CheckedDeployment
    models: tuple[PredictedModel, ...]
    everywhere: tuple[Mapping[str, Prediction], ...]
    measured: tuple[MeasuredModel, ...] = ()

    @property
    def text(self) -> str:
        name = self.checked.line.config_name
        variant = f" with configs/{name}.pbtxt" if name else ""
        return self.checked.deployment.text + self.checked.values_suffix + variant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show where every model of a repository would run on given hardware, by Triton's rules. "
        "No server is started and no GPU is needed; Triton's backends are taken to be there. Exit "
        "code 1 if a model is ready on none of the hardware, or can't be read."
    )
    parser.add_argument(
        "repositories",
        nargs="+",
        type=read_deployment,
        metavar="DIR",
        help="a model repository; DIR:DIR are several that one server gets",
    )
    parser.add_argument(
        "--gpus",
        nargs="+",
        type=_asked,
        metavar="SPEC",
        default=[_asked("0"), _asked("2")],
        help="hardware to ask about: a number of GPUs (0, 1, 4), `none`, or `sim:N@CC` with a "
        "compute capability, such as sim:2@5.2 (default: 0 2)",
    )
    add_release(parser)
    add_own_backends(parser)
    add_server_args(parser)
    add_reading(parser)
    parser.add_argument(
        "--config-name",
        nargs="+",
        default=[],
        metavar="NAME",
        help="variants to compare side by side: configs/NAME.pbtxt where a model has it, else "
        "config.pbtxt; the name config.pbtxt is for no variant",
    )
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help="Model Analyzer's metrics-model-inference.csv: compare where its variants, or the "
        "models that have a chosen one's config, are placed with what they were measured on",
    )
    parser.add_argument("--json", action="store_true", help="for programs; nothing else is printed")
    parser.add_argument("--explain", metavar="MODEL", help="go through the rules for this model")


def run(arguments: argparse.Namespace) -> int:
    asked: list[Asked] = list(dict.fromkeys(arguments.gpus))
    server = with_known_backends(server_of(arguments), arguments.own_backend)
    results = None if arguments.measured is None else read_results(arguments.measured)
    checked = [
        CheckedDeployment.read(deployment, line, reading=reading)
        for deployment in arguments.repositories
        for reading in readings_of(arguments)
        for line in _lines(arguments.server_args, arguments.config_name)
    ]
    check_values([one.repository for one in checked])
    predicted = [_predict(one, asked, server) for one in checked]
    if arguments.explain is not None:
        predicted = _only(arguments.explain, predicted)
    if results is not None:
        predicted = [_measured(one, results, asked, server) for one in predicted]
        check_any([one.measured for one in predicted], results, shown_path(arguments.measured))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no "·"
    if arguments.json:
        found = as_json(predicted, asked, server, explained=arguments.explain is not None)
        print(json.dumps(found, indent=2))
    elif arguments.explain is not None:
        print("\n".join(_explanation(predicted, asked, arguments.release)))
    else:
        print("\n".join(_overview(predicted, asked, arguments.release)))
    failures = list(_failures(predicted))
    for one in predicted:
        failures += measured_failures(one.measured)
    if failures:
        sys.stdout.flush()
        print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


# What is asked


def _lines(line: CommandLine, names: Sequence[str]) -> Iterator[CommandLine]:
    """The command line with each name of a variant. Raises BadArguments."""
    rest = line.without(["model-config-name"])
    for name in dict.fromkeys(names):
        given = [] if name == CONFIG_NAME else [f"--model-config-name={name}"]
        yield CommandLine.parse([*rest.arguments, *given])
    if not names:
        yield line


def _asked(spec: str) -> Asked:
    text = "none" if re.fullmatch("0+", spec.strip()) else spec
    try:
        request = HardwareRequest.parse(text)
    except OptionError:
        where = "; directories stand before --gpus" if os.path.isdir(spec) else ""
        raise argparse.ArgumentTypeError(
            f"{spec!r} is no hardware: give a number of GPUs (0, 1, 4), none, or sim:N@CC such as "
            f"sim:2@7.5 (N up to 16){where}"
        ) from None
    hardware = request.hardware()
    if hardware is not None:
        return Asked(str(request), request.label, hardware)
    if not isinstance(request, GpuCount):
        raise argparse.ArgumentTypeError(
            f"{spec!r} is known only on the machine that has it: give a number of GPUs instead"
        )
    if request.number > _MOST_GPUS:
        raise argparse.ArgumentTypeError(f"{spec!r}: more than {_MOST_GPUS} GPUs")
    return Asked(str(request), request.label, newest_gpus(range(request.number)))


def _only(name: str, predicted: Sequence[PredictedDeployment]) -> list[PredictedDeployment]:
    """The deployments that have a model of this name, without their other models."""
    found = [
        replace(one, models=tuple(model for model in one.models if model.model.name == name))
        for one in predicted
    ]
    found = [one for one in found if one.models]
    if not found:
        names = sorted({m.model.name for one in predicted for m in one.models})
        close = get_close_matches(name, names, n=1)
        raise UnknownModel(
            f"There is no model {name!r} in {', '.join(one.text for one in predicted)}",
            tried=[f"the models that there are: {', '.join(map(printable, names[:20]))}"],
            fix=f"did you mean {printable(close[0])!r}?" if close else "name one of these",
        )
    return found


# Predictions


def _predict(
    checked: CheckedDeployment, asked: Sequence[Asked], server: ServerTraits
) -> PredictedDeployment:
    refused = checked.predicted.refused(server)
    everywhere = [checked.predicted.on(one.hardware, server) for one in asked]
    models = []
    for model in checked.repository.models:
        if model.readable:
            # of this very model: `checked` has one of each name, and there may be duplicates
            declared = Declared.of(model.config).summary
            predictions = tuple(predictions[model.name] for predictions in everywhere)
        else:
            declared = "unreadable"
            predictions = tuple(_unreadable(model, one.hardware, server) for one in asked)
        one = PredictedModel(model, declared, predictions, refused.get(model.name))
        if model.readable and not one.is_served:
            fewest = fewest_gpus(model.name, checked.declared, server)
            one = replace(one, ready_on=None if fewest is None else str(fewest))
        models.append(one)
    models.sort(key=lambda one: natural_order(one.model.name))
    return PredictedDeployment(checked, tuple(models), tuple(everywhere))


def _measured(
    one: PredictedDeployment, results: Results, asked: Sequence[Asked], server: ServerTraits
) -> PredictedDeployment:
    models = [model.model for model in one.models]
    hardware = [each.hardware for each in asked]
    found = compare(models, one.checked.declared, results, hardware, server)
    return replace(one, measured=tuple(found))


def _unreadable(model: Model, hardware: Hardware, server: ServerTraits) -> Prediction:
    problem = model.refusal
    text, reason = "can't be read", None
    if problem is not None:
        text, reason = problem.triton or problem.message, problem.reason
    refusal = Refusal(reason or "config", text, "poll")
    return Prediction(NOTHING, refusal=refusal, hardware=hardware, server=server)


def _failures(predicted: Sequence[PredictedDeployment]) -> Iterator[str]:
    for one in predicted:
        for problem in one.checked.repository.problems:
            yield _own(f"error: {problem}")
    for one in predicted:
        names = [printable(model.model.name) for model in one.models if not model.is_served]
        where = f" ({one.text})" if len(predicted) > 1 else ""
        if names:
            yield f"error: ready on none of this hardware{where}: {', '.join(names)}"
        for model in one.models:
            yield from _where_it_is_ready(model, one.checked)
        if names and one.checked.lacks_only_files:
            yield "  All that is missing are files: --weights elsewhere assumes them"


def _where_it_is_ready(one: PredictedModel, checked: CheckedDeployment) -> Iterator[str]:
    """What a model needs that none of the hardware has, and the hardware to ask about."""
    spec = one.ready_on
    if spec is not None:
        name = one.model.name
        what = needs(name, checked.declared, int(spec))
        yield f"  {printable(name)} needs {what}: --gpus {' '.join(dict.fromkeys(['0', spec]))}"


@dataclass(frozen=True)
class _Counts:
    ready: int
    fallbacks: int
    refused: int


def _counts(predicted: Iterable[PredictedDeployment], number: int) -> _Counts:
    """How many models do what on the hardware with this number."""
    all_of_it = [model.predictions[number] for one in predicted for model in one.models]
    ready = sum(prediction.ready for prediction in all_of_it)
    fallbacks = sum(prediction.fallback for prediction in all_of_it)
    return _Counts(ready, fallbacks, len(all_of_it) - ready)


def _own(text: str) -> str:
    return with_own_options("predict", text)


# Text


def _headline(release: ChosenRelease) -> str:
    rules = f"predicted by Triton's rules for release {release}"
    if release.version > NEWEST_RELEASE:
        rules += (
            f", which is newer than those known here: by those of {shown_release(NEWEST_RELEASE)}"
        )
    return f"{rules}; no server was asked"


def _overview(
    predicted: Sequence[PredictedDeployment], asked: Sequence[Asked], release: ChosenRelease
) -> Iterator[str]:
    yield _headline(release)
    if len({one.checked.line.config_name for one in predicted}) > 1:
        yield from _side_by_side(predicted, asked)
        predicted_tables: Sequence[PredictedDeployment] = ()
    else:
        predicted_tables = predicted
    for deployment in predicted_tables:
        yield ""
        if len(predicted) > 1:
            yield f"{deployment.text}:"
        yield from _table(deployment, asked)
        if deployment.checked.not_loaded:
            names = ", ".join(map(printable, deployment.checked.not_loaded))
            yield from _wrapped(names, "not loaded at the start (--load-model): ")
    yield ""
    for number, one in enumerate(asked):
        counts = _counts(predicted, number)
        fallbacks = f"{counts.fallbacks} fallback{'s' if counts.fallbacks != 1 else ''} to the CPU"
        yield f"{one.label}: {counts.ready} ready ({fallbacks}), {counts.refused} refused"
    for deployment in predicted:
        for model in deployment.models:
            yield from _reported(model)
    yield from assumed_note(one.checked.repository for one in predicted)


def _reported(model: PredictedModel) -> Iterator[str]:
    """What is wrong with a model, and the places in other configs that it contradicts."""
    for problem in model.problems:
        yield ""
        if model.refused is not None and problem is model.refused:
            yield _own(shown_problem(model.refused))
        else:
            yield _own(str(problem))


def _side_by_side(
    predicted: Sequence[PredictedDeployment], asked: Sequence[Asked]
) -> Iterator[str]:
    """Tables with the variants of a deployment in columns."""
    together: dict[str, list[PredictedDeployment]] = {}
    for one in predicted:
        text = one.checked.deployment.text + one.checked.values_suffix
        together.setdefault(text, []).append(one)
    for text, variants in together.items():
        yield ""
        if len(together) > 1:
            yield f"{text}:"
        names = [one.checked.line.config_name or CONFIG_NAME for one in variants]
        header = [f"{name}: {one.label}" for name in names for one in asked]
        rows = [["model", *header]]
        for models in zip(*(one.models for one in variants), strict=True):
            cells = [str(each) for one in models for each in one.predictions]
            rows.append([printable(models[0].model.name), *cells])
        yield from _laid_out(rows)
        for one, name in zip(variants, names, strict=True):
            without = [
                printable(each.model.name)
                for each in one.models
                if name != CONFIG_NAME and name not in each.model.variants
            ]
            if without:
                yield from _wrapped(", ".join(without), f"config.pbtxt for want of {name}.pbtxt: ")


def _table(deployment: PredictedDeployment, asked: Sequence[Asked]) -> Iterator[str]:
    labels = [one.label for one in asked]
    rows = [["model", "declared", *labels]]
    above = ""
    for one in deployment.models:
        base = model_of_variant(one.model.name)
        if base and base != above:
            rows.append([printable(base), "", *("" for _ in asked)])
        above = base or one.model.name
        name = "  " * bool(base) + printable(one.model.name)
        rows.append([name, one.declared, *map(str, one.predictions)])
    yield from _laid_out(rows)
    loaded = list(_under_their_models_names(deployment, asked))
    if loaded:
        yield ""
        yield "Model Analyzer loads each variant under its model's name; there it is placed on:"
        yield from _laid_out([["variant", *labels], *loaded])
    if deployment.measured:
        yield ""
        yield from _laid_out(measured_rows(deployment.measured, labels))


def _laid_out(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for lines in lay_out(rows, screen_width()):
        yield from lines


def _under_their_models_names(
    deployment: PredictedDeployment, asked: Sequence[Asked]
) -> Iterator[list[str]]:
    """The variants that are refused for their model's name, unless they are in a table below."""
    below = {one.name for one in deployment.measured}
    for one in deployment.models:
        name, refused = one.model.name, one.model.refusal
        if refused is None or refused.reason != "name" or name in below:
            continue
        if one.model.config.name == model_of_variant(name):
            declared = deployment.checked.declared[name]
            server = one.predictions[0].server
            yield [
                printable(name),
                *(str(without_flaws(declared, each.hardware, server)) for each in asked),
            ]


def _explanation(
    predicted: Sequence[PredictedDeployment], asked: Sequence[Asked], release: ChosenRelease
) -> Iterator[str]:
    yield _headline(release)
    for deployment in predicted:
        for one in deployment.models:
            yield ""
            yield f"{printable(one.model.name)}: {_place(one.model)}"
            yield f"declared: {one.declared}"
            yield from _reported(one)
            if one.model.readable:
                for number, prediction in enumerate(one.predictions):
                    yield ""
                    yield f"{asked[number].label}: {prediction}"
                    yield from _steps(prediction, deployment.everywhere[number])


def _place(model: Model) -> str:
    """The config, at the line of its first instance_group if it has one."""
    place = shown_path(model.anchor)
    position = None
    if model.config_file is not None:
        position = model.config_file.position_of("instance_group")
    return f"{place}:{position[0]}" if position is not None else place


def _steps(prediction: Prediction, others: Mapping[str, Prediction]) -> Iterator[str]:
    """The rules that led to a prediction, and what to do about it; `others` are on its server."""
    for number, step in enumerate(prediction.steps, 1):
        yield from _wrapped(step, f"  {number}. ")
    models = [
        f"{printable(name)} ({others.get(name, 'not there')})"
        for name in dict.fromkeys(prediction.declared.steps)
    ]
    if models:
        yield from _wrapped(", ".join(models), "  Its models: ")
    advice = advise(prediction.declared, prediction)
    if advice is not None:
        yield ""
        yield from _wrapped(_own(advice.cause), "  ")
        if advice.lines:
            yield ""
            yield textwrap.indent(advice.lines, "      ")


def _wrapped(text: str, start: str) -> list[str]:
    behind = " " * len(start)
    return wrapped(text, _WIDTH, start=start, behind=behind)


# JSON


def as_json(
    predicted: Sequence[PredictedDeployment],
    asked: Sequence[Asked],
    server: ServerTraits,
    *,
    explained: bool,
) -> Mapping[str, Any]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {
        "format": 1,
        "source": "predicted",
        "release": shown_version(server.version),
        "hardware": [
            {
                "spec": one.spec,
                "label": one.label,
                "gpus": one.hardware.count,
                **vars(_counts(predicted, number)),
            }
            for number, one in enumerate(asked)
        ],
        "deployments": [
            {
                "text": one.text,
                "paths": [place_of(path) for path in one.checked.deployment.paths],
                "problems": [_problem(problem) for problem in one.checked.repository.problems],
                "not_loaded": list(one.checked.not_loaded),
                **(
                    {"measured": measured_as_json(one.measured, [each.spec for each in asked])}
                    if one.measured
                    else {}
                ),
                "models": [_model(model, asked, explained) for model in one.models],
            }
            for one in predicted
        ],
        "unserved": [
            {"deployment": one.text, "model": model.model.name, "ready_on": model.ready_on}
            for one in predicted
            for model in one.models
            if not model.is_served
        ],
    }


def _model(one: PredictedModel, asked: Sequence[Asked], explained: bool) -> Mapping[str, Any]:
    file = one.model.config_file
    return {
        "name": one.model.name,
        "repository": place_of(one.model.repository),
        "config": place_of(file.path) if file is not None else None,
        "readable": one.model.readable,
        "declared": one.declared,
        "assumed": list(one.model.assumed_names),
        "variant_of": model_of_variant(one.model.name) or None,
        "problems": [_problem(problem) for problem in one.problems],
        "predictions": [
            {
                "hardware": hardware.spec,
                **_prediction(prediction),
                **(_reasons(prediction, one.model.readable) if explained else {}),
            }
            for hardware, prediction in zip(asked, one.predictions, strict=True)
        ],
    }


def _prediction(prediction: Prediction) -> Mapping[str, Any]:
    refusal = prediction.refusal
    return {
        "ready": prediction.ready,
        "placement": str(prediction.placement) if prediction.placement else "",
        "instances": [
            {"kind": one.kind, "device": one.device, "count": one.count}
            for one in prediction.placement
        ],
        "fallback": prediction.fallback,
        "refusal": refusal
        and {"reason": refusal.reason, "stage": refusal.stage, "text": refusal.text},
    }


def _reasons(prediction: Prediction, readable: bool) -> Mapping[str, Any]:
    advice = advise(prediction.declared, prediction) if readable else None
    return {
        "steps": list(prediction.steps) if readable else [],
        "advice": advice and {"cause": _own(advice.cause), "lines": advice.lines},
    }


def _problem(problem: Diagnostic) -> Mapping[str, str]:
    return {
        "place": problem.place,
        "message": _own(problem.message),
        "fix": _own("\n".join(filter(None, (problem.fix, problem.lines)))),
        "triton": problem.triton,
    }
