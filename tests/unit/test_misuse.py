"""Public functions that are called with wrong types and values raise this package's errors."""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pytest_triton
from pytest_triton import NO_GPU, OptionError, ServerTraits, cpu, gpu, predict, read_repository
from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import NAME
from pytest_triton.options.reading import read_layer
from pytest_triton.options.settings import CONTAINER_OPTIONS, RUN_OPTIONS, Source
from pytest_triton.options.sources import Layer
from support.builders import RepositoryBuilder
from support.wrong_values import WRONG, Wrong, calls, mistake

GIVEN = {
    "Declared", "GpuLoss", "Inference", "MakeTritonServer", "Model", "Observed", "Prediction",
    "Refusal", "Repository", "TritonServer", "Verdict",
}  # fmt: skip
"""Classes whose values the package makes and a project only reads."""


class Answers:
    """Takes the place of a server in a call whose arguments are refused before it is asked."""

    def observed(self, model: object) -> None:
        raise OptionError("a server would be asked now")

    verdict = observed
    models: Mapping[str, object] = {}
    _state = SimpleNamespace(allowed_fallbacks=())


@pytest.fixture
def valid(tmp_path: Path, repository: RepositoryBuilder) -> dict[str, dict[str, Any]]:
    repository.add("small", "{ kind: KIND_CPU }")
    (model,) = read_repository(repository.path).models
    declared = model.declared
    predicted = predict(declared, NO_GPU)
    observed = pytest_triton.Observed(placement=cpu())
    place = tmp_path / "made"
    return {
        "ContainerOptions": {row.name: row.default for row in CONTAINER_OPTIONS},
        "Gpu": {
            "index": 0, "compute_capability": (8, 0), "name": "", "uuid": "", "memory_bytes": None
        },
        "Hardware": {"gpus": (), "simulated": False, "cuda_error": "", "at_least": False},
        "Placement": {"instances": ()},
        "RepositoryBuilder": {"path": place},
        "RepositoryBuilder.add": {
            "name": "new", "instance_group": "", "backend": "python", "config": None, "files": None
        },
        "ServerTraits": {
            name: getattr(ServerTraits(), name)
            for name in inspect.signature(ServerTraits).parameters
        },
        "TritonContainer": {
            "repository": repository.path, "image": "no.such.host/image", "gpus": "none",
            "arguments": [], "environment": None, "stand_ins": [], "timeout": 120.0,
            "options": None, "say": len,
        },
        "compare": {"declared": declared, "predicted": predicted, "observed": observed},
        "compare_with_golden": {
            "outputs": {"Y": np.zeros(4)}, "folder": place / "golden", "rtol": 0.0, "atol": 0.0,
            "update": False,
        },
        "cpu": {"count": 1},
        "gpu": {"id": 0, "count": 1},
        "on_model": {"count": 1},
        "predict": {
            "config": declared, "hardware": NO_GPU, "server": ServerTraits(), "on_disk": None
        },
        "read_repository": {"paths": [repository.path], "config_name": "", "completes": True},
        "simulated_gpus": {"n": 2, "cc": (8, 0)},
        "assert_complete": {"server": Answers(), "model": "m"},
        "assert_no_fallback": {"server": Answers(), "allow": []},
        "assert_placed": {"server": Answers(), "model": "m", "placement": gpu(0)},
        "assert_placed_as_declared": {"server": Answers(), "models": "m"},
        "assert_ran_on": {"server": Answers(), "model": "m", "where": gpu(0), "send": None},
        "assert_ready_models": {"server": Answers(), "models": []},
        "assert_refused": {"server": Answers(), "model": "m", "reason": None},
    }  # fmt: skip


def functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """Every public function, class and method that has arguments."""
    for name in pytest_triton.__all__:
        value = getattr(pytest_triton, name)
        if not callable(value) or name in GIVEN:
            continue
        if isinstance(value, type) and issubclass(value, Exception):
            continue
        yield name, value
        if isinstance(value, type):
            for method, function in vars(value).items():
                if method.startswith("_") or not inspect.isfunction(function):
                    continue
                if any(hasattr(base, method) for base in value.__mro__[1:]):
                    continue  # testcontainers' own
                if len(inspect.signature(function).parameters) > 1:
                    yield f"{name}.{method}", function


