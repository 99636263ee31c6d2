"""No false alarms: every finding about real configs was looked at by hand and judged."""

from __future__ import annotations

from pathlib import Path

from pytest_triton.audit import Finding, audit
from pytest_triton.repository import read_repository
from support.corpus import corpus_directory, corpus_repositories

JUDGED = Path(__file__).with_name("corpus_findings.txt")


def _judged() -> dict[tuple[str, str], str]:
    """(place, rule) -> judgement."""
    found = {}
    for line in JUDGED.read_text().splitlines():
        if not line.startswith("#"):
            place, rule, judgement = line.split(" ", 2)
            found[place, rule] = judgement
    return found


def _findings(target: int | None = None) -> list[Finding]:
    return [
        finding
        for repository in corpus_repositories()
        for finding in audit(read_repository([repository]), target=target)
    ]


def _place(finding: Finding) -> str:
    directory = corpus_directory()
    assert directory is not None
    parts = (finding.path.relative_to(directory), finding.line, finding.column)
    return ":".join(str(part) for part in parts if part is not None)


def test_each_finding_is_known_and_was_judged_true() -> None:
    found = {(_place(finding), finding.rule) for finding in _findings()}
    judged = _judged()
    assert found == set(judged)
    assert all(judgement.startswith("true: ") for judgement in judged.values())


def test_a_target_adds_what_concerns_its_gpus_only() -> None:
    """13 models are pinned to any GPU, 3 to GPU 0, and 4 ensembles use one of them."""
    without = {(_place(finding), finding.rule) for finding in _findings()}
    added = [f.rule for f in _findings(0) if (_place(f), f.rule) not in without]
    assert {rule: added.count(rule) for rule in added} == {"TRT113": 13, "TRT107": 3, "TRT305": 4}
    added = [f.rule for f in _findings(4) if (_place(f), f.rule) not in without]
    # Two repositories have CPU models only, one is pinned to GPU 0; three models have 4 instances
    # on each of 4 GPUs.
    assert {rule: added.count(rule) for rule in added} == {"TRT401": 3, "TRT402": 3}
