"""What a config declares about placement, read once from the protobuf message."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_triton.placement.backends import BACKENDS, Backend, backend_named
from pytest_triton.placement.core_completion import complete
from pytest_triton.placement.ensembles import ENSEMBLE
from pytest_triton.placement.flaws import Flaw
from pytest_triton.placement.polling import poll_flaws, version_flaw, versions_to_load
from pytest_triton.placement.tensors import io_flaws

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

# Older sequence batchers need an instance that isn't passive.
ONLY_PASSIVE_SEQUENCE = Flaw(
    "config",
    "Initialization failed for all sequence-batch scheduler threads",
    until=(2, 37, 0),
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
    a "/" at the end. `has_config`: whether there is a config.pbtxt at all.
    """

    name: str
    versions: tuple[int, ...] = (1,)
    files: frozenset[str] = frozenset()
    has_config: bool = True


@dataclass(frozen=True, slots=True)
class DeclaredGroup:
    """One `instance_group` as written; `name` and `count` are empty and 0 when left out.

    `kind` "AUTO" is also a kind that was left out (protobuf can't tell them apart), "UNKNOWN"
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
        words = f"kind {self.kind_number}" if self.kind == "UNKNOWN" else self.kind
        if self.gpus:
            words += " " + shortened(self.gpus, ",")
        if self.count > 1:
            words += f" x{self.count}"
        return words + (" (passive)" if self.passive else "")


@dataclass(frozen=True, slots=True)
class Declared:
    """What one model's config says about where it runs.

    `backend` and `platform` are completed as Triton completes them while polling. `steps` are the
    models of an ensemble's steps, `step_versions` the version that each step asks for: -1 is the
    newest, 0 (also where the step says none) the version 0. `versions` are those that the model
    loads, ascending; none if nobody has looked at its directory, or if that is a flaw. `flaws` is
    what Triton refuses while polling, whatever the hardware; `io_flaws` what it refuses after
    the instance groups, `scheduler_flaws` after the instances.
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
    flaws: tuple[Flaw, ...] = field(default=(), repr=False)
    io_flaws: tuple[Flaw, ...] = field(default=(), repr=False)
    scheduler_flaws: tuple[Flaw, ...] = field(default=(), repr=False)

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
        flaws = [flaw] if flaw is not None else []
        flaws.extend(poll_flaws(config, name, backend, platform, directory))
        there: Collection[int] = (1,) if on_disk is None else on_disk.versions
        if on_disk is None and config.HasField("version_policy"):
            there = config.version_policy.specific.versions or there
        versions = versions_to_load(config, there)
        flaw = None if versions else version_flaw(config, name, there)
        if flaw is not None:
            flaws.append(flaw)
        scheduling = config.WhichOneof("scheduling_choice")
        is_ensemble = scheduling == "ensemble_scheduling" or platform == ENSEMBLE
        has_tensors = len(config.input) and len(config.output)
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
            io_flaws=tuple(io_flaws(config, name, platform)) if has_tensors else (),
            scheduler_flaws=(
                (ONLY_PASSIVE_SEQUENCE,)
                if scheduling == "sequence_batching" and groups and all(g.passive for g in groups)
                else ()
            ),
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
