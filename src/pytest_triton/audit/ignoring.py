"""Which findings are ignored: by rule, by model, by path, by a comment in the config.

TRT102                        nowhere at all
TRT101: tokenizer_*           for models whose name fits
TRT101, TRT2: legacy/*, old_* several rules (a prefix stands for all that start so); a
                              pattern with a `/` is for paths

kind: KIND_AUTO  # triton: ignore TRT102          for this line
# triton: ignore TRT102                           for the next line, if it stands alone
# triton: ignore-file TRT101, TRT112              for the whole config.pbtxt, and the model's other
                                                  files
# triton: ignore TRT101 -- small and rarely used  a reason stands behind `--`

Comments count in config.pbtxt only, not in code and not in `configs/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pytest_triton.diagnostics.diagnostic import Diagnostic, Edit
from pytest_triton.errors import PytestTritonError

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LOOSE = re.compile(r"#[ \t]*triton[ \t]*:?[ \t]*ignore(?P<file>-file)?(?![\w-])", re.IGNORECASE)
_EXACT = re.compile(r"#[ \t]*triton:[ \t]*ignore(-file)?")
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
                fix=f"{meant_rule(code, known)}Name a rule (TRT101 or undeclared) or a group of "
                "them (TRT1).",
            )
    return tuple(resolved)


def meant_rule(text: str, known: Sequence[tuple[str, str]]) -> str:
    """Which rule is meant by a text that names none, as a question; "" if that can't be known."""
    names = [name for _, name in known]
    within = [name for name in names if len(text) > 2 and text.lower() in name]
    close = within or get_close_matches(text.lower(), names, n=1)
    return f"Did you mean {' or '.join(close[:3])}? " if close else ""


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
class Comment:
    """A comment `triton: ignore` of a config.pbtxt.

    It suppresses `rules` in the whole file, or on the line `covers` (0 if there is none). What is
    wrong with how it is written is `wrong` ("" if nothing is); `edits` correct that.
    """

    line: int
    column: int
    rules: tuple[str, ...]
    whole_file: bool
    covers: int = 0
    wrong: str = ""
    edits: tuple[Edit, ...] = ()

    def suppresses(self, finding: Diagnostic) -> bool:
        """Of the file with the comment; `suppresses_for_model` knows of other files, too."""
        return names_rule(self.rules, finding) and (self.whole_file or finding.line == self.covers)

    def suppresses_for_model(self, finding: Diagnostic) -> bool:
        """Of a model with this comment in its config.pbtxt."""
        in_config = finding.path.name.startswith("config.pbtxt")  # a template, too
        return (self.whole_file or in_config) and self.suppresses(finding)


def comments_in(text: str, known: Sequence[tuple[str, str]]) -> tuple[Comment, ...]:
    """The comments `# triton: ignore ...` of a config.pbtxt, also those that are written wrong.

    `known` are the (id, name) pairs of the rules.
    """
    if _LOOSE.search(text) is None:
        return ()
    found: list[Comment] = []
    waiting: list[Comment] = []  # those that stand alone: for the next line with anything on it
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        here = _comment(line, number, start, known)
        if here is not None and here.whole_file:
            found.append(here)
        elif here is not None and not bare.startswith("#"):
            found.append(replace(here, covers=number))
        elif here is not None:
            waiting.append(here)
        if bare and not bare.startswith("#"):
            found += [replace(one, covers=number) for one in waiting]
            waiting = []
        start += len(line) + 1
    return tuple(sorted([*found, *waiting], key=lambda one: one.line))


def _comment(
    line: str, number: int, start: int, known: Sequence[tuple[str, str]]
) -> Comment | None:
    """The comment of a line that begins at the offset `start`."""
    for piece in _PIECE.finditer(line):
        found = _LOOSE.match(piece.group())
        if found is None:
            continue
        whole_file = found["file"] is not None
        column = piece.start() + 1
        right = f"# triton: ignore{'-file' if whole_file else ''}"
        if _EXACT.fullmatch(found.group()) is None:
            begin = start + piece.start()
            return Comment(
                number,
                column,
                (),
                whole_file,
                wrong=f"`{found.group()}` suppresses nothing: write `{right}`",
                edits=(Edit(begin, begin + found.end(), right),),
            )
        rules, unknown = _rules_of(piece.group()[found.end() :], known)
        wrong = ""
        if unknown:
            close = get_close_matches(unknown, [one for pair in known for one in pair], n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            wrong = f"`{unknown}` is no rule{meant}; a reason stands behind `--`"
        elif not rules:
            wrong = f"it names no rule, and suppresses nothing: write `{right} TRT101`"
        return Comment(number, column, rules, whole_file, wrong=wrong)
    return None


def _rules_of(text: str, known: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], str]:
    """The rules in a comment, and the first word that is none of them ("" if all are)."""
    rules: list[str] = []
    for word in re.split(r"[,\s]+", text.strip()):
        if not word or not word[0].isalnum():
            break
        if not any(id.startswith(word) or name == word for id, name in known):
            return tuple(rules), word
        rules.append(word)
    return tuple(rules), ""
