"""A deployment that is to be checked: what is on disk, and what is predicted of it.

No server is needed for it, nor imported: commands that only read repositories start fast.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS, PUBLISHED_BACKENDS
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.libraries import PYTHON_RUNTIME
from pytest_triton.placement.predict import (
    ServerTraits,
)
from pytest_triton.placement.releases import NEWEST_KNOWN, ChosenRelease
from pytest_triton.plan.identity import config_hash, deployment_name, identities
from pytest_triton.plan.sharding import needed
from pytest_triton.rehearsal.completed_configs import as_json
from pytest_triton.rehearsal.simulation import is_backend_name
from pytest_triton.repository import Model, Repository, model_config_type
from pytest_triton.repository.models import read_as
from pytest_triton.repository.predicted import PredictedModels
from pytest_triton.repository.reading import AS_IT_IS, Added, Reading
from pytest_triton.repository.refusals import (
    with_known_backends,
)
from pytest_triton.repository.stores import Say, fetch_all, to_standard_error

if TYPE_CHECKING:
    from pytest_triton.diagnostics.diagnostic import Diagnostic
    from pytest_triton.options.settings import Backends
    from pytest_triton.options.values import Deployment


_MOST_NAMES = 20  # of models, in an error
_MOST_INSTANCES = 2000  # of one model; more take a test server minutes or all memory


class NotLoaded(PytestTritonError):
    """A server's command line loads models that aren't there, or none."""

    exit_code = 2


class NamesInNamespaces(PytestTritonError):
    """A server serves several models of one name, which the plugin can't distinguish."""


