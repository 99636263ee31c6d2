"""The audit itself: all rules over all models, without what is ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pytest_triton.audit.ignoring import Comment, Ignored, comments_in
from pytest_triton.audit.rule import Rule
from pytest_triton.audit.rules import KNOWN, RULES
from pytest_triton.audit.rules.refusals import never_placed
from pytest_triton.audit.rules.suppressing import ignore_without_effect
from pytest_triton.audit.subject import Audited, Subject, diagnostic_at
from pytest_triton.diagnostics.diagnostic import SEVERITIES, Diagnostic
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.placement.hardware import Hardware, newest_gpus
from pytest_triton.placement.predict import DEFAULT_TRAITS, ServerTraits
from pytest_triton.repository import Repository
from pytest_triton.repository.predicted import PredictedModels
from pytest_triton.text.paths import url_of_copy

FALLBACKS = ("TRT101", "TRT102", "TRT524")
"""The rules about models that may run on the CPU where no GPU is (triton_allow_fallback)."""

_MOST_FOUND = 20  # by one rule in one model: the others are more of the same


def audit(
    repository: Repository,
    *,
    target: Hardware | int | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[Ignored] = (),
    skip_reported: bool = False,
    suppressed: bool = False,
    server: ServerTraits = DEFAULT_TRAITS,
    own_backends: Sequence[str] = (),
    line: CommandLine = NO_ARGUMENTS,
    predicted: PredictedModels | None = None,
) -> tuple[Diagnostic, ...]:
    """What is wrong, or risky, in a repository's models; the worst first.

    `target` is the hardware of production (a number of GPUs is enough); rules about it are silent
    without one. `select` are the ids, names or prefixes of the rules to apply, all if empty;
    `skip_reported` leaves out those whose findings another bundled check reports. With
    `suppressed` these are the findings that `ignore` or a comment suppresses, instead of the
    others. `server` is the Triton of production, which has `own_backends` beside those of
    Triton, and is started with the command line `line`. `predicted` is what is known of these
    models' predictions already.
    """
    if isinstance(target, int):
        target = newest_gpus(range(target))
    audited = Audited(repository, target, server, own_backends, line, predicted)
    return audit_models(
        audited, select=select, ignore=ignore, skip_reported=skip_reported, suppressed=suppressed
    )


def audit_models(
    audited: Audited,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[Ignored] = (),
    skip_reported: bool = False,
    suppressed: bool = False,
) -> tuple[Diagnostic, ...]:
    """The same for models that are under audit already."""
    rules = [rule for rule in RULES if not (skip_reported and rule.reported_by)]
    rules = [rule for rule in rules if not select or selected(rule, select)]
    left: list[Diagnostic] = []
    hidden: list[Diagnostic] = []
    for subject in audited.subjects:
        comments = comments_in(subject.source, KNOWN)
        for finding in _of_subject(rules, subject, comments):
            covered = any(one.suppresses_for_model(finding) for one in comments)
            covered = covered or any(one.covers(finding) for one in ignore)
            (hidden if covered else left).append(finding)
    for rule in rules:
        if rule.scope == "repository":
            for found in rule.check(audited):
                finding = _finding(rule, "", found)
                covered = any(one.covers(finding) for one in ignore)
                (hidden if covered else left).append(finding)
    return tuple(sorted(hidden if suppressed else left, key=order_of))


def selected(rule: Rule, select: Sequence[str]) -> bool:
    """Whether ids, names or prefixes choose a rule."""
    return any(rule.id.startswith(code) or rule.name == code for code in select)


def _of_subject(
    rules: Sequence[Rule], subject: Subject, comments: Sequence[Comment]
) -> Iterator[Diagnostic]:
    """What these rules find about a model; with comments that suppress nothing, of any rule."""
    if not comments or ignore_without_effect not in rules:
        yield from _apply(_applicable(rules, subject), subject)
        return
    applied = _applicable(RULES, subject)  # a comment may be about a rule that isn't asked for
    findings = list(_apply(applied, subject))
    asked = {rule.id for rule in rules}
    yield from (one for one in findings if one.rule in asked)
    yield from _without_effect(comments, findings, applied, subject)


def _applicable(rules: Sequence[Rule], subject: Subject) -> list[Rule]:
    applying = [rule for rule in rules if rule.scope == "directory"]
    if subject.is_known:
        applying += [rule for rule in rules if rule.scope == "model"]
    if never_placed(subject):  # where its instances would run is beside the point
        applying = [rule for rule in applying if not rule.id.startswith("TRT1")]
    return applying


def _apply(rules: Sequence[Rule], subject: Subject) -> Iterator[Diagnostic]:
    for rule in rules:
        for found in islice(rule.check(subject), _MOST_FOUND):
            yield _finding(rule, subject.model.name, _as_offered(found))


def _as_offered(found: Diagnostic) -> Diagnostic:
    """Without edits of a copy of what is in an object store."""
    return replace(found, edits=()) if found.edits and url_of_copy(str(found.path)) else found


def _without_effect(
    comments: Sequence[Comment],
    findings: Sequence[Diagnostic],
    applied: Sequence[Rule],
    subject: Subject,
) -> Iterator[Diagnostic]:
    """Comments that suppress nothing, whatever the options are that their rules depend on."""
    certain = [rule for rule in applied if not rule.options]
    for comment in comments:
        for code in comment.rules:
            about = [rule for rule in RULES if rule.id.startswith(code) or rule.name == code]
            alone = replace(comment, rules=(code,))
            where = "in this file" if comment.whole_file else f"on line {comment.covers}"
            if not comment.whole_file and not comment.covers:
                where = "here, where no line follows"
            elif any(rule not in certain for rule in about) or any(
                map(alone.suppresses_for_model, findings)
            ):
                continue
            found = diagnostic_at(
                subject.model.anchor,
                comment.line,
                comment.column,
                f"it suppresses nothing: {code} finds nothing {where}; delete it",
            )
            yield _finding(ignore_without_effect, subject.model.name, found)


def _finding(rule: Rule, model: str, found: Diagnostic) -> Diagnostic:
    return replace(
        found,
        rule=rule.id,
        name=rule.name,
        severity=rule.severity,
        model=model,
        reported_by=rule.reported_by,
    )


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
