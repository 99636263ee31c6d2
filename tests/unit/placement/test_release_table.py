"""The table of releases: an official tag and a version name the same one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pytest_triton.placement.fields import NEWER_FIELDS
from pytest_triton.placement.releases import (
    NEWEST_RELEASE,
    OLDEST_RELEASE,
    RELEASES,
    NotARelease,
    read_release,
    release_of_image,
    shown_release,
    shown_version,
    tag_of,
)
from pytest_triton.servers.process import releases as installable


def test_table_of_releases_has_every_month_once_in_order() -> None:
    months = [int(tag[:2]) * 12 + int(tag[3:]) for tag in RELEASES]
    assert months == list(range(23 * 12 + 4, 26 * 12 + 9 + 1))
    minors = [minor for major, minor, patch in RELEASES.values() if (major, patch) == (2, 0)]
    assert minors == list(range(33, 73 + 1))
    assert [tag for tag, version in RELEASES.items() if version[2]] == ["25.07"]
    assert all(older < newer for older, newer in pairwise(RELEASES.values()))
    assert (OLDEST_RELEASE, NEWEST_RELEASE) == ((2, 33, 0), (2, 73, 0))


@pytest.mark.parametrize("tag", RELEASES)
def test_tag_and_version_of_each_release_name_each_other(tag: str) -> None:
    version = RELEASES[tag]
    assert read_release(tag) == read_release(shown_version(version)) == version
    assert tag_of(version) == tag
    assert release_of_image(f"nvcr.io/nvidia/tritonserver:{tag}-py3") == version


def test_tables_of_installable_releases_and_of_newer_fields_agree_with_it() -> None:
    for one in installable.RELEASES:
        assert shown_version(RELEASES[one.ngc]) == one.version
    for row in NEWER_FIELDS:
        assert RELEASES[row.ngc] == row.since


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.70", (2, 70, 0)),
        ("v2.70.0", (2, 70, 0)),
        (" 2.70.0 ", (2, 70, 0)),
        ("2.73.0dev", (2, 73, 0)),
        ("2.59.1", (2, 59, 1)),
        ("25.07", (2, 59, 1)),
        ("26.06-py3", (2, 70, 0)),
        ("26.06-vllm-python-py3", (2, 70, 0)),
        ("r26.06", (2, 70, 0)),
        ("24.04.1", (2, 45, 0)),
        ("26.10", (2, 74, 0)),  # not in the table: one minor version a month
        ("27.01", (2, 77, 0)),
        ("2.80.0", (2, 80, 0)),
    ],
)
def test_release_is_read_from_each_form(text: str, version: tuple[int, int, int]) -> None:
    assert read_release(text) == version


@pytest.mark.parametrize(
    "text", ["", "latest", "26", "26.13", "26.00", "2.x", "-py3", "26.06py3", "١.٢", "2.70.0.0"]
)
def test_text_that_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(NotARelease, match="is no release of Triton"):
        read_release(text)


@pytest.mark.parametrize("text", ["2.32.0", "23.03", "1.5.0", "22.12-py3"])
def test_release_before_the_first_known_one_is_refused(text: str) -> None:
    with pytest.raises(NotARelease, match=r"known from release 2\.33\.0"):
        read_release(text)


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ((2, 56, 1), "25.03"),  # a patch of the month's
        ((2, 74, 0), "26.10"),
        ((2, 77, 0), "27.01"),
        ((2, 73, 4), "26.09"),
    ],
)
def test_version_that_is_not_in_the_table_has_a_tag(
    version: tuple[int, int, int], tag: str
) -> None:
    assert tag_of(version) == tag


def test_release_is_shown_as_version_and_tag() -> None:
    assert shown_release((2, 70, 0)) == "2.70.0 (26.06)"


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("nvcr.io/nvidia/tritonserver:26.06-py3", (2, 70, 0)),
        ("nvcr.io/nvidia/tritonserver:26.06-py3-min", (2, 70, 0)),
        ("registry:5000/mirror/tritonserver:25.07-trtllm-python-py3", (2, 59, 1)),
        ("tritonserver:24.10", (2, 51, 0)),
        ("nvcr.io/nvidia/tritonserver:26.06-py3@sha256:abc", (2, 70, 0)),
        ("nvcr.io/nvidia/tritonserver:26.11-py3", (2, 75, 0)),
        ("nvcr.io/nvidia/tritonserver:22.12-py3", None),
        ("nvcr.io/nvidia/pytorch:26.06-py3", None),
        ("our-triton:latest", None),
        ("our-triton:1.26.06", None),
        ("our-triton", None),
        ("registry:5000/triton", None),
        ("triton@sha256:abc", None),
    ],
)
def test_release_of_an_image_is_reported_by_an_official_tag(
    image: str, version: tuple[int, int, int] | None
) -> None:
    assert release_of_image(image) == version
