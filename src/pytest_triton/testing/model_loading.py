"""Load and unload models for a test, and put back what was loaded before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.arguments.checked import shown_value
from pytest_triton.client.control import ControlRefused
from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.placement.refusal import Refusal
from pytest_triton.repository import Model
from pytest_triton.testing.model_control import as_json, model_in, parse_config
from pytest_triton.testing.server_errors import NotExplicit
from pytest_triton.testing.state import ServerState

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

__tracebackhide__ = says_all

_UNLOAD_TIMEOUT = 60.0  # seconds; models may finish what they are at


class ModelLoading:
    """What is loaded on the server of a test."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def begin(self, name: str) -> None:
        self._state.check_changeable()
        self._state.signatures.pop(name, None)
        if name not in self._state.was_ready:  # Triton reloads ensembles itself
            self._state.was_ready[name] = self._state.clients.control.is_ready(name)

    def load(
        self,
        model: str | Model,
        config: str | Mapping[str, Any] | None = None,
        instance_group: str | None = None,
        directory: Path | str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Refusal | None:
        """Load a model as it is asked for; returns the refusal, None if it is READY."""
        name = model if isinstance(model, str) else model.name
        if directory is not None:
            self._check_sent(Path(directory))
            config, files = model_in(Path(directory), config, files)
        elif config is None and files is None:
            self._state.known(name)
        self.begin(name)
        message = self._config_of(name, config, instance_group)
        text = None if message is None else as_json(message)
        if files and text is None:
            raise PytestTritonError(
                f"{name}: Triton takes files only together with a config",
                fix="give config=... as well, or the whole directory=...",
            )
        try:
            self._state.clients.control.load(name, text, files)
        except ControlRefused as refused:
            self._check_explicit(refused)
            if message is not None:
                self._state.configs[name] = message
            refusal = self._state.look_again(name).refusal
            if refusal is None:
                from pytest_triton.placement.refusal import classify

                text = self._state.running.spec.as_given(str(refused))
                refusal = Refusal(classify(text), text, "load")
            return refusal
        if message is not None:
            self._state.configs[name] = message
        return None

    def unload(self, name: str) -> None:
        """Unload a model and wait until it is gone."""
        try:
            self._state.clients.control.unload(name)
        except ControlRefused as refused:
            self._check_explicit(refused)
            raise PytestTritonError(
                f"{name} can't be unloaded: {refused}", fix="the server's log may say more"
            ) from None
        deadline = time.monotonic() + _UNLOAD_TIMEOUT
        wait = 0.0005
        while not self._state.clients.control.is_gone(name):
            if time.monotonic() > deadline:
                raise PytestTritonError(
                    f"{name} was not unloaded after {_UNLOAD_TIMEOUT:g} s",
                    fix="look at the server's log; a model that never ends an inference is "
                    "never unloaded",
                )
            time.sleep(wait)
            wait = min(wait * 2, 0.05)

    def forget_config(self, name: str) -> None:
        """What is loaded next is what stands in the repository, where the model is from there."""
        if name in self._state.models:
            self._state.configs.pop(name, None)

    def dependents_last(self, names: list[str]) -> list[str]:
        """Ensembles after all other models: they need theirs."""
        declared = self._state.checked.declared
        return sorted(names, key=lambda name: name in declared and declared[name].is_ensemble)

    def restore(self) -> None:
        """Put back what was loaded at first."""
        for name, was_ready in self._state.was_ready.items():
            changed = name in self._state.configs or self._state.gpus_before is not None
            if changed or not was_ready:
                self.unload(name)  # whatever is loaded isn't what was
        for name in self.dependents_last(
            [one for one, ready in self._state.was_ready.items() if ready]
        ):
            self._state.clients.control.load(name)  # does nothing where it is loaded
        self._state.was_ready.clear()
        self._state.configs.clear()

    def _check_sent(self, directory: Path) -> None:
        """Raise LinksLeadOut if links would send files to another machine, or into a container."""
        spec = self._state.running.spec
        if not spec.host.has_our_files:
            from pytest_triton.servers.container.reach import check_sent

            check_sent(directory, [*spec.repositories, *spec.host.mounted])

    def _check_explicit(self, refused: Exception) -> None:
        """Raise NotExplicit if the server loads and unloads nothing when it is asked."""
        if "explicit model load / unload is not allowed" in str(refused):
            raise NotExplicit(
                f"{self._state.running.description} loads and unloads no models when it is asked: "
                f"{refused}",
                fix="it has to run with --model-control-mode=explicit",
            ) from None

    def _config_of(
        self, name: str, config: str | Mapping[str, Any] | None, instance_group: str | None
    ) -> ModelConfig | None:
        """The config to send, None for the model's own."""
        if config is None and instance_group is None:
            return None
        message = self._known_config(name) if config is None else parse_config(name, config)
        if instance_group is not None:
            if not instance_group.lstrip().startswith("{"):
                raise PytestTritonError(
                    f"{name}: instance_group={shown_value(instance_group)} is no list of groups",
                    fix='write each in braces: "{ kind: KIND_GPU count: 2 }, { kind: KIND_CPU }"',
                )
            groups = parse_config(name, f"instance_group [ {instance_group} ]")
            del message.instance_group[:]
            message.instance_group.extend(groups.instance_group)
        message.name = message.name or name
        return message

    def _known_config(self, name: str) -> ModelConfig:
        from pytest_triton.repository import model_config_type

        copied = model_config_type()()
        copied.CopyFrom(
            self._state.checked.predicted.completed.get(name, self._state.models[name].config)
        )
        return copied
