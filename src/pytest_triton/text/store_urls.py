"""URLs of object stores in the text that names a deployment's repositories, `PLACE:PLACE`."""

from __future__ import annotations

import re
from collections.abc import Iterator

SCHEMES = ("s3", "gs", "gcs", "as", "az", "abfs", "abfss", "hf")

_SCHEME = rf"(?:{'|'.join(SCHEMES)})://"
# With a password all of the text is taken, so that no part of it is shown as another place.
# Else a ':' ends it, but for that of a port and of a scheme within it (s3://https://host:9000/).
_URL = re.compile(
    rf"{_SCHEME}(?:[^/:@]*:[^/@]*@.*|.*?(?=:(?!//|\d+(?:/|\Z))|\Z))", re.IGNORECASE | re.DOTALL
)


def url_at_start(text: str) -> str:
    """The store's URL that a text starts with; "" if it starts with none."""
    found = _URL.match(text)
    return found.group() if found is not None else ""


def places_in(text: str) -> Iterator[str]:
    """The parts of a deployment's text, between the ':' that join them: paths and URLs."""
    while text:
        part = url_at_start(text) or text.partition(":")[0]
        yield part
        text = text[len(part) + 1 :]
