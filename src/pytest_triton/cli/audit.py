"""`pytest-triton audit`: what can be seen in the configs, without a server.

Exit codes: 0 if nothing is as bad as `--fail-on` says (errors by default); 1 if something is; 2 if
a repository can't be read, or for wrong usage.

With `--json` one object goes to standard output. Its keys are stable; new ones may join:

    format       1
    target       the number of GPUs of production, or null
    findings     the worst first: a list of {rule, name, severity, model, path, line, column,
                 message, fix, fixable, reported_by} (model: "" for what concerns the whole
                 repository; line, column: from 1, or null; reported_by: the bundled check of
                 --triton-repo that fails for the same cause, or "")
    counts       {error, warning, note}
    fixed        the paths that --fix has changed
    assumed      with --weights elsewhere: a list of {model, names}, of what isn't there and is
                 taken to be (relative to the model's directory; versions end in "/")
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.audit import RULES, Ignored, IgnoreError, audit, parse_ignored, parse_selected
from pytest_triton.audit.auditing import FALLBACKS, order_of
from pytest_triton.audit.fixing import fixed_texts, write_text
from pytest_triton.audit.ignoring import meant_rule
from pytest_triton.audit.rule_text import explanation
from pytest_triton.audit.rules import KNOWN
from pytest_triton.checks.checked_deployment import CheckedDeployment, NotLoaded
from pytest_triton.cli.deployed import add_deployments, read_deployed
from pytest_triton.cli.option_names import with_own_options
from pytest_triton.cli.reading_options import add_reading, assumed_note, check_values, readings_of
from pytest_triton.cli.server_options import (
    add_own_backends,
    add_release,
    add_server_args,
)
from pytest_triton.diagnostics.diagnostic import SEVERITIES, Diagnostic
from pytest_triton.errors import OptionError, PytestTritonError
from pytest_triton.options.ini_file import ini_layers
from pytest_triton.options.reading import read_layer
from pytest_triton.options.repository_paths import NoDirectories, read_deployment_text
from pytest_triton.options.values import Deployment
from pytest_triton.placement.command_line import BadArguments, CommandLine
from pytest_triton.placement.hardware import Hardware, target_hardware
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.repository import Repository, RepositoryError
from pytest_triton.repository.reading import Reading
from pytest_triton.repository.stores import StoreError, download_command
from pytest_triton.repository.template_values import ValuesError
from pytest_triton.text.paths import place_of, shown_path
from pytest_triton.text.shown_text import printable
from pytest_triton.text.wrapping import wrapped

_WIDTH = 92
_AS_PYTEST = {
    "audit_select": "select",
    "audit_ignore": "ignore",
    "own_backends": "own_backend",
    "target": "target",
}
"""Options of pytest that hold here, too, from its ini file and the environment."""
_ALLOWING = "allow_fallback"  # such an option, without one of this command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look for every risk that can be seen in the configs. No server is started and no "
        "model is run. --select, --ignore, --own-backend and --target are as in pytest's ini file "
        "(triton_audit_ignore, triton_target, ...) unless they are given; models that "
        "triton_allow_fallback names there may fall back. "
        "Exit code 1 if there is an error (see --fail-on), 2 if a repository can't "
        "be read."
    )
    parser.add_argument(
        "repositories",
        nargs="*",
        metavar="DIR",
        help="a model repository; DIR:DIR are several that one server gets",
    )
    parser.add_argument(
        "--target",
        type=_target,
        metavar="GPUS",
        help="the GPUs of production: a number (0, 4), or sim:N@CC with a compute capability",
    )
    add_release(parser)
    add_own_backends(parser)
    add_server_args(parser)
    add_deployments(parser)
    add_reading(parser)
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github"),
        default="text",
        help="text (default), json, sarif, or github: annotations of a pull request",
    )
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json",
    )
    parser.add_argument(
        "--select",
        type=_selected,
        action="extend",
        default=[],
        metavar="RULES",
        help="apply these rules only: TRT101, undeclared, or TRT1 for all that start so",
    )
    parser.add_argument(
        "--ignore",
        type=_ignored,
        action="append",
        default=[],
        metavar="RULES[:PATTERNS]",
        help="leave these out, for models (or, with a /, paths) that fit the patterns: "
        "'TRT101: tokenizer_*'",
    )
    parser.add_argument(
        "--fail-on",
        choices=(*SEVERITIES, "never"),
        default="error",
        help="the least severity that makes the exit code 1 (default: error)",
    )
    parser.add_argument(
        "--fix", action="store_true", help="apply the fixes that are safe, in place"
    )
    parser.add_argument(
        "--explain", metavar="RULE", help="show the page of a rule, instead of an audit"
    )


def run(arguments: argparse.Namespace) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments.explain is not None:
        print(_explained(arguments.explain))
        return 0
    if not arguments.repositories and not arguments.deployment:
        print("error: name a model repository, or a --deployment", file=sys.stderr)
        return 2
    try:
        _take_from_ini(arguments)
        arguments.server_args.check_known(arguments.release.version)
        asked = [
            read_deployment_text(text, Path.cwd()) for text in _deployments(arguments.repositories)
        ]
        if arguments.fix:
            _check_fixable(asked)
        repositories = [
            _read(one, arguments.server_args, reading)
            for one in asked
            for reading in readings_of(arguments)
        ]
        check_values(repositories)
    except (
        NoDirectories,
        RepositoryError,
        BadArguments,
        NotLoaded,
        ValuesError,
        StoreError,
        OptionError,
    ) as error:
        print(_own(f"error: {error}"), file=sys.stderr)
        return 2
    findings, fixed = _audited(repositories, arguments)
    unusable: list[PytestTritonError] = []
    if arguments.deployment:
        from pytest_triton.audit.served_models import place_of

        try:
            more, unusable, checked = _deployed(arguments)
        except PytestTritonError as error:
            print(_own(f"error: {error}"), file=sys.stderr)
            return 2
        known = set(map(place_of, more))  # which says more of the same: for which servers
        findings = [one for one in findings if place_of(one) not in known]
        findings = sorted([*findings, *more], key=order_of)
        repositories += checked
    findings = [replace(one, message=_own(one.message)) for one in findings]
    if arguments.format == "text":
        print("\n".join(_text(findings, repositories, fixed, arguments)))
    elif arguments.format == "json":
        print(json.dumps(as_json(findings, arguments.target, fixed, repositories), indent=2))
    elif arguments.format == "sarif":
        from pytest_triton.reports.sarif import as_sarif

        print(json.dumps(as_sarif(findings, RULES, Path.cwd()), indent=2))
    else:
        for line in github_lines(findings):
            print(line)
    broken = {str(problem): None for one in repositories for problem in one.problems}
    for problem in (*broken, *unusable):
        print(_own(f"error: {problem}"), file=sys.stderr)
    bad = (
        SEVERITIES[: SEVERITIES.index(arguments.fail_on) + 1]
        if arguments.fail_on in (SEVERITIES)
        else ()
    )
    if unusable:
        return 2
    return 1 if broken or any(finding.severity in bad for finding in findings) else 0


def _own(text: str) -> str:
    return with_own_options("audit", text)


def _take_from_ini(arguments: argparse.Namespace) -> None:
    """What the command line leaves out is as pytest's checks have it. Raises OptionError."""
    layers = [read_layer(layer) for layer in ini_layers((*_AS_PYTEST, _ALLOWING), Path.cwd())]

    def value(name: str) -> Any:
        return next((one.values[name] for one in layers if name in one.values), None)

    for name, argument in _AS_PYTEST.items():
        found = value(name)
        if found is None or getattr(arguments, argument) not in ([], None):
            continue
        if name == "audit_select":
            found = [rule for rules in found for rule in rules]
        setattr(arguments, argument, found)
    allowed = value(_ALLOWING)
    if allowed:
        arguments.ignore = [*arguments.ignore, Ignored(FALLBACKS, tuple(allowed))]


