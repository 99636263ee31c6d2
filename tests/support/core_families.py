"""Model repositories drawn by kinds of refusal, for tests that ask the real core about them.

Each family draws small groups of models that are mostly right and now and then wrong in one way.
Beside strategies.py, whose cases are about placement.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import BatchInput, ModelConfig, ModelSequenceBatching

INT32, INT64, FP32, STRING = 8, 9, 11, 13
SIZES = {INT32: 4, INT64: 8, FP32: 4}
SLOW = b"slow"  # stands for a large file
COMPLETING, PLAIN = ("onnxruntime", "python"), ("mine", "x.y", "pytorch", "identity")


@dataclass
class Drawn:
    """One model directory: its config's text, and files by relative path."""

    text: str
    files: dict[str, bytes] = field(default_factory=dict)
    versions: tuple[int, ...] = (1,)


Group = dict[str, Drawn]
Family = Callable[[random.Random, str], Group]


def write(repository: Path, models: Mapping[str, Drawn]) -> None:
    for name, drawn in models.items():
        directory = repository / name
        for version in drawn.versions:
            (directory / str(version)).mkdir(parents=True)
        directory.mkdir(exist_ok=True)
        (directory / "config.pbtxt").write_text(drawn.text)
        for path, data in drawn.files.items():
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if data is SLOW:
                with place.open("wb") as file:
                    file.truncate(16 * 2**20)
            else:
                place.write_bytes(data)


def text_of(config: ModelConfig) -> str:
    return str(text_format.MessageToString(config))


def rarely(chance: random.Random, often: int = 4) -> bool:
    return chance.randrange(often) == 0


def base(chance: random.Random, backend: str = "") -> ModelConfig:
    """A model with an input and an output, X and Y, that loads on the CPU."""
    config = ModelConfig(backend=backend or chance.choice(PLAIN + COMPLETING))
    config.max_batch_size = chance.choice([0, 0, 1, 4, 8])
    config.input.add(name="X", data_type=FP32, dims=[4])
    config.output.add(name="Y", data_type=FP32, dims=[4])
    config.instance_group.add(kind=2, count=1)
    return config


# --- ensembles over several models -----------------------------------------------------------

_DIMS = ([4], [-1], [1, 4], [-1, 4], [4, 2], [8], [1])


def ensembles(chance: random.Random, prefix: str) -> Group:
    """Up to three models, an ensemble over them, and now and then an ensemble over that."""
    group: Group = {}
    configs: dict[str, ModelConfig] = {}
    common_type, common_dims = chance.choice([FP32, INT64, STRING]), chance.choice(_DIMS)
    batch = chance.choice([0, 4, 4, 8])
    length = chance.randint(1, 3)
    for number in range(length):
        name = f"{prefix}s{number}"
        config = configs[name] = _step_model(chance, common_type, list(common_dims), batch)
        group[name] = Drawn(text_of(config))
    name = f"{prefix}e"
    inner = configs[name] = _ensemble(
        chance, list(configs), configs, common_type, common_dims, batch
    )
    group[name] = Drawn(text_of(inner))
    if rarely(chance, 3):
        steps = [name, *chance.sample(list(configs)[:-1], chance.randint(0, 1))]
        outer = _ensemble(chance, steps, configs, common_type, common_dims, batch)
        group[f"{prefix}f"] = Drawn(text_of(outer))
    return group


def _step_model(chance: random.Random, data_type: int, dims: list[int], batch: int) -> ModelConfig:
    config = ModelConfig(backend=chance.choice(PLAIN + COMPLETING))
    config.max_batch_size = batch
    config.instance_group.add(kind=2, count=1)
    for number in range(chance.choice([1, 1, 2])):
        tensor = config.input.add(name=f"I{number}", data_type=data_type, dims=dims)
        tensor.optional = number > 0 and rarely(chance, 2)
    for number in range(chance.choice([1, 1, 2])):
        config.output.add(name=f"O{number}", data_type=data_type, dims=dims)
    config.model_transaction_policy.decoupled = rarely(chance, 5)
    wrong = chance.randrange(24)
    tensor = chance.choice([*config.input, *config.output])
    if wrong == 0:
        tensor.data_type = chance.choice([FP32, INT64, STRING])
    elif wrong == 1:
        tensor.dims[:] = chance.choice(_DIMS)
    elif wrong == 2:
        config.max_batch_size = chance.choice([0, 1, 4, 16])
    elif wrong == 3 and -1 not in dims:
        count = 1
        for dim in dims:
            count *= dim
        tensor.reshape.shape.extend([count])
    elif wrong == 4:
        config.max_batch_size = 0
        for one in (*config.input, *config.output):
            one.dims.insert(0, -1)
    return config


