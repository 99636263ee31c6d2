"""Findings about the models of several deployed servers: each once, with a fix for all of them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_triton.audit.auditing import audit_models, order_of
from pytest_triton.audit.deployed import DeployedSubject
from pytest_triton.audit.ignoring import Ignored
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.text.paths import shown_path
from pytest_triton.text.shown_text import printable

_Seen = tuple[DeployedSubject, Diagnostic]


def audit_served(
    subjects: Sequence[DeployedSubject],
    *,
    select: Sequence[str] = (),
    ignore: Sequence[Ignored] = (),
) -> tuple[Diagnostic, ...]:
    """What is wrong, or risky, in the models that these servers load; the worst first.

    What only some of the servers that load a model have names them. Where they need different
    instance groups, the lines are for those with GPUs, and the message says what to do for the
    others.
    """
    found: dict[int, tuple[Diagnostic, ...]] = {}  # servers alike share what is audited
    groups: dict[tuple[object, ...], list[_Seen]] = {}
    loading: dict[Path, list[DeployedSubject]] = {}
    for subject in subjects:
        models = subject.models
        if models is None:
            continue
        if id(models) not in found:
            found[id(models)] = audit_models(models, select=select, ignore=ignore)
        for one in found[id(models)]:
            groups.setdefault((*place_of(one), one.message), []).append((subject, one))
        for model in models.repository.models:
            loading.setdefault(_file_of(model.anchor), []).append(subject)
    once = (_for_all(seen, loading.get(_file_of(seen[0][1].path), [])) for seen in groups.values())
    return tuple(sorted(once, key=order_of))


def place_of(finding: Diagnostic) -> tuple[object, ...]:
    """What two findings have in common that are the same one, of other servers."""
    path = _file_of(finding.path)
    return finding.rule, path, finding.line, finding.column, finding.model


def _file_of(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _for_all(seen: Sequence[_Seen], loading: Sequence[DeployedSubject]) -> Diagnostic:
    """One finding of those that servers have alike; `loading` are all that read its file."""
    seen = sorted(seen, key=lambda one: one[0].count == 0)  # stable: those with GPUs first
    finding = seen[0][1]
    mine = [subject for subject, one in seen if one.lines == finding.lines]
    apart = [(subject, one) for subject, one in seen if one.lines != finding.lines]
    others = [one for one in loading if all(one is not subject for subject, _ in seen)]
    if not apart and not others:
        return finding
    called = _labels([*loading, *(subject for subject, _ in seen)])

    def names(subjects: Sequence[DeployedSubject]) -> str:
        return " and ".join(f"`{called[one.server.title]}`" for one in subjects)

    parts = [finding.message.rstrip(".")]
    if not apart:
        so = f"This is so on {names(mine)}"
        if finding.lines:
            copy = _variant(mine, called)
            parts += [so, f"{names(others)} must keep this config: make the change in {copy}"]
        else:
            parts += [f"{so}, not on {names(others)}"]
        return replace(finding, message=". ".join(parts), edits=())
    parts += [f"The lines are for {names(mine)}"]
    alike: dict[str, list[DeployedSubject]] = {}
    for subject, one in apart:
        alike.setdefault(" ".join(one.lines.split()), []).append(subject)
    for lines, of in alike.items():
        shown = f", with `{printable(lines)}` in it" if lines else ""
        parts += [f"For {names(of)}, write {_variant(of, called)}{shown}"]
    return replace(finding, message=". ".join(parts), edits=())


def _variant(subjects: Sequence[DeployedSubject], called: Mapping[str, str]) -> str:
    """What gives these servers a config of their own."""
    server = subjects[0].server
    line = server.line
    name = printable(line.config_name or re.sub(r"[^\w.-]+", "-", called[server.title]))
    started = "" if line.config_name else f" (and start the server with --model-config-name={name})"
    return f"a copy of it, configs/{name}.pbtxt{started}"


def _labels(subjects: Sequence[DeployedSubject]) -> dict[str, str]:
    """What servers are called, by their titles: with the file where several have one name."""
    servers = {one.server.title: one.server for one in subjects}
    counts = Counter(one.name for one in servers.values())
    return {
        title: printable(one.name)
        if counts[one.name] == 1
        else f"{shown_path(one.path)}::{printable(one.name)}"
        for title, one in servers.items()
    }
