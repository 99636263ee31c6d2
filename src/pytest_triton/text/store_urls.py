"""URLs of object stores in the text that names a deployment's repositories, `PLACE:PLACE`."""

from __future__ import annotations

import re
from collections.abc import Iterator

SCHEMES = ("s3", "gs", "gcs", "as", "az", "abfs", "abfss", "hf")

_SCHEME = rf"(?:{'|'.join(SCHEMES)})://"
# A key and its secret, KEY:SECRET@; a secret may have any character, a '/' too, and start as a port
# does. So any '@' after a ':' in the first part counts, but for the one of a URL that comes next.
_PASSWORD = rf"(?:https?://|(?!https?://))[^/:@]*:(?!{_SCHEME}).*@"
# With a password all of the text is taken, so that no part of it is shown as another place.
# Else a ':' ends it, but for that of a port and of a scheme within it (s3://https://host:9000/).
_URL = re.compile(
    rf"{_SCHEME}(?:{_PASSWORD}.*|.*?(?=:(?!//|\d+(?:/|\Z))|\Z))", re.IGNORECASE | re.DOTALL
)
_WITH_PASSWORD = re.compile(rf"{_SCHEME}(?:{_PASSWORD}|[^/]*:[^/]*@)", re.IGNORECASE | re.DOTALL)


def may_hold_credential(url: str) -> bool:
    """Whether any URL may hold a credential: one with a user, a query or a fragment."""
    return any(mark in url for mark in "@?#")


def has_password(url: str) -> bool:
    """Whether a store's URL may hold a password, so that it isn't to be shown."""
    return _WITH_PASSWORD.match(url) is not None


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
