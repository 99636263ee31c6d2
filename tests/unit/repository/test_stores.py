"""URLs of object stores: how they are distinguished, where copies lie, what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.options.repository_paths import NoDirectories, read_deployment_text
from pytest_triton.plan.identity import deployment_name
from pytest_triton.repository.store_fetch import _safe, hidden
from pytest_triton.repository.stores import Location, Store, location_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("text", "urls", "folders"),
    [
        ("s3://bucket/models", ["s3://bucket/models"], 0),
        ("S3://bucket/models/", ["s3://bucket/models"], 0),
        ("a:s3://bucket/models:b", ["s3://bucket/models"], 2),
        ("s3://bucket/a:s3://bucket/b", ["s3://bucket/a", "s3://bucket/b"], 0),
        ("s3://host:9000/bucket/a:b", ["s3://host:9000/bucket/a"], 1),
        ("s3://https://host:9000/b/a:gs://x/y", ["s3://https://host:9000/b/a", "gs://x/y"], 0),
        ("hf://me/repo@main/models", ["hf://me/repo@main/models"], 0),
        ("s3://b/m:/x@y", ["s3://b/m"], 1),
        ("s3://b:abfs://it@a.net/m", ["s3://b", "abfs://it@a.net/m"], 0),
        ("abfs://it@account.dfs.net/m", ["abfs://it@account.dfs.net/m"], 0),
    ],
)
def test_stores_and_directories_are_distinguished(
    tmp_path: Path, cache: Path, text: str, urls: list[str], folders: int
) -> None:
    found = read_deployment_text(text, tmp_path)
    assert [store.url for store in found.stores] == urls
    assert len(found.paths) == len(urls) + folders
    assert all(store.path in found.paths for store in found.stores)
    assert all(store.path.is_relative_to(cache / "stores") for store in found.stores)
    assert deployment_name(text).count(":") == text.count(":"), "URLs stay whole"


def test_directory_that_is_called_like_a_url_is_one(tmp_path: Path) -> None:
    (tmp_path / "s3:/bucket").mkdir(parents=True)
    assert read_deployment_text("s3://bucket", tmp_path).stores == ()


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIASECRET:verysecret@bucket/models",
        "s3://bucket/models?X-Amz-Signature=verysecret",
        "az://container/models?sig=verysecret",
        "a:s3://AKIASECRET:verysecret@bucket:b",
        "s3://AKIASECRET:verysecret/verysecret@bucket/models",
        "s3://AKIASECRET:/verysecret@bucket/models",
        "s3://AKIASECRET:9/verysecret:x@bucket",
        "s3://https://AKIASECRET:very/secret@host:9000/bucket/models",
        "a:S3://AKIASECRET:very/secret@bucket:gs://b",
    ],
)
def test_url_with_credentials_is_refused_and_never_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(NoDirectories) as raised:
        read_deployment_text(url, tmp_path)
    assert raised.value.secret
    assert "verysecret" not in str(raised.value)


@pytest.mark.parametrize("name", ["..", "a/..", "...", "a b/ü:?*", "x" * 300, "\n"])
def test_copy_lies_in_a_folder_of_its_own_in_the_cache(cache: Path, name: str) -> None:
    path = Store.of(f"s3://bucket/{name.replace('?', '')}").path
    assert path.parent.parent == cache / "stores"
    assert path.name.strip(".")
    assert len(path.name) <= 100


@pytest.mark.parametrize(
    ("key", "safe"),
    [
        ("m/config.pbtxt", "m/config.pbtxt"),
        ("m/1/", "m/1"),
        ("../evil", None),
        ("m/../../evil", None),
        ("/etc/passwd", None),
        ("m//x", None),
        ("m/./x", None),
        ("m/\0x", None),
        (f"m/{'x' * 256}", None),
        ("m/a\\..\\b", "m/a\\..\\b"),
    ],
)
def test_key_that_would_leave_the_copy_is_left_out(key: str, safe: str | None) -> None:
    found = _safe(key)
    assert (None if found is None else str(found)) == safe


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("s3://bucket/m", Location("s3://bucket/m")),
        ("s3://host:9000/bucket/m", Location("s3://bucket/m", "http://host:9000")),
        ("s3://https://host/bucket/m", Location("s3://bucket/m", "https://host")),
        ("s3://https://host:1/bucket/m", Location("s3://bucket/m", "https://host:1")),
        ("as://account/container/m", Location("az://container/m", account="account")),
        ("hf://me/repo/m", Location("hf://me/repo/m")),
    ],
)
def test_forms_of_tritons_urls_are_known(url: str, location: Location) -> None:
    assert location_of(url) == location


def test_credentials_are_hidden_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=abcdef123")
    text = (
        "no: wJalrXUtnFEMI, X-Amz-Signature=0123abc&x=1 'token': 'hf_abcdef' AccountKey=abcdef123"
    )
    shown = hidden(text)
    for secret in ("wJalrXUtnFEMI", "0123abc", "hf_abcdef", "abcdef123"):
        assert secret not in shown
    assert "x=1" in shown


@pytest.mark.parametrize(
    "text",
    [
        "NoCredentialsError: Unable to locate credentials",
        "DefaultCredentialsError: Your default credentials were not found. To set up ...",
        "ClientError: An error occurred (ExpiredToken) when calling the ListObjectsV2 operation",
        "ExpiredToken: The provided token has expired.",
        "TokenRefreshRequired: The provided token must be refreshed",
        "the tokenizer: fast",
        "signal: 15, significant: yes, designated: no",
        "can't get credentials: Forbidden",
        "File /home/me/key.json was not found",
        "there is no bucket keyboards",
    ],
)
def test_ordinary_words_of_an_error_are_not_hidden(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json")
    monkeypatch.setenv("SOME_KEY", "keyboard")
    assert hidden(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "password: topsecret",
        "Token: topsecret",
        "SecretAccessKey: topsecret and more",
        "InvalidToken: topsecret",
        "https://host/path?sig=topsecret&se=1",
        "https://host/path?X-Amz-Signature=topsecret",
        "{'my_sig': 'topsecret'}",
        "credentials: topsecret1",
        "the value is topsecret here",
        "(topsecret)",
        "x9topsecret9x",
    ],
)
def test_secrets_beside_ordinary_words_are_hidden(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text[0] in "t(x":
        monkeypatch.setenv("SOME_SECRET", "topsecret")
    assert "topsecret" not in hidden(text)
