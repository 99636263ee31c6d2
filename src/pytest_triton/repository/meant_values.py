"""What somebody meant who wrote a value, or a field's name, that can't stand in a config."""

from __future__ import annotations

import re

# Fields by another name: (the message, what was written) -> the field that was meant.
MEANT_FIELDS = {
    ("", "model_filename"): "default_model_filename",
    ("", "filename"): "default_model_filename",
    ("instance_group", "device"): "gpus",
    ("instance_group", "device_id"): "gpus",
    ("instance_group", "device_ids"): "gpus",
    ("instance_group", "devices"): "gpus",
    ("instance_group", "gpu_ids"): "gpus",
    ("input", "shape"): "dims",
    ("output", "shape"): "dims",
    ("reshape", "dims"): "shape",
    ("step", "name"): "model_name",
    ("step", "model"): "model_name",
    ("step", "version"): "model_version",
    ("step", "input"): "input_map",
    ("step", "inputs"): "input_map",
    ("step", "output"): "output_map",
    ("step", "outputs"): "output_map",
    ("inputs", "name"): "key",
}
_NOTHING = ("none", "null", "nil", "~")
_RANGE = re.compile(r"(\d+)\s*(?:-|\.\.|:)\s*(\d+)")
_MOST_LISTED = 16


def number_fix(name: str, text: str, is_list: bool) -> str:
    """How to write what `text` says into the field `name` of whole numbers; "" if unknown.

    `is_list` says whether the field takes several.
    """
    bare = text.strip("\"' ")
    plain = bare.strip("[](){} ")
    if bare.lower() in _NOTHING:
        if name == "max_batch_size":
            return "Write max_batch_size: 0 for a model without batches, or leave the line out"
        return "" if name in ("dims", "shape") else f"Leave {name} out"
    if name == "gpus" and bare.lower() in ("all", "*", "any"):
        return "Leave gpus out: KIND_GPU makes instances on every GPU"
    if name == "gpus" and re.match(r"(GPU|MIG)-[0-9a-fA-F]", bare):
        return "Write the GPU's number, as `nvidia-smi -L` shows it, not its UUID"
    if name == "model_version" and bare.lower() in ("latest", "newest", "last"):
        return "Write model_version: -1 for the latest version"
    if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE]\+?\d+", bare) and float(bare).is_integer():
        return f"Write {name}: {int(float(bare))}"
    if match := re.fullmatch(r"cuda:(\d+)", bare, re.IGNORECASE):
        return f"Write {name}: {match[1]}"
    if not is_list:
        return ""
    values = re.split(r"\s*[,x×*; ]\s*", plain) if plain else []
    if name == "gpus" and (match := _RANGE.fullmatch(plain)):
        first, last = int(match[1]), int(match[2])
        if first < last < first + _MOST_LISTED:
            values = [str(one) for one in range(first, last + 1)]
    if values != [bare] and values and all(re.fullmatch(r"-?\d+", one) for one in values):
        return f"Write {name}: [ {', '.join(values)} ]"
    return ""


def message_fix(name: str, text: str, fields: dict[str, str]) -> str:
    """How to write a plain value into the field `name`, which has fields of its own; or "".

    `fields` are those fields with their types: bool, number, message, or another.
    """
    plain = text.strip("\"'")
    numbers = [field for field, kind in fields.items() if kind == "number"]
    if plain.lower() in ("true", "on", "yes"):
        return f"Write {name} {{ enable: true }}" if "enable" in fields else f"Write {name} {{ }}"
    if plain.lower() in ("false", "off", "no", *_NOTHING):
        switched = f"Write {name} {{ enable: false }}, or leave it out"
        return switched if "enable" in fields else f"Leave {name} out"
    if fields.get(plain) == "message":
        return f"Write {name} {{ {plain} {{ }} }}"
    if re.fullmatch(r"-?\d+", plain) and len(numbers) == 1:
        return f"Write {name} {{ {numbers[0]}: {plain} }}"
    return ""
