"""Which findings are ignored: by rule, by model, by path, by a comment in the config.

TRT102                        nowhere at all
TRT101: tokenizer_*           for models whose name fits
TRT101, TRT2: legacy/*, old_* several rules (a prefix stands for all that start so); a
                              pattern with a `/` is for paths

kind: KIND_AUTO  # triton: ignore TRT102          for this line
# triton: ignore TRT102                           for the next line, if it stands alone
# triton: ignore-file TRT101, TRT112              for the whole config.pbtxt
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.errors import PytestTritonError

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_COMMENT = re.compile(
    r"#[ \t]*triton:[ \t]*ignore(?P<file>-file)?[ \t]+(?P<rules>[A-Za-z0-9, \t-]+)"
)
# A comment, or a string that may hold a `#`.
_PIECE = re.compile(r"\"(?:[^\"\\\n]|\\[^\n])*\"|'(?:[^'\\\n]|\\[^\n])*'|#[^\n]*")


class IgnoreError(PytestTritonError):
    """A text that names no rule, or no model."""


@dataclass(frozen=True)
class Ignored:
    """`rules` for models or paths that fit one of `patterns`."""

    rules: tuple[str, ...]
    patterns: tuple[str, ...] = ("*",)

    def covers(self, finding: Diagnostic) -> bool:
        return names_rule(self.rules, finding) and any(
            _fits(pattern, finding) for pattern in self.patterns
        )


def names_rule(codes: Iterable[str], finding: Diagnostic) -> bool:
    """Whether one of these ids, prefixes of ids or names stands for the finding's rule."""
    return any(finding.rule.startswith(code) or finding.name == code for code in codes)


def _fits(pattern: str, finding: Diagnostic) -> bool:
    if "/" not in pattern:
        return fnmatchcase(finding.model, pattern)
    path = finding.path.as_posix()
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")


def parse_selected(text: str, known: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Rules in a text such as `TRT1, TRT205, undeclared`. `known` are (id, name) pairs.

    Raises IgnoreError for what names no rule.
    """
    codes = tuple(code.strip() for code in re.split(r"[,\s]+", text.strip()) if code.strip())
    if not codes:
        raise IgnoreError("no rule is named", fix="Name one, such as TRT101 or undeclared.")
    resolved = []
    for code in codes:
        upper = code.upper()
        if _CODE.fullmatch(code) and any(id.startswith(upper) for id, _ in known):
            resolved.append(upper)
        elif any(name == code for _, name in known):
            resolved.append(code)
        else:
            raise IgnoreError(
                f"there is no rule {code!r}",
                fix="Name a rule (TRT101 or undeclared) or a group of them (TRT1).",
            )
    return tuple(resolved)


def parse_ignored(text: str, known: Sequence[tuple[str, str]]) -> Ignored:
    """What to ignore, from a text such as `TRT101: tokenizer_*`. Raises IgnoreError."""
    codes, colon, patterns = text.partition(":")
    rules = parse_selected(codes, known)
    if not colon:
        return Ignored(rules)
    wanted = tuple(one.strip() for one in patterns.split(",") if one.strip())
    if not wanted:
        raise IgnoreError(
            f"{text!r} names no model after the colon",
            fix="Write RULE: PATTERN, such as TRT101: tokenizer_*, or the rule alone.",
        )
    return Ignored(rules, wanted)


@dataclass(frozen=True)
class Comments:
    """What comments in one file ignore: rules for the whole, and by line."""

    whole: tuple[str, ...] = ()
    lines: Mapping[int, tuple[str, ...]] | None = None

    def cover(self, finding: Diagnostic) -> bool:
        if names_rule(self.whole, finding):
            return True
        if self.lines is None or finding.line is None:
            return False
        return names_rule(self.lines.get(finding.line, ()), finding)


def comments_in(text: str) -> Comments:
    """The comments `# triton: ignore ...` of a config.pbtxt."""
    if "triton:" not in text:
        return Comments()
    whole: list[str] = []
    lines: dict[int, tuple[str, ...]] = {}
    waiting: list[str] = []  # of comments that stand alone: for the next line with anything on it
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        rules = _rules_in(line, whole) if "triton:" in line else []
        if bare.startswith("#"):
            waiting += rules
        elif bare:
            if waiting or rules:
                lines[number] = (*waiting, *rules)
            waiting = []
    return Comments(tuple(whole), lines)


def _rules_in(line: str, whole: list[str]) -> list[str]:
    """The rules that a line's comment ignores; those of `ignore-file` are added to `whole`."""
    for piece in _PIECE.finditer(line):
        found = _COMMENT.match(piece.group())
        if found is not None:
            rules = [code for code in re.split(r"[,\s]+", found["rules"]) if code]
            if not found["file"]:
                return rules
            whole += rules
    return []
