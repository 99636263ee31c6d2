"""The checks that Triton's core makes on a completed config while it polls the repository.

Source: core's `ValidateModelConfig` (model_config_utils.cc) and `InitializeModelInfo`
(model_repository_manager.cc), r23.04 to r26.06.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytest_triton.diagnostics.diagnostic import NEVER, Diagnostic, Version
from pytest_triton.placement.backend_names import meant_backend
from pytest_triton.placement.backends import (
    AOTI_NAMES,
    AOTI_RELEASE,
    BACKENDS,
    backend_of_platform,
)
from pytest_triton.placement.ensembles import ENSEMBLE, ensemble_flaws
from pytest_triton.placement.placeholders import PLACEHOLDER, placeholder_fix
from pytest_triton.placement.variant_names import model_of_variant

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

# From this release on, `platform` is free where the backend isn't one of the platforms' own.
FREE_PLATFORM: Version = (2, 36, 0)
RESPONSE_CACHE_CHECK: Version = (2, 38, 0)
MODEL_METRICS: Version = (2, 52, 0)
# From this release on, core knows whose platform this is; it refuses it all the same.
_LIBTORCH = "libtorch"
LIBTORCH_KNOWN: Version = (2, 68, 0)


def poll_flaws(
    config: ModelConfig,
    name: str,
    backend: str,
    platform: str,
    directory: str,
    files: Collection[str] = (),
) -> Iterator[Diagnostic]:
    """What polling refuses, in order; name, backend and platform are the completed ones.

    `files` are those of a version's directory (directories end in "/"), for the fix only.
    """
    scheduling = config.WhichOneof("scheduling_choice")
    yield from _platform_flaws(name, backend, platform, files)
    if config.max_batch_size < 0:
        yield Diagnostic(
            "config",
            f"'max_batch_size' must be non-negative value for {name}",
            "max_batch_size",
            f"max_batch_size is {config.max_batch_size}",
            "Write 0 for a model that doesn't batch.",
        )
    if scheduling == "dynamic_batching":
        yield from _dynamic_batching_flaws(config, name)
    elif scheduling == "sequence_batching":
        yield from _sequence_batching_flaws(config, name)
    elif scheduling == "ensemble_scheduling" or platform == ENSEMBLE:
        yield from islice(ensemble_flaws(config, name, platform), 1)
    if config.model_transaction_policy.decoupled and config.response_cache.enable:
        yield decoupled_cache_flaw(name)
    yield from metrics_flaws(config)
    if name != directory:
        yield Diagnostic(
            "name",
            f"unexpected directory name '{directory}' for model '{name}', directory name must "
            "equal model name",
            "name",
            f"the model is called `{name}`, its directory `{directory}`",
            _name_fix(name, directory),
        )


def _name_fix(name: str, directory: str) -> str:
    if PLACEHOLDER.fullmatch(name):
        return f"It is a template's placeholder. {placeholder_fix(name)}"
    if name and name == model_of_variant(directory):
        return (
            "Model Analyzer writes variants so, and loads them by their model's name. To serve "
            f"this one as `{name}`, copy its directory with links followed (cp -rL) and call the "
            f'copy `{name}`; to serve it beside others, write name: "{directory}".'
        )
    return f'Write name: "{directory}", leave the name out, or rename the directory.'


def decoupled_cache_flaw(name: str) -> Diagnostic:
    return Diagnostic(
        "config",
        f"Response Cache does not currently support model {name} with 'decoupled' "
        "transaction policy. Please disable the response cache.",
        "response_cache",
        "a decoupled model can't use the response cache",
        "Delete response_cache, or decoupled from model_transaction_policy.",
    )


def agent_flaws(config: ModelConfig) -> tuple[tuple[str, Diagnostic], ...]:
    """The repository agents that a config wants, with what a server says that lacks one."""
    return tuple(
        (
            agent.name,
            Diagnostic(
                "agent-missing",
                f"unable to find 'libtritonrepoagent_{agent.name}.so' for repo agent "
                f"'{agent.name}', searched: /opt/tritonserver/repoagents",
                f"model_repository_agents.agents[{index}].name",
                f"this server has no repository agent `{agent.name}`",
                "NVIDIA's images have `checksum`; the releases that pytest-triton installs have "
                "none. Check this model in a container (--triton-image).",
            ),
        )
        for index, agent in enumerate(config.model_repository_agents.agents)
    )


def metrics_flaws(config: ModelConfig) -> Iterator[Diagnostic]:
    """What is refused in `model_metrics`."""
    if "model_metrics" not in config.DESCRIPTOR.fields_by_name:
        return  # of an older tritonclient, which can't read it either
    for index, control in enumerate(config.model_metrics.metric_control):
        place = f"model_metrics.metric_control[{index}]"
        text, field = "", place
        if not control.HasField("metric_identifier"):
            text = "metric control must specify 'metric_identifier'"
        elif not control.metric_identifier.family:
            text = "metric identifier must specify non-empty 'family'"
            field = f"{place}.metric_identifier"
        elif not control.HasField("histogram_options"):
            text = "metric control must specify 'histogram_options'"
        elif not len(control.histogram_options.buckets):
            text = "histogram options must specify non-empty 'buckets'"
            field = f"{place}.histogram_options"
        if text:
            yield Diagnostic(
                "config",
                text,
                field,
                f"metric_control {index} is not complete: {text}",
                "Write metric_identifier { family: ... } and histogram_options { buckets: "
                "[ ... ] }.",
                since=MODEL_METRICS,
            )


def versions_to_load(config: ModelConfig, there: Collection[int]) -> tuple[int, ...]:
    """The versions that the version policy chooses of those that are there, ascending."""
    if not config.HasField("version_policy"):
        return (max(there),) if there else ()
    policy = config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        wanted = list(policy.specific.versions)
        # Core takes a version that is named twice for one that is there, whether it is or not.
        return tuple(sorted({v for v in wanted if v in there or wanted.count(v) > 1}))
    versions = tuple(sorted(there))
    if choice == "all":
        return versions
    count = policy.latest.num_versions if choice == "latest" else 1
    return versions[-count:] if count else ()


def version_flaw(config: ModelConfig, name: str, there: Collection[int]) -> Diagnostic | None:
    """The refusal of a model without a version to load, which comes after polling."""
    if versions_to_load(config, there):
        return None
    field = "version_policy"
    message = "the version policy chooses none of the versions that are there"
    fix = f"Choose of those that are there: {', '.join(map(str, sorted(there)[-10:])) or 'none'}."
    if there and config.version_policy.WhichOneof("policy_choice") == "latest":
        field, message = "version_policy.latest", "the version policy takes the latest 0 versions"
        fix = "Write latest { num_versions: 1 }, or leave version_policy out."
    return Diagnostic(
        "version",
        f"at least one version must be available under the version policy of model '{name}'",
        field,
        message,
        fix,
    )


def unexpected_platform(platform: str, name: str, until: Version = NEVER) -> Diagnostic:
    meant = meant_backend(platform)
    place = " in place of the platform" if platform else ""
    which = (
        "" if meant else f"{',' * bool(place)} with the name of the backend that runs this model"
    )
    return Diagnostic(
        "no-backend",
        f"unexpected platform type '{platform}' for {name}",
        "platform" if platform else "default_model_filename",
        f"no backend is named, and platform `{platform}` doesn't stand for one",
        f'Write backend: "{meant or "..."}"{place}{which}.',
        until=until,
    )


def _platform_flaws(
    name: str, backend: str, platform: str, files: Collection[str]
) -> Iterator[Diagnostic]:
    if not backend:
        if platform == _LIBTORCH:
            pair = _odd_pair(platform, "pytorch", BACKENDS["pytorch"].platforms[:1], files)
            older = unexpected_platform(platform, name, LIBTORCH_KNOWN)
            yield older
            yield replace(pair, fix=older.fix, since=LIBTORCH_KNOWN)
        elif platform != ENSEMBLE:
            yield unexpected_platform(platform, name)
        return
    if platform == ENSEMBLE:
        yield Diagnostic(
            "ensemble",
            f"Ensemble model '{name}' must have platform type '{platform}' and empty backend type",
            "backend",
            f"an ensemble has no backend, and this one names `{backend}`",
            "Delete the backend.",
        )
        return
    row = BACKENDS.get(backend)
    if row is not None and row.platforms:
        if platform not in row.platforms:
            yield _odd_pair(platform, backend, row.platforms, files)
        elif platform in AOTI_NAMES:
            yield _odd_pair(platform, backend, row.platforms[:1], files, AOTI_RELEASE)
    elif platform not in AOTI_NAMES and backend_of_platform(platform) is not None:
        yield _odd_pair(platform, backend, (), files, FREE_PLATFORM)


def _odd_pair(
    platform: str,
    backend: str,
    fitting: tuple[str, ...],
    files: Collection[str],
    until: Version = NEVER,
) -> Diagnostic:
    return Diagnostic(
        "config",
        f"unexpected 'platform' and 'backend' pair, got:{platform}, {backend}",
        "platform",
        f"backend `{backend}` and platform `{platform}` don't belong together",
        _pair_fix(platform, backend, fitting, files),
        until=until,
    )


def _pair_fix(platform: str, backend: str, fitting: tuple[str, ...], files: Collection[str]) -> str:
    """Which of the two to keep: the one that the model's files are for."""
    known = backend_of_platform(platform)
    other = meant_backend(platform) if known is None else known.name
    if other not in ("", backend):
        write = f'rite backend: "{other}"' + " and delete the platform" * (known is None)
        if not _has_file(backend, files):
            if _has_file(other, files):
                return f"The model's file is for {other}: w{write}."
            return f"Delete the platform if the model is for {backend}. If not, w{write}."
    elif known is None:
        return f"Platforms of {backend}: {', '.join(fitting)}; or delete the platform."
    return "Delete the platform: the backend says enough."


