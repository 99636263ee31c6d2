"""The server's log as messages: what each line says, without the prefix and the quotes.

Since r24.05 a message is JSON-quoted; before, it is plain, and a name with a line break breaks the
message too: the lines that follow are kept with it, for who looks for such names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

# "E1122 21:26:19.454681 31911 model_repository_manager.cc:1460] ..."; libraries that log by
# themselves (abseil) write the seconds since 1970 in place of the seconds.
_LINE = re.compile(r"([EWIV])\d{4} \d\d:\d\d:\d+\.\d+ +\d+ [\w.]+:\d+\] ")
_LIBRARY = re.compile(r"\[libprotobuf \w+ .*?\] ")
_DECODER = json.JSONDecoder(strict=False)


class Message(NamedTuple):
    """One message: its level (E, W, I, V), its first line unquoted, and the lines behind it."""

    level: str
    text: str
    more: tuple[str, ...]

    @property
    def whole(self) -> str:
        """The message with all that follows, up to the next message."""
        return "\n".join((self.text, *self.more))


def messages(log: str) -> Iterator[Message]:
    """All messages, in the log's order. What stands before the first belongs to none."""
    level, text = "", ""
    more: list[str] = []
    for line in log.split("\n"):
        # Models print into the same file: what they leave without a line's end stands before.
        found = _LINE.match(line) or _LIBRARY.match(line) or _LINE.search(line)
        if found is None:
            more.append(line)
            continue
        if level:
            yield Message(level, text, tuple(more))
        level = found[1] if found.re is _LINE else "E"
        text = unquoted(line[found.end() :])
        more = []
    if level:
        yield Message(level, text, tuple(more))


def unquoted(message: str) -> str:
    """A log message without the JSON quotes that newer releases put around it.

    What follows the closing quote is not the server's.
    """
    if message.startswith('"'):
        try:
            plain, _ = _DECODER.raw_decode(message)
        except ValueError:
            return message
        if isinstance(plain, str):
            return plain
    return message
