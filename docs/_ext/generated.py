"""Puts what is generated from the code where a page says `<!-- generated: NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import commands
import names
import options
import schema
import troubles
from sphinx.application import Sphinx

PARTS: Mapping[str, Callable[[], str]] = {
    "arguments": options.arguments,
    "assertions": names.assertions,
    "commands": commands.commands,
    "exceptions": names.exceptions,
    "exits": troubles.exits,
    "fixtures": names.fixtures,
    "inference": troubles.inference,
    "ledger": schema.ledger,
    "markers": names.markers,
    "options": options.options,
    "reasons": troubles.reasons,
    "refusals": troubles.refusals,
    "releases": troubles.releases,
    "server": names.server,
    "values": names.values,
}
_PLACE = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)


def with_generated(text: str) -> str:
    """The page with its generated parts. Raises KeyError for one that nothing generates."""
    return _PLACE.sub(lambda found: PARTS[found[1]](), text)


def _on_read(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = with_generated(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _on_read)
    return {"parallel_read_safe": True}