@dataclass(frozen=True, eq=False)
class CheckedDeployment:
    """A deployment that is to be checked: its repositories as they are on disk.

    `backends` are those of the servers that check it. From one that isn't `is_ours`, nothing can
    be held back: it serves what it serves. `own_backends` are names of the user's own backends.
    `line` is the command line of its servers; `not_loaded` are the models that it leaves out,
    which aren't in `repository`. `stated_release` is what is known before a server runs; where it
    is only assumed, `ask_release` asks one. `known_as` is a name of its own, "" for none.
    """

    deployment: Deployment
    repository: Repository
    backends: Backends = "stand-in"
    is_ours: bool = True
    own_backends: tuple[str, ...] = ()
    line: CommandLine = NO_ARGUMENTS
    not_loaded: tuple[str, ...] = ()
    stated_release: ChosenRelease = NEWEST_KNOWN
    ask_release: Callable[[CheckedDeployment], ChosenRelease | None] | None = None
    known_as: str = ""

    @classmethod
    def read(
        cls,
        deployment: Deployment,
        line: CommandLine = NO_ARGUMENTS,
        *,
        backends: Backends = "stand-in",
        is_ours: bool = True,
        own_backends: tuple[str, ...] = (),
        stated_release: ChosenRelease = NEWEST_KNOWN,
        ask_release: Callable[[CheckedDeployment], ChosenRelease | None] | None = None,
        reading: Reading = AS_IT_IS,
        say: Say | None = to_standard_error,
    ) -> CheckedDeployment:
        """Read a deployment's repositories from disk, for a server with this command line.

        What is in object stores is fetched first, unless there is nobody to `say` that to: then it
        has been. Raises StoreError or RepositoryError for repositories that can't be read,
        NotLoaded for models that the command line names and that aren't there.
        """
        if deployment.stores:
            if say is not None:
                fetch_all(deployment.stores, say)
            if not reading.weights_given:
                reading = replace(reading, weights="elsewhere")
        everything = cls(
            deployment,
            read_as(
                deployment.paths,
                replace(reading, config_name=line.config_name, completes=line.completes),
            ),
            backends,
            is_ours,
            own_backends,
            line,
            stated_release=stated_release,
            ask_release=ask_release,
        )
        if line.namespacing:
            _check_namespaces(everything)
        return everything if line.loads is None else _loaded_only(everything, line.loads)

    @cached_property
    def release(self) -> ChosenRelease:
        """The release whose rules it is checked by: as stated, else what its server says."""
        if not self.stated_release.assumed or self.ask_release is None:
            return self.stated_release
        return self.ask_release(self) or self.stated_release

    @cached_property
    def declared(self) -> Mapping[str, Declared]:
        """What each model with a readable config declares, by name."""
        return self.predicted.declared

    @cached_property
    def predicted(self) -> PredictedModels:
        """What is predicted of the models."""
        return PredictedModels(self.repository.models, self.line.completes)

    @cached_property
    def completed_json(self) -> tuple[tuple[str, str], ...]:
        """What stand-ins know of the configs that real backends would complete."""
        return as_json(self.predicted.completed) if self.stand_ins else ()

    @cached_property
    def name(self) -> str:
        """What it is called in ledgers and plans."""
        return self.known_as or deployment_name(self.deployment.text) + self.values_suffix

    @property
    def values_suffix(self) -> str:
        """`@prod`, where a name is to say which values a deployment has; or ""."""
        return f"@{self.values}" if self.values else ""

    @property
    def values(self) -> str:
        """The name of the set of values that its templates got; "" for none, or the only one."""
        values = self.repository.reading.values
        return values.name if values is not None else ""

    @cached_property
    def model_in(self) -> Mapping[Path, Model]:
        """The models by their directories, and entries that are none: see `models_in`."""
        return {
            model.directory: model for models in self._by_repository.values() for model in models
        }

    @cached_property
    def config_hashes(self) -> Mapping[Path, str]:
        """What each model's config says, as one short text, by the model's directory."""
        return {model.directory: config_hash(model) for model in self.repository.models}

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """What decides about each model, by name: a proof is for one identity."""
        return identities(self.repository.models, self.declared)

    @cached_property
    def stand_ins(self) -> tuple[str, ...]:
        """The backends that a rehearsal stands in for: all official ones, and the models' own."""
        if self.backends != "stand-in":
            return ()
        names = {*OFFICIAL_BACKENDS, *PUBLISHED_BACKENDS, *self.own_backends}
        for declared in self.declared.values():
            backend, runtime = declared.backend, declared.runtime.name
            if declared.runtime.is_own and is_backend_name(backend):
                names.add(backend)
            if runtime not in ("", PYTHON_RUNTIME) and backend in names and "/" not in runtime:
                names.add(f"{backend}/{runtime}")
        return tuple(sorted(names))

    @cached_property
    def traits(self) -> ServerTraits:
        """What is predicted for: a server that has Triton's backends and the user's own.

        Which backends a real server has, it says itself.
        """
        return self._traits_of(self.release)

    def _traits_of(self, release: ChosenRelease) -> ServerTraits:
        traits = self.line.traits(ServerTraits(version=release.version))
        if self.backends == "real":
            return traits
        return with_known_backends(traits, self.own_backends)

    @cached_property
    def excluded(self) -> Mapping[str, str]:
        """Models that no server is given, since it would not serve the others either: name -> why.

        Triton crashes on some configs, hangs on some directories, and its real python backend
        waits in vain for a model that has no file (seen with 2.51.0).
        """
        found: dict[str, str] = {}
        if not self.is_ours:
            return found
        for model in self.repository.models:
            if model.breaks_server and model.refusal is not None:
                found[model.name] = model.refusal.message
            elif self.backends == "real" and _lacks_python_file(model):
                found[model.name] = (
                    "a version directory has no python file, and Triton's python backend waits "
                    "for it without end: add 1/model.py, or rehearse (--triton-backends=stand-in)"
                )
        predicted, traits = self.predicted, self._traits_of(self.stated_release)
        for predictions in (predicted.on(NO_GPU, traits), predicted.on_ample_gpus(traits)):
            for name, prediction in predictions.items():
                refusal = prediction.refusal
                if refusal is not None and refusal.reason == "crash":
                    found[name] = f"Triton crashes on it: {refusal.text}"
                elif (
                    refusal is not None
                    and refusal.diagnostic in prediction.declared.scheduler_flaws
                ):
                    found[name] = f"Triton often crashes when it refuses it: {refusal.text}"
                elif prediction.placement.total > _MOST_INSTANCES:
                    found[name] = f"it declares {prediction.placement.total} instances"
        return found

    def refused_everywhere(self, model: str) -> Diagnostic | None:
        """The refusal on any hardware, also that of an ensemble for its models' sake."""
        return self.predicted.refused(self.traits).get(model)

    @cached_property
    def left_out(self) -> tuple[Path, ...]:
        """What no server must see of the repositories."""
        models = self.repository.models
        paths = [model.directory for model in models if model.name in self.excluded]
        paths += [problem.path for problem in self.repository.problems]
        return tuple(sorted(paths))

    @cached_property
    def shadowed(self) -> tuple[Path, ...]:
        """The models' own libraries, which a rehearsal stands in for as for all others."""
        if self.backends != "stand-in":
            return ()
        return tuple(
            sorted(path for model in self.repository.models for path in model.own_libraries)
        )

    @cached_property
    def lacks_only_files(self) -> bool:
        """Whether all of its models would load somewhere if missing files were assumed."""
        reading = self.repository.reading
        if reading.assumes_files or self.backends != "stand-in" or not self._refuses_any:
            return False
        assuming = CheckedDeployment.read(
            self.deployment,
            self.line,
            own_backends=self.own_backends,
            stated_release=self.stated_release,
            reading=replace(reading, weights="elsewhere"),
            say=None,
        )
        return not assuming._refuses_any

    @property
    def _refuses_any(self) -> bool:
        """Whether anything is refused on any hardware."""
        models = self.repository.models
        refused = self.predicted.refused(self.traits)
        return bool(self.repository.problems or refused or any(one.refusal for one in models))

    @cached_property
    def added(self) -> tuple[Added, ...]:
        """What servers are to see besides what is on disk."""
        return tuple(one for model in self.repository.models for one in model.added)

    @cached_property
    def _by_repository(self) -> Mapping[Path, Sequence[Model]]:
        found: dict[Path, list[Model]] = {path: [] for path in self.deployment.paths}
        for model in self.repository.models:
            found[model.repository].append(model)
        for problem in self.repository.problems:
            found[problem.path.parent].append(_broken_entry(problem))
        return found

    def models_in(self, repository: Path) -> Sequence[Model]:
        """What stands in one of the deployment's repositories for a model, by name.

        Beside the models, entries that keep Triton from reading the repository at all: their
        test_config fails.
        """
        return self._by_repository[repository]


