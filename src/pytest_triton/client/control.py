"""Have a server load and unload models, through tritonclient's own clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_triton.client.tls import Access


class ControlRefused(Exception):
    """What the server said instead; explained by those who know more."""


class Control:
    """Loads and unloads over a client of gRPC, or of HTTP."""

    def __init__(self, client: Any, access: Access) -> None:
        self._client = client
        self._access = access

    def load(
        self, model: str, config: str | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        """Does nothing where it is loaded. `config` is JSON. Raises ControlRefused."""
        contents = {f"file:{path}": content for path, content in (files or {}).items()}
        self._ask(self._client.load_model, model, config=config, files=contents or None)

    def unload(self, model: str) -> None:
        """Returns before the model is gone. Raises ControlRefused."""
        self._ask(self._client.unload_model, model)

    def is_ready(self, model: str) -> bool:
        """Whether a model is loaded and ready; False also where the server doesn't have it."""
        from tritonclient.utils import InferenceServerException

        from pytest_triton.client.inference import says_not_there

        try:
            return bool(self._client.is_model_ready(model))
        except InferenceServerException as error:
            if says_not_there(str(error)):
                return False
            raise

    def is_gone(self, model: str) -> bool:
        """Whether a model that was unloaded is."""
        index = self._client.get_model_repository_index()
        if isinstance(index, list):  # HTTP's
            states = [one.get("state", "") for one in index if one["name"] == model]
        else:
            states = [one.state for one in index.models if one.name == model]
        if not states:  # a model from outside the repository is in no index
            return not self.is_ready(model)
        return all(state in ("", "UNAVAILABLE") for state in states)

    def _ask(self, call: Callable[..., Any], *arguments: object, **named: object) -> None:
        from tritonclient.utils import InferenceServerException

        try:
            call(*arguments, **named)
        except InferenceServerException as error:
            raise ControlRefused(self._access.hide(error.message() or str(error))) from error
