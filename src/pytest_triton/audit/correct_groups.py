"""The instance groups that a config should have: a proposal for one fault has no other fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pytest_triton.audit.subject import Subject
from pytest_triton.placement.advice import instance_group_lines
from pytest_triton.placement.declared import DeclaredGroup, DeclaredKind

_MOST_GROUPS = 50  # that anybody would read


def wanted_kind(subject: Subject) -> DeclaredKind:
    """What a model that declares nothing most likely should."""
    only = subject.backend.only
    if only is not None:
        return only
    if subject.backend.places_itself:
        return "MODEL"  # which says so
    return "CPU" if subject.audited.usable == () else "GPU"


def group_lines(subject: Subject, groups: Iterable[DeclaredGroup]) -> str:
    """These groups without what Triton refuses or ignores; "" if nobody would read them."""
    given = list(groups)
    if len(given) > _MOST_GROUPS:
        return ""
    correct = [_correct(subject, group) for group in given]
    if subject.audited.usable == () and any(group.kind == "GPU" for group in correct):
        return ""  # the backend takes GPUs only, and the target has none
    if all(group.passive for group in correct):
        correct = [replace(group, passive=False) for group in correct]
    if any(group.kind != "GPU" for group in correct):
        correct = [group for group in correct if group.kind != "GPU" or not group.passive]
    return instance_group_lines(correct)


def lines_with(subject: Subject, number: int, **changes: object) -> str:
    """The model's instance groups, with changes to one of them."""
    groups = list(subject.declared.groups)
    groups[number] = replace(groups[number], **changes)  # type: ignore[arg-type]
    return group_lines(subject, groups)


def usable_gpus(subject: Subject, gpus: Iterable[int]) -> tuple[int, ...]:
    """Each of these GPUs once, without those that the target hasn't or that nothing has."""
    usable = subject.audited.usable
    known = dict.fromkeys(gpu for gpu in gpus if gpu >= 0)
    return tuple(gpu for gpu in known if usable is None or gpu in usable)


def is_correct_as(subject: Subject, group: DeclaredGroup, kind: DeclaredKind) -> bool:
    """Whether a group has no other fault than its kind, so that --fix may write that."""
    wanted = replace(group, kind=kind)
    return _correct(subject, wanted) == wanted and not group.passive


def _correct(subject: Subject, group: DeclaredGroup) -> DeclaredGroup:
    backend, usable = subject.backend, subject.audited.usable
    kind = group.kind
    if kind in ("AUTO", "UNKNOWN") or backend.only not in (None, kind):
        kind = wanted_kind(subject)
    elif (kind == "CPU" and backend.name == "vllm") or backend.name == "tensorrtllm":
        kind = "MODEL"
    elif kind == "MODEL" and backend.name == "onnxruntime":  # which takes the CPU then
        kind = "GPU"
    if kind == "GPU" and usable == () and backend.only is None:
        kind = "CPU"
    count, gpus = group.count, group.gpus if kind == "GPU" else ()
    if count < 1:
        count = 1 if kind == "CPU" and backend.cpu_count > 1 else 0
    if gpus:
        times = {Counter(gpus)[gpu] for gpu in gpus}
        count *= times.pop() if len(times) == 1 and count else 1
        gpus = usable_gpus(subject, gpus)
    profile = group.profile if backend.name == "tensorrt" else ()
    return replace(group, kind=kind, count=count, gpus=gpus, profile=profile)