def _ensemble(
    chance: random.Random,
    steps: list[str],
    configs: Mapping[str, ModelConfig],
    data_type: int,
    dims: list[int],
    batch: int,
) -> ModelConfig:
    config = ModelConfig(platform="ensemble", max_batch_size=batch)
    known = ["IN"]
    written: list[str] = []
    read: set[str] = set()
    for index, name in enumerate(steps):
        model = configs[name]
        step = config.ensemble_scheduling.step.add(model_name=name, model_version=-1)
        for tensor in model.input:
            if tensor.optional and rarely(chance, 2):
                continue
            step.input_map[tensor.name] = known[-1] if rarely(chance, 2) else chance.choice(known)
            read.add(step.input_map[tensor.name])
        for tensor in model.output:
            if len(step.output_map) and rarely(chance, 2):
                continue
            step.output_map[tensor.name] = f"T{index}{tensor.name}"
        written += step.output_map.values()
        known += step.output_map.values()
    config.input.add(name="IN", data_type=data_type, dims=dims)
    for number, name in enumerate(
        name for name in written if name not in read or name == known[-1]
    ):
        if number == 0 or name not in read:
            config.output.add(name=name, data_type=data_type, dims=dims)
    _spoil_ensemble(chance, config)
    config.response_cache.enable = rarely(chance, 8)
    return config


def _spoil_ensemble(chance: random.Random, config: ModelConfig) -> None:
    wrong = chance.randrange(20)
    step = chance.choice(config.ensemble_scheduling.step)
    if wrong == 0:
        config.max_batch_size = chance.choice([0, 2, 16])
    elif wrong == 1 and step.input_map:
        key = chance.choice(sorted(step.input_map))
        step.input_map["NOTHERE"] = step.input_map[key]
        del step.input_map[key]
    elif wrong == 2 and step.output_map:
        key = chance.choice(sorted(step.output_map))
        step.output_map["NOTHERE"] = step.output_map[key]
        del step.output_map[key]
    elif wrong == 3 and len(step.input_map) > 1:
        del step.input_map[chance.choice(sorted(step.input_map))]
    elif wrong == 4:
        config.input[0].data_type = chance.choice([FP32, INT64, STRING])
    elif wrong == 5:
        config.input[0].dims[:] = chance.choice(_DIMS)
    elif wrong == 6 and config.output:
        config.output[0].dims[:] = chance.choice(_DIMS)
    elif wrong == 7 and -1 not in config.input[0].dims:
        count = 1
        for dim in config.input[0].dims:
            count *= dim
        config.input[0].reshape.shape.extend([1, count])
    elif wrong == 8:
        step.model_version = chance.choice([1, 2])
    elif wrong == 9 and config.output:
        config.output[0].data_type = 0
    elif wrong == 10:
        config.input[0].dims[:] = []


# --- warm-up ---------------------------------------------------------------------------------


def warm_up(chance: random.Random, prefix: str) -> Group:
    config = base(chance)
    files: dict[str, bytes] = {}
    config.input[0].data_type = chance.choice([FP32, INT64, INT32, STRING])
    config.input[0].dims[:] = chance.choice(_DIMS)
    if rarely(chance):
        config.input.add(name="Z", data_type=INT32, dims=[2], optional=rarely(chance, 2))
    if rarely(chance, 6) and -1 not in config.input[0].dims:
        count = 1
        for dim in config.input[0].dims:
            count *= dim
        config.input[0].reshape.shape.extend([count])
    if rarely(chance, 8):
        config.instance_group[0].passive = True
    if rarely(chance, 8):
        config.sequence_batching.SetInParent()
    for number in range(chance.choice([1, 1, 2])):
        sample = config.model_warmup.add(name=f"w{number}")
        sample.batch_size = chance.choice([0, 1, 1, 1, 1, 2, 9])
        for tensor in config.input:
            if not rarely(chance, 10):
                _add_sample(chance, sample, tensor, files)
        if rarely(chance, 10):
            sample.inputs["other"].zero_data = True
            sample.inputs["other"].dims.extend([1])
    return {f"{prefix}w": Drawn(text_of(config), files)}


