"""Witness: the server's log, for what the repository index does not tell.

Models that fail while the repository is polled, and ensembles whose steps were refused, stand in
the index by name only, or not at all: Triton's words about them are in the log alone. Since r24.05
a message is JSON-quoted; before, it is plain, and a name with a line break breaks the message too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# "E1122 21:26:19.454681 31911 model_repository_manager.cc:1460] ..."; libraries that log by
# themselves (abseil) write the seconds since 1970 in place of the seconds.
_LINE = re.compile(r"^(?P<level>[EWIV])\d{4} \d\d:\d\d:\d+\.\d+ +\d+ [\w.]+:\d+\] (?P<message>.*)$")
_LIBRARY = re.compile(r"^\[libprotobuf \w+ .*?\] (?P<message>.*)$")
_PARSER = "Error parsing text-format "
_ABOUT = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"Poll failed for model directory '(?P<model>.*?)': (?P<words>.*)",
        r"failed to load model '(?P<model>.*?)': (?P<words>.*)",
        r"failed to load '(?P<model>.*?)' version -?\d+: (?P<words>.*)",
        r"(?P<words>failed to poll model '(?P<model>.*?)': .*)",
        r"(?P<words>(?:Invalid argument: )?ensemble '(?P<model>.*?)' (?:depends on|contains) .*)",
        r"(?P<words>(?:Invalid argument: )?ensemble (?P<model>.*?) (?:contains models|allows) .*)",
        r"(?P<words>(?:Invalid argument: )?in ensemble (?P<model>.*?), .*)",
        r"(?P<words>(?:Invalid argument: )?circular dependency between ensembles: "
        r"(?P<model>.*?) -> .*)",
    )
)


def refusals(log: str) -> dict[str, str]:
    """Triton's words about each model that it refused, by the model's name (the last ones).

    Where the config could not be parsed, the parser's own message (with line and column) is
    added, which is written on the line before.
    """
    words: dict[str, str] = {}
    parser = ""
    for lines in _errors(log):
        message = unquoted(lines[0])
        if message.startswith(_PARSER):
            parser = message
            continue
        # Other text may follow on the next lines, so they are taken only where they must be.
        found = _about(message) or _about("\n".join(lines))
        if found is not None:
            model, text = found["model"], found["words"].strip()
            words[model] = f"{text}: {parser}" if parser and "text proto" in text else text
        parser = ""
    return words


def _about(message: str) -> re.Match[str] | None:
    matches = (pattern.match(message) for pattern in _ABOUT)
    return next((match for match in matches if match is not None), None)


def _errors(log: str) -> Iterator[list[str]]:
    """The messages of all errors, each with the lines that follow it."""
    lines: list[str] = []
    for line in log.split("\n"):
        found = _LINE.match(line) or _LIBRARY.match(line)
        if found is None:
            if lines:
                lines.append(line)
            continue
        if lines:
            yield lines
        is_error = found.groupdict().get("level", "E") == "E"
        lines = [found["message"]] if is_error else []
    if lines:
        yield lines


def unquoted(message: str) -> str:
    """A log message without the JSON quotes that newer releases put around it."""
    if message.startswith('"'):
        try:
            plain = json.loads(message)
        except ValueError:
            return message
        if isinstance(plain, str):
            return plain
    return message
