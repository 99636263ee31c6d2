"""What rules about deployments look at: a deployed server, and the models that it loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from pytest_triton.audit.subject import Audited, Subject, diagnostic_at
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.yaml_file import Place
from pytest_triton.diagnostics.diagnostic import Diagnostic, Version
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.outcome import ServiceOutcome, service_outcome
from pytest_triton.placement.predict import (
    DEFAULT_TRAITS,
    Prediction,
    ServerTraits,
    predict_all,
)
from pytest_triton.repository.engines import engine_gpus
from pytest_triton.text.shown_text import printable


class DeployedSubject:
    """A server of a deployment file.

    `models` are those that it loads, None if its repository isn't known here. `host` is how many
    GPUs the machine has, None where nobody says. `release` is that of its image, None if the tag
    doesn't say.
    """

    def __init__(
        self,
        server: DeployedServer,
        models: Audited | None = None,
        host: int | None = None,
        release: Version | None = None,
    ) -> None:
        self.server = server
        self.models = models
        self.host = host
        self.release = release

    @property
    def grant_place(self) -> Place:
        """Where GPUs are granted, or would be."""
        return self.server.grant_place or self.server.node.place

    @cached_property
    def count(self) -> int | None:
        """How many GPUs Triton sees there; None: unknown."""
        return self.server.visible(self.host)

    @cached_property
    def named_gpus(self) -> Mapping[int, str]:
        """The ids that models' groups name, each with one of the models."""
        found: dict[int, str] = {}
        for name, one in self._subjects.items():
            for group in one.declared.groups:
                for gpu in group.gpus:
                    found.setdefault(gpu, name)
        return found

    @cached_property
    def served(self) -> Mapping[str, tuple[int, ...]] | None:
        """The versions of each model that it loads; None if its repository isn't known."""
        return None if self.models is None else self.models.repository.versions_to_load

    @property
    def engines(self) -> Iterator[tuple[str, int]]:
        """The models, and how many GPUs there must be for their engines."""
        for name, one in self._subjects.items():
            yield name, engine_gpus(one.model)

    @property
    def _subjects(self) -> Mapping[str, Subject]:
        return {} if self.models is None else self.models.by_name

    @cached_property
    def gpu_models(self) -> tuple[str, ...]:
        """The models that are declared for GPUs, or that nothing but GPUs serves."""
        return tuple(
            name
            for name, one in self._subjects.items()
            if any(one.groups("GPU")) or one.backend.only == "GPU" or one.backend.places_itself
        )

    @cached_property
    def is_placing_itself(self) -> bool:
        """Whether any model decides by itself which GPUs it uses."""
        return any(
            one.backend.places_itself or any(one.groups("MODEL")) for one in self._subjects.values()
        )

    @cached_property
    def server_traits(self) -> ServerTraits:
        version = self.release or DEFAULT_TRAITS.version
        return self.server.line.traits(ServerTraits(version=version))

    @cached_property
    def sound(self) -> Mapping[str, Declared]:
        """What the models declare, without what is wrong with the configs themselves."""
        return {name: one.declared.sound for name, one in self._subjects.items()}

    @cached_property
    def predictions(self) -> Mapping[str, Prediction]:
        """Of all models, on the GPUs that Triton sees."""
        hardware = self.server.hardware(self.host)
        return predict_all(self.sound, hardware, server=self.server_traits)

    @cached_property
    def without_gpus(self) -> ServiceOutcome:
        """What becomes of the service when its GPUs are lost."""
        predictions = predict_all(self.sound, NO_GPU, server=self.server_traits)
        return service_outcome(predictions, self.server.line)

    def at(self, place: Place, message: str, lines: str = "") -> Diagnostic:
        """A finding at a place in the file."""
        text = f"{printable(self.server.name)}: {message}"
        return diagnostic_at(place.path, place.line, place.column, text, lines)
