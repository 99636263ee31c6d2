"""Triton's releases: the version that a server says, and the tag of NVIDIA's image of it.

A release comes out each month and raises the version's second number by one; only 25.07 was 2.59.1.
Source: `TRITON_VERSION` on the branches r23.04 to r26.08 of triton-inference-server/server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]

# The tags, one a month without a gap, and the versions.
RELEASES: dict[str, Version] = {
    "23.04": (2, 33, 0),
    "23.05": (2, 34, 0),
    "23.06": (2, 35, 0),
    "23.07": (2, 36, 0),
    "23.08": (2, 37, 0),
    "23.09": (2, 38, 0),
    "23.10": (2, 39, 0),
    "23.11": (2, 40, 0),
    "23.12": (2, 41, 0),
    "24.01": (2, 42, 0),
    "24.02": (2, 43, 0),
    "24.03": (2, 44, 0),
    "24.04": (2, 45, 0),
    "24.05": (2, 46, 0),
    "24.06": (2, 47, 0),
    "24.07": (2, 48, 0),
    "24.08": (2, 49, 0),
    "24.09": (2, 50, 0),
    "24.10": (2, 51, 0),
    "24.11": (2, 52, 0),
    "24.12": (2, 53, 0),
    "25.01": (2, 54, 0),
    "25.02": (2, 55, 0),
    "25.03": (2, 56, 0),
    "25.04": (2, 57, 0),
    "25.05": (2, 58, 0),
    "25.06": (2, 59, 0),
    "25.07": (2, 59, 1),
    "25.08": (2, 60, 0),
    "25.09": (2, 61, 0),
    "25.10": (2, 62, 0),
    "25.11": (2, 63, 0),
    "25.12": (2, 64, 0),
    "26.01": (2, 65, 0),
    "26.02": (2, 66, 0),
    "26.03": (2, 67, 0),
    "26.04": (2, 68, 0),
    "26.05": (2, 69, 0),
    "26.06": (2, 70, 0),
    "26.07": (2, 71, 0),
    "26.08": (2, 72, 0),
    "26.09": (2, 73, 0),
}
OLDEST_RELEASE = min(RELEASES.values())
NEWEST_RELEASE = max(RELEASES.values())

_TAG = r"(?P<year>\d\d)\.(?P<month>0[1-9]|1[0-2])(?:\.\d{1,3})?"
_VERSION = re.compile(
    r"v?(?P<major>\d)\.(?P<minor>\d{1,4})(?:\.(?P<patch>\d{1,4}))?(?:(?:dev|rc)\d{0,4})?",
    re.ASCII,
)
_NAME_OF_TAG = re.compile(rf"r?{_TAG}(?:-[\w.-]+)?", re.ASCII)
# A registry may have a port; what is behind @ is a digest.
_IMAGE = re.compile(rf"(?P<name>.+):{_TAG}(?:-[\w.-]+)?(?:@\S+)?", re.ASCII)


@dataclass(frozen=True)
class ChosenRelease:
    """The release whose rules are applied, and who says so.

    `source` is an option, the server, an image's tag, ... in words; `assumed`: nobody says, so it
    is the newest known, until a server says better.
    """

    version: Version
    source: str
    assumed: bool = False

    def __str__(self) -> str:
        return f"{shown_release(self.version)}, {self.source}"


class NotARelease(ValueError):
    """A text that names no release, or one whose rules aren't known."""


def read_release(text: str) -> Version:
    """The version that `2.70.0`, `2.70`, `26.06`, `26.06-py3` or `r26.06` names.

    Raises NotARelease for other texts, and for releases before the first of the table.
    """
    name = text.strip()
    tag = _NAME_OF_TAG.fullmatch(name)
    number = _VERSION.fullmatch(name)
    if tag is not None:
        found = _version_of(int(tag["year"]), int(tag["month"]))
    elif number is not None:
        found = (int(number["major"]), int(number["minor"]), int(number["patch"] or 0))
    else:
        raise NotARelease(
            f"{text!r} is no release of Triton: give its version (2.70.0) or its image's tag "
            "(26.06)"
        )
    if found is None or found < OLDEST_RELEASE:
        raise NotARelease(
            f"{text!r}: Triton's rules are known from release {shown_release(OLDEST_RELEASE)} on"
        )
    return found


def release_of_image(image: str) -> Version | None:
    """The release that an image's tag says: an official tag, of an image named after Triton."""
    found = _IMAGE.fullmatch(image)
    if found is None or "triton" not in found["name"].lower():
        return None
    version = _version_of(int(found["year"]), int(found["month"]))
    return None if version is None or version < OLDEST_RELEASE else version


def tag_of(version: Version) -> str:
    """The tag of NVIDIA's image with this version, or of the last one before it; "" if too old."""
    if version > NEWEST_RELEASE:
        year, month = map(int, _NEWEST_TAG.split("."))
        months = year * 12 + month - 1 + version[1] - NEWEST_RELEASE[1]
        return f"{months // 12:02}.{months % 12 + 1:02}"
    return max((tag for tag, known in RELEASES.items() if known <= version), default="")


def shown_release(version: Version) -> str:
    """`2.70.0 (26.06)`."""
    tag = tag_of(version)
    return f"{shown_version(version)} ({tag})" if tag else shown_version(version)


def shown_version(version: Version) -> str:
    return ".".join(map(str, version))


_NEWEST_TAG = max(RELEASES)
NEWEST_KNOWN = ChosenRelease(NEWEST_RELEASE, "the newest known", assumed=True)


def _version_of(year: int, month: int) -> Version | None:
    """Of a tag; a newer one than the table's is taken to go on as before."""
    known = RELEASES.get(f"{year:02}.{month:02}")
    if known is not None:
        return known
    newest_year, newest_month = map(int, _NEWEST_TAG.split("."))
    later = (year - newest_year) * 12 + month - newest_month
    major, minor, _ = NEWEST_RELEASE
    return (major, minor + later, 0) if later > 0 else None