def _add_sample(chance, sample, tensor, files) -> None:  # type: ignore[no-untyped-def]
    key = tensor.name if not rarely(chance, 14) else chance.choice(["x", "INPUT"])
    value = sample.inputs[key]
    value.data_type = tensor.data_type
    value.dims.extend(chance.choice([1, 3]) if dim == -1 else dim for dim in tensor.dims)
    wrong = chance.randrange(14)
    if wrong == 0:
        value.data_type = chance.choice([FP32, INT64, STRING, 1])
    elif wrong == 1:
        value.dims[:] = chance.choice([[-1], [3], [4, 4], [4], []])
    elif wrong == 2:
        value.dims[0] = 0
    how = chance.randrange(8)
    if how < 3:
        value.zero_data = True
    elif how < 5:
        value.random_data = True
    elif how < 7:
        value.input_data_file = f"raw_{tensor.name}"
        data = _sample_data(value)
        place = f"warmup/{value.input_data_file}"
        spoilt = chance.randrange(6)
        if spoilt == 0:
            place = value.input_data_file
        elif spoilt == 1:
            data = data[: len(data) // 2]
        elif spoilt == 2:
            data += b"\0\0\0\0"
        files[place] = data
    elif rarely(chance, 2):
        value.zero_data = True


def _sample_data(value) -> bytes:  # type: ignore[no-untyped-def]
    count = 1
    for dim in value.dims:
        count *= max(dim, 0)
    if value.data_type == STRING:
        return b"".join(struct.pack("<I", 3) + b"abc" for _ in range(count))
    return b"\1" * (count * SIZES.get(value.data_type, 1))


# --- sequence states -------------------------------------------------------------------------


def states(chance: random.Random, prefix: str) -> Group:
    config = base(chance)
    files: dict[str, bytes] = {}
    batching = config.sequence_batching
    chance.choice([batching, batching.oldest, batching.direct]).SetInParent()
    # Core often crashes on a model that it refuses as soon as its instance's thread has started:
    # that gets the time that it takes to read a large file.
    slow = batching.state.add(input_name="SLOW", output_name="SLOW", data_type=STRING, dims=[1])
    slow.initial_state.add(name="slow", data_type=STRING, dims=[1], data_file="slow.bin")
    files["initial_state/slow.bin"] = SLOW
    for number in range(chance.choice([1, 1, 2])):
        state = batching.state.add(
            input_name=f"S{number if not rarely(chance, 6) else 0}",
            output_name=f"T{number}",
            data_type=chance.choice([FP32, STRING, INT64]),
            dims=chance.choice([[4], [-1], [2, 2]]),
        )
        for _ in range(chance.choice([0, 1, 1, 1, 1, 2])):
            _add_initial(chance, state, files)
    return {f"{prefix}t": Drawn(text_of(config), files)}


def _add_initial(chance, state, files) -> None:  # type: ignore[no-untyped-def]
    dims = [3 if dim == -1 else dim for dim in state.dims]
    initial = state.initial_state.add(data_type=state.data_type, dims=dims)
    initial.name = "" if rarely(chance, 10) else "start"
    wrong = chance.randrange(8)
    if wrong == 0:
        initial.data_type = chance.choice([FP32, INT32])
    elif wrong == 1:
        initial.dims[:] = chance.choice([[4], [-1], [1, 4], []])
    how = chance.randrange(6)
    if how < 2:
        initial.zero_data = True
    elif how < 5:
        initial.data_file = "start.bin"
        count = 1
        for dim in initial.dims:
            count *= max(dim, 0)
        data = b"\1" * (count * SIZES.get(initial.data_type, 4))
        place = chance.choice(["initial_state/start.bin"] * 3 + ["start.bin", "1/start.bin"])
        files[place] = data if not rarely(chance) else data[:-1]


# --- inputs and outputs ----------------------------------------------------------------------


def tensors(chance: random.Random, prefix: str) -> Group:
    """Batch I/O, reshapes, formats, labels."""
    config = base(chance)
    files: dict[str, bytes] = {}
    for number in range(chance.choice([0, 1, 1, 2])):
        one = config.batch_input.add(kind=chance.choice([0, 1, 2, 3, 4, 5]))
        one.target_name.append(f"B{number}")
        one.data_type = chance.choice([FP32, INT32, INT32, FP32, INT64])
        one.source_input.extend(chance.choice([["X"], ["X"], ["X"], ["Z"], [], ["X", "X"]]))
    if rarely(chance, 2):
        out = config.batch_output.add(kind=0)
        out.target_name.extend(chance.choice([["Y"], ["Y"], ["Z"], ["Y", "Y"], []]))
        out.source_input.extend(chance.choice([["X"], ["X"], ["Z"], []]))
    for tensor in (*config.input, *config.output):
        wrong = chance.randrange(10)
        if wrong == 0:
            tensor.dims[:] = chance.choice(
                [[2, -1], [-1, -1], [-1, 3, 2], [6], [1], [2**40, 2**40]]
            )
            tensor.reshape.shape.extend(
                chance.choice([[-1, 2], [-1], [2, 3], [], [3, -1, 2], [0], [2**40], [-1, 6]])
            )
        elif wrong == 1:
            tensor.dims[:] = chance.choice([[], [0], [-2, 3], [4, -1, 0], [2**62, 4, 4]])
        elif wrong == 2:
            tensor.data_type = 0
        elif wrong == 3:
            tensor.name = ""
        elif wrong == 4:
            tensor.is_shape_tensor = True
    if rarely(chance, 3):
        config.input[0].format = chance.choice([1, 2])
        if rarely(chance, 2):
            config.input[0].dims[:] = [3, 8, 8]
    if rarely(chance, 4):
        config.output[0].label_filename = "labels.txt"
        if rarely(chance, 2):
            files["labels.txt"] = b"cat\n"
    if rarely(chance, 10):
        config.ClearField("output")
    if rarely(chance, 10):
        config.ClearField("input")
    return {f"{prefix}i": Drawn(text_of(config), files)}


# --- schedulers, the response cache, parameters ----------------------------------------------


def schedulers(chance: random.Random, prefix: str) -> Group:
    config = base(chance)
    config.response_cache.enable = rarely(chance, 3)
    config.model_transaction_policy.decoupled = rarely(chance, 4)
    if rarely(chance, 2):
        batching = config.dynamic_batching
        batching.SetInParent()
        batching.preferred_batch_size.extend(chance.sample([0, 1, 4, 9], chance.randint(0, 2)))
        batching.priority_levels = chance.choice([0, 0, 1, 2])
        batching.default_priority_level = chance.choice([0, 1, 2])
        batching.preserve_ordering = rarely(chance, 3)
        batching.default_queue_policy.timeout_action = chance.choice([0, 1])
        batching.default_queue_policy.default_timeout_microseconds = chance.choice([0, 9])
        for level in chance.sample([0, 1, 2, 3], chance.randint(0, 2)):
            policy = batching.priority_queue_policy[level]
            policy.timeout_action = chance.choice([0, 1])
            policy.default_timeout_microseconds = chance.choice([0, 9])
    else:
        sequence = config.sequence_batching
        sequence.SetInParent()
        if rarely(chance, 2):
            sequence.oldest.preferred_batch_size.extend(chance.sample([0, 1, 4, 9], 1))
        elif rarely(chance, 2):
            sequence.direct.minimum_slot_utilization = chance.choice([0.0, 1.0, 1.5, -0.5])
        kinds = ModelSequenceBatching.Control
        for number in range(chance.choice([0, 1, 2])):
            control = sequence.control_input.add(name=chance.choice([f"C{number}", "C0", ""]))
            for _ in range(chance.choice([1, 1, 2])):
                one = control.control.add(kind=chance.choice([0, 1, 2, 3]))
                if one.kind == kinds.CONTROL_SEQUENCE_CORRID:
                    one.data_type = chance.choice([5, 9, 13, FP32, 0])
                else:
                    one.int32_false_true.extend(chance.choice([[0, 1], [0, 1], [0], []]))
                    one.fp32_false_true.extend(chance.choice([[], [], [0.0, 1.0]]))
                    one.bool_false_true.extend(chance.choice([[], [], [False, True]]))
        if rarely(chance, 6):
            config.parameters["TRITON_BATCH_STRATEGY_PATH"].string_value = "/nowhere/lib.so"
        if rarely(chance, 6):
            config.instance_group[0].passive = True
    return {f"{prefix}d": Drawn(text_of(config))}


# --- fields that not every release knows, backends' names ------------------------------------

_FIELDS = (
    "sequence_batching { oldest { preserve_ordering: true } }",
    "sequence_batching { oldest { preserve_ordering: false } }",
    'sequence_batching { state { input_name: "S" output_name: "T" data_type: TYPE_FP32 dims: [ 1 ] '
    "use_same_buffer_for_input_output: true } }",
    "sequence_batching { iterative_sequence: true }",
    'runtime: "libtriton_{backend}.so"',
    'runtime: ""',
    "model_metrics { }",
    "model_metrics { metric_control { } }",
    'model_metrics { metric_control { metric_identifier { family: "f" } histogram_options { '
    "buckets: [ 1, 2 ] } } }",
)


def newer_fields(chance: random.Random, prefix: str) -> Group:
    config = base(chance, chance.choice(PLAIN))
    text = text_of(config)
    how = chance.randrange(18)  # a third has none: no release may refuse all of a small draw
    if how < len(_FIELDS):
        text += _FIELDS[how].replace("{backend}", config.backend)
    elif how == 9:
        text = text.replace("input {", "input { is_non_linear_format_io: false", 1)
    elif how == 10:
        text = text.replace("output {", "output { is_non_linear_format_io: true", 1)
    elif how == 11:
        text += 'model_repository_agents { agents { name: "checksum" } }'
    return {f"{prefix}n": Drawn(text)}


def backend_names(chance: random.Random, prefix: str) -> Group:
    names = ("onnx", "trt", "Python", "mine2", "tensorrt_plan", "tensorrt_llm", "${backend}")
    config = base(chance, chance.choice(names + PLAIN))
    if rarely(chance):
        config.runtime = chance.choice(
            ["libtriton_mine.so", "libtriton_none.so", "model.py", f"libtriton_{config.backend}.so"]
        )
    return {f"{prefix}b": Drawn(text_of(config))}


# --- the rate limiter ------------------------------------------------------------------------


def rate_conflicts(chance: random.Random, prefix: str) -> Group:
    """Contradictions within one model only: between two, chance decides which is refused."""
    return _with_resources(chance, prefix, [f"{prefix}R", f"{prefix}S"], both=True)


def rate_limits(chance: random.Random, prefix: str) -> Group:
    """More than a server with limits on `few` and `many` has."""
    return _with_resources(chance, prefix, ["few", "many"], both=False)


def _with_resources(chance: random.Random, prefix: str, names: list[str], *, both: bool) -> Group:
    config = base(chance)
    del config.instance_group[:]
    for _ in range(chance.choice([1, 2])):
        group = config.instance_group.add(kind=2, count=chance.choice([1, 2]))
        for name in names:
            if rarely(chance, 2):
                group.rate_limiter.resources.add(
                    **{"name": name, "global": both and rarely(chance, 2)},
                    count=chance.choice([0, 1, 2, 3, 8]),
                )
    return {f"{prefix}r": Drawn(text_of(config))}


FAMILIES: dict[str, Family] = {
    "ensembles": ensembles,
    "warm-up": warm_up,
    "states": states,
    "tensors": tensors,
    "schedulers": schedulers,
    "newer fields": newer_fields,
    "backend names": backend_names,
}

assert BatchInput.BATCH_ITEM_SHAPE_FLATTEN == 5


def draw(family: Family, groups: int, seed: int) -> Group:
    """The models of that many groups, all in one repository: m0s0, m0e, m1s0, ..."""
    chance = random.Random(seed)
    models: Group = {}
    for number in range(groups):
        models |= family(chance, f"m{number}")
    return models
