"""What a config declares about placement, read once from the protobuf message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_triton.placement.backends import (
    BACKENDS,
    Backend,
    backend_named,
    backend_of_file,
    backend_of_files,
    backend_of_platform,
)
from pytest_triton.placement.flaws import (
    ENSEMBLE,
    ONLY_PASSIVE_SEQUENCE,
    Flaw,
    io_flaws,
    poll_flaws,
)

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

DeclaredKind = Literal["AUTO", "GPU", "CPU", "MODEL", "UNKNOWN"]
_KINDS: tuple[DeclaredKind, ...] = ("AUTO", "GPU", "CPU", "MODEL")


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
            words += " " + ",".join(map(str, self.gpus))
        if self.count > 1:
            words += f" x{self.count}"
        return words + (" (passive)" if self.passive else "")


@dataclass(frozen=True, slots=True)
class Declared:
    """What one model's config says about where it runs.

    `backend` and `platform` are completed as Triton completes them while polling. `flaws` is
    what Triton refuses while polling, whatever the hardware; `io_flaws` what it refuses after
    the instance groups, `scheduler_flaws` after the instances.
    """

    name: str
    backend: str
    platform: str
    groups: tuple[DeclaredGroup, ...] = ()
    is_ensemble: bool = False
    steps: tuple[str, ...] = ()
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
        name: str = config.name or (on_disk.name if on_disk is not None else "")
        backend, platform = config.backend, config.platform
        flaws: list[Flaw] = []
        if not backend or backend == "tensorflow" or not platform:
            backend, platform, flaw = _completed(config, name, on_disk)
            if flaw is not None:
                flaws.append(flaw)
        scheduling = config.WhichOneof("scheduling_choice")
        flaws.extend(poll_flaws(config, name, backend, platform))
        if on_disk is not None and name != on_disk.name:
            flaws.append(
                Flaw(
                    "name",
                    f"unexpected directory name '{on_disk.name}' for model '{name}', directory "
                    "name must equal model name",
                )
            )
        if not _has_version(config, on_disk):
            flaws.append(
                Flaw(
                    "version",
                    "at least one version must be available under the version policy of "
                    f"model '{name}'",
                )
            )
        is_ensemble = scheduling == "ensemble_scheduling" or platform == ENSEMBLE
        complete = len(config.input) and len(config.output)
        groups = tuple([_group(group) for group in config.instance_group])
        return cls(
            name=name,
            backend=backend,
            platform=platform,
            groups=groups,
            is_ensemble=is_ensemble,
            steps=(
                tuple(step.model_name for step in config.ensemble_scheduling.step)
                if is_ensemble
                else ()
            ),
            has_config=on_disk is None or on_disk.has_config,
            flaws=tuple(flaws),
            io_flaws=tuple(io_flaws(config, name, platform)) if complete else (),
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


def _completed(
    config: ModelConfig, name: str, on_disk: OnDisk | None
) -> tuple[str, str, Flaw | None]:
    """Backend and platform as core's `AutoCompleteBackendFields` fills them in."""
    backend, platform, file = config.backend, config.platform, config.default_model_filename
    files = on_disk.files if on_disk is not None else frozenset[str]()
    if not platform and backend in ("", "tensorflow"):
        platform = _tensorflow_platform(file, files)
        if not platform and backend and on_disk is None:
            platform = BACKENDS["tensorflow"].platforms[0]
    if not backend:
        guess = backend_of_platform(platform) or backend_of_file(file)
        if guess is None and not platform and not file:
            guess = backend_of_files(files)
        if guess is None and not platform and not file:
            backend = name.partition(".")[2]
            if "." in name:
                return backend, platform, None
            return (
                "",
                "",
                Flaw(
                    "no-backend",
                    f"Invalid model name: Could not determine backend for model '{name}' with no "
                    "backend in model configuration. Expected model name of the form "
                    "'model.<backend_name>'.",
                ),
            )
        backend = guess.name if guess is not None else ""
    if not platform and backend != "tensorflow":
        row = BACKENDS.get(backend)
        if row is not None and row.platforms:
            platform = row.platforms[0]
    return backend, platform, None


def _tensorflow_platform(file: str, files: frozenset[str]) -> str:
    saved_model, graph = BACKENDS["tensorflow"].platforms
    if file:
        return {"model.savedmodel": saved_model, "model.graphdef": graph}.get(file, "")
    if "model.graphdef" in files:
        return graph
    return saved_model if "model.savedmodel/" in files else ""


def _has_version(config: ModelConfig, on_disk: OnDisk | None) -> bool:
    policy = config.version_policy.WhichOneof("policy_choice")
    if policy == "latest" and config.version_policy.latest.num_versions == 0:
        return False
    if policy == "specific":
        wanted = list(config.version_policy.specific.versions)
        # Core takes a version that is named twice for one that is there, whether it is or not.
        return any(on_disk is None or v in on_disk.versions or wanted.count(v) > 1 for v in wanted)
    return on_disk is None or bool(on_disk.versions)