def wrong_calls(valid: Mapping[str, Mapping[str, Any]], place: Path) -> Iterator[Wrong]:
    for name, function in functions():
        first: tuple[object, ...] = ()
        if name == "RepositoryBuilder.add":
            first = (pytest_triton.RepositoryBuilder(place / "builder"),)
        yield from calls(name, function, valid[name], *first)


def test_public_functions_called_with_wrong_values_raise_our_errors(
    valid: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nope/docker.sock")
    tried = list(wrong_calls(valid, tmp_path))
    print(len(tried), "calls")
    assert len(tried) > 2_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        mistakes = [found for found in map(mistake, tried) if found is not None]
        gc.collect()  # docker-py leaves sockets open
    assert not mistakes, "\n".join(mistakes)


def test_public_function_with_an_argument_without_a_kind_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match=r"no kind, or no argument: \['other'\]"):

        @checked(name=NAME)
        def public(name: str, other: str) -> None: ...


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predict("resnet", NO_GPU), r"predict\(config='resnet'\): expected what a config"),
        (lambda: gpu(-1), r"gpu\(id=-1\): expected the id of a GPU"),
        (lambda: read_repository(5), r"read_repository\(paths=5\): expected a path"),  # type: ignore[arg-type]
        (lambda: pytest_triton.ContainerOptions(memory="lots"), r"memory='lots' \(argument\)"),  # type: ignore[arg-type]
    ],
)
def test_wrong_argument_is_named_with_value_and_what_is_valid(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        call()


def test_assertion_with_misspelt_reason_names_the_one_that_was_meant() -> None:
    with pytest.raises(OptionError, match="Did you mean 'no-gpu'"):
        pytest_triton.assert_refused(Answers(), "m", reason="no-gpus")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("no-such-gpu", "gpu-id"),
        ("no such GPU", "gpu-id"),
        ("refused: no such GPU", "gpu-id"),
        ("KIND_CPU with gpus", "cpu-with-gpus"),
        ("backend takes CPU only", "backend-cpu-only"),
        ("model file", "model-file"),
    ],
)
def test_assertion_with_reason_as_tables_show_it_names_that_reason(reason: Any, meant: str) -> None:
    with pytest.raises(OptionError, match=f"Did you mean '{meant}'"):
        pytest_triton.assert_refused(Answers(), "m", reason=reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "what", "fix"),
    [
        (lambda: gpu(0, 2), "gpu(0, 2): takes 1 positional argument, 2 given.", "gpu(id=0, *,"),  # type: ignore[call-arg]
        (lambda: cpu(0), "cpu(0): takes no positional arguments, 1 given.", "cpu(*, count=1)"),  # type: ignore[call-arg]
        (lambda: gpu(0, coutn=2), "'coutn'. Did you mean count?", "gpu(id=0, *, count=1)"),  # type: ignore[call-arg]
        (lambda: gpu(0, id=1), "multiple values for argument 'id'", "gpu(id=0, *, count=1)"),  # type: ignore[misc]
        (lambda: predict(), "missing a required argument: 'config'", "predict(config, "),  # type: ignore[call-arg]
        (
            lambda: pytest_triton.RepositoryBuilder(),  # type: ignore[call-arg]
            "RepositoryBuilder(): missing a required argument: 'path'",
            "RepositoryBuilder(path)",
        ),
    ],
)  # fmt: skip
def test_call_with_the_wrong_arguments_raises_our_error(
    call: Callable[[], object], what: str, fix: str
) -> None:
    with pytest.raises(OptionError) as caught:
        call()
    assert what in caught.value.what
    assert f"call it as {fix}" in caught.value.fix


def test_repository_read_from_one_path_is_that_directory(repository: RepositoryBuilder) -> None:
    repository.add("small")
    assert read_repository(str(repository.path)).paths == (repository.path,)


@pytest.mark.parametrize("source", ["command line", "ini file", "environment"])
def test_options_with_wrong_values_raise_our_errors(source: Source, tmp_path: Path) -> None:
    """Texts from everywhere; TOML and plugins that set options give other values as well."""
    tried = [
        Wrong(option.name, source, label, lambda layer=layer: read_layer(layer))  # type: ignore[misc]
        for option in RUN_OPTIONS
        for label, value in WRONG.items()
        if source != "environment" or isinstance(value, str)
        for layer in [Layer(source, {option.name: value}, tmp_path)]
    ]
    mistakes = [found for found in map(mistake, tried) if found is not None]
    assert not mistakes, "\n".join(mistakes)
