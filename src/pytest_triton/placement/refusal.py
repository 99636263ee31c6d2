"""Refusals: a model that Triton doesn't load, with the reason as a class and Triton's text.

Triton's sentences change from release to release and are JSON-quoted in newer logs, so tests
compare reasons, never sentences; people are shown the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from pytest_triton.diagnostics.reasons import REASONS, Reason

if TYPE_CHECKING:
    from pytest_triton.diagnostics.diagnostic import Diagnostic

Stage = Literal["poll", "load"]

__all__ = ["REASONS", "Reason", "Refusal", "Stage", "classify", "shown_reason"]


@dataclass(frozen=True)
class Refusal:
    """Why a model isn't served.

    `stage` "load": the repository index has the model as UNAVAILABLE, with `text` as its reason.
    "poll": the model never got that far, the index has no reason and only the log has `text`.
    `diagnostic`, of a predicted one, is what of the config led to it, where that is one thing.
    """

    reason: Reason
    text: str
    stage: Stage = "load"
    diagnostic: Diagnostic | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return shown_reason(self.reason)


# Reasons that read better in other words than their names, where there is room for a few only.
_IN_A_CELL: dict[Reason, str] = {
    "no-gpu": "no GPU",
    "no-gpu-support": "server without GPU support",
    "gpu-id": "no such GPU",
    "cpu-with-gpus": "KIND_CPU with gpus",
    "model-with-gpus": "KIND_MODEL with gpus",
    "backend-cpu-only": "backend takes CPU only",
    "backend-gpu-only": "backend takes GPU only",
    "no-config": "no config.pbtxt",
    "cuda": "CUDA error",
    "gpu-memory": "GPU memory",
}


def shown_reason(reason: Reason) -> str:
    """A reason in a few words, as tables and headlines show it."""
    return f"refused: {reason_in_a_cell(reason)}"


def reason_in_a_cell(reason: Reason) -> str:
    """The same, without `refused`."""
    return _IN_A_CELL.get(reason, reason.replace("-", " "))


# Tried in this order: the text of an ensemble quotes its models' refusals, so it comes first,
# and a refusal of a group quotes nothing but names, so it comes before the vaguer ones.
_PATTERNS: tuple[tuple[Reason, str], ...] = (
    ("ensemble", r"\bensembles? .* (depends on|contains models?|which has no|which is not valid)"),
    ("ensemble", r"circular dependency between ensembles"),
    ("crash", r"terminate called|std::(out_of_range|length_error)|signal \(?(6|11)\)?"),
    ("no-gpu-support", r"does not support gpus?\b|not (built|compiled) with gpu support"),
    ("gpu-id", r"(invalid|unsupported|unknown|nonexistent) (or \w+ )?gpu ids?\b"),
    ("no-gpu", r"no gpus? (is|are) available|specifies no gpus\b"),
    ("cpu-with-gpus", r"kind_cpu but specifies .*gpus?"),
    ("model-with-gpus", r"kind_model but specifies .*gpus?"),
    ("kind", r"unexpected kind kind_|instance_group kind .* not supported"),
    ("profile", r"profile (field|name)\b|invalid profile\b|unable to parse '.*': stoi"),
    (
        "backend-cpu-only",
        r"supports? only (kind[ _])?cpu\b|only supports? (kind[ _])?cpu\b"
        r"|gpu instances? (is |are )?not supported"
        r"|execution provider is not enabled in this build",
    ),
    (
        "backend-gpu-only",
        r"supports? only (kind[ _])?gpus?\b|only supports? (kind[ _])?gpus?\b"
        r"|cpu instances? (is |are )?not supported",
    ),
    ("cuda", r"unable to get number of cuda devices|unable to get cuda device properties"),
    ("gpu-memory", r"memory limit set for .* exceeded|out of memory|cuda_?error_?out_?of_?memory"),
    ("shared-memory", r"shared memory (key|pool|region)|--shm-size|shm_open"),
    (
        "rate-limit",
        r"resource count for .* is limited|both global and device-specific resource",
    ),
    ("agent-missing", r"for repo agent '|repository agent\b|repoagent_"),
    (
        "warm-up",
        r"warmup (setting|sample)|\[request id: <id_unknown>\]|failed to run warm-?up"
        r"|invalid dimension in shape",
    ),
    ("version", r"at least one version must be available"),
    ("name", r"directory name must equal model name|unexpected directory name"),
    ("duplicate", r"not unique across all model repositories"),
    ("no-config", r"model configuration is not provided"),
    (
        "no-backend",
        r"could not determine backend|unexpected platform type|must specify 'platform' or 'backend'"
        r"|must specify 'backend' for|unknown platform",
    ),
    (
        "backend-missing",
        r"unable to find (python backend based )?backend librar"
        r"|unable to find '[^']*libtriton_[^']*'|unable to find '[^']*/model\.py' for model"
        r"|unable to find '[^']*' for model '[^']*', searched",
    ),
    (
        "backend-load",
        r"escapes backend directory|unable to load shared library|python_backend_stub"
        r"|unable to (get|find) .*entrypoint",
    ),
    (
        "ensemble",
        r"\bensemble (scheduling|tensor|model|input|output|'|\w+ (allows|contains))"
        r"|(of|for|in) ensemble\b|step of (model|ensemble)",
    ),
    (
        "model-file",
        r"failed to open text file for read (?!.*config\.pbtxt)"
        r"|label file path .* outside model directory",
    ),
    (
        "config",
        r"failed to (read|parse) text proto|can't parse|error parsing|failed to open text file"
        r"|unexpected 'platform' and 'backend' pair|must be non-negative value"
        r"|preferred (batch )?size must|priority level|preserve_ordering"
        r"|sequence.batch(ing| scheduler)|data type for control|response cache does not"
        r"|batch (input|output) (kind|data type)"
        r"|model (input|output) |shape tensors are only|non-linear io format"
        r"|(source input|target output) name|model configuration must specify|version policy"
        r"|metric (control|identifier)|histogram options|initial_state|state input name"
        r"|element count for tensor|triton_batch_strategy_path"
        r"|batching library path",
    ),
    (
        "model-file",
        r"unable to (find|open|read|stat) .*(model|file)|failed to (open|read|stat|load) .*file"
        r"|no such file or directory|model file .*(missing|not found|does not exist)"
        r"|model\.py does not exist|python model file not found",
    ),
)


_STEPS = (
    re.compile(r"ensemble '.*?' depends on '(.*?)' which "),
    re.compile(r"contains models? that (?:is|are) not available or ambiguous: (.*)"),
)


def refused_steps(text: str) -> tuple[str, ...]:
    """The models that Triton names as the cause when it refuses an ensemble; () for none."""
    for pattern in _STEPS:
        found = pattern.search(text)
        if found is not None:
            return tuple(name.strip() for name in found[1].split(","))
    return ()


@cache
def _compiled() -> Sequence[tuple[Reason, re.Pattern[str]]]:
    """Compiled at the first refusal: most repositories have none."""
    return [(reason, re.compile(pattern, re.DOTALL)) for reason, pattern in _PATTERNS]


def classify(text: str) -> Reason:
    """The class of a refusal, from Triton's text in any release, JSON-quoted or not."""
    plain = re.sub(r"\\+(?=[\"'/])", "", text)  # JSON quoting of quotes and slashes
    plain = re.sub(r"(\\+[nrt]|\s)+", " ", plain).lower()
    for reason, pattern in _compiled():
        if pattern.search(plain):
            return reason
    return "other"
