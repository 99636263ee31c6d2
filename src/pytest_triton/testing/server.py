"""`TritonServer`: a running server as tests see it, with the models that it was given.

It looks at a server that the session's pool owns. Whether a test may also change what the server
has loaded is decided when it is asked for; what a test changed is put back at its end.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_triton.arguments.checked import checked, shown_value
from pytest_triton.arguments.kinds import (
    ANYTHING,
    COUNT,
    NAME,
    PATH,
    SECONDS,
    ZERO_OR_MORE,
    ArgumentKind,
    mapping,
    one_of,
    optional,
    several,
)
from pytest_triton.client.api import Api, open_api
from pytest_triton.errors import OptionError, PytestTritonError, says_all
from pytest_triton.placement.compare import READY, Observation, Observed, Verdict, compare
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import MAX_SIMULATED_GPUS
from pytest_triton.placement.instances import Placement
from pytest_triton.placement.predict import Prediction, predict_all
from pytest_triton.placement.refusal import Refusal
from pytest_triton.rehearsal.simulation import SimulatedGpus, write_control
from pytest_triton.repository import Model
from pytest_triton.servers.launch_arguments import gpus_of
from pytest_triton.testing.arguments import CONFIG, DIRECTORY, FILES, GROUPS, MODEL
from pytest_triton.testing.gpu_faults import GpuLoss
from pytest_triton.testing.model_control import as_json, model_in, parse_config

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient
    from tritonclient.grpc.model_config_pb2 import ModelConfig
    from tritonclient.http import InferenceServerClient as HttpInferenceServerClient

    from pytest_triton.checks.run import CheckedDeployment, Seen, TritonSession
    from pytest_triton.inference.infer import Inference
    from pytest_triton.inference.signature import ModelSignature
    from pytest_triton.placement.hardware import Hardware
    from pytest_triton.servers.running_server import RunningServer

__tracebackhide__ = says_all

Fault = Literal["none", "driver-too-old", "no-device", "unknown"]

_ARRAYS = mapping(NAME, ANYTHING, "arrays by input name")
_INPUTS = ArgumentKind(
    '"random", "zeros", arrays by input name, or the path of test data',
    lambda value: PATH.fits(value) or _ARRAYS.fits(value),
)
_SHAPES = mapping(
    NAME, several(ZERO_OR_MORE, "a list of numbers"), "dimensions by input name, such as {'X': [4]}"
)
_VERSION = ArgumentKind(
    "a version of the model, such as '3', or '' for the latest",
    lambda value: isinstance(value, str) and len(value) < 20 and (not value or value.isdecimal()),
)
_GPUS = ArgumentKind(
    f"a number of GPUs, 0 to {MAX_SIMULATED_GPUS}",
    lambda value: ZERO_OR_MORE.fits(value) and value <= MAX_SIMULATED_GPUS,
)
_FAULT = one_of(get_args(Fault))
_NAMES = several(NAME, "a list of names")
_UUIDS = ArgumentKind(
    "UUIDs of GPUs: a list, or a mapping's keys",
    lambda value: _NAMES.fits(list(value) if isinstance(value, Mapping) else value),
)

_UNLOAD_TIMEOUT = 60.0  # seconds; models may finish what they are at


class UnknownModel(PytestTritonError):
    """`model` is a name that no model of the repository has."""

    def __init__(self, what: str, *, model: str, tried: Sequence[str] = (), fix: str = "") -> None:
        super().__init__(what, tried=tried, fix=fix)
        self.model = model


class ServerNotYours(PytestTritonError):
    """A test wanted to change what a shared server has loaded."""


class NotExplicit(PytestTritonError):
    """A running server isn't in explicit model control mode."""


class ModelRefused(PytestTritonError):
    """Triton refused to load `model`. `refusal` has the reason and Triton's text."""

    def __init__(self, model: str, refusal: Refusal, hardware: str) -> None:
        super().__init__(
            f"Triton refused to load {model} ({refusal.reason}, on {hardware}):\n  {refusal.text}",
            fix="if it is meant to be refused, say so: pytest.raises(ModelRefused), or "
            f"assert_refused(server, {model!r}, reason={refusal.reason!r}) after load_or_refuse",
        )
        self.model = model
        self.refusal = refusal


