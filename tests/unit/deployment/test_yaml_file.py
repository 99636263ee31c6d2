"""YAML that can't be taken at its word is an error with file, line and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.deployment.yaml_file import SIZE_LIMIT, BadYaml, read_yaml

_BOMB = "l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"l{n}: &l{n} [{','.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb:\n\t- x\n", [":3:1: not YAML", "write spaces"]),
        ("a:\n  b: 1\n  c: 1\n  b: 2\n", [":4:3: `b` stands here again; line 2 has it"]),
        (_BOMB, ["values once all aliases are followed"]),
        ("a: &a [*a]\n", ["an alias that means itself"]),
        ("a: " + "[" * 100_000, [":1:", "not YAML"]),
        ("- " * 100_000 + "a", [":1:", "not YAML"]),
        ("a: {{ .Values.a }}\n{{- if .b }}\n", [":1:4: this is a template", "helm template"]),
        ("a: {{ .Values.a }}\n", [":1:4: this is a template"]),
        ("? [a, b]\n: c\n", ["a key must be a text"]),
        ("a: 'x\n", ["not YAML"]),
        ("a: " + "x" * SIZE_LIMIT, ["more than 4 MB"]),
    ],
)
def test_file_that_is_no_sound_yaml_is_error_with_place(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    with pytest.raises(BadYaml) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.fix


def test_file_that_is_not_text_or_not_there_is_error(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with pytest.raises(BadYaml, match="can't be read: No such file"):
        read_yaml(path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(BadYaml, match=":2: not UTF-8"):
        read_yaml(path)


def test_nothing_but_plain_values_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text('a: !!python/object/apply:os.system ["touch made"]\nb: !x y\n')
    _, (document,) = read_yaml(path)
    assert [one.text for one in document.list("a")] == ["touch made"]
    assert document.string("b") == "y"
    assert not (tmp_path / "made").exists()


def test_values_know_their_places_through_merge_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("x: &x\n  shm: 1g\n  own: 1\na:\n  <<: *x\n  own: 2\n---\nb: ~\n")
    _, (first, second) = read_yaml(path)
    assert first.string("a", "shm") == "1g"
    assert first.string("a", "own") == "2"
    assert str(first.place_of("a", "shm")).endswith(":2:3")
    assert str(first.place_of("a", "none")).endswith(":4:1")
    assert second.get("b") is None
