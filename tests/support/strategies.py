"""Hypothesis strategies for model configs, and a way to draw thousands from them.

A `Case` is one model directory: its config and what else Triton sees of it. `bulk_cases`
draws the directories of a whole repository at once, for tests that ask a real server.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import (
    TYPE_FP32,
    ModelConfig,
    ModelInstanceGroup,
    ModelQueuePolicy,
)

from pytest_triton.placement.backends import BACKENDS
from pytest_triton.placement.declared import Declared, OnDisk
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.predict import ServerTraits, predict

T = TypeVar("T")

AUTO, GPU, CPU, MODEL = range(4)  # the numbers of ModelInstanceGroup.Kind
NAME = "NAME"  # stands in a drawn config where the model's name is to go
STEP = "STEP"  # stands in an ensemble for a model of the same repository
ABSENT_BACKEND = "nosuchbackend"
CUSTOM_BACKENDS = ("mine", "x.y")
MODEL_FILES = tuple(file for backend in BACKENDS.values() for file in backend.model_files)


@dataclass(frozen=True)
class Case:
    """A model to be: `config` None is a directory without config.pbtxt."""

    config: ModelConfig | None
    versions: tuple[int, ...] = (1,)
    files: frozenset[str] = frozenset()
    suffix: str = ""  # what the directory's name ends in, ".mine" names a backend

    def named(self, name: str, steps: Sequence[str] = ()) -> Case:
        """The case as the model `name`, an ensemble's steps filled in with `steps`."""
        if self.config is None:
            return self
        config = ModelConfig()
        config.CopyFrom(self.config)
        config.name = config.name.replace(NAME, name)
        for group in config.instance_group:
            group.name = group.name.replace(NAME, name)
        for index, step in enumerate(config.ensemble_scheduling.step if steps else ()):
            if step.model_name == STEP:
                step.model_name = steps[index % len(steps)]
        return replace(self, config=config)

    def on_disk(self, name: str) -> OnDisk:
        return OnDisk(
            name,
            self.versions,
            self.files if self.versions else frozenset(),
            has_config=self.config is not None,
        )


def _rarely(strategy: st.SearchStrategy[T], otherwise: T, often: int = 8) -> st.SearchStrategy[T]:
    """`strategy` once in about `often`, else `otherwise`."""
    # A number in the middle: Hypothesis likes the ends of a range too much.
    return st.integers(1, often).flatmap(
        lambda n: strategy if n == (often + 1) // 2 else st.just(otherwise)
    )


counts = st.one_of(st.just(0), st.integers(1, 3), _rarely(st.sampled_from([-1, -(2**31), 5]), 0, 3))
gpu_ids = st.one_of(
    st.integers(0, 1),
    st.integers(0, 3),
    _rarely(st.sampled_from([-1, 2**31 - 1, -(2**31), 16]), 0),
)
profiles = st.sampled_from(
    ["0", "1", "12", "-1", "", "one", " 2", "3x", "+4", "0x1", "-0", "٣", "1 2"]
)


@st.composite
def instance_groups(draw: st.DrawFn) -> ModelInstanceGroup:
    group = ModelInstanceGroup()
    group.kind = draw(_rarely(st.sampled_from([4, 9, -1]), None, 20)) or draw(
        st.sampled_from([GPU, AUTO, CPU, GPU, MODEL, GPU, CPU, GPU])
    )
    group.count = draw(counts)
    some_gpus = st.lists(gpu_ids, min_size=1, max_size=4)
    group.gpus.extend(draw(_rarely(some_gpus, [], 4 if group.kind in (AUTO, GPU) else 16)))
    group.name = draw(
        st.sampled_from(["", "", NAME, f"{NAME}_0", f"{NAME}-a b", f"{NAME}[x]", f"{NAME}é"])
    )
    group.passive = draw(_rarely(st.booleans(), False))
    group.profile.extend(draw(_rarely(st.lists(profiles, max_size=2), [])))
    group.host_policy = draw(_rarely(st.sampled_from(["numa_0", "gpu_0", "cpu"]), ""))
    for device in draw(_rarely(st.lists(st.integers(0, 3), max_size=2), [])):
        group.secondary_devices.add(device_id=device)
    if draw(st.integers(0, 7)) == 0:
        group.rate_limiter.priority = 2
        group.rate_limiter.resources.add(name="R1", count=draw(st.integers(0, 9)))
        group.rate_limiter.resources.add(**{"name": "R1", "global": True, "count": 2})
    return group


