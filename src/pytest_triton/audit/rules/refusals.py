"""What Triton refuses on any hardware, as `predict` says it: each at the field that causes it.

Refusals that other rules report (names, versions, kinds) are left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_triton.audit.rule import rule
from pytest_triton.audit.subject import Subject
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.fields import since
from pytest_triton.repository.near_misses import CONFIG_MISNAMED
from pytest_triton.repository.refusals import place_of

_TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
_GOOD = f'backend: "onnxruntime"\n{_TENSORS}instance_group [ {{ kind: KIND_GPU }} ]\n'
_SAMPLE = """\
model_warmup [ { name: "w" batch_size: 1
  inputs { key: "%s" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } } ]
"""
_BY_OTHER_RULES = frozenset(
    {
        "backend-cpu-only",
        "backend-gpu-only",
        "cpu-with-gpus",
        "gpu-id",
        "kind",
        "model-with-gpus",
        "profile",
    }
)


def never_placed(subject: Subject) -> bool:
    """Whether the model never gets as far as its instances, for another reason than those."""
    if any(problem.name == CONFIG_MISNAMED for problem in subject.model.problems):
        return True
    refused = subject.refused
    if refused is None:
        return subject.model.refusal is not None
    return refused.reason not in _BY_OTHER_RULES


def rule_of(refused: Diagnostic, subject: Subject) -> str:
    """The rule that reports a refusal; "" if it is another module's."""
    field = refused.field
    if refused.reason in _BY_OTHER_RULES or _is_a_problem(refused, subject):
        return ""
    if refused.reason == "backend-missing":
        return "TRT215"
    if refused.reason == "warm-up" or field.startswith("model_warmup"):
        return "TRT511"
    if since(field) is not None and "text proto" in refused.triton:
        return "TRT512"
    if refused.reason == "ensemble":
        return _rule_of_ensemble(refused.triton, field, subject)
    return "TRT510"


def _is_a_problem(refused: Diagnostic, subject: Subject) -> bool:
    """Whether it is a problem of the repository, which other rules report."""
    return any(
        one.triton == refused.triton or one.message == refused.message
        for one in subject.model.problems
        if one.refuses
    )


def _rule_of_ensemble(text: str, field: str, subject: Subject) -> str:
    if field.endswith(".model_version") or text.startswith("circular dependency"):
        return ""
    if "not available or ambiguous" in text:
        missing = text.rpartition(": ")[2]
        return "TRT308" if missing in subject.audited.names else ""
    return "TRT308"


def refusals(rule_id: str) -> Callable[[Subject], Iterator[Diagnostic]]:
    """What of the predicted refusals falls under a rule."""

    def find(subject: Subject) -> Iterator[Diagnostic]:
        refused = subject.refused
        if refused is None or rule_of(refused, subject) != rule_id:
            return
        parts = (f"{refused.message}.", refused.fix, place_of(refused))
        yield replace(refused, message=" ".join(filter(None, parts)), fix="", source_line="")

    return find


@rule(
    "TRT215",
    "unknown-backend",
    "error",
    reported_by="test_config",
    failing=_GOOD.replace("onnxruntime", "onnx"),
    fixed=_GOOD,
    options=("--own-backend",),
)
def unknown_backend(subject: Subject) -> Iterator[Diagnostic]:
    """Triton has no backend of this name, and the repository brings no library for it.

    `backend` is the name of a directory of Triton's backends: a format (`onnx`), a package
    (`tensorrt_llm`) or a platform (`pytorch_libtorch`) isn't one, and case counts. Triton looks for
    `libtriton_<backend>.so` in the version's directory, the model's, and the backend's.

    A backend of your own that the server has is named with `--own-backend` (in pytest's ini file:
    `triton_own_backends`).
    """
    yield from refusals("TRT215")(subject)


@rule(
    "TRT511",
    "warm-up-refused",
    "error",
    reported_by="test_config",
    failing=_GOOD + _SAMPLE % "INPUT",
    fixed=_GOOD + _SAMPLE % "X",
)
def warm_up_refused(subject: Subject) -> Iterator[Diagnostic]:
    """A sample of `model_warmup` doesn't fit the model, and the model is refused for it.

    A sample names all inputs that aren't optional, with their data types and dims (a number for
    each -1, without the batch dimension). Files lie in `warmup/`, beside config.pbtxt, and hold
    the tensor's bytes.
    """
    yield from refusals("TRT511")(subject)


@rule(
    "TRT512",
    "newer-field",
    "error",
    reported_by="test_config",
    failing=_GOOD + "model_metrics { }\n",
    fixed=_GOOD,
    options=("--release",),
    release="24.10",
)
def newer_field(subject: Subject) -> Iterator[Diagnostic]:
    """A field that the Triton release doesn't know yet: it can't read the config at all.

    Name production's release with `--release` (in a run of pytest `--triton-release`); without
    one, the newest known is assumed.
    """
    yield from refusals("TRT512")(subject)
