"""What rules look at: one model of an audited repository, and the repository around it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.diagnostics.diagnostic import Diagnostic, Edit
from pytest_triton.placement.backends import Backend, backend_named
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.placement.declared import Declared, DeclaredGroup
from pytest_triton.placement.hardware import NO_GPU, Hardware
from pytest_triton.placement.predict import (
    DEFAULT_TRAITS,
    Prediction,
    ServerTraits,
    predict_all,
    usable_gpus,
)
from pytest_triton.repository import Model, Repository, model_config_type
from pytest_triton.repository.engines import MODEL_JSON, MODEL_JSON_LIMIT
from pytest_triton.repository.pbtxt import line_and_column, walk
from pytest_triton.repository.predicted import PredictedModels, with_unreadable
from pytest_triton.repository.refusals import with_known_backends

if TYPE_CHECKING:
    from pytest_triton.audit.model_code.requests import ModelRequest
    from pytest_triton.audit.model_code.uses import Use
    from pytest_triton.repository.schema import ModelConfig


MOST_VARIANTS = 50


def diagnostic_at(
    path: Path,
    line: int | None,
    column: int | None,
    message: str,
    lines: str = "",
    edits: tuple[Edit, ...] = (),
) -> Diagnostic:
    """A place where a rule is broken; the audit adds the rule and the model."""
    return Diagnostic(
        path=path, line=line, column=column, message=message, lines=lines, edits=edits
    )


class Subject:
    """One model: what it declares, and where in its config.pbtxt."""

    def __init__(self, model: Model, audited: Audited) -> None:
        self.model = model
        self.audited = audited

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def declared(self) -> Declared:
        return self.model.declared

    @property
    def is_known(self) -> bool:
        """Whether the config could be read, and says what runs the model."""
        return self.model.readable and bool(self.declared.backend or self.declared.is_ensemble)

    @property
    def backend(self) -> Backend:
        return backend_named(self.declared.backend)

    def groups(self, *kinds: str) -> Iterator[tuple[int, DeclaredGroup]]:
        """The declared groups of these kinds, with their numbers."""
        for number, group in enumerate(self.declared.groups):
            if group.kind in kinds:
                yield number, group

    @property
    def text(self) -> str:
        return self.model.config_file.text if self.model.config_file is not None else ""

    @property
    def source(self) -> str:
        """The text of the file itself, also of a template: what comments in it are read from."""
        return self.model.config_file.source if self.model.config_file is not None else ""

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Where each field stands in `text`: offsets, by path, such as `instance_group[0].kind`."""
        return walk(self.text, model_config_type().DESCRIPTOR).positions

    @property
    def refused(self) -> Diagnostic | None:
        """Why no hardware makes Triton load the model, None if some does."""
        return self.audited.refused.get(self.model.name)

    def at(
        self,
        fields: str | Sequence[str],
        message: str,
        lines: str = "",
        edits: tuple[Edit, ...] = (),
    ) -> Diagnostic:
        """A finding at the first of `fields` that is written; the file's start if none is."""
        if self.model.config_file is None:
            return diagnostic_at(self.model.anchor, None, None, message, lines)
        for name in (fields,) if isinstance(fields, str) else fields:
            if name in self.positions:
                file = self.model.config_file
                line, column = line_and_column(self.text, self.positions[name])
                if file.rendered is not None:
                    edits = ()  # they would be made in the rendered text
                line, column = file.place(line, column)
                return diagnostic_at(file.path, line, column, message, lines, edits)
        return diagnostic_at(self.model.config_file.path, 1, 1, message, lines)

    def at_field(self, field: str, message: str, lines: str = "") -> Diagnostic:
        """A finding at a field, or at the nearest that is written around it."""
        file = self.model.config_file
        if file is None:
            return diagnostic_at(self.model.anchor, None, None, message, lines)
        line, column = file.locate(field) or (1, 1)
        return diagnostic_at(file.path, line, column, message, lines)

    @cached_property
    def version_directories(self) -> tuple[Path, ...]:
        """Those of the versions that would be loaded."""
        return tuple(self.model.directory / str(number) for number in self.model.versions_to_load)

    @cached_property
    def model_codes(self) -> tuple[Path, ...]:
        """The model.py of each version to load, there or not; none if it's no python model."""
        if self.declared.backend != "python":
            return ()
        file = self.config.default_model_filename or "model.py"
        return tuple(directory / file for directory in self.version_directories)

    @cached_property
    def _codes_there(self) -> tuple[Path, ...]:
        return tuple(path for path in self.model_codes if os.path.lexists(path))

    @cached_property
    def files_to_read(self) -> tuple[tuple[Path, int], ...]:
        """The files in version directories that rules look into, and how many bytes they read."""
        if self.declared.backend == "vllm":
            return tuple((one / MODEL_JSON, MODEL_JSON_LIMIT) for one in self.version_directories)
        if not self.model_codes:
            return ()
        from pytest_triton.audit.model_code.source import SIZE_LIMIT

        return tuple((path, SIZE_LIMIT) for path in self.model_codes)

    @cached_property
    def unparsed_codes(self) -> tuple[Path, ...]:
        """The code of a python model that is too complex to be parsed here."""
        if not self._codes_there:
            return ()
        from pytest_triton.audit.model_code.source import read_source

        sources = map(read_source, self._codes_there)
        return tuple(one.path for one in sources if one.too_complex)

    @cached_property
    def obstacles(self) -> tuple[Diagnostic, ...]:
        """Why the python backend could not import or call the model's code."""
        if not self._codes_there:
            return ()
        from pytest_triton.audit.model_code.importing import obstacles

        repository = self.model.directory.parent
        return tuple(one for path in self._codes_there for one in obstacles(path, repository))

    @cached_property
    def model_requests(self) -> tuple[ModelRequest, ...]:
        """The requests of a python model to models that its code names by literals."""
        if not self._codes_there:
            return ()
        from pytest_triton.audit.model_code.requests import model_requests

        return tuple(one for path in self._codes_there for one in model_requests(path))

    @cached_property
    def code_uses(self) -> tuple[Use, ...]:
        """What the code of a python model does with devices, for the kinds of its groups."""
        if not self._codes_there:
            return ()
        from pytest_triton.audit.model_code.uses import uses

        kinds = {group.kind for group in self.declared.groups}
        parameters = [(key, value.string_value) for key, value in self.config.parameters.items()]
        return tuple(
            use
            for path in self._codes_there
            for use in uses(path, parameters, gpu="GPU" in kinds, cpu="CPU" in kinds)
        )


