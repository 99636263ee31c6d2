"""Safe edits: they fix the finding, and keep every comment and the layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.audit import RULES
from pytest_triton.audit.fixing import apply_edits, write_text
from pytest_triton.audit.spans import field_span
from pytest_triton.diagnostics.diagnostic import Edit
from pytest_triton.repository import model_config_type
from support.audit_examples import audit_config

ONNX = 'backend: "onnxruntime"\n'


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        (
            "TRT103",
            ONNX + "instance_group [\n  {  # both\n    gpus: [ 0, 1 ]  # of them\n  }\n]\n",
            None,
        ),
        (
            "TRT103",
            ONNX + "instance_group [\n  {\n    gpus: [ 0, 1 ]  # of them\n  }\n]\n",
            ONNX + "instance_group [\n  {\n    kind: KIND_GPU\n"
            "    gpus: [ 0, 1 ]  # of them\n  }\n]\n",
        ),
        (
            "TRT103",
            ONNX + "instance_group { kind: KIND_AUTO, gpus: 0 }\n",
            ONNX + "instance_group { kind: KIND_GPU, gpus: 0 }\n",
        ),
        (
            "TRT105",
            ONNX
            + "instance_group {\n  kind: KIND_MODEL\n  # which ones\n  gpus: [\n    0\n  ]\n}\n",
            ONNX + "instance_group {\n  kind: KIND_MODEL\n  # which ones\n}\n",
        ),
        (
            "TRT105",
            ONNX + "instance_group { gpus: [ 0 ], kind: KIND_MODEL }\n",
            ONNX + "instance_group { kind: KIND_MODEL }\n",
        ),
        (
            "TRT110",
            ONNX + "instance_group { kind: KIND_CPU count: 0; }  # off\n",
            ONNX + "instance_group { kind: KIND_CPU count: 2; }  # off\n",
        ),
        (
            "TRT203",
            'backend: "openvino"\ninstance_group [ { count: 2 } ]\n',
            'backend: "openvino"\ninstance_group [ { kind: KIND_CPU count: 2 } ]\n',
        ),
        (
            "TRT210",
            ONNX + 'instance_group { kind: KIND_GPU profile: "1" }\n',
            ONNX + "instance_group { kind: KIND_GPU }\n",
        ),
    ],
)
def test_fixes(tmp_path: Path, rule: str, old: str, new: str | None) -> None:
    [finding] = [one for one in audit_config(tmp_path / "old", old) if one.rule == rule]
    assert finding.edits
    fixed = apply_edits(old, finding.edits)
    if new is not None:
        assert fixed == new
    text_format.Parse(fixed, model_config_type()())
    assert rule not in [one.rule for one in audit_config(tmp_path / "new", fixed)]
    for comment in ("# both", "# of them", "# which ones", "# off"):
        assert old.count(comment) == fixed.count(comment)


def test_findings_that_fixes_fix_are_known() -> None:
    """A fix is applied unseen: a rule that gets one has to be thought about first."""
    documented = {rule.id for rule in RULES if "`--fix`" in rule.documentation}
    assert documented == {"TRT103", "TRT105", "TRT110", "TRT203", "TRT210", "TRT301", "TRT529"}


@given(st.data())
def test_edits_never_touch_what_they_do_not_name(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="abc\n", max_size=30))
    place = st.integers(0, len(text))
    edits = [
        Edit(min(ends), max(ends), "X")
        for ends in data.draw(st.lists(st.tuples(place, place), max_size=3))
    ]
    new = apply_edits(text, edits)
    touched = {at for edit in edits for at in range(edit.start, edit.end)}
    kept = [c for at, c in enumerate(text) if at not in touched]
    remaining = iter(new)
    assert all(character in remaining for character in kept), "in order"


@pytest.mark.parametrize(
    "field",
    ["a: 1", "a: [ 1, 2 ]", "a { b: 1 c { } }", 'a: "x}" "y]"', "a: 1,", "a < b: 1 >;", "a: -2"],
)
def test_spans_end_where_the_value_ends(field: str) -> None:
    text = f"x: 0 {field} z: 1"
    assert field_span(text, 5) == (5, 5 + len(field))


def test_file_that_has_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    file.write_text("new")
    file.chmod(0o640)
    assert not write_text(file, "old", "fixed")
    assert file.read_text() == "new"
    assert write_text(file, "new", "fixed")
    assert file.read_text() == "fixed"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]
