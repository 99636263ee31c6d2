"""What is known of a test's server, and what the test has changed of it.

The parts of `TritonServer` share a state, and the plugin ends it with the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.placement.compare import READY, Observation, Observed
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.predict import Prediction, predict_all
from pytest_triton.repository import Model
from pytest_triton.testing.clients import Clients
from pytest_triton.testing.server_errors import ServerNotYours, UnknownModel

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from pytest_triton.checks.checked_deployment import CheckedDeployment
    from pytest_triton.checks.run import Seen, TritonSession
    from pytest_triton.inference.signature import ModelSignature
    from pytest_triton.placement.hardware import Hardware
    from pytest_triton.rehearsal.simulation import SimulatedGpus
    from pytest_triton.servers.running_server import RunningServer

__tracebackhide__ = says_all


class ServerState:
    """A running server with the models that it was given.

    `configs` are those of models that were loaded with another one, `was_ready` says of each
    changed model what it was before. `gpus_before` is None until simulated GPUs are changed.
    """

    def __init__(
        self, session: TritonSession, checked: CheckedDeployment, running: RunningServer
    ) -> None:
        self.session = session
        self.checked = checked
        self.running = running
        self.clients = Clients(running.endpoints)
        self.configs: dict[str, ModelConfig] = {}
        self.was_ready: dict[str, bool] = {}
        self.signatures: dict[str, ModelSignature] = {}
        self.gpus_before: SimulatedGpus | None = None
        self.gpus_now: SimulatedGpus | None = None

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """The models of its repository, by name."""
        return {model.name: model for model in self.checked.repository.models}

    @property
    def hardware(self) -> Hardware:
        """The GPUs that the server has. Raises PytestTritonError if it lacks some asked for."""
        return self.session.hardware_of(self.running)

    @property
    def allowed_fallbacks(self) -> tuple[str, ...]:
        """Patterns of models that may run on the CPU where no GPU is (triton_allow_fallback)."""
        return self.session.settings.allow_fallback

    def observed(self, name: str) -> Observed:
        """What the server made of a model, by all evidence.

        Raises UnknownModel, and PytestTritonError if the server can't be asked.
        """
        if not self.was_ready and self.gpus_before is None:
            return self._seen.observed[name]
        return self.look_again(name)

    def declared(self, name: str) -> Declared:
        """What the model's config says; the one that it was loaded with, if that is another."""
        if name in self.configs:
            return Declared.of(self.configs[name])
        found = self.checked.declared.get(name)
        if found is None:
            raise PytestTritonError(
                f"{name} declares nothing: its config can't be read",
                fix="fix the config; its test_config says what is wrong",
            )
        return found

    def predicted(self, name: str) -> Prediction:
        """What Triton's rules make of the model on this server's hardware."""
        if name not in self.configs and self.gpus_before is None:
            return self._seen.predicted[name]
        declared = {**self.checked.declared, name: self.declared(name)}
        return predict_all(declared, self.hardware_now, server=self._traits)[name]

    @property
    def hardware_now(self) -> Hardware:
        """The GPUs that a model finds that is loaded now, after set_gpus or lose_gpus."""
        now = self.gpus_now
        if self.gpus_before is None or now is None:
            return self.hardware
        from pytest_triton.placement.hardware import simulated_gpus

        count = now.count if now.fault == "none" else 0
        found = simulated_gpus(count, now.compute_capability)
        return replace(found, cuda_error="unknown error") if now.fault == "unknown" else found

    def known(self, model: str | Model) -> str:
        name = model if isinstance(model, str) else model.name
        models = self.models
        if name not in models and name not in self.configs:
            close = get_close_matches(name, models, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise UnknownModel(
                f"No model is called {name!r} on {self.running.spec}.{meant}",
                model=name,
                tried=[f"the models that there are: {', '.join(sorted(models)[:20])}"],
                fix="correct the name; models from outside the repository have to be loaded "
                "first: triton_server.load(name, directory=...)",
            )
        return name

    def check_changeable(self) -> None:
        if not self.running.spec.is_changeable:
            raise ServerNotYours(
                "This server is shared with other tests, so that its models can't be loaded or "
                "unloaded here.",
                fix="mark the test (or class, or module) @pytest.mark.triton(changes=True): it "
                "then has a server that it may change, which is put back at its end; or start "
                "one with make_triton_server",
            )

    @property
    def _seen(self) -> Seen:
        return self.session.look_at(self.checked, self.running)

    @cached_property
    def _traits(self) -> Any:
        from pytest_triton.evidence.observe import traits_of

        return traits_of(self.running)

    def look_again(self, name: str) -> Observed:
        from pytest_triton.evidence.observe import observe

        seen = observe(self.running, [name])[name]
        if seen.state == "absent" and name in self.configs and self.clients.control.is_ready(name):
            return self._outside(name)
        return seen

    def _outside(self, name: str) -> Observed:
        """A model from outside the repository, which is in no index."""
        from pytest_triton.client.configs import resolved_configs
        from pytest_triton.evidence.resolved_config import groups_of, placement_of

        ((_, config),) = resolved_configs(self.running.endpoints, [name])
        groups = groups_of(config or {})
        placement = placement_of(groups)
        reported = Observation("resolved config", "high", "", placement=placement)
        return Observed.of(READY, [reported], groups)
