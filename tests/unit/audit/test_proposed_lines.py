"""What a finding proposes can be pasted: the finding is gone then, and no error is new."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_triton.audit import RULES, Rule, audit
from pytest_triton.audit.fixing import apply_edits
from pytest_triton.audit.spans import field_span
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository import model_config_type, read_repository
from pytest_triton.repository.pbtxt import walk
from support.audit_examples import write_files

INNER = {"TRT306": "model_version", "TRT513": "batch_size"}
"""Rules whose lines belong into a message that is there, not at the top of the config."""
PLACEHOLDERS = {"TRT233"}  # whose value only the author of the model knows


def pasted(text: str, lines: str) -> str:
    """A config with these fields instead of its own of the same names; parameters are added."""
    first, *others = re.split(r"\n(?=\w)", lines)
    if others:
        return pasted(pasted(text, first), "\n".join(others))
    name = re.match(r"\w+", lines)
    assert name is not None, lines
    positions = walk(text, model_config_type().DESCRIPTOR).positions
    keys = re.findall(r'key: "(\w+)"', lines)
    spans = []
    for path, start in positions.items():
        if not re.fullmatch(rf"{name[0]}(\[\d+\])?", path):
            continue
        spans.append(span_of(text, start, name[0]))
    for start, end in sorted(set(spans), reverse=True):
        if not keys or any(f'"{key}"' in text[start:end] for key in keys):
            text = text[:start] + text[end:]
    return f"{text.rstrip()}\n{lines}\n"


def span_of(text: str, start: int, name: str) -> tuple[int, int]:
    """Of a field, also where it is an element of a list, whose position is its own."""
    if not text.startswith(name, start):
        start = text.rindex(name, 0, start)
    return field_span(text, start)


def pasted_inside(text: str, name: str, lines: str) -> str:
    """As `pasted`, for a field of an inner message that is written once or not at all."""
    if re.search(rf"\b{name}\s*:\s*-?\d+", text):
        return re.sub(rf"\b{name}\s*:\s*-?\d+", lines, text)
    return re.sub(r"(model_name\s*:\s*\"\w+\")", rf"\1 {lines}", text)


def errors(findings: tuple[Diagnostic, ...]) -> Counter[tuple[str, str]]:
    return Counter((one.model, one.rule) for one in findings if one.severity == "error")


def check_all(place: Path, files: Mapping[str, str], target: int | None) -> int:
    """Apply each proposal about a config by itself; returns how many there were."""
    roots = write_files(place / "before", files)
    before = audit(read_repository(roots), target=target)
    proposals = 0
    for number, finding in enumerate(before):
        if finding.rule in PLACEHOLDERS or not (finding.lines or finding.edits):
            continue
        name = next((one for one in files if one.endswith(f"{finding.model}/config.pbtxt")), "")
        in_config = finding.path.name != "h100.pbtxt"
        text = files[name]
        news = []
        if finding.lines and in_config:
            inner = INNER.get(finding.rule)
            news.append(
                pasted_inside(text, inner, finding.lines) if inner else pasted(text, finding.lines)
            )
        if finding.edits:
            news.append(apply_edits(text, finding.edits))
        for way, new in enumerate(news):
            proposals += 1
            changed = write_files(place / f"{number}-{way}", {**files, name: new})
            after = audit(read_repository(changed), target=target)
            same = [one for one in after if (one.rule, one.model) == (finding.rule, finding.model)]
            was = [one for one in before if (one.rule, one.model) == (finding.rule, finding.model)]
            assert len(same) < len(was), (finding, text, new)
            added = errors(after) - errors(before)
            assert not added, (finding, text, new, added)
    return proposals


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_proposal_of_an_example_removes_the_finding_and_adds_no_error(
    rule: Rule, tmp_path: Path
) -> None:
    check_all(tmp_path, rule.failing.files, rule.failing.target)


BACKENDS = ("onnxruntime", "python", "tensorrt", "openvino", "vllm", "tensorrtllm", "pytorch")


def group(choice: random.Random) -> str:
    parts = [
        choice.choice(["", "kind: KIND_GPU", "kind: KIND_CPU", "kind: KIND_MODEL", "kind: 9"]),
        choice.choice(["", "", "count: 0", "count: -1", "count: 2"]),
        choice.choice(["", "", "gpus: [ 0 ]", "gpus: [ 0, 0 ]", "gpus: [ 0, 7 ]", "gpus: -1"]),
        choice.choice(["", "", "", "passive: true", 'profile: [ "1" ]']),
    ]
    return f"{{ {' '.join(part for part in parts if part)} }}"


@pytest.mark.parametrize("seed", range(120))
def test_proposal_for_a_random_config_removes_the_finding_and_adds_no_error(
    seed: int, tmp_path: Path
) -> None:
    choice = random.Random(seed)
    groups = ", ".join(group(choice) for _ in range(choice.randint(0, 3)))
    text = f'backend: "{choice.choice(BACKENDS)}"\nmax_batch_size: {choice.choice([0, 8])}\n'
    text += f"instance_group [ {groups} ]\n" if groups else ""
    text += choice.choice(["", "dynamic_batching { }\n"])
    target = choice.choice([None, None, 0, 1, 2])
    check_all(tmp_path, {"m/config.pbtxt": text, "m/1/.gitkeep": ""}, target)


def test_proposals_are_made_for_most_rules_about_groups(tmp_path: Path) -> None:
    made = {
        rule.id
        for rule in RULES
        if check_all(tmp_path / rule.id, rule.failing.files, rule.failing.target)
    }
    assert {f"TRT{number}" for number in range(101, 116)} <= made
