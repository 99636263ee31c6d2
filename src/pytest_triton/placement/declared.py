"""What a config declares about placement, read once from the protobuf message."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.backends import BACKENDS, Backend, backend_named
from pytest_triton.placement.core_completion import complete
from pytest_triton.placement.data_flow import DataFlow, Signature
from pytest_triton.placement.ensembles import ENSEMBLE
from pytest_triton.placement.fields import field_flaws, set_fields
from pytest_triton.placement.libraries import Runtime, batch_strategy_flaws
from pytest_triton.placement.named_files import NamedFiles
from pytest_triton.placement.polling import (
    agent_flaws,
    poll_flaws,
    version_flaw,
    versions_to_load,
)
from pytest_triton.placement.rate_limits import Resource, resources_of
from pytest_triton.placement.states import state_flaws
from pytest_triton.placement.tensors import io_flaws, overflow_flaws
from pytest_triton.placement.warm_up import warm_up_flaws

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

# Older sequence batchers need an instance that isn't passive.
ONLY_PASSIVE_SEQUENCE = Diagnostic(
    "config",
    "Initialization failed for all sequence-batch scheduler threads",
    "instance_group",
    "a sequence model whose groups are all passive",
    "Delete passive from one of its groups.",
    until=(2, 37, 0),
    code="Internal",
)

DeclaredKind = Literal["AUTO", "GPU", "CPU", "MODEL", "UNKNOWN"]
_KINDS: tuple[DeclaredKind, ...] = ("AUTO", "GPU", "CPU", "MODEL")


_MOST_IDS_SHOWN = 64  # no server has more GPUs


def shortened(ids: Sequence[int], separator: str) -> str:
    """The ids of GPUs as text; of very many, which are a mistake, only the first."""
    if len(ids) <= _MOST_IDS_SHOWN:
        return separator.join(map(str, ids))
    first = separator.join(map(str, ids[:8]))
    return f"{first}{separator}... ({len(ids):,} ids)"


@dataclass(frozen=True)
class OnDisk:
    """What the model's directory adds to its config, for whoever has looked.

    `name`: the directory's. `versions`: its usable version directories. `files`: the entries of
    its first subdirectory in byte order (where Triton looks for the backend), directories with
    a "/" at the end. `has_config`: whether there is a config.pbtxt at all. `named_files`: what
    stands where the config names files (None: nobody has looked). `newer_fields`: the fields in
    its text that not every release knows (None: nobody has looked). `older_flaw`: what older
    releases say of the config as it was, before it was completed. `libraries`: the backends'
    libraries in the model's directory and its versions'. `may_complete`: whether a backend that
    completes configs can do so for this model (python's can't without `auto_complete_config`).
    """

    name: str
    versions: tuple[int, ...] = (1,)
    files: frozenset[str] = frozenset()
    has_config: bool = True
    named_files: NamedFiles | None = None
    newer_fields: tuple[str, ...] | None = None
    older_flaw: Diagnostic | None = None
    libraries: frozenset[str] = frozenset()
    may_complete: bool = True


@dataclass(frozen=True, slots=True)
class DeclaredGroup:
    """One `instance_group` as written; `name` and `count` are empty and 0 when left out.

    `kind` "AUTO" is also a kind that was left out (protobuf can't distinguish them), "UNKNOWN"
    a number that Triton doesn't know (`kind_number`).
    """

    name: str = ""
    kind: DeclaredKind = "AUTO"
    kind_number: int = 0
    count: int = 0
    gpus: tuple[int, ...] = ()
    passive: bool = False
    profile: tuple[str, ...] = ()
    secondary_devices: tuple[tuple[int, int], ...] = ()
    host_policy: str = ""

    @property
    def summary(self) -> str:
        """The group in a few characters: "GPU", "GPU 0,1 x2", "CPU x2", "AUTO"."""
        shown = f"kind {self.kind_number}" if self.kind == "UNKNOWN" else self.kind
        if self.gpus:
            shown += " " + shortened(self.gpus, ",")
        if self.count > 1:
            shown += f" x{self.count}"
        return shown + (" (passive)" if self.passive else "")


@dataclass(frozen=True, slots=True)
class Declared:
    """What one model's config says about where it runs.

    `backend` and `platform` are completed as Triton completes them while polling. `steps` are the
    models of an ensemble's steps, `step_versions` the version that each step asks for: -1 is the
    newest, 0 (also where the step says none) the version 0. `versions` are those that the model
    loads, ascending; none if nobody has looked at its directory, or if that is a flaw. `flaws` is
    what Triton refuses while polling, whatever the hardware; `io_flaws` what it refuses after
    the instance groups, `instance_flaws` when it makes instances that aren't passive,
    `scheduler_flaws` after those. `signature` is what ensembles have to know of the model,
    `data_flow` an ensemble's steps. `runtime` says where the library of its backend is, `agents`
    the repository agents that it wants, `resources` what its instances ask of the rate limiter.
    """

    name: str
    backend: str
    platform: str
    groups: tuple[DeclaredGroup, ...] = ()
    is_ensemble: bool = False
    steps: tuple[str, ...] = ()
    step_versions: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()
    has_config: bool = True
    flaws: tuple[Diagnostic, ...] = field(default=(), repr=False)
    io_flaws: tuple[Diagnostic, ...] = field(default=(), repr=False)
    instance_flaws: tuple[Diagnostic, ...] = field(default=(), repr=False)
    scheduler_flaws: tuple[Diagnostic, ...] = field(default=(), repr=False)
    signature: Signature | None = field(default=None, repr=False)
    data_flow: DataFlow | None = field(default=None, repr=False)
    runtime: Runtime = field(default=Runtime(), repr=False)
    agents: tuple[tuple[str, Diagnostic], ...] = field(default=(), repr=False)
    resources: tuple[tuple[Resource, ...], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, config: ModelConfig, *, on_disk: OnDisk | None = None) -> Declared:
        """Read a config.

        Without `on_disk` the directory is taken to have the config's name, a usable version and
        the model's file.
        """
        directory: str = config.name if on_disk is None else on_disk.name
        files = () if on_disk is None else on_disk.files
        name, backend, platform, _, flaw = complete(config, directory, files)
        if on_disk is None and backend == "tensorflow":
            platform = platform or BACKENDS["tensorflow"].platforms[0]
        newer = on_disk.newer_fields if on_disk is not None else None
        flaws = list(field_flaws(tuple(set_fields(config)) if newer is None else newer, directory))
        if flaw is None and on_disk is not None:
            flaw = on_disk.older_flaw
        if flaw is not None:
            flaws.append(flaw)
        flaws.extend(poll_flaws(config, name, backend, platform, directory, files))
        there: Collection[int] = (1,) if on_disk is None else on_disk.versions
        if on_disk is None and config.HasField("version_policy"):
            there = config.version_policy.specific.versions or there
        versions = versions_to_load(config, there)
        flaw = None if versions else version_flaw(config, name, there)
        if flaw is not None:
            flaws.append(flaw)
        scheduling = config.WhichOneof("scheduling_choice")
        is_ensemble = scheduling == "ensemble_scheduling" or platform == ENSEMBLE
        completes = backend_named(backend).completes and (on_disk is None or on_disk.may_complete)
        named = on_disk.named_files if on_disk is not None else None
        groups = tuple([_group(group) for group in config.instance_group])
        steps = config.ensemble_scheduling.step if is_ensemble else ()
        return cls(
            name=name,
            backend=backend,
            platform=platform,
            groups=groups,
            is_ensemble=is_ensemble,
            steps=tuple([step.model_name for step in steps]),
            step_versions=tuple([step.model_version for step in steps]),
            versions=() if on_disk is None else versions,
            has_config=on_disk is None or on_disk.has_config,
            flaws=tuple(flaws),
            io_flaws=(*io_flaws(config, name, platform, named), *batch_strategy_flaws(config)),
            instance_flaws=tuple(warm_up_flaws(config, name, named)),
            scheduler_flaws=(
                *overflow_flaws(config),
                *state_flaws(config, named),
                *(
                    (ONLY_PASSIVE_SEQUENCE,)
                    if scheduling == "sequence_batching"
                    and groups
                    and all(g.passive for g in groups)
                    else ()
                ),
            ),
            signature=Signature.of(
                config,
                open_inputs=completes and not len(config.input),
                open_outputs=completes and not len(config.output),
            ),
            data_flow=DataFlow.of(config) if is_ensemble else None,
            runtime=Runtime.of(config, backend, on_disk.libraries if on_disk else frozenset()),
            agents=agent_flaws(config),
            resources=resources_of(config),
        )

    @property
    def sound(self) -> Declared:
        """The same model without its flaws, and not held against others: for placement alone."""
        return replace(
            self,
            flaws=(),
            io_flaws=(),
            instance_flaws=(),
            scheduler_flaws=(),
            signature=None,
            data_flow=None,
            runtime=Runtime(),
        )

    @property
    def summary(self) -> str:
        """The declaration in a table's cell: "GPU", "GPU + CPU x2", "AUTO", "nothing"."""
        if self.groups:
            return " + ".join(group.summary for group in self.groups)
        return "ensemble" if self.is_ensemble else "nothing"

    @property
    def pins_gpu(self) -> bool:
        """Whether a group is pinned to GPUs: the model then needs one, or is refused."""
        return any(group.kind == "GPU" for group in self.groups)

    @property
    def can_fall_back(self) -> bool:
        """Whether, without a GPU, an instance that a GPU would have served lands on the CPU."""
        if self.is_ensemble or self._backend.only == "CPU":
            return False
        if not self.groups:
            return self._backend.preferred != "CPU"
        return any(group.kind == "AUTO" and not group.gpus for group in self.groups)

    @property
    def is_explicit(self) -> bool:
        """Whether the config itself says where every instance runs, so that none can fall back.

        A group of KIND_AUTO isn't explicit, though with `gpus` it can't fall back either: it is
        then refused for `KIND_CPU but specifies one or more GPUs`, which nobody means.
        """
        if self.groups:
            return all(group.kind != "AUTO" for group in self.groups)
        return not self.can_fall_back

    @property
    def _backend(self) -> Backend:
        return backend_named(self.backend)


def _group(group: ModelInstanceGroup) -> DeclaredGroup:
    number: int = group.kind
    return DeclaredGroup(
        group.name,
        _KINDS[number] if 0 <= number < 4 else "UNKNOWN",
        number,
        group.count,
        tuple(group.gpus),
        group.passive,
        tuple(group.profile),
        tuple([(device.kind, device.device_id) for device in group.secondary_devices]),
        group.host_policy,
    )