class ModelNotPlaced(PytestTritonError):
    """The placement of `model` was asked for, which isn't READY; `refusal`: why, or None."""

    def __init__(self, model: str, observed: Observed, hardware: str) -> None:
        refusal = observed.refusal
        expected = "" if refusal is None else f", reason={refusal.reason!r}"
        super().__init__(
            f"{model} has no placement (on {hardware}): the model is {observed}"
            + ("" if refusal is None else f"; Triton says:\n  {refusal.text}"),
            fix=f"if it is meant to be refused: assert_refused(server, {model!r}{expected}); "
            f"server.observed({model!r}) is what was seen, READY or not",
        )
        self.model = model
        self.refusal = refusal


class TritonServer:
    """A running Triton server, as tests see it.

    `http`, `grpc` and `metrics` are its addresses (`host:port`). What it did with a model:
    `placement`, `observed`; what it should have done: `declared`, `predicted`. A test that is
    marked `triton(changes=True)` has a server that it may change: `load`, `unload`, `reload`.
    """

    def __init__(
        self, session: TritonSession, checked: CheckedDeployment, running: RunningServer
    ) -> None:
        self._session = session
        self._checked = checked
        self._running = running
        self._found: Mapping[str, Observed] = {}
        self._configs: dict[str, ModelConfig] = {}  # of models that were loaded with another one
        self._was_ready: dict[str, bool] = {}  # of what was changed, before that
        self._signatures: dict[str, ModelSignature] = {}
        self._gpus_before: SimulatedGpus | None = None
        self._closing: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        hardware = self._running.spec.hardware.label
        return f"<TritonServer {self.description}, {hardware}, grpc {self.grpc}>"

    # --- what it is --------------------------------------------------------------------------

    @property
    def http(self) -> str:
        """Address of the HTTP/REST endpoint, `127.0.0.1:8000`."""
        return self._running.http

    @property
    def grpc(self) -> str:
        """Address of the gRPC endpoint, `127.0.0.1:8001`."""
        return self._running.grpc

    @property
    def metrics(self) -> str:
        """Address of the metrics endpoint, `127.0.0.1:8002`; "" where there is none."""
        return self._running.metrics

    @property
    def description(self) -> str:
        """Which server this is: `tritonserver 2.51.0 (process, installed release)`."""
        return self._running.description

    @property
    def run(self) -> str:
        """`real run`, `rehearsal (simulated GPUs, stand-in backends)`, or `attached server`."""
        return self._running.spec.run

    @property
    def hardware(self) -> Hardware:
        """The GPUs that the server has. Raises PytestTritonError if it lacks some asked for.

        Of an attached server those that it reports: `at_least` says whether there may be more.
        """
        return self._session.hardware_of(self._running)

    @property
    def allowed_fallbacks(self) -> tuple[str, ...]:
        """Patterns of models that may run on the CPU where no GPU is (triton_allow_fallback)."""
        return self._session.settings.allow_fallback

    @property
    def log(self) -> str:
        """All that the server has written so far; "" where its log can't be read."""
        return self._running.log.since()

    def metrics_text(self) -> str:
        """The server's metrics now, in Prometheus' text format. Raises NoMetrics."""
        from pytest_triton.evidence.metrics import read_metrics

        return read_metrics(self._running)

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """The models of its repository, by name."""
        return {model.name: model for model in self._checked.repository.models}

    # --- what it did -------------------------------------------------------------------------

    @checked(model=MODEL)
    def placement(self, model: str | Model) -> Placement:
        """Where the model runs. Raises ModelNotPlaced for one that isn't READY: see `observed`."""
        observed = self.observed(model)
        if not observed.ready:
            raise ModelNotPlaced(self._known(model), observed, self._running.spec.hardware.label)
        return observed.placement

    @checked(model=MODEL)
    def observed(self, model: str | Model) -> Observed:
        """What the server made of a model, by all evidence.

        Raises UnknownModel, and PytestTritonError if the server can't be asked.
        """
        name = self._known(model)
        if not self._was_ready and self._gpus_before is None:
            return self._seen.observed[name]
        return self._look_again(name)

    @checked(model=MODEL)
    def declared(self, model: str | Model) -> Declared:
        """What the model's config says; the one that it was loaded with, if that is another."""
        name = self._known(model)
        if name in self._configs:
            return Declared.of(self._configs[name])
        found = self._checked.declared.get(name)
        if found is None:
            raise PytestTritonError(
                f"{name} declares nothing: its config can't be read",
                fix="fix the config; its test_config says what is wrong",
            )
        return found

    @checked(model=MODEL)
    def predicted(self, model: str | Model) -> Prediction:
        """What Triton's rules make of the model on this server's hardware."""
        name = self._known(model)
        if name not in self._configs and self._gpus_before is None:
            return self._seen.predicted[name]
        declared = {**self._checked.declared, name: self.declared(name)}
        return predict_all(declared, self.hardware_now, server=self._traits)[name]

    @checked(model=MODEL)
    def verdict(self, model: str | Model) -> Verdict:
        """Predicted against observed."""
        return compare(self.declared(model), self.predicted(model), self.observed(model))

    @checked(model=MODEL)
    def is_ready(self, model: str | Model) -> bool:
        """Whether the model can be asked for inferences."""
        return self.observed(model).ready

    # --- how to talk to it -------------------------------------------------------------------

    @cached_property
    def client(self) -> InferenceServerClient:
        """tritonclient's own gRPC client, connected; closed at the end of the test."""
        from pytest_triton.client.native import connect_grpc

        client = connect_grpc(self._running.endpoints)
        self._closing.append(client.close)
        return client

    @cached_property
    def http_client(self) -> HttpInferenceServerClient:
        """tritonclient's own HTTP client; closed at the end of the test.

        Needs `pip install tritonclient[http]`.
        """
        from pytest_triton.client.native import connect_http

        client = connect_http(self._running.endpoints)
        self._closing.append(client.close)
        return client

    def async_client(self) -> AsyncInferenceServerClient:
        """A new asyncio gRPC client: `async with triton_server.async_client() as client:`."""
        from pytest_triton.client.native import connect_grpc_async

        return connect_grpc_async(self._running.endpoints)

    @checked(
        model=MODEL,
        inputs=_INPUTS,
        protocol=optional(one_of(["grpc", "http"])),
        version=_VERSION,
        seed=ZERO_OR_MORE,
        shapes=optional(_SHAPES),
        batch_size=COUNT,
        timeout=SECONDS,
    )
    def infer(
        self,
        model: str | Model,
        inputs: str | Mapping[str, object] | os.PathLike[str] = "random",
        *,
        protocol: Literal["grpc", "http"] | None = None,
        version: str = "",
        seed: int = 0,
        shapes: Mapping[str, Sequence[int]] | None = None,
        batch_size: int = 1,
        timeout: float = 60.0,
    ) -> Inference:
        """Send one request and wait; answers as numpy arrays by output name.

        Over gRPC, if `protocol` is None, or HTTP where only that is known (an attached server).
        `inputs`: "random" (by `seed`), "zeros", a mapping of arrays, or a path of test data.
        Variable dimensions are 1 unless `shapes` says more; `timeout` is in seconds. Afterwards
        the server must be live and the model ready. Raises InferenceFailed with Triton's text;
        for a server that exited, its exit code and log. More in `pytest_triton.inference.infer`.
        """
        from pytest_triton.client.native import connect_http
        from pytest_triton.inference.infer import infer

        name = self._known(model)
        protocol = protocol or ("grpc" if self.grpc else "http")
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._with_notes(name))
            client: Any = None
            if protocol == "grpc":
                client = self.client
            elif protocol == "http":  # whose client gets its time limit when it is made
                client = stack.enter_context(connect_http(self._running.endpoints, timeout=timeout))
            return infer(
                self.http if protocol == "http" else self.grpc,
                name,
                inputs,
                protocol=protocol,
                version=version,
                seed=seed,
                shapes=shapes,
                batch_size=batch_size,
                timeout=timeout,
                client=client,
                check_alive=self._check_alive,
                signature=self._signature(name, version),
            )

    # --- changing what is loaded -------------------------------------------------------------

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
        """Load a model and wait until it is READY. Nothing happens if it is loaded already.

        `config` (text of a config.pbtxt, or its JSON form) replaces the model's own.
        `instance_group` replaces only that part: `"{ kind: KIND_GPU count: 2 }"`. A model from
        outside the repository: its `directory`, or a `config` and its `files` by their path in
        a model directory (`{"1/model.onnx": b"..."}`).

        Raises ModelRefused with Triton's text, ServerNotYours for a shared server.
        """
        refusal = self._load(model, config, instance_group, directory, files)
        if refusal is not None:
            name = model if isinstance(model, str) else model.name
            raise ModelRefused(name, refusal, self.hardware_now.label)

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
        self._load(model, config, instance_group, directory, files)
        return self.observed(name)

    @checked(model=MODEL)
    def unload(self, model: str | Model) -> None:
        """Unload a model and wait until it is gone. Raises ServerNotYours for a shared server."""
        name = self._known(model)
        self._begin_change(name)
        self._unload(name)
        self._forget_config(name)

    @checked(model=MODEL, config=CONFIG, instance_group=GROUPS)
    def reload(
        self,
        model: str | Model,
        *,
        config: str | Mapping[str, Any] | None = None,
        instance_group: str | None = None,
    ) -> None:
        """Unload the model, wait, and load it, as `load` does: the clean way to ask "what if"."""
        name = self._known(model)
        self._begin_change(name)
        self._unload(name)
        self._forget_config(name)
        self.load(model, config=config, instance_group=instance_group)

    @checked(model=MODEL)
    def load_after_start(self, model: str | Model) -> bool:
        """Have a READY model loaded later than the server was started, as it is otherwise.

        Only such models have their GPUs in the metrics. One that this test has loaded is left
        alone; else it is reloaded (and by Triton the ensembles that use it). False where nothing
        may be changed.
        """
        name = self._known(model)
        if not self._running.spec.is_changeable:
            return False
        if name not in self._was_ready:
            self.reload(name)
        return True

    @checked(uuids=_UUIDS)
    def gpu_ids(self, uuids: Iterable[str]) -> Mapping[str, int]:
        """The ids, as a config's `gpus` has them, of GPUs by UUID, as far as they are certain."""
        from pytest_triton.evidence.metrics import gpu_ids

        return gpu_ids(self._running.spec, frozenset(uuids))

    # --- losing GPUs -------------------------------------------------------------------------

    @checked(count=_GPUS, fault=_FAULT)
    def set_gpus(self, count: int, *, fault: Fault = "none") -> None:
        """Give the server another number of simulated GPUs, from now on: what loads next sees it.

        `fault` makes CUDA fail as a machine's would: `driver-too-old` and `no-device` (Triton
        takes both for 0 GPUs), `unknown` (Triton refuses every model that loads).
        """
        self._must_be_mine()
        control = self._running.control_file
        if control is None:
            elsewhere = "" if self._running.spec.host.is_ours else ", server='process'"
            raise PytestTritonError(
                f"{self._running.spec.hardware.label}: only simulated GPUs can be taken away",
                fix=f'mark the test triton(gpus="sim:2", changes=True{elsewhere})',
            )
        if self._gpus_before is None:
            self._gpus_before = gpus_of(self._running.spec.hardware)
        write_control(control, replace(self._gpus_before, count=count, fault=fault))
        self._gpus_now = replace(self._gpus_before, count=count, fault=fault)

    @checked(keep=ZERO_OR_MORE, fault=_FAULT)
    def lose_gpus(self, *, keep: int = 0, fault: Fault = "none") -> GpuLoss:
        """A loss of GPUs: all but `keep` are lost, and every model is loaded again.

        A running model notices nothing until it is reloaded (a new version, a restart): what it
        does then is what this shows. The GPUs come back at the end of the test.
        """
        self._must_be_mine()
        there = self.hardware_now
        if keep > there.count:
            raise OptionError(
                f"lose_gpus(keep={keep}): the server has {there.label}: no more can be kept",
                fix="set_gpus gives a server more simulated GPUs",
            )
        before = {name: self.observed(name) for name in self.models}
        self.set_gpus(keep, fault=fault)
        loaded = [name for name, seen in before.items() if seen.ready]
        for name in self._dependents_last(loaded):
            self._begin_change(name)
            self._unload(name)
        for name in self._dependents_last(loaded):
            self._load(name)
        with open_api(self._running.endpoints) as api:
            live = bool(api.live(self._running.name))
            ready = api.ready()
        after = {name: self.observed(name) for name in loaded}
        known = {name: before[name] for name in loaded}
        return GpuLoss(known, after, live, ready, self.run, self.allowed_fallbacks)

    # --- the end of a test -------------------------------------------------------------------

    def restore(self) -> None:
        """Put back what this test changed: the GPUs, and what was loaded."""
        if self._gpus_before is not None and self._running.control_file is not None:
            write_control(self._running.control_file, self._gpus_before)
        for name, was_ready in self._was_ready.items():
            changed = name in self._configs or self._gpus_before is not None
            if changed or not was_ready:
                self._unload(name)  # whatever is loaded isn't what was
        for name in self._dependents_last([one for one, ready in self._was_ready.items() if ready]):
            self._loader.load_model(name)  # does nothing where it is loaded
        self._was_ready.clear()
        self._configs.clear()
        self._gpus_before = None

    def close(self) -> None:
        """Close the clients."""
        while self._closing:
            self._closing.pop()()

    @contextlib.contextmanager
    def _with_notes(self, name: str) -> Iterator[None]:
        """What is known not to work for python models belongs to the failure of one.

        The error says all: the client's own, which led to it, would stand above it in a report.
        """
        from pytest_triton.inference.errors import InferenceFailed

        try:
            yield
        except PytestTritonError as error:
            of_python = name in self.models and self.models[name].backend == "python"
            if isinstance(error, InferenceFailed) and of_python:
                error.fix = " ".join([*self._running.notes, error.fix])
            raise error from None

    def _signature(self, name: str, version: str) -> ModelSignature | None:
        """The model's inputs and outputs, asked once; None lets the inference ask, and explain."""
        if version:
            return None
        if name not in self._signatures:
            from pytest_triton.inference.errors import InferenceFailed
            from pytest_triton.inference.infer import read_signature

            try:
                protocol: Literal["grpc", "http"] = "grpc" if self.grpc else "http"
                self._signatures[name] = read_signature(
                    self.grpc or self.http, name, protocol=protocol, client=self._loader
                )
            except InferenceFailed:
                return None
        return self._signatures[name]

    def _check_alive(self) -> None:
        """Raise ServerExited, with exit code and log, if it has ended."""
        self._session.pool.get(self._running.spec)

    # --- parts -------------------------------------------------------------------------------

    @property
    def _loader(self) -> Any:
        """The client to load and unload with: gRPC's, or HTTP's where only that is known."""
        return self.client if self.grpc else self.http_client

    @property
    def _seen(self) -> Seen:
        return self._session.look_at(self._checked, self._running)

    @cached_property
    def _traits(self) -> Any:
        from pytest_triton.evidence.observe import traits_of

        return traits_of(self._running)

    @property
    def hardware_now(self) -> Hardware:
        """The GPUs that a model finds that is loaded now, after set_gpus or lose_gpus."""
        if self._gpus_before is None:
            return self.hardware
        from pytest_triton.placement.hardware import simulated_gpus

        now = self._gpus_now
        count = now.count if now.fault == "none" else 0
        found = simulated_gpus(count, now.compute_capability)
        return replace(found, cuda_error="unknown error") if now.fault == "unknown" else found

    def _known(self, model: str | Model) -> str:
        name = model if isinstance(model, str) else model.name
        models = self.models
        if name not in models and name not in self._configs:
            close = get_close_matches(name, models, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise UnknownModel(
                f"No model is called {name!r} on {self._running.spec}.{meant}",
                model=name,
                tried=[f"the models that there are: {', '.join(sorted(models)[:20])}"],
                fix="correct the name; models from outside the repository have to be loaded "
                "first: triton_server.load(name, directory=...)",
            )
        return name

    def _must_be_mine(self) -> None:
        if not self._running.spec.is_changeable:
            raise ServerNotYours(
                "This server is shared with other tests, so that its models can't be loaded or "
                "unloaded here.",
                fix="mark the test (or class, or module) @pytest.mark.triton(changes=True): it "
                "then has a server that it may change, which is put back at its end; or start "
                "one with make_triton_server",
            )

    def _begin_change(self, name: str) -> None:
        self._must_be_mine()
        self._signatures.pop(name, None)
        if name not in self._was_ready:  # ensembles come back with their models, by Triton itself
            self._was_ready[name] = self._loader.is_model_ready(name)

    def _load(
        self,
        model: str | Model,
        config: str | Mapping[str, Any] | None = None,
        instance_group: str | None = None,
        directory: Path | str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Refusal | None:
        from tritonclient.utils import InferenceServerException

        name = model if isinstance(model, str) else model.name
        if directory is not None:
            self._check_sent(Path(directory))
            config, files = model_in(Path(directory), config, files)
        elif config is None and files is None:
            self._known(name)
        self._begin_change(name)
        message = self._config_of(name, config, instance_group)
        text = None if message is None else as_json(message)
        contents = {f"file:{path}": content for path, content in (files or {}).items()}
        if contents and text is None:
            raise PytestTritonError(
                f"{name}: Triton takes files only together with a config",
                fix="give config=... as well, or the whole directory=...",
            )
        try:
            self._loader.load_model(name, config=text, files=contents or None)
        except InferenceServerException as error:
            self._check_explicit(error)
            if message is not None:
                self._configs[name] = message
            refusal = self._look_again(name).refusal
            if refusal is None:
                from pytest_triton.placement.refusal import classify

                access = self._running.spec.host.access
                reason = access.hide(error.message() or str(error))
                refusal = Refusal(classify(reason), reason, "load")
            return refusal
        if message is not None:
            self._configs[name] = message
        return None

    def _check_sent(self, directory: Path) -> None:
        """Raise LinksLeadOut if links would send files to another machine, or into a container."""
        spec = self._running.spec
        if not spec.host.has_our_files:
            from pytest_triton.servers.container.reach import check_sent

            check_sent(directory, [*spec.repositories, *spec.host.mounted])

    def _forget_config(self, name: str) -> None:
        """What is loaded next is what stands in the repository, where the model is from there."""
        if name in self.models:
            self._configs.pop(name, None)

    def _unload(self, name: str) -> None:
        from tritonclient.utils import InferenceServerException

        try:
            self._loader.unload_model(name)
        except InferenceServerException as error:
            self._check_explicit(error)
            raise
        deadline = time.monotonic() + _UNLOAD_TIMEOUT
        wait = 0.0005
        while not self._is_gone(name):
            if time.monotonic() > deadline:
                raise PytestTritonError(
                    f"{name} was not unloaded after {_UNLOAD_TIMEOUT:g} s",
                    fix="look at the server's log; a model that never ends an inference is "
                    "never unloaded",
                )
            time.sleep(wait)
            wait = min(wait * 2, 0.05)

    def _check_explicit(self, error: Exception) -> None:
        """Raise NotExplicit if the server loads and unloads nothing when it is asked."""
        if "explicit model load / unload is not allowed" in str(error):
            raise NotExplicit(
                f"{self.description} loads and unloads no models when it is asked: "
                f"{self._running.spec.host.access.hide(str(error))}",
                fix="it has to run with --model-control-mode=explicit",
            ) from None

    def _is_gone(self, name: str) -> bool:
        if self.grpc:  # a connection that there is already
            models = self.client.get_model_repository_index().models
            states = [model.state for model in models if model.name == name]
        else:
            states = [one.get("state", "") for one in self._api.index() if one["name"] == name]
        if not states:  # a model from outside the repository is in no index
            return not self._loader.is_model_ready(name)
        return all(state in ("", "UNAVAILABLE") for state in states)

    @cached_property
    def _api(self) -> Api:
        api = open_api(self._running.endpoints)
        self._closing.append(api.close)
        return api

    def _look_again(self, name: str) -> Observed:
        from pytest_triton.evidence.observe import observe

        seen = observe(self._running, [name])[name]
        if seen.state == "absent" and name in self._configs and self._loader.is_model_ready(name):
            return self._outside(name)
        return seen

    def _outside(self, name: str) -> Observed:
        """A model from outside the repository, which is in no index."""
        from pytest_triton.client.configs import resolved_configs
        from pytest_triton.evidence.resolved_config import groups_of, placement_of

        ((_, config),) = resolved_configs(self._running.endpoints, [name])
        groups = groups_of(config or {})
        placement = placement_of(groups)
        reported = Observation("resolved config", "high", "", placement=placement)
        return Observed.of(READY, [reported], groups)

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
        copied.CopyFrom(self._checked.predicted.completed.get(name, self.models[name].config))
        return copied

    def _dependents_last(self, names: list[str]) -> list[str]:
        """Ensembles after all other models: they need theirs."""
        declared = self._checked.declared
        return sorted(names, key=lambda name: name in declared and declared[name].is_ensemble)
