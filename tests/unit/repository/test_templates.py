"""Templates: what is rendered, what is missing, and the way back from each place."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.repository import read_repository
from pytest_triton.repository.models import Model, read_as
from pytest_triton.repository.reading import Reading
from pytest_triton.repository.template_values import ValuesMissing, ValuesUnused, check_used
from pytest_triton.repository.templates import TemplateFault, ValueSet, fill, render
from support.trees import model

PLAIN = Path("config.pbtxt")
JINJA = Path("config.pbtxt.j2")


def values(**given: object) -> ValueSet:
    return ValueSet.of("", given, dict.fromkeys(given, "test"))


def read(root: Path, **given: object) -> Model:
    return read_as([root], Reading(values=values(**given))).models[0]


TEXTS = st.lists(
    st.sampled_from(
        ["${a}", "$a", "$$", "${b}", "$b", "${", "$", "a", "\n", "é", "${1}", "${max_queue_size}"]
    )
).map("".join)


@given(TEXTS)
def test_placeholders_are_filled_as_fill_template_does(text: str) -> None:
    known = {"max_queue_size": 0, "max_queue_delay_microseconds": 0, "a": "X Y"}
    filled = fill(text, {"a": "X Y"})
    assert filled.text == string.Template(text).safe_substitute(known)
    assert {one.name for one in filled.missing} == ({"b"} if "${b}" in _unescaped(text) else set())


def _unescaped(text: str) -> str:
    return text.replace("$$", "")


@given(TEXTS)
def test_each_place_of_a_filled_text_leads_to_its_template(text: str) -> None:
    filled = fill(text, {"a": "#", "max_queue_size": "#"})
    for offset, character in enumerate(filled.text):
        line = filled.text.count("\n", 0, offset) + 1
        column = offset - (filled.text.rfind("\n", 0, offset) + 1) + 1
        there = filled.origin(line, column)
        found = text.split("\n")[there[0] - 1][there[1] - 1 :] + "\n"
        assert found.startswith("$" if character == "#" else character)


@pytest.mark.parametrize(
    ("text", "at", "origin"),
    [
        ("a\n{% for x in [1, 2] %}b{{ x }} c\n{% endfor %}d", "d", (3, 13)),
        ("{# one\ntwo #}a: {{ n }} b", "b", (2, 18)),
        ("{% if n %}\n  x\n{%- endif %}\n  y", "y", (4, 3)),
        ("{{ n }}z", "z", (1, 8)),
        ("{% set s %}abc{% endset %}{{ s }} q", "q", (1, 35)),
        ("a {{ n }} ${n} b", "b", (1, 16)),
        ("{% raw %}{{ n }}{% endraw %} e", "e", (1, 30)),
        ("a\r\nb {{ n }} f", "f", (2, 11)),
    ],
)
def test_place_of_a_jinja_template_is_found(text: str, at: str, origin: tuple[int, int]) -> None:
    rendered = render(JINJA, text, {"n": 5})
    offset = rendered.text.rindex(at)
    line = rendered.text.count("\n", 0, offset) + 1
    assert rendered.origin(line, offset - rendered.text.rfind("\n", 0, offset)) == origin


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ n.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 'a'|center(1000000000) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'a'|indent(1000000000, true) }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for i in range(1000000000) %}a{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}aaaaaaa{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 1 / 0 }}",
        "{{ n",
        "{% if %}",
    ],
)
def test_template_that_reaches_out_or_grows_is_a_problem_of_its_file(
    tmp_path: Path, text: str
) -> None:
    directory = model(tmp_path, "m", None)
    (directory / "config.pbtxt.j2").write_text(f'backend: "python"\n{text}\n')
    problem = read(tmp_path, n=1).refusal
    assert problem is not None
    assert problem.path.name == "config.pbtxt.j2"
    assert len(problem.message) < 300


def test_list_in_braces_is_refused_and_a_bool_is_written_as_protobuf_has_it() -> None:
    assert fill("${yes} ${none} ${n}", {"yes": True, "none": None, "n": 1.5}).text == "true  1.5"
    with pytest.raises(TemplateFault, match="takes one text or number"):
        fill("${ids}", {"ids": [1]})


def test_problems_point_into_the_template(tmp_path: Path) -> None:
    text = 'backend: "python"\n{% for id in ids %}{# a\n#}\n{% endfor %}max_batch: {{ n }}\n'
    directory = model(tmp_path, "m", None)
    (directory / "config.pbtxt.j2").write_text(text)
    problem = read(tmp_path, ids=[1, 2, 3], n=4).refusal
    assert problem is not None
    assert problem.place.endswith("m/config.pbtxt.j2:4:13")
    assert "max_batch: {{ n }}" in str(problem)


def test_all_missing_values_are_listed_with_their_places(tmp_path: Path) -> None:
    model(tmp_path, "a", 'backend: "python"\nmax_batch_size: ${batch}\n')
    directory = model(tmp_path, "b", None)
    (directory / "config.pbtxt.tmpl").write_text(
        'backend: "{{ backend }}"\nmax_batch_size: {{ batch }}\n'
        "{% if loud is defined %}{% endif %}{{ quiet | default(1) and '' }}"
    )
    with pytest.raises(ValuesMissing) as raised:
        read(tmp_path, other=1)
    text = str(raised.value)
    assert "2 placeholders have no value" in text
    assert "a/config.pbtxt:2:17" in text
    assert "b/config.pbtxt.tmpl:2:20" in text
    assert "backend: " in text
    assert "loud" not in text
    assert "quiet" not in text


def test_optional_parameters_of_tensorrt_llm_may_stay_unfilled(tmp_path: Path) -> None:
    parameter = 'parameters {{ key: "{}" value {{ string_value: "${{{}}}" }} }}\n'
    text = 'backend: "${backend}"\nmax_batch_size: ${batch}\n'
    text += parameter.format("gpt_model_type", "kind") + parameter.format("max_beam_width", "beam")
    model(tmp_path, "m", text)
    given = {"batch": 1, "backend": "tensorrtllm", "kind": "v1"}
    assert read(tmp_path, **given).config.parameters["max_beam_width"].string_value == "${beam}"
    (tmp_path / "m/config.pbtxt").write_text(text + parameter.format("gpt_model_path", "engine"))
    with pytest.raises(ValuesMissing, match=r"1 placeholder has no value:\n  engine: "):
        read(tmp_path, **given)
    with pytest.raises(ValuesMissing, match=r"3 placeholders have no value:\n  backend: "):
        read(tmp_path, batch=1)


def test_unused_values_are_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    model(tmp_path, "m", 'backend: "python"\nmax_batch_size: ${batch}\n')
    given = values(batch=1, bacth=2)
    repository = read_as([tmp_path], Reading(values=given))
    with pytest.raises(ValuesUnused, match=r"bacth \(test\): did you mean batch\?"):
        check_used([repository], given)


def test_chat_template_in_a_parameter_is_no_template(tmp_path: Path) -> None:
    text = (
        'backend: "python"\nparameters { key: "chat" value { string_value: "{{ a }}{% b %}" } }\n'
    )
    model(tmp_path, "m", text)
    found = read(tmp_path, n=1)
    assert found.config.parameters["chat"].string_value == "{{ a }}{% b %}"
    assert found.added == ()


def test_without_values_nothing_is_rendered(tmp_path: Path) -> None:
    model(tmp_path, "m", 'backend: "python"\nmax_batch_size: ${batch}\n')
    problem = read_repository([tmp_path]).models[0].refusal
    assert problem is not None
    assert "--triton-values" in problem.fix


SED = """\
backend: "python"
max_batch_size: MAX_BATCH
input [ { name: "MAX" data_type: TYPE_FP32 dims: [DIM, -1] } ]
parameters [ { key: "DIM" value: { string_value: "$DIM/DIM_2" } } ]
instance_group [ { kind: KIND_CPU count:COUNT } ]
"""


def test_bare_words_that_have_values_are_filled_in_files_that_are_templates(tmp_path: Path) -> None:
    model(tmp_path, "m", None)
    (tmp_path / "m" / "config.pbtxt.template").write_text(SED)
    config = read(tmp_path, MAX_BATCH=8, DIM=512, COUNT=2).config
    assert (config.max_batch_size, config.instance_group[0].count) == (8, 2)
    assert (config.input[0].name, list(config.input[0].dims)) == ("MAX", [512, -1])
    assert config.parameters["512"].string_value == "512/DIM_2"


def test_bare_word_without_a_value_is_named_where_it_stands(tmp_path: Path) -> None:
    model(tmp_path, "m", None)
    (tmp_path / "m" / "config.pbtxt.template").write_text(SED)
    problem = read(tmp_path, MAX_BATCH=8, DIM=512).refusal
    assert problem is not None
    assert (problem.line, problem.column) == (5, 41)
    assert "Is `COUNT` a template's placeholder?" in problem.fix


@pytest.mark.parametrize("name", ["config_template.pbtxt", "template.pbtxt"])
def test_template_by_another_name_is_no_config_to_rename(tmp_path: Path, name: str) -> None:
    model(tmp_path, "m", None, files=(name,))
    assert "render it first" in read_repository([tmp_path]).models[0].problems[0].fix
