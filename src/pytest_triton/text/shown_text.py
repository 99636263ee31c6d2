"""Texts of others (servers, logs, names of files) made fit for terminals, logs and node ids.

They may hold escape sequences, marks that turn the direction of writing, broken UTF-8, and lines
that a CI takes for its commands: GitHub's `::error`, Azure's `##vso[`, TeamCity's `##teamcity[`.
"""

from __future__ import annotations

import re

# GitHub's runner looks behind leading spaces, and for the old form `##[` anywhere.
_COMMAND = re.compile(r"^(\s*):(?=:)|#(?=#(?:vso|teamcity)?\[)", re.MULTILINE)
_ESCAPES = {":": "\\x3a", "#": "\\x23"}


def shown(text: str) -> str:
    """A text of several lines as it can be written anywhere. To do it twice changes nothing."""
    if not _is_plain(text):
        text = "\n".join(
            "".join(one if _is_plain(one) else _escaped(one) for one in line)
            for line in text.split("\n")
        )
    return _COMMAND.sub(_without_command, text)


def node_name(name: str) -> str:
    """The name of a file as a part of a node id: printable, without `::`, and unmistakable."""
    if name.isprintable() and not re.search(r"\\|::|##", name):
        return name
    escaped = "".join(
        one if one.isprintable() and one != "\\" else _escaped(one).replace("\\\\", "\\x5c")
        for one in name
    )
    return escaped.replace("::", "\\x3a\\x3a").replace("##", "\\x23\\x23")


def printable(text: str) -> str:
    """`text` with all that a terminal can't show as it is (newlines, broken UTF-8) escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def sendable(text: str) -> str:
    """A text as UTF-8 can hold it, which is what workers of pytest-xdist send."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_plain(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _without_command(found: re.Match[str]) -> str:
    text = found[0]
    return text[:-1] + _ESCAPES[text[-1]]