def _audited(
    repositories: Sequence[Repository], arguments: argparse.Namespace
) -> tuple[list[Diagnostic], list[Path]]:
    """The findings, and with --fix what is left of them, and the files that were changed."""
    select = tuple(arguments.select)
    server = ServerTraits(version=arguments.release.version)

    def look(repository: Repository) -> tuple[Diagnostic, ...]:
        return audit(
            repository,
            target=arguments.target,
            select=select,
            ignore=arguments.ignore,
            server=server,
            own_backends=arguments.own_backend,
            line=arguments.server_args,
        )

    findings: list[Diagnostic] = []
    fixed: list[Path] = []
    for repository in repositories:
        found = look(repository)
        if arguments.fix:
            changed = _fix(found, repository)
            if changed:
                fixed += changed
                changed_one = Deployment(
                    os.pathsep.join(map(str, repository.paths)), repository.paths
                )
                found = look(_read(changed_one, arguments.server_args, repository.reading))
        findings += [one for one in found if one not in findings]  # of other values, the same
    return findings, fixed


def _deployed(
    arguments: argparse.Namespace,
) -> tuple[list[Diagnostic], list[PytestTritonError], list[Repository]]:
    """Findings about deployments and the models that they serve, each once; what can't be known,
    and the repositories."""
    from pytest_triton.audit.deployment_audit import audit_deployments
    from pytest_triton.audit.served_models import audit_served

    host = arguments.target.count if arguments.target is not None else None
    deployed = read_deployed(
        arguments.deployment,
        dict(arguments.deployment_repo),
        host,
        arguments.own_backend,
        arguments.release.version,
    )
    select, ignore = tuple(arguments.select), arguments.ignore
    found = [
        *audit_deployments(deployed.subjects, select=select, ignore=ignore),
        *audit_served(deployed.subjects, select=select, ignore=ignore),
    ]
    audited = {id(one.models): one.models for one in deployed.subjects if one.models is not None}
    repositories = [models.repository for models in audited.values()]
    return sorted(found, key=order_of), list(deployed.errors), repositories