group_lists = st.lists(instance_groups(), max_size=3)


@st.composite
def backend_fields(draw: st.DrawFn, config: ModelConfig) -> None:
    """Backend, platform and model file name: mostly such as fit, now and then any."""
    platforms = sorted({p for b in BACKENDS.values() for p in b.platforms if p != "torch_aoti"})
    anything = [*BACKENDS, *CUSTOM_BACKENDS, ABSENT_BACKEND, ""]
    how = draw(st.integers(0, 19))
    if how < 15:
        config.backend = draw(st.sampled_from([*BACKENDS, *CUSTOM_BACKENDS, ABSENT_BACKEND]))
        if config.backend == "tensorflow":
            config.platform = draw(st.sampled_from(BACKENDS["tensorflow"].platforms))
    elif how < 18:
        config.platform = draw(st.sampled_from(platforms))
    else:
        config.backend = draw(st.sampled_from(anything))
        config.platform = draw(st.sampled_from([*platforms, "", "", "mine", "ensemble"]))
        config.default_model_filename = draw(
            st.sampled_from(["", "", *(file.rstrip("/") for file in MODEL_FILES), "model.mine"])
        )


@st.composite
def scheduling(draw: st.DrawFn, config: ModelConfig) -> None:
    """Batching fields, right and wrong."""
    sizes = st.lists(st.sampled_from([1, 4, 8, 9, 0, -1]), max_size=2)
    if draw(st.booleans()):
        batching = config.dynamic_batching
        batching.SetInParent()
        batching.preferred_batch_size.extend(draw(sizes))
        batching.priority_levels = draw(st.integers(0, 3))
        batching.default_priority_level = draw(st.integers(0, 3))
        batching.preserve_ordering = draw(st.booleans())
        if draw(st.booleans()):
            policy = batching.priority_queue_policy[draw(st.integers(0, 3))]
            policy.default_timeout_microseconds = draw(st.sampled_from([0, 5]))
            policy.timeout_action = draw(
                st.sampled_from([ModelQueuePolicy.REJECT, ModelQueuePolicy.DELAY])
            )
    else:
        sequence = config.sequence_batching
        sequence.SetInParent()
        if draw(st.booleans()):
            sequence.oldest.preferred_batch_size.extend(draw(sizes))
            sequence.oldest.max_candidate_sequences = 4
        elif draw(st.booleans()):
            sequence.direct.minimum_slot_utilization = draw(st.sampled_from([0.0, 0.5, 1.0, 1.5]))
        for number in range(draw(st.integers(0, 2))):
            control = sequence.control_input.add(
                name=draw(_rarely(st.sampled_from(["", "c0"]), f"c{number}", 4))
            )
            for _ in range(draw(st.integers(0, 2))):
                _add_control(draw, control)
    config.response_cache.enable = draw(_rarely(st.just(True), False))


def _add_control(draw: st.DrawFn, tensor: Any) -> None:
    control = tensor.control.add(kind=draw(st.integers(0, 3)))
    if control.kind == 3:
        control.data_type = draw(st.sampled_from([5, 9, 13, 11, 0]))
    for field, value in (("int32_false_true", 1), ("fp32_false_true", 1.0)):
        size = draw(st.sampled_from([0, 2, 2, 1] if control.kind != 3 else [0, 0, 0, 2]))
        getattr(control, field).extend([value] * size)


@st.composite
def tensors(draw: st.DrawFn, tensor: Any) -> None:
    """One input or output, right or wrong in one of the ways that Triton knows."""
    tensor.name, tensor.data_type = "IN", TYPE_FP32
    tensor.dims.extend([4])
    wrong = draw(_rarely(st.integers(0, 5), None, 5))
    if wrong == 0:
        tensor.name = ""
    elif wrong == 1:
        tensor.data_type = 0
    elif wrong == 2:
        del tensor.dims[:]
    elif wrong == 3:
        tensor.dims.append(draw(st.sampled_from([0, -2, -1, 7])))
    elif wrong == 4:
        tensor.reshape.shape.extend(draw(st.lists(st.sampled_from([1, 2, 4, -1]), max_size=2)))
    elif wrong == 5:
        tensor.is_shape_tensor = True