def _has_file(backend: str, files: Collection[str]) -> bool:
    row = BACKENDS.get(backend)
    return row is not None and any(one in files or f"{one}/" in files for one in row.model_files)


def _preferred_size_flaws(
    sizes: Collection[int], most: int, name: str, field: str, message: str
) -> Iterator[Diagnostic]:
    for index, size in enumerate(sizes):
        if 0 < size <= most:
            continue
        yield Diagnostic(
            "config",
            f"{message} must be {'positive' if size <= 0 else '<= max batch size'} for {name}",
            f"{field}[{index}]",
            f"a preferred batch size of {size}, with max_batch_size {most}",
            "Write sizes from 1 to max_batch_size" + (", or raise that." if size > 0 else "."),
        )


def _dynamic_batching_flaws(config: ModelConfig, name: str) -> Iterator[Diagnostic]:
    batching = config.dynamic_batching
    yield from _preferred_size_flaws(
        batching.preferred_batch_size,
        config.max_batch_size,
        name,
        "dynamic_batching.preferred_batch_size",
        "dynamic batching preferred size",
    )
    levels, default = batching.priority_levels, batching.default_priority_level
    if levels:
        if not 1 <= default <= levels:
            yield Diagnostic(
                "config",
                f"default priority level must be in range [1, {levels}] for {name}",
                f"dynamic_batching.{'default_priority_level' if default else 'priority_levels'}",
                f"default_priority_level is {default}, of {levels} levels",
                f"Write a default_priority_level from 1 to {levels}.",
            )
        if any(not 1 <= level <= levels for level in batching.priority_queue_policy):
            yield Diagnostic(
                "config",
                f"priority queue policy must have priority level in range [1, {levels}] for {name}",
                "dynamic_batching.priority_queue_policy",
                f"a priority_queue_policy for a level that isn't there, of {levels}",
                f"Levels count from 1 to {levels}.",
            )
    if batching.preserve_ordering:
        field, fix = "dynamic_batching.preserve_ordering", "Delete one of the two."
        if levels > 1:
            yield Diagnostic(
                "config",
                f"Only one priority level is allowed when 'preserve_ordering' is true for {name}",
                field,
                "preserve_ordering leaves no room for several priority levels",
                fix,
            )
        policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
        delay = batching.default_queue_policy.DELAY
        if any(p.default_timeout_microseconds and p.timeout_action == delay for p in policies):
            yield Diagnostic(
                "config",
                "Queue policy can not have DELAY as timeout action when "
                f"'preserve_ordering' is true for {name}",
                field,
                "preserve_ordering leaves no room for timeout_action DELAY",
                fix,
            )