def _read(deployment: Deployment, line: CommandLine, reading: Reading) -> Repository:
    """The models that a server with this command line loads."""
    return CheckedDeployment.read(deployment, line, reading=reading).repository


def _fix(findings: Sequence[Diagnostic], repository: Repository) -> list[Path]:
    texts = {
        model.config_file.path: model.config_file.text
        for model in repository.models
        if model.config_file is not None and model.config_file.rendered is None
    }
    findings = [one for one in findings if one.path in texts]
    changed = []
    for path, (new, _) in fixed_texts(findings, texts).items():
        try:
            done = write_text(path, texts[path], new)
        except OSError as error:
            print(f"error: {shown_path(path)}: not fixed: {error.strerror}", file=sys.stderr)
            continue
        if done:
            changed.append(path)
        else:
            print(f"error: {shown_path(path)}: not fixed: it has just changed", file=sys.stderr)
    return changed


# What is asked


def _deployments(texts: Sequence[str]) -> Iterator[str]:
    """What pre-commit names are files: their repositories are looked at, each once."""
    seen = set()
    for text in texts:
        path = Path(os.path.abspath(text))
        if os.path.isfile(path):
            inner = path.parent.name == "configs" or path.parent.name.isdigit()
            text = str(path.parents[2] if inner else path.parents[1])
        if text not in seen:
            seen.add(text)
            yield text


