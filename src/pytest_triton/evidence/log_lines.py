"""Evidence: the server's log, for what the repository index does not say.

Models that fail while the repository is polled, and ensembles whose steps were refused, stand in
the index by name only, or not at all: Triton's text about them is in the log alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_triton.evidence.log_messages import messages

_PARSER = "Error parsing text-format "
_ABOUT = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"Poll failed for model directory '(?P<model>.*?)': (?P<texts>.*)",
        r"failed to load model '(?P<model>.*?)': (?P<texts>.*)",
        r"failed to load '(?P<model>.*?)' version -?\d+: (?P<texts>.*)",
        r"(?P<texts>failed to poll model '(?P<model>.*?)': .*)",
        r"(?P<texts>(?:Invalid argument: )?ensemble '(?P<model>.*?)' (?:depends on|contains) .*)",
        r"(?P<texts>(?:Invalid argument: )?ensemble (?P<model>.*?) (?:contains models|allows) .*)",
        r"(?P<texts>(?:Invalid argument: )?in ensemble (?P<model>.*?), .*)",
        r"(?P<texts>(?:Invalid argument: )?circular dependency between ensembles: "
        r"(?P<model>.*?) -> .*)",
    )
)


def all_refusals(log: str) -> Mapping[str, Sequence[str]]:
    """Triton's text about each model that it refused, by the model's name, the last ones last.

    Where the config could not be parsed, the parser's own message (with line and column) is
    added, which is written on the line before.
    """
    texts: dict[str, list[str]] = {}
    parser = ""
    for message in messages(log):
        if message.level != "E":
            continue
        if message.text.startswith(_PARSER):
            parser = message.text
            continue
        # Other text may follow on the next lines, so they are taken only where they must be.
        found = _about(message.text) or (_about(message.whole) if message.more else None)
        if found is not None:
            text = found["texts"].strip()
            texts.setdefault(found["model"], []).append(
                f"{text}: {parser}" if parser and "text proto" in text else text
            )
        parser = ""
    return texts


def refusals(log: str) -> dict[str, str]:
    """Triton's last text about each model that it refused, by the model's name."""
    return {model: texts[-1] for model, texts in all_refusals(log).items()}


def _about(message: str) -> re.Match[str] | None:
    matches = (pattern.match(message) for pattern in _ABOUT)
    return next((match for match in matches if match is not None), None)
