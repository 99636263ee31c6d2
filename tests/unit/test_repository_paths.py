"""What names a deployment: directories, several, a ':' in a name, URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.__main__ import main
from pytest_triton.options.repository_paths import NoDirectories, repository_paths


def names(text: str, start: Path) -> list[str]:
    return [str(path.relative_to(start)) for path in repository_paths(text, start)]


@pytest.mark.parametrize(
    ("there", "text", "expected"),
    [
        ([], "a", ["a"]),
        ([], "a:b", ["a", "b"]),
        (["a:b"], "a:b", ["a:b"]),
        (["a:b", "a", "b"], "a:b", ["a:b"]),
        (["a:b", "c"], "a:b:c", ["a:b", "c"]),
        (["a:b", "c"], "c:a:b", ["c", "a:b"]),
        (["a:"], "a:", ["a:"]),
        (["a::b"], "a::b:c", ["a::b", "c"]),
        ([":a"], ":a", [":a"]),
        (["sub/v1:2"], "sub/v1:2:a", ["sub/v1:2", "a"]),
        (["s3:/bucket"], "s3://bucket", ["s3:/bucket"]),
        ([], "./a/../b", ["b"]),
        ([], "s3", ["s3"]),
    ],
)
def test_directories_of_text_are_distinguished(
    tmp_path: Path, there: list[str], text: str, expected: list[str]
) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    assert names(text, tmp_path) == expected


@pytest.mark.parametrize("text", ["", ":", "a:", ":a", "a::b"])
def test_empty_name_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NoDirectories, match="expected a directory"):
        repository_paths(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("file:///models", "file:///models is a URL", "name the directory itself"),
        ("hdfs://host/models", "hdfs://host/models is a URL", "copy the repository"),
        ("grpc://host:8001", "is a URL", "--triton-server=grpc://host:8001"),
        ("https://host/models", "is a URL", "--triton-server="),
    ],
)
def test_url_is_refused_with_what_it_is_and_how_to_copy(
    tmp_path: Path, text: str, what: str, fix: str
) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(NoDirectories) as caught:
        repository_paths(text, tmp_path)
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize("command", ["audit", "predict", "plan"])
def test_url_is_refused_by_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([command, "hdfs://bucket/models"])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    said = capsys.readouterr().err
    assert "copy the repository to this machine" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "url", ["http://me:pass-word@host:8000", "https://host/?sig=pass-word", "ftp://a:pass-word@b/c"]
)
def test_url_that_is_no_repository_hides_its_credential(url: str) -> None:
    with pytest.raises(NoDirectories) as caught:
        repository_paths(url, Path.cwd())
    assert "pass-word" not in f"{caught.value} {caught.value.fix}"
    assert caught.value.secret