def _sequence_batching_flaws(config: ModelConfig, name: str) -> Iterator[Diagnostic]:
    batching = config.sequence_batching
    if config.response_cache.enable:
        yield Diagnostic(
            "config",
            f"Response Cache does not currently support model {name} with sequence batching "
            "scheduler. Please disable the response cache.",
            "response_cache",
            "sequence batching can't use the response cache",
            "Delete response_cache.",
            since=RESPONSE_CACHE_CHECK,
        )
    yield from islice(_control_flaws(batching, name), 1)
    which = batching.WhichOneof("strategy_choice")
    if which == "oldest":
        yield from _preferred_size_flaws(
            batching.oldest.preferred_batch_size,
            config.max_batch_size,
            name,
            "sequence_batching.oldest.preferred_batch_size",
            "sequence batching preferred batch size",
        )
    slots = batching.direct.minimum_slot_utilization
    if which == "direct" and (slots < 0.0 or slots > 1.0):  # core lets nan pass
        yield Diagnostic(
            "config",
            f"sequence batching minimum slot utilization must be in range (0.0, 1.0] for {name}",
            "sequence_batching.direct.minimum_slot_utilization",
            f"minimum_slot_utilization is {slots:g}",
            "Write a number from 0.0 to 1.0.",
        )


# ModelSequenceBatching.Control.Kind: the numbers of the proto, in the order of the checks.
_CONTROLS = (
    (0, "CONTROL_SEQUENCE_START"),
    (2, "CONTROL_SEQUENCE_END"),
    (1, "CONTROL_SEQUENCE_READY"),
    (3, "CONTROL_SEQUENCE_CORRID"),
)
_CORRID = 3
_CORRID_TYPES = (4, 5, 8, 9, 13)  # UINT32, UINT64, INT32, INT64, STRING
_CORRID_FIX = "Write no values, and a data_type of TYPE_(U)INT32, TYPE_(U)INT64 or TYPE_STRING."
_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")