class Audited:
    """A repository under audit; `target` are the GPUs of production, None if nobody says.

    `line` is the command line of production's server.
    """

    def __init__(
        self,
        repository: Repository,
        target: Hardware | None,
        server: ServerTraits = DEFAULT_TRAITS,
        own_backends: Sequence[str] = (),
        line: CommandLine = NO_ARGUMENTS,
        predicted: PredictedModels | None = None,
    ) -> None:
        self.repository = repository
        self.target = target
        self.line = line
        self.own_backends = frozenset(own_backends)
        self.subjects = tuple(Subject(model, self) for model in repository.models)
        self.server = with_known_backends(line.traits(server), own_backends)
        self._predicted = predicted or PredictedModels(repository.models, line.completes)

    @property
    def assumes_files(self) -> bool:
        """Whether files that aren't there are taken to be elsewhere."""
        return self.repository.reading.assumes_files

    def predictions(self, hardware: Hardware) -> Mapping[str, Prediction]:
        """What is predicted of all models on some hardware, unreadable ones too."""
        return with_unreadable(self.repository.models, self._predicted.on(hardware, self.server))

    @cached_property
    def refused(self) -> Mapping[str, Diagnostic]:
        """The models that no hardware makes Triton load, by name: what `predict` says, too."""
        return self._predicted.refused(self.server)

    @cached_property
    def by_name(self) -> Mapping[str, Subject]:
        return {one.model.name: one for one in self.subjects if one.is_known}

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all models, readable or not."""
        return frozenset(model.name for model in self.repository.models)

    @cached_property
    def usable(self) -> tuple[int, ...] | None:
        """The ids of the target's GPUs that Triton can use, ascending."""
        return None if self.target is None else usable_gpus(self.target, self.server)

    @cached_property
    def on_target(self) -> Mapping[str, Prediction]:
        """Predictions on the target, or without a GPU if there is none, by model.

        What is wrong with the configs themselves has rules of its own: it is left out here.
        """
        sound = {name: one.declared.sound for name, one in self.by_name.items()}
        server = self.line.traits(replace(self.server, backends=None))
        return predict_all(sound, self.target or NO_GPU, server=server)
