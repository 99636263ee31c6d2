"""`--triton-deployment-repo`: a repository as production knows it, and our directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.errors import OptionError
from pytest_triton.options.reading import read_mapping
from pytest_triton.repository.stores import Store


@pytest.mark.parametrize(
    ("text", "inside", "here"),
    [
        ("/models=./m", "/models", "/start/m"),
        ("/models/=/a=b", "/models", "/a=b"),
        ("/=m", "/", "/start/m"),
        ("s3://bucket/models/=m", "s3://bucket/models", "/start/m"),
        ("gs://bucket=m", "gs://bucket", "/start/m"),
        ("pvc://claim/models=m", "pvc://claim/models", "/start/m"),
    ],
)
def test_mapping_of_a_directory_or_a_url_is_read(text: str, inside: str, here: str) -> None:
    assert read_mapping(text, Path("/start")) == (inside, Path(here))


@pytest.mark.parametrize("text", ["models=m", "/models", "/models=", "=m", "", "://x=m", "s3://=m"])
def test_mapping_of_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(OptionError, match="expected /PATH=DIR"):
        read_mapping(text, Path("/start"))


def test_store_may_be_what_a_directory_is() -> None:
    inside, here = read_mapping("/models=s3://bucket/models", Path("/start"))
    assert (inside, here) == ("/models", Store.of("s3://bucket/models"))


def test_store_with_a_credential_is_an_error_without_it() -> None:
    with pytest.raises(OptionError, match="with credentials") as raised:
        read_mapping("/models=s3://KEY:SECRET@bucket/models", Path("/start"))
    assert raised.value.secret
    assert "SECRET" not in str(raised.value)


def test_other_url_for_our_directory_is_an_error_that_asks_for_a_copy() -> None:
    with pytest.raises(OptionError, match="a URL where a directory") as raised:
        read_mapping("/models=https://user@host/models", Path("/start"))
    assert "copy the repository" in raised.value.fix
    assert raised.value.secret
