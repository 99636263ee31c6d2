"""The markers: which server a test wants, which models it is about, what it needs to run at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_triton.arguments.checked import check, shown_value
from pytest_triton.arguments.kinds import NAME, either, one_of, optional, several
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.arguments import argument_layer, check_names
from pytest_triton.options.values import OptionError
from pytest_triton.plugin.pytest_internals import defining_module

if TYPE_CHECKING:
    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.options.reading import ReadLayer
    from pytest_triton.placement.hardware import HardwareRequest
    from pytest_triton.repository import Model

MODELS_SIGNATURE = "triton_models(*, declares=None, backend=None, name=None)"
_FIXTURES = "pytest_triton.plugin.fixtures"
_DECLARES = ("gpu", "cpu", "model", "mixed", "nothing", "ensemble")


class NoModelMatches(PytestTritonError):
    """A test is about models that the repository doesn't have."""


def marker_layers(node: pytest.Item | pytest.Collector) -> list[ReadLayer]:
    """What a test's markers `triton` give, the closest one first. Raises OptionError."""
    return [_check_triton(mark, node.config.rootpath) for mark in node.iter_markers("triton")]


def marked_hardware(node: pytest.Item | pytest.Collector) -> tuple[HardwareRequest, ...]:
    """The hardware that a test's markers name; empty if they name none. Raises OptionError."""
    for read in marker_layers(node):
        if "gpus" in read.values:
            return cast("tuple[HardwareRequest, ...]", read.values["gpus"])
    return ()


def check_markers(items: Iterable[pytest.Item]) -> None:
    """Wrong arguments of markers are usage errors. Raises pytest.UsageError with all of them."""
    checked: set[int] = set()
    mistakes = []
    for item in items:
        for mark in item.iter_markers():
            check = _CHECKS.get(mark.name)
            if check is None or id(mark) in checked:
                continue
            checked.add(id(mark))
            try:
                check(mark, item.config.rootpath)
                _check_use(item, mark)
            except PytestTritonError as error:
                mistakes.append(f"{item.nodeid}: {error}")
    if not mistakes:
        mistakes = [text for item in items if (text := _no_gpus_to_lose(item))]
    if mistakes:
        raise pytest.UsageError("\n".join(mistakes))


def _check_use(item: pytest.Item, mark: pytest.Mark) -> None:
    """A test's own triton_models without triton_model would run once, on nothing."""
    names = getattr(item, "fixturenames", ())
    if mark.name == "triton_models" and mark in item.own_markers and "triton_model" not in names:
        raise OptionError(
            "The marker triton_models gives models to a test that doesn't take them",
            fix="let the test take the fixture triton_model",
        )


def _no_gpus_to_lose(item: pytest.Item) -> str:
    """What is wrong with a test of a GPU loss whose marker names GPUs that can't be taken away."""
    if defining_module(item, "triton_gpu_loss") != _FIXTURES:
        return ""
    others = [one for one in marked_hardware(item) if not one.simulated]
    if not others:
        return ""
    error = OptionError(
        f"triton_gpu_loss takes simulated GPUs away, and the marker triton says gpus={others[0]}",
        fix='write gpus="sim:2", or leave gpus out: that is the default',
    )
    return f"{item.nodeid}: {error}"


def parametrize(metafunc: pytest.Metafunc) -> None:
    """One test for each model, or hardware, that the test function asks for."""
    own = {
        name.strip()
        for mark in metafunc.definition.iter_markers("parametrize")
        for name in (mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0])
    }
    if "triton_model" in metafunc.fixturenames and "triton_model" not in own:
        _parametrize_models(metafunc)
    if "triton_hardware" in metafunc.fixturenames and "triton_hardware" not in own:
        _parametrize_hardware(metafunc)


