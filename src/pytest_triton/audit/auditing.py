"""The audit itself: all rules over all models, without what is ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pytest_triton.audit.ignoring import Comments, Ignored, comments_in, names_rule
from pytest_triton.audit.rule import Rule
from pytest_triton.audit.rules import RULES
from pytest_triton.audit.rules.refusals import never_placed
from pytest_triton.audit.subject import Audited
from pytest_triton.diagnostics.diagnostic import SEVERITIES, Diagnostic
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.placement.hardware import Gpu, Hardware
from pytest_triton.placement.predict import DEFAULT_TRAITS, ServerTraits
from pytest_triton.repository import Repository
from pytest_triton.repository.predicted import PredictedModels

_MOST_FOUND = 20  # by one rule in one model: the others are more of the same
_NEW_ENOUGH = (99, 0)  # compute capability of GPUs that are given as a count


def audit(
    repository: Repository,
    *,
    target: Hardware | int | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[Ignored] = (),
    skip_reported: bool = False,
    server: ServerTraits = DEFAULT_TRAITS,
    own_backends: Sequence[str] = (),
    line: CommandLine = NO_ARGUMENTS,
    predicted: PredictedModels | None = None,
) -> tuple[Diagnostic, ...]:
    """What is wrong, or risky, in a repository's models; the worst first.

    `target` is the hardware of production (a number of GPUs is enough); rules about it are silent
    without one. `select` are the ids, names or prefixes of the rules to apply, all if empty;
    `skip_reported` leaves out those whose findings another bundled check reports. `server` is
    the Triton of production, which has `own_backends` beside those of Triton, and is started with
    the command line `line`. `predicted` is what is known of these models' predictions already.
    """
    if isinstance(target, int):
        target = Hardware(tuple(Gpu(id, _NEW_ENOUGH) for id in range(target)), simulated=False)
    audited = Audited(repository, target, server, own_backends, line, predicted)
    return audit_models(audited, select=select, ignore=ignore, skip_reported=skip_reported)


def audit_models(
    audited: Audited,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[Ignored] = (),
    skip_reported: bool = False,
) -> tuple[Diagnostic, ...]:
    """The same for models that are under audit already."""
    rules = [rule for rule in RULES if not (skip_reported and rule.reported_by)]
    rules = [rule for rule in rules if not select or selected(rule, select)]
    found = [
        finding
        for finding in _apply(rules, audited)
        if not any(one.covers(finding) for one in ignore)
    ]
    return tuple(sorted(_without_commented(found, audited), key=order_of))


def selected(rule: Rule, select: Sequence[str]) -> bool:
    """Whether ids, names or prefixes choose a rule."""
    return any(rule.id.startswith(code) or rule.name == code for code in select)


def _apply(rules: Sequence[Rule], audited: Audited) -> Iterator[Diagnostic]:
    of_models = [rule for rule in rules if rule.scope == "model"]
    of_directories = [rule for rule in rules if rule.scope == "directory"]
    for subject in audited.subjects:
        applying = of_directories + of_models if subject.is_known else of_directories
        if never_placed(subject):  # where its instances would run is beside the point
            applying = [rule for rule in applying if not rule.id.startswith("TRT1")]
        for rule in applying:
            for found in islice(rule.check(subject), _MOST_FOUND):
                yield _finding(rule, subject.model.name, found)
    for rule in rules:
        if rule.scope == "repository":
            for found in rule.check(audited):
                yield _finding(rule, "", found)


def _finding(rule: Rule, model: str, found: Diagnostic) -> Diagnostic:
    return replace(
        found,
        rule=rule.id,
        name=rule.name,
        severity=rule.severity,
        model=model,
        reported_by=rule.reported_by,
    )


def _without_commented(findings: Sequence[Diagnostic], audited: Audited) -> Iterator[Diagnostic]:
    """Without those that a comment in the model's config (or in the file itself) ignores."""
    texts = {subject.model.name: subject.text for subject in audited.subjects}
    known: dict[str, Comments] = {}
    for finding in findings:
        if finding.model not in known:
            known[finding.model] = comments_in(texts.get(finding.model, ""))
        comments = known[finding.model]
        in_config = finding.path.name == "config.pbtxt"
        ignored = comments.cover(finding) if in_config else names_rule(comments.whole, finding)
        if not ignored:
            yield finding


def order_of(finding: Diagnostic) -> tuple[int, str, Path, int, int, str]:
    """What findings are sorted by: the worst first."""
    return (
        SEVERITIES.index(finding.severity),
        finding.model,
        finding.path,
        finding.line or 0,
        finding.column or 0,
        finding.rule,
    )
