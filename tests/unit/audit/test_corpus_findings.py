"""No false alarms: every finding about whole repositories was looked at by hand and judged."""

from __future__ import annotations

from pathlib import Path

from pytest_triton.audit import audit
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.repository import read_repository
from support.corpora import OWN, OWN_BACKENDS, outside_corpus, repositories_in
from support.corpus_expectations import FINDINGS, found_by_the_audit

JUDGED = Path(__file__).with_name("corpus_findings.txt")
PUBLIC = outside_corpus()  # public repositories, an extra where they are


def _judged() -> dict[tuple[str, str], str]:
    """(place, rule) -> judgement."""
    found = {}
    for line in JUDGED.read_text().splitlines():
        if not line.startswith("#"):
            place, rule, judgement = line.split(" ", 2)
            found[place, rule] = judgement
    return found


def _findings(directory: Path, target: int | None = None) -> list[Diagnostic]:
    return [
        finding
        for repository in repositories_in(directory)
        for finding in audit(
            read_repository([repository]), target=target, own_backends=OWN_BACKENDS
        )
    ]


def _place(finding: Diagnostic, directory: Path) -> str:
    parts = (finding.path.relative_to(directory), finding.line, finding.column)
    return ":".join(str(part) for part in parts if part is not None)


def test_own_corpus_has_the_findings_that_are_written_down() -> None:
    assert found_by_the_audit() == FINDINGS.read_text().splitlines()


def test_target_adds_what_concerns_its_gpus_only() -> None:
    without = {(_place(finding, OWN), finding.rule) for finding in _findings(OWN)}

    def added(target: int) -> dict[str, int]:
        rules = [f.rule for f in _findings(OWN, target) if (_place(f, OWN), f.rule) not in without]
        return {rule: rules.count(rule) for rule in sorted(set(rules))}

    # Models pinned to any GPU, ids that are named, and the ensembles that use such models. Models
    # that never load have no such findings.
    assert added(0) == {"TRT107": 16, "TRT113": 8, "TRT305": 5}
    # The ids 4 to 7, two ensembles that need them, TensorRT's accelerator on other GPUs than 0, and
    # PyTriton's proxies, none of which is on a GPU.
    assert added(4) == {"TRT107": 4, "TRT207": 1, "TRT305": 2, "TRT401": 1}


if PUBLIC is not None:
    directory = PUBLIC

    def test_each_finding_in_public_repositories_is_known_and_was_judged_true() -> None:
        found = {(_place(finding, directory), finding.rule) for finding in _findings(directory)}
        judged = _judged()
        assert found == set(judged)
        assert all(judgement.startswith("true: ") for judgement in judged.values())
