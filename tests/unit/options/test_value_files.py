"""Values for templates, from files and KEY=VALUE."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_triton.options.value_files import read_values, value_sets
from pytest_triton.options.values import OptionError

FILES = {
    "v.json": '{"batch": 8, "name": "a b", "ids": [0, 1]}',
    "v.yaml": "batch: 8\nname: a b\nids: [0, 1]\n",
    "v.yml": "{batch: 8, name: 'a b', ids: [0, 1]}",
    "v.toml": "batch = 8\nname = 'a b'\nids = [0, 1]\n",
}


@pytest.mark.parametrize("name", FILES)
def test_file_of_each_format_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    given = read_values(name, tmp_path / name)
    assert json.loads(given.text) == {"batch": 8, "name": "a b", "ids": [0, 1]}
    assert [one.name for one in value_sets([given])] == ["v"]


@pytest.mark.parametrize("name", [".env", ".env.prod", "prod.env"])
def test_env_file_is_read_as_a_shell_would(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("# x\n\nexport batch=8\nname='a b' # c\nempty=\nv=1.10\n")
    assert json.loads(read_values(name, tmp_path / name).text) == {
        "batch": 8,
        "name": "a b",
        "empty": "",
        "v": "1.10",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("v.json", '{"a": 1,}', "v.json:1:"),
        ("v.json", "[1]", "holds a list"),
        ("v.json", '{"a b": 1}', "no name that a template can use"),
        ("v.json", "[" * 100_000, "nests too deep"),
        ("v.yaml", "a: [1\nb: 2\n", "v.yaml:2:2"),
        ("v.yaml", "!!python/object/apply:os.system ['true']", "no YAML"),
        ("v.yaml", "a: &a [*a]\n", "holds itself"),
        ("v.toml", "a = ", "no TOML"),
        ("v.env", "a=1\nb c\n", "v.env:2"),
        ("v.env", "a='1\n", "v.env:1"),
        ("v.ini", "a=1", "the ending says what is in a file"),
        ("v.json", " " * (1 << 20) + "{}", "more than 1,048,576 bytes"),
    ],
)
def test_bad_file_is_an_error_with_its_place(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(OptionError) as raised:
        read_values(name, tmp_path / name)
    assert said in str(raised.value)


def test_aliases_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    (tmp_path / "v.yaml").write_text("\n".join(lines))
    with pytest.raises(OptionError, match="by its aliases"):
        read_values("v.yaml", tmp_path / "v.yaml")


def test_missing_file_is_an_error_and_a_pair_is_none(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="expected a file of values, or KEY=VALUE"):
        read_values("gone.yaml", tmp_path / "gone.yaml")
    assert json.loads(read_values("path=a=b c", tmp_path / "x").text) == {"path": "a=b c"}


def test_each_file_is_a_set_and_pairs_are_in_all(tmp_path: Path) -> None:
    given = []
    for place in ("prod/values.json", "staging/values.json"):
        path = tmp_path / place
        path.parent.mkdir()
        path.write_text('{"a": 1, "b": 1}')
        given.append(read_values(place, path))
    sets = value_sets([*given, read_values("b=2", tmp_path / "x")])
    assert [(one.name, dict(one.values)) for one in sets] == [
        ("prod-values", {"a": 1, "b": 2}),
        ("staging-values", {"a": 1, "b": 2}),
    ]
    assert value_sets([]) == ()