def _broken_entry(problem: Diagnostic) -> Model:
    return Model(
        name=problem.path.name,
        directory=problem.path,
        repository=problem.path.parent,
        config=model_config_type()(),
        config_file=None,
        versions=(),
        problems=(problem,),
        _anchor=problem.path,
    )


def _check_namespaces(checked: CheckedDeployment) -> None:
    counts = Counter(model.name for model in checked.repository.models)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise NamesInNamespaces(
            f"With --model-namespacing tritonserver serves several models called {twice[0]}, and "
            "pytest-triton knows models by their names.",
            fix="name the repositories one by one, not joined by ':'",
        )


def _loaded_only(checked: CheckedDeployment, loads: Sequence[str]) -> CheckedDeployment:
    """A deployment with those of its models only that its command line loads, by themselves or as
    part of an ensemble."""
    models = checked.repository.models
    names = sorted({model.name for model in models})
    missing = [name for name in loads if name not in names]
    if not loads or missing:
        what = "--model-control-mode=explicit without --load-model loads no model at the start"
        close: list[str] = []
        if missing:
            what = f"--load-model={missing[0]}: no model is called so"
            close = get_close_matches(missing[0], names, n=1)
        raise NotLoaded(
            f"{what}.",
            tried=[f"the models that there are: {', '.join(names[:_MOST_NAMES])}"],
            fix=(f"did you mean {close[0]}?" if close else "correct the server's arguments")
            if missing
            else "name the models that production loads (--load-model=NAME, * for all); what is "
            "loaded later, through the API, can't be known here",
        )
    kept = needed(loads, {name: one.steps for name, one in checked.declared.items()})
    return replace(
        checked,
        repository=replace(
            checked.repository, models=tuple(model for model in models if model.name in kept)
        ),
        not_loaded=tuple(name for name in names if name not in kept),
    )


def _lacks_python_file(model: Model) -> bool:
    if model.backend != "python" or model.refusal is not None:
        return False
    file = model.config.default_model_filename or "model.py"
    versions = (model.directory / str(version) for version in model.versions_to_load)
    return any(not os.path.isfile(version / file) for version in versions)