# What the steps of an ensemble ask for: mostly the newest version, now and then any.
step_versions = st.lists(
    _rarely(st.sampled_from([1, 1, 1, 0, 2, 3, 10, -2]), -1, 4), min_size=3, max_size=3
)


@st.composite
def ensembles(draw: st.DrawFn) -> ModelConfig:
    """An ensemble over models of the repository (`STEP`), right or wrong."""
    config = ModelConfig(platform="ensemble")
    length = draw(st.integers(1, 3))
    config.input.add(name="IN", data_type=TYPE_FP32, dims=[4])
    config.output.add(name="OUT", data_type=TYPE_FP32, dims=[4])
    names = ["IN", "T1", "T2"][:length] + ["OUT"]
    for source, target, version in zip(names, names[1:], draw(step_versions), strict=False):
        step = config.ensemble_scheduling.step.add(model_name=STEP, model_version=version)
        step.input_map["IN"] = source
        step.output_map["OUT"] = target
    flaw = draw(_rarely(st.integers(0, 14), None, 3))
    steps = config.ensemble_scheduling.step
    if flaw == 0:
        config.instance_group.add(kind=draw(st.integers(0, 3)))
    elif flaw == 1:
        config.optimization.SetInParent()
    elif flaw == 2:
        del steps[:]
        config.ensemble_scheduling.SetInParent()
    elif flaw == 3:
        steps[-1].model_name = ""
    elif flaw == 4:
        steps[-1].model_name = "nosuchmodel"
    elif flaw == 5:
        steps[0].input_map.clear()
    elif flaw == 6:
        steps[-1].output_map.clear()
    elif flaw == 7:
        steps[0].input_map["IN"] = "nowhere"
    elif flaw == 8:
        steps[-1].output_map["OUT"] = "IN"
    elif flaw == 9:
        config.input.add(name="unused", data_type=TYPE_FP32, dims=[4])
    elif flaw == 10:
        config.output.add(name="unwritten", data_type=TYPE_FP32, dims=[4])
    elif flaw == 11:
        config.backend = draw(st.sampled_from(["python", "mine", "tensorrt"]))
    elif flaw == 12:
        config.platform = draw(st.sampled_from(["", "onnxruntime_onnx"]))
    elif flaw == 13:
        config.ClearField("ensemble_scheduling")
    elif flaw == 14:
        config.model_warmup.add(name="w", batch_size=0)
    return config


@st.composite
def model_configs(draw: st.DrawFn) -> ModelConfig:
    """Any config that can be written down, ensembles aside."""
    config = ModelConfig()
    draw(backend_fields(config))
    config.instance_group.extend(draw(group_lists))
    config.max_batch_size = draw(st.sampled_from([0, 0, 0, -1, 8, 8, 8, 8]))
    if draw(_rarely(st.just(True), False, 6)):
        draw(scheduling(config))
    if draw(st.integers(1, 3)) == 3:
        for field in ("input", "output"):
            draw(tensors(getattr(config, field).add()))
        for output in config.output:
            output.name = output.name and "OUT"
    policy = draw(_rarely(st.integers(0, 2), None, 16))
    if policy == 0:
        config.version_policy.latest.num_versions = draw(st.integers(0, 2))
    elif policy == 1:
        config.version_policy.specific.versions.extend(
            draw(st.lists(st.integers(1, 3), max_size=2))
        )
    elif policy == 2:
        config.version_policy.all.SetInParent()
    config.model_transaction_policy.decoupled = draw(_rarely(st.just(True), False, 30))
    return config


def _without_early_refusal(case: Case) -> Case:
    """No inputs and outputs for several groups on a backend of one kind.

    Its stand-in refuses mixed kinds before core has looked at inputs, the real one after it.
    """
    if case.config is not None and len(case.config.instance_group) > 1:
        backend = Declared.of(case.config, on_disk=case.on_disk("m")).backend
        if backend in BACKENDS and BACKENDS[backend].only is not None:
            case.config.ClearField("input")
            case.config.ClearField("output")
    return case


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any model directory."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        config = None
    elif kind <= 2:
        config = draw(ensembles())
    else:
        config = draw(model_configs())
    if config is not None:
        config.name = draw(
            _rarely(st.sampled_from(["other", f"{NAME}x"]), NAME, 30) | st.sampled_from(["", NAME])
        )
    files = draw(
        _rarely(
            st.frozensets(st.sampled_from([*MODEL_FILES, "model.onnx/", "x.bin"]), max_size=2),
            frozenset(),
            4 if config is not None else 1,
        )
    )
    return Case(
        config,
        draw(_rarely(st.sampled_from([(), (0,), (1, 2), (3,), (2, 10), (0, 1, 3)]), (1,), 8)),
        files - {"model.onnx/"} if "model.onnx" in files else files,
        draw(_rarely(st.sampled_from([".mine", ".python", ".x.y", ".nosuchbackend"]), "")),
    )


