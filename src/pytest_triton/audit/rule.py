"""A rule: a small function over one model, documented by its docstring, with two examples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_triton.diagnostics.diagnostic import Diagnostic, Severity

Scope = Literal["model", "directory", "repository", "deployment"]
"""What a rule looks at: a model whose config is known, any directory of a repository, all of it, or
a server of a deployment file."""

Check = Callable[[Any], Iterator[Diagnostic]]


@dataclass(frozen=True)
class Example:
    """A repository that shows a rule: relative path -> text, and the GPUs of the target.

    `release` is the one that shows it, "" for any.

    A path such as `a:m/config.pbtxt` is of one of several repositories; a text such as `-> there`
    is a link's.
    """

    files: Mapping[str, str]
    target: int | None = None
    release: str = ""


@dataclass(frozen=True)
class Rule:
    """`reported_by`: the bundled check that fails for the same cause, "" if none does.

    `since` is the first version of pytest-triton that has the rule. `fixable`: whether --fix may
    change the config. `options` are those of the command that the rule depends on.
    """

    id: str
    name: str
    severity: Severity
    check: Check
    scope: Scope
    reported_by: str
    failing: Example
    fixed: Example
    since: str = "0.1.0"
    fixable: bool = False
    options: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What is wrong, in a line."""
        return self.documentation.partition("\n")[0]

    @property
    def reason(self) -> str:
        """Why that is bad, and what to do."""
        return self.documentation.partition("\n")[2].strip()

    @property
    def documentation(self) -> str:
        return inspect.getdoc(self.check) or ""


def rule(
    id: str,
    name: str,
    severity: Severity,
    *,
    failing: str | Mapping[str, str],
    fixed: str | Mapping[str, str],
    target: int | None = None,
    release: str = "",
    scope: Scope = "model",
    reported_by: str = "",
    since: str = "0.1.0",
    fixable: bool = False,
    options: tuple[str, ...] = (),
) -> Callable[[Check], Rule]:
    """Make a rule of a function. An example that is a text alone is the config of a model `m`."""

    def make(check: Check) -> Rule:
        return Rule(
            id,
            name,
            severity,
            check,
            scope,
            reported_by,
            _example(failing, target, release),
            _example(fixed, target, release),
            since,
            fixable,
            (*(("--target",) if target is not None else ()), *options),
        )

    return make


def _example(given: str | Mapping[str, str], target: int | None, release: str) -> Example:
    if isinstance(given, str):
        given = {"m/config.pbtxt": given, "m/1/.gitkeep": ""}
    return Example(given, target, release)
