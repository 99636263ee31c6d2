"""The part of `TritonServer` that loads and unloads models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_triton.arguments.checked import checked
from pytest_triton.errors import says_all
from pytest_triton.placement.compare import Observed
from pytest_triton.repository import Model
from pytest_triton.testing.arguments import CONFIG, DIRECTORY, FILES, GROUPS, MODEL
from pytest_triton.testing.model_loading import ModelLoading
from pytest_triton.testing.server_errors import ModelRefused
from pytest_triton.testing.state import ServerState

__tracebackhide__ = says_all


class ModelChanges:
    """What a test may do that is marked `triton(changes=True)`; it is put back at its end."""

    _state: ServerState
    _loading: ModelLoading

    @checked(model=MODEL, config=CONFIG, instance_group=GROUPS, directory=DIRECTORY, files=FILES)
    def load(
        self,
        model: str | Model,
        *,
        config: str | Mapping[str, Any] | None = None,
        instance_group: str | None = None,
        directory: Path | str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Load a model and wait until it is READY.

        Nothing happens if it is loaded already, unless another config is given: then Triton loads
        it anew, in place where only instance groups differ (`reload` unloads it first). `config`
        (text of a config.pbtxt, or its JSON form) replaces the model's own, `instance_group` only
        that part: `"{ kind: KIND_GPU count: 2 }"`. A model from
        outside the repository: its `directory`, or a `config` and its `files` by their path in
        a model directory (`{"1/model.onnx": b"..."}`).

        Raises ModelRefused with Triton's text, ServerNotYours for a shared server.
        """
        refusal = self._loading.load(model, config, instance_group, directory, files)
        if refusal is not None:
            name = model if isinstance(model, str) else model.name
            raise ModelRefused(name, refusal, self._state.hardware_now.label)

    @checked(model=MODEL, config=CONFIG, instance_group=GROUPS, directory=DIRECTORY, files=FILES)
    def load_or_refuse(
        self,
        model: str | Model,
        *,
        config: str | Mapping[str, Any] | None = None,
        instance_group: str | None = None,
        directory: Path | str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Observed:
        """As `load`, but a refusal is no error: returns what was seen, for assertions."""
        name = model if isinstance(model, str) else model.name
        self._loading.load(model, config, instance_group, directory, files)
        return self._state.observed(self._state.known(name))

    @checked(model=MODEL)
    def unload(self, model: str | Model) -> None:
        """Unload a model and wait until it is gone. Raises ServerNotYours for a shared server."""
        name = self._state.known(model)
        self._loading.begin(name)
        self._loading.unload(name)
        self._loading.forget_config(name)

    @checked(model=MODEL, config=CONFIG, instance_group=GROUPS)
    def reload(
        self,
        model: str | Model,
        *,
        config: str | Mapping[str, Any] | None = None,
        instance_group: str | None = None,
    ) -> None:
        """Unload the model, wait, and load it, as `load` does: the clean way to ask "what if"."""
        name = self._state.known(model)
        self._loading.begin(name)
        self._loading.unload(name)
        self._loading.forget_config(name)
        self.load(model, config=config, instance_group=instance_group)