def _control_flaws(batching: Any, name: str) -> Iterator[Diagnostic]:
    """All that is wrong with control inputs; core goes through them once for each kind."""
    for kind, label in _CONTROLS:
        tensors: set[str] = set()
        seen = False
        odd_type: Diagnostic | None = None  # core looks at it behind all others
        for index, tensor in enumerate(batching.control_input):
            field = f"sequence_batching.control_input[{index}]"
            if not tensor.name:
                yield Diagnostic(
                    "config",
                    f"sequence batching control tensor must have a name for {name}",
                    field,
                    "a control_input without a name",
                    "Write the name of the model's input that takes it.",
                )
            if tensor.name in tensors:
                yield Diagnostic(
                    "config",
                    f"sequence batching control tensor '{tensor.name}' is specified for multiple "
                    f"control kinds for {name}",
                    f"{field}.name",
                    f"`{tensor.name}` is a control_input twice",
                    "Give each control_input a name of its own.",
                )
            tensors.add(tensor.name)
            for number, control in enumerate(tensor.control):
                if control.kind != kind:
                    continue
                if seen:
                    yield Diagnostic(
                        "config",
                        f"sequence batching specifies multiple {label} tensors for {name}",
                        f"{field}.control[{number}]",
                        f"a second control of kind {label}",
                        "Delete one of the two.",
                    )
                seen = True
                for message, fix in _control_value_flaws(control, kind, label, name):
                    yield Diagnostic(
                        "config",
                        message,
                        f"{field}.control[{number}]",
                        f"the values of {label} are not what it takes",
                        fix,
                    )
                odd_type = None
                if kind == _CORRID and control.data_type not in _CORRID_TYPES:
                    odd_type = Diagnostic(
                        "config",
                        f"unexpected data type for control {label} for {name}. Allowed data types "
                        "are TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
                        f"{field}.control[{number}].data_type",
                        f"the data_type of {label} is not what it takes",
                        _CORRID_FIX,
                    )
        if odd_type is not None:
            yield odd_type


def _control_value_flaws(
    control: Any, kind: int, label: str, name: str
) -> Iterator[tuple[str, str]]:
    """Triton's text about the values of one control, and what to do."""
    given = [choice for choice in _VALUES if len(getattr(control, choice))]
    if kind == _CORRID:
        if given:
            yield (
                "sequence batching must not specify either 'int32_false_true', "
                f"'fp32_false_true' or 'bool_false_true' for {label} for {name}",
                _CORRID_FIX,
            )
        return
    fix = "Write one of them, with two values, such as int32_false_true: [ 0, 1 ]."
    if not given:
        yield (
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
            f"'bool_false_true' for {label} for {name}",
            fix,
        )
    elif len(given) > 1:
        yield (
            "sequence batching specifies more than one from 'int32_false_true', "
            f"'fp32_false_true' and 'bool_false_true' for {label} for {name}",
            fix,
        )
    elif len(getattr(control, given[0])) != 2:
        yield (
            f"sequence batching control '{given[0]}' must have exactly 2 entries for {label} "
            f"for {name}",
            fix,
        )