def draw_many(strategy: st.SearchStrategy[T], number: int, seed_: int) -> list[T]:
    """`number` examples of a strategy, the same ones for the same seed."""
    drawn: list[T] = []

    @seed(seed_)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: T) -> None:
        drawn.append(example)

    collect()
    return drawn


@cache
def bulk_cases(number: int, seed_: int) -> tuple[Case, ...]:
    """`number` different cases, quickly: drawn configs crossed with drawn instance groups.

    Those of ensembles are crossed with drawn versions of their steps; they may be alike here, for
    `named` gives them different steps.
    """
    configs = draw_many(cases(), min(number, 800), seed_)
    groups = draw_many(group_lists, min(number, 800), seed_)
    asked = draw_many(step_versions, min(number, 800), seed_)
    chance = random.Random(seed_)
    found: dict[tuple[object, ...], Case] = {}
    while len(found) < number:
        case = chance.choice(configs)
        if case.config is not None:
            config = ModelConfig()
            config.CopyFrom(case.config)
            if config.platform == "ensemble":
                steps = config.ensemble_scheduling.step
                for step, version in zip(steps, chance.choice(asked), strict=False):
                    step.model_version = version
            else:
                del config.instance_group[:]
                config.instance_group.extend(chance.choice(groups))
            case = _without_early_refusal(replace(case, config=config))
        written = None if case.config is None else case.config.SerializeToString()
        twin = len(found) if _is_ensemble(case) else 0
        key = (written, case.versions, case.files, case.suffix, twin)
        found.setdefault(key, case)
    return tuple(found.values())


def named(drawn: Sequence[Case]) -> dict[str, Case]:
    """The cases as the models of one repository, m0, m1, ...; ensembles get some of them.

    An ensemble's steps are mostly models that load on the CPU, now and then any, or an ensemble
    that stands before it (so that there is no circle).
    """
    names = [f"m{index}{case.suffix}" for index, case in enumerate(drawn)]
    fitting = [
        (name, case)
        for name, case in zip(names, drawn, strict=True)
        if _fits_a_step(case) and not _is_ensemble(case)
    ]
    steps = [name for name, _ in fitting]
    sound = [name for name, case in fitting if _loads(name, case)] or steps
    inner: list[str] = []
    chance = random.Random(len(drawn))
    models: dict[str, Case] = {}
    for name, case in zip(names, drawn, strict=True):
        among = sound if chance.random() < 0.8 else steps
        chosen = chance.choices(among, k=chance.randint(1, 3)) if among else []
        if inner and chance.random() < 0.2:
            chosen[:1] = [chance.choice(inner)]
        models[name] = case.named(name, chosen)
        if _is_ensemble(case) and _fits_a_step(case):
            inner.append(name)
    return models


def _loads(name: str, case: Case) -> bool:
    config = case.named(name).config
    traits = ServerTraits(backends=frozenset({*BACKENDS, *CUSTOM_BACKENDS}))
    return (
        config is not None
        and predict(config, NO_GPU, server=traits, on_disk=case.on_disk(name)).ready
    )


def _is_ensemble(case: Case) -> bool:
    return case.config is not None and case.config.platform == "ensemble"


def _fits_a_step(case: Case) -> bool:
    """Whether the model takes and gives what the ensembles here hand on."""
    config = case.config
    if config is None or config.max_batch_size:
        return False
    if config.WhichOneof("scheduling_choice") not in (None, "ensemble_scheduling"):
        return False
    tensors = [*config.input, *config.output]
    return (
        [tensor.name for tensor in tensors] == ["IN", "OUT"]
        and all(list(t.dims) == [4] and not t.HasField("reshape") for t in tensors)
        and not config.model_transaction_policy.decoupled
    )
