"""Credentials in arguments and URLs that are shown: *** stands for them."""

from __future__ import annotations

import re

HIDDEN = "***"

# USER:SECRET@ and TOKEN@ in any URL; a secret may have any character but a space.
_USER = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)(?!https?://)(?:[^/\s@]*:[^\s]*|[^/\s@]+)@", re.IGNORECASE
)
_NAMED = re.compile(
    r"(?i)([\w.-]*(?:password|passwd|secret|token(?!iz)|credential|api[_-]?key|access[_-]?key)"
    r"[\w.-]*\s*[=:]\s*)[^\s,;&\"']+"
)


def without_credentials(text: str) -> str:
    """`--cache-config=redis,password=***`, `s3://***@bucket/models`."""
    return _NAMED.sub(rf"\1{HIDDEN}", without_user(text, f"{HIDDEN}@"))


def without_user(url: str, instead: str = "") -> str:
    """A URL without who asks, `s3://bucket/models` of `s3://KEY:SECRET@bucket/models`."""
    return _USER.sub(rf"\1{instead}", url)