def _parametrize_models(metafunc: pytest.Metafunc) -> None:
    from pytest_triton.plugin.session import deployment_of, session_of, settings_of_test

    try:
        mark = metafunc.definition.get_closest_marker("triton_models")
        chosen = _check_models(mark, metafunc.config.rootpath) if mark is not None else {}
        settings = settings_of_test(metafunc.config, marker_layers(metafunc.definition))
        deployment = deployment_of(settings)
        checked = session_of(metafunc.config).checked(deployment)
    except PytestTritonError as error:  # wrong arguments are reported by check_markers, all at once
        metafunc.parametrize(
            "triton_model", [NoModelMatches(str(error))], ids=["none"], indirect=True
        )
        return
    models = [model for model in checked.repository.models if _fits(model, checked, chosen)]
    if models:
        names = [model.name for model in models]
        metafunc.parametrize("triton_model", models, ids=names, indirect=True)
        return
    listed = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
    failing = NoModelMatches(
        f"No model of {deployment.text} matches triton_models({listed}), so that this test would "
        "test nothing.",
        tried=[
            f"{model.name}: backend {model.backend or 'none'}, declares {_declared(model, checked)}"
            for model in checked.repository.models[:20]
        ],
        fix="correct the marker, or delete the test if these models are gone",
    )
    metafunc.parametrize("triton_model", [failing], ids=["none"], indirect=True)


def _parametrize_hardware(metafunc: pytest.Metafunc) -> None:
    from pytest_triton.plugin.session import session_of

    try:
        hardware = marked_hardware(metafunc.definition)
    except OptionError:  # reported by check_markers, with all others
        hardware = ()
    hardware = hardware or session_of(metafunc.config).settings.gpus
    ids = [each.id for each in hardware]
    metafunc.parametrize("triton_hardware", hardware, ids=ids, indirect=True)


def _fits(model: Model, checked: CheckedDeployment, chosen: dict[str, Any]) -> bool:
    name, backend, declares = (chosen.get(key) for key in ("name", "backend", "declares"))
    return (
        (name is None or any(fnmatchcase(model.name, pattern) for pattern in _texts(name)))
        and (backend is None or any(fnmatchcase(model.backend, one) for one in _texts(backend)))
        and (declares is None or any(one in _classes(model, checked) for one in _texts(declares)))
    )


def _texts(value: str | Iterable[str]) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value


def _classes(model: Model, checked: CheckedDeployment) -> set[str]:
    """Which words of `declares` are true of a model: gpu means that it declares nothing else."""
    declared = checked.declared.get(model.name)
    if declared is None:
        return set()
    if declared.is_ensemble:
        return {"ensemble"}
    kinds = {group.kind for group in declared.groups}
    if not kinds or "AUTO" in kinds:
        return {"nothing"}
    return {"mixed"} if len(kinds) > 1 else {next(iter(kinds)).lower()}


def _declared(model: Model, checked: CheckedDeployment) -> str:
    declared = checked.declared.get(model.name)
    return declared.summary if declared is not None else "nothing readable"


def _check_triton(mark: pytest.Mark, start: Path) -> ReadLayer:
    return argument_layer("marker", mark.kwargs, start, args=mark.args)


def _check_triton_and_packages(mark: pytest.Mark, start: Path) -> None:
    """Of object stores, too: whether what reads them is installed, before anything is run."""
    stores = [
        store for one in _check_triton(mark, start).values.get("repo") or () for store in one.stores
    ]
    if stores:
        from pytest_triton.repository.store_fetch import check_packages

        for store in stores:
            check_packages(store)


def _check_models(mark: pytest.Mark, start: Path) -> dict[str, Any]:
    if mark.args:
        raise OptionError(
            f"The marker triton_models doesn't take {shown_value(mark.args[0])}: {MODELS_SIGNATURE}"
        )
    check_names(
        mark.kwargs, "The marker triton_models", MODELS_SIGNATURE, ("declares", "backend", "name")
    )
    for name, value in mark.kwargs.items():
        kind = one_of(_DECLARES) if name == "declares" else NAME
        check(
            "triton_models", name, value, optional(either(kind, several(kind, "a list of these")))
        )
    return dict(mark.kwargs)


def _check_requires(mark: pytest.Mark, start: Path) -> None:
    from pytest_triton.plugin.requirements import needs_of

    needs_of(mark)


_CHECKS: dict[str, Callable[[pytest.Mark, Path], object]] = {
    "triton": _check_triton_and_packages,
    "triton_models": _check_models,
    "triton_requires": _check_requires,
}
