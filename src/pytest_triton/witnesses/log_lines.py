"""Witness: the server's log, for what the repository index does not tell.

Models that fail while the repository is polled, and ensembles whose steps were refused, stand in
the index by name only, or not at all: Triton's words about them are in the log alone. Since r24.05
a message is JSON-quoted; before, it is plain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_ERROR = re.compile(r"^E\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\] (?P<message>.*)$")
_PARSER = re.compile(r"^\[libprotobuf ERROR .*?\] (?P<message>Error parsing text-format .*)$")
_ABOUT = (
    re.compile(r"Poll failed for model directory '(?P<model>.*?)': (?P<words>.*)", re.DOTALL),
    re.compile(
        r"(?P<words>(?:Invalid argument: )?ensemble '?(?P<model>[^' ]+)'? (?:depends|contains).*)",
        re.DOTALL,
    ),
    re.compile(r"(?P<words>(?:Invalid argument: )?in ensemble (?P<model>[^ ,]+), .*)", re.DOTALL),
    re.compile(r"failed to load model '(?P<model>.*?)': (?P<words>.*)", re.DOTALL),
    re.compile(r"failed to load '(?P<model>.*?)' version \d+: (?P<words>.*)", re.DOTALL),
)


def refusals(log: str) -> dict[str, str]:
    """Triton's words about each model that it refused, by the model's name (the last ones).

    Where the config could not be parsed, the parser's own message (with line and column) is
    added, which Triton writes on the line before.
    """
    words: dict[str, str] = {}
    parser = ""
    for message, is_parser in _messages(log):
        if is_parser:
            parser = message
            continue
        for pattern in _ABOUT:
            found = pattern.search(message)
            if found:
                text = found["words"].strip()
                if parser and "text proto" in text:
                    text = f"{text}: {parser}"
                words[found["model"]] = text
                break
        parser = ""
    return words


def _messages(log: str) -> Iterator[tuple[str, bool]]:
    for line in log.splitlines():
        found = _PARSER.match(line)
        if found:
            yield found["message"], True
            continue
        found = _ERROR.match(line)
        if found:
            yield unquoted(found["message"]), False


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