def _target(text: str) -> Hardware:
    try:
        return target_hardware(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _selected(text: str) -> tuple[str, ...]:
    try:
        return parse_selected(text, KNOWN)
    except IgnoreError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _ignored(text: str) -> Ignored:
    try:
        return parse_ignored(text, KNOWN)
    except IgnoreError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class CannotFix(OptionError):
    """--fix, and nothing that it changes would be what production loads."""


def _check_fixable(deployments: Sequence[Deployment]) -> None:
    stores = [store for one in deployments for store in one.stores]
    if not stores:
        return
    store = stores[0]
    copy = download_command(store)
    raise CannotFix(
        f"--fix can't change {store.url}: it is in an object store, of which only a copy is here",
        fix=f"copy it to this machine's disk{f' ({copy})' if copy else ''}, run audit --fix on the "
        "copy, and upload what has changed",
    )


class UnknownRule(OptionError):
    """No rule has this id or name."""


def _explained(name: str) -> str:
    for rule in RULES:
        if name.upper() == rule.id or name == rule.name:
            return explanation(rule, _WIDTH)
    raise UnknownRule(
        f"there is no rule {name!r}",
        fix=f"{meant_rule(name, KNOWN)}The rules: {', '.join(rule.id for rule in RULES)}",
    )


# Text


def _text(
    findings: Sequence[Diagnostic],
    repositories: Sequence[Repository],
    fixed: Sequence[Path],
    arguments: argparse.Namespace,
) -> Iterator[str]:
    for path in fixed:
        yield f"fixed: {shown_path(path)}"
    if arguments.fix and not fixed:
        yield "nothing was fixed: --fix changes only what can't change a placement"
    for finding in findings:
        who = f"{printable(finding.model)}: " if finding.model else ""
        mark = "  [--fix]" if finding.edits else ""
        yield f"{finding.place}: {finding.rule} {finding.name} ({finding.severity}){mark}"
        yield from wrapped(f"{who}{finding.message}", _WIDTH, start="  ", behind="  ")
        if finding.lines:
            yield ""
            yield textwrap.indent(finding.lines, "      ")
        yield ""
    models = len({os.path.realpath(one.directory) for of in repositories for one in of.models})
    counted = ", ".join(_counted(findings))
    fixable = sum(bool(finding.edits) for finding in findings)
    yield (
        f"{models} model{'s' if models != 1 else ''}: {counted or 'nothing found'}"
        + (f"; {fixable} can be fixed with --fix" if fixable else "")
        + (f"; Triton {arguments.release}" if arguments.repositories else "")
    )
    yield from assumed_note(repositories)


def _counted(findings: Sequence[Diagnostic]) -> Iterator[str]:
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in findings)
        if count:
            yield f"{count} {severity}{'s' if count != 1 else ''}"


# For programs


def as_json(
    findings: Sequence[Diagnostic],
    target: Hardware | None,
    fixed: Sequence[Path] = (),
    repositories: Sequence[Repository] = (),
) -> Mapping[str, Any]:
    """The object that `--json` prints; this module's docstring lists its keys."""
    return {
        "format": 1,
        "target": target.count if target is not None else None,
        "findings": [
            {
                "rule": one.rule,
                "name": one.name,
                "severity": one.severity,
                "model": one.model,
                "path": place_of(one.path),
                "line": one.line,
                "column": one.column,
                "message": one.message,
                "fix": one.lines,
                "fixable": bool(one.edits),
                "reported_by": one.reported_by,
            }
            for one in findings
        ],
        "counts": {
            severity: sum(one.severity == severity for one in findings) for severity in SEVERITIES
        },
        "fixed": [str(path) for path in fixed],
        "assumed": [
            {"model": model.name, "names": list(model.assumed_names)}
            for one in repositories
            for model in one.models
            if model.assumed
        ],
    }


def github_lines(findings: Sequence[Diagnostic]) -> Iterator[str]:
    """Workflow commands of GitHub Actions, which become annotations of a pull request."""
    from pytest_triton.diagnostics.annotation import annotation

    for one in findings:
        yield annotation(
            one.severity,
            one.message + (f"\n\n{one.lines}" if one.lines else ""),
            title=f"{one.rule} {one.name}",
            file=shown_path(one.path),
            line=one.line,
            column=one.column or 1,
        )
