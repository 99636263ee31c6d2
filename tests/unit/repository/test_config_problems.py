"""What a person reads who made a mistake in config.pbtxt: the place, the text, the fix."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.repository import position_of, read_config
from pytest_triton.repository.config_file import SIZE_LIMIT


def problem_of(tmp_path: Path, text: str | bytes) -> Diagnostic:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file = read_config(path)
    assert file.config is None
    assert file.problem is not None
    return file.problem


# text, with the faulty place marked by ~ ; message; fix (parts of them)
MISTAKES = {
    "unknown field, nearly right": (
        "instance_group [\n  { ~gpu: 0 }\n]",
        "`gpu` is not a field of instance_group",
        "Did you mean `gpus`?",
    ),
    "plural": ("~inputs [ { name: 'a' } ]", "`inputs` is not a field", "Did you mean `input`?"),
    "camel case": ("~maxBatchSize: 8", "`maxBatchSize` is not", "Did you mean `max_batch_size`?"),
    "field of another message": (
        "~kind: KIND_GPU",
        "`kind` is not a field of the model configuration",
        "`kind` is a field of batch_input, batch_output and instance_group.",
    ),
    "field of a deeper message": (
        "~max_queue_delay_microseconds: 100",
        "is not a field of the model configuration",
        "is a field of `dynamic_batching`",
    ),
    "brace missing before": (
        "dynamic_batching {\n  preferred_batch_size: [1]\n~max_batch_size: 8",
        "`max_batch_size` is not a field of dynamic_batching",
        "is a field of the model configuration: is a `}` missing before it?",
    ),
    "nothing like it": ("~zzz: 1", "`zzz` is not a field", "Its fields: name, platform, backend,"),
    "quoted enum": (
        'instance_group [ { kind: ~"KIND_GPU" } ]',
        "`kind` takes a name without quotes",
        "Write kind: KIND_GPU",
    ),
    "unknown enum value": (
        "instance_group [ { kind: ~KIND_GPUS } ]",
        "`KIND_GPUS` is not a value of kind",
        "Did you mean KIND_GPU?",
    ),
    "enum without prefix": (
        "instance_group [ { kind: ~gpu } ]",
        "`gpu` is not a value of kind",
        "Did you mean KIND_GPU?",
    ),
    "data type of a framework": (
        'input [ { data_type: ~"float32" } ]',
        "`float32` is not a value of data_type",
        "Did you mean TYPE_FP32?",
    ),
    "data type without prefix": (
        "input [ { data_type: ~FP32 } ]",
        "`FP32` is not a value",
        "Did you mean TYPE_FP32?",
    ),
    "enum number too large": (
        "instance_group { kind: ~18446744073709551616 }",
        "doesn't fit `kind`",
        "32-bit integer",
    ),
    "trailing comma in numbers": (
        "instance_group [ { gpus: [ 0, 1, ~] } ]",
        "a comma before `]`",
        "Delete the comma",
    ),
    "trailing comma in messages": ("input [ { name: 'a' }, ~]", "a comma before `]`", "Delete"),
    "missing comma between messages": (
        "instance_group [\n  { kind: KIND_CPU }\n  ~{ kind: KIND_GPU }\n]",
        "`,` is missing between two values of instance_group",
        "Write a comma here.",
    ),
    "missing comma between numbers": ("input { dims: [ 1 ~2 ] }", "`,` is missing", "a comma"),
    "repeated scalar": (
        'name: "a"\n~name: "b"',
        "`name` stands here a second time",
        "has it since line 1",
    ),
    "two schedulers": (
        "dynamic_batching { }\n~sequence_batching { }",
        "`sequence_batching` can't stand beside `dynamic_batching`",
        "`dynamic_batching` is on line 1",
    ),
    "missing colon": (
        "max_batch_size ~8",
        "`:` is missing after `max_batch_size`",
        "Write max_batch_size: 8",
    ),
    "equals sign": ("max_batch_size ~= 8", "`=` can't stand here", "Write `:` between"),
    "equals sign before a message": ("dynamic_batching ~= { }", "`=` can't stand here", "`:`"),
    "bare word": ("backend: ~python", "takes text in quotes", 'Write backend: "python"'),
    "number for text": ("name: ~5", "takes text in quotes", 'Write name: "5"'),
    "text for number": (
        'max_batch_size: ~"8"',
        "takes a whole number",
        "Write max_batch_size: 8",
    ),
    "fraction": ("max_batch_size: ~8.0", "takes a whole number", "Write max_batch_size: 8"),
    "one as a fraction": (
        "max_batch_size: ~1.0",
        "takes a whole number",
        "Write max_batch_size: 1",
    ),
    "number in quotes": (
        'max_batch_size: ~"+4"',
        "takes a whole number",
        "Write max_batch_size: 4",
    ),
    "exponent": ("max_batch_size: ~1e2", "takes a whole number, not 1e2", "max_batch_size: 1"),
    "too large": ("max_batch_size: ~2147483648", "doesn't fit", "-2147483648 to 2147483647"),
    "negative for unsigned": (
        "dynamic_batching { priority_levels: ~-1 }",
        "-1 doesn't fit `priority_levels`",
        "0 to 18446744073709551615",
    ),
    "octal": ("max_batch_size: ~08", "a leading 0 makes it octal", "Write max_batch_size: 8"),
    "underscore in a number": ("max_batch_size: ~1_000", "is not a number", "1000"),
    "plus sign": ("max_batch_size: ~+8", "a `+` before a number", "Write 8"),
    "word for a number": ("max_batch_size: ~many", "takes a whole number", "max_batch_size: ..."),
    "word for a fraction": (
        "sequence_batching { direct { minimum_slot_utilization: ~half } }",
        "takes a number",
        "minimum_slot_utilization: ...",
    ),
    "yes for true": ("response_cache { enable: ~yes }", "takes true or false", "enable: true"),
    "quoted false": ('response_cache { enable: ~"false" }', "takes true or", "enable: false"),
    "message as a value": (
        "dynamic_batching: ~true",
        "`dynamic_batching` has fields of its own",
        "Write dynamic_batching { }",
    ),
    "parameter without string_value": (
        'parameters { key: "a" value: ~"b" }',
        "`value` has fields of its own",
        'Write value: { string_value: "b" }',
    ),
    "list for one value": ("max_batch_size: ~[ 8 ]", "takes one value, not a list", "brackets"),
    "list for one message": ("dynamic_batching ~[ { } ]", "takes one value, not a", "brackets"),
    "value missing": ("max_batch_size:\n~}", "`}` stands where the value of", "Write"),
    "value missing at the end": ("max_batch_size:~", "the file ends where the value", "Write"),
    "brace not closed": (
        "instance_group [\n  ~{\n    count: 1\n",
        "`{` of instance_group is never closed",
        "A `}` is missing.",
    ),
    "bracket not closed": (
        "instance_group ~[\n  { count: 1 }\n",
        "`[` of instance_group is never closed",
        "A `]` is missing.",
    ),
    "brace too many": ("dynamic_batching { }\n~}", "a `}` too many", "Delete it"),
    "wrong closing mark": (
        "instance_group [\n  {\n    count: 1\n  ~]\n",
        "`]` stands where instance_group should be closed by `}`",
        "`{` was opened on line 2.",
    ),
    "text not closed": ('backend: ~"python\nname: "x"', 'no closing "', 'Close it with "'),
    "text over two lines": ('backend: ~"py\\\nthon"', "no closing", "can't go on after a line's"),
    "typographic quotes": ("backend: ~“python”", "U+201C", 'write "'),
    "no-break space": ('backend:~\u00a0"python"', "U+00A0 (no-break space)", "plain space"),
    "letters outside of text": ("~é: 1", "U+00E9", "quotes"),
    "JSON": ('~{ "backend": "python" }', "this is JSON", 'backend: "python"'),
    "JSON inside": (
        'instance_group [ { ~"count": 1 } ]',
        "a string where a field's name should stand",
        "write count without quotes",
    ),
    "JSON inside a map": (
        'parameters { ~"mode": "1" }',
        "a string where a field's name should stand",
        'write parameters { key: "mode" value: { ... } }',
    ),
    "values without brackets": (
        "instance_group { gpus: 0, ~1 }",
        "`gpus` has a second value, and no brackets",
        "gpus: [ ..., 1 ]",
    ),
    "strings without brackets": (
        'instance_group { profile: "a", ~"b" }',
        "`profile` has a second value, and no brackets",
        'profile: [ ..., "b" ]',
    ),
    "scientific notation": (
        "dynamic_batching { max_queue_delay_microseconds: ~1e3 }",
        "takes a whole number",
        "Write max_queue_delay_microseconds: 1000",
    ),
    "high priority": (
        "optimization { priority: ~PRIORITY_HIGH }",
        "is not a value of priority",
        "Did you mean PRIORITY_MAX?",
    ),
    "gpus in a string": (
        'instance_group { gpus: ~"0,1" }',
        "takes a whole number",
        "gpus: [ 0, 1 ]",
    ),
    "cuda device": ('instance_group { gpus: [ ~"cuda:3" ] }', "takes a whole number", "gpus: 3"),
    "range of gpus": ('instance_group { gpus: ~"0-3" }', "takes", "gpus: [ 0, 1, 2, 3 ]"),
    "all gpus": ("instance_group { gpus: ~all }", "takes", "Leave gpus out"),
    "a GPU's UUID": ('instance_group { gpus: ~"GPU-1234" }', "takes", "number"),
    "dims with x": ("input { dims: ~3x224x224 }", "takes", "dims: [ 3, 224, 224 ]"),
    "dims in a string": ('input { dims: ~"[4]" }', "takes", "dims: [ 4 ]"),
    "no batches": ("max_batch_size: ~None", "takes", "max_batch_size: 0"),
    "latest version of a step": (
        "ensemble_scheduling { step { model_version: ~latest } }",
        "takes",
        "model_version: -1",
    ),
    "no file": ("default_model_filename: ~null", "takes text", "Leave default_model_filename out"),
    "list in a message": (
        "version_policy { specific: ~[ 1 ] }",
        "one value, not a list",
        "Write specific { versions: [ 1 ] }",
    ),
    "switched on": ("response_cache: ~true", "no plain value", "response_cache { enable: true }"),
    "batching switched on": ("dynamic_batching: ~true", "no plain value", "dynamic_batching { }"),
    "policy by name": ("version_policy: ~all", "no plain value", "version_policy { all { } }"),
    "latest versions": (
        "version_policy { latest: ~2 }",
        "no plain value",
        "latest { num_versions: 2 }",
    ),
    "shape of an input": ("input { ~shape: [ 4 ] }", "not a field of input", "Write dims instead"),
    "device ids": ("instance_group { ~device_ids: [ 0 ] }", "not a field", "Write gpus instead"),
    "name of a step": (
        'ensemble_scheduling { step { ~name: "a" } }',
        "not a field of step",
        "Write model_name instead",
    ),
    "wrapper": ("~model_config { }", "not a field", "without `model_config { }` around them"),
    "field of a child": (
        "optimization { ~gpu_execution_accelerator { } }",
        "not a field of optimization",
        "write execution_accelerators { gpu_execution_accelerator ... }",
    ),
    "JSON inside a map of strings": (
        'ensemble_scheduling { step { input_map { ~"IN": "x" } } }',
        "a string where a field's name should stand",
        'input_map { key: "IN" value: "..." }',
    ),
    "Git LFS pointer": (
        "~version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n",
        "is a Git LFS pointer",
        "git lfs pull",
    ),
    "HTML page": ("\n ~<!DOCTYPE html>\n<html></html>\n", "is an HTML page", "Download"),
    "Markdown": ('~```\nbackend: "python"\n```\n', "code block of Markdown", "Delete the lines"),
    "C comment": ('~// comment\nbackend: "python"', "`/` can't stand here", "start with #"),
    "template": (
        'backend: "b"\nmax_batch_size: ~${triton_max_batch_size}',
        "`${triton_max_batch_size}` is a placeholder",
        "Give it values",
    ),
    "jinja": ("max_batch_size: ~{{ size }}", "`{{ size }}` is a placeholder", "Give it values"),
    "jinja block": ("~{% if gpu %}\nname: 'a'\n{% endif %}", "is a placeholder", "Give it values"),
    "placeholder in brackets": (
        "max_batch_size: ~<MAX_BATCH>",
        "`<MAX_BATCH>` is a",
        "${MAX_BATCH}",
    ),
    "placeholder with spaces": ("max_batch_size: ~<the size>", "`<the size>` is a", "${the_size}"),
    "placeholder in percents": ("max_batch_size: ~%SIZE%", "`%SIZE%` is a placeholder", "${SIZE}"),
    "placeholder of Python's %": ("max_batch_size: ~%(size)d", "`%(size)d` is a", "${size}"),
    "placeholder of Python's format": ("max_batch_size: ~{size}", "`{size}` is a", "${size}"),
    "placeholder in underscores": ("max_batch_size: ~__SIZE__", "`__SIZE__` is a", "${SIZE}"),
    "placeholder for a kind": (
        "instance_group [ { kind: ~__KIND__ } ]",
        "`__KIND__` is a placeholder",
        "Render it first and check the repository that comes out; or write it as ${KIND}, which "
        "--triton-values=KIND=VALUE fills.",
    ),
    "placeholder for a field": ("~__GROUPS__", "`__GROUPS__` is a placeholder", "${GROUPS}"),
    "placeholder of another tool": (
        "max_batch_size: ~$SIZE",
        "`$SIZE` is a",
        "write it as ${SIZE}",
    ),
    "bare word for a number": (
        "max_batch_size: ~MAX_BATCH",
        "takes a whole number, not MAX_BATCH",
        "Is `MAX_BATCH` a template's placeholder? Render it first",
    ),
    "bare word in a list": (
        "instance_group [ { kind: KIND_GPU gpus: [ ~GPU_IDS ] } ]",
        "takes a whole number, not GPU_IDS",
        "write it as ${GPU_IDS}",
    ),
    "bare word for a dimension": (
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ ~SIZE ] } ]',
        "takes whole numbers, not SIZE",
        "Write -1 for a dimension whose size varies. Is `SIZE` a template's placeholder?",
    ),
    "bare word for a type": (
        'input [ { name: "X" data_type: ~DATA_TYPE dims: [ 1 ] } ]',
        "`DATA_TYPE` is not a value of data_type",
        "Is `DATA_TYPE` a template's placeholder?",
    ),
    "bare word for text": (
        "name: ~MODEL_NAME",
        "takes text in quotes",
        "write it as ${MODEL_NAME}",
    ),
    "word that is no placeholder": (
        "max_batch_size: ~auto",
        "takes a whole number, not auto",
        "Write a whole number: max_batch_size: ...",
    ),
    "unknown escape": ('backend: "py~\\qthon"', "`\\q` is not an escape", "\\\\"),
    "stray NUL": ('backend: "b" ~\0', "a NUL character", "UTF-8"),
    "NUL in a comment": ("# a~\0b\n", "a NUL character", "UTF-8"),
    "extension": ("~[a.b]: 1", "`[` stands where a field's name should", ""),
    "carriage returns": ('backend: "b"\r\nmax_batch_size: ~x\r\n', "takes a whole number", ""),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str, tmp_path: Path) -> None:
    marked, message, fix = MISTAKES[case]
    before, _, after = marked.partition("~")
    problem = problem_of(tmp_path, before + after)
    assert message in problem.message
    assert fix in problem.fix
    line = before.count("\n") + 1
    assert (problem.line, problem.column) == (line, len(before.rpartition("\n")[2]) + 1)
    assert problem.source_line == (before + after).split("\n")[line - 1].rstrip("\r")
    assert problem.effect is Effect.POLL_FAILED


def test_whole_text_of_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "detector").mkdir(parents=True)
    problem = problem_of(
        tmp_path / "models" / "detector",
        'backend: "python"\ninstance_group [\n  {\n\tgpu: 0\n  }\n]\n',
    )
    assert str(problem) == (
        "models/detector/config.pbtxt:4:2: `gpu` is not a field of instance_group\n"
        "  4 |  gpu: 0\n"
        "    |  ^\n"
        "  Did you mean `gpus`?"
    )


def test_long_line_is_shown_around_the_caret(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, 'backend: "' + "x" * 5000 + '" gpu: 1 # ' + "y" * 5000)
    _first, shown, caret, *_ = str(problem).split("\n")
    assert max(map(len, (shown, caret))) < 140
    assert shown[caret.index("^") :].startswith("gpu: 1")


BYTES = {
    "UTF-8 with BOM": (b'\xef\xbb\xbfbackend: "b"', "byte order mark", Effect.POLL_FAILED),
    "UTF-16": ('backend: "b"'.encode("utf-16"), "UTF-16", Effect.POLL_FAILED),
    "binary": (bytes(range(256)) * 9, "binary, not text", Effect.POLL_FAILED),
    "latin-1 in text": ('name: "café"'.encode("latin-1"), "0xE9", Effect.BREAKS_SERVER),
    "escaped bytes": (rb'name: "x\377"', "not UTF-8", Effect.BREAKS_SERVER),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_no_text(case: str, tmp_path: Path) -> None:
    data, message, effect = BYTES[case]
    problem = problem_of(tmp_path, data)
    assert message in problem.message
    assert problem.effect is effect
    assert str(problem).encode()


def test_escaped_bytes_are_pointed_at(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, 'platform: "\\n"\nname: "\\377"\nbackend: "b"')
    assert (problem.line, problem.column) == (2, 7)


ACCEPTED = {
    "empty": b"",
    "comment only": b"# nothing",
    "latin-1 in a comment": '# café\nbackend: "python"'.encode("latin-1"),
    "Windows line ends": b'backend: "python"\r\nmax_batch_size: 4\r\n',
    "commas and semicolons": b'backend: "python", max_batch_size: 4; name: "a"',
    "open enum": b"instance_group { kind: 9 }",
    "angle brackets": b"instance_group < kind: KIND_CPU >",
    "text in two": b"backend: \"py\" 'thon'",
    "a real replacement character": 'platform: "\ufffd"'.encode(),
    "underscore in a name": b'backend: "resnet_50_1"',
    "a template in text": b'parameters { key: "a" value { string_value: "${x}" } }',
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str, tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(ACCEPTED[case])
    file = read_config(path)
    assert file.problem is None
    assert file.config is not None


def test_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'backend: "python"\n# ')
    os.truncate(path, 50_000_000)  # sparse: a large file that costs no disk
    read_config(tmp_path / "warm-up")
    tracemalloc.start()
    file = read_config(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * SIZE_LIMIT
    assert file.text == ""
    assert file.problem is not None
    assert "50,000,000 bytes" in file.problem.message
    assert file.problem.effect is Effect.ACCEPTED
    os.truncate(path, SIZE_LIMIT)
    assert "bytes" not in str(read_config(path).problem)


def test_nesting_bombs_have_an_end(tmp_path: Path) -> None:
    for bomb in ("{" * 100_000, "input{reshape{" * 50_000, "a{" * 100_000, "input [" * 100_000):
        assert problem_of(tmp_path, bomb).line == 1


def test_no_file(tmp_path: Path) -> None:
    file = read_config(tmp_path / "config.pbtxt")
    assert file.problem is not None
    assert "No such file" in file.problem.message


def test_name_with_a_nul_is_no_file(tmp_path: Path) -> None:
    assert read_config(f"{tmp_path}/a\0b").problem is not None


POSITIONS = {
    "name": (1, 1),
    "instance_group": (2, 1),
    "instance_group[0]": (3, 3),
    "instance_group[0].kind": (3, 5),
    "instance_group[1].gpus": (4, 21),
    "instance_group[1].gpus[1]": (4, 32),
    "instance_group[2].count": (7, 18),
    "instance_group[0].gpus": None,
    "instance_group[3]": None,
    "parameters[0].value.string_value": (8, 31),
    "nonsense": None,
    "": None,
}


@pytest.mark.parametrize("path", POSITIONS)
def test_position_of(path: str) -> None:
    text = (
        'name: "a" # instance_group\n'
        "instance_group [\n"
        "  { kind: KIND_CPU },\n"
        "  { kind: KIND_GPU, gpus: [ 0, 1 ] }\n"
        "]\n"
        "\n"
        "instance_group { count: 2 }\n"
        'parameters { key: "k" value { string_value: "v" } }\n'
    )
    assert position_of(text, path) == POSITIONS[path]


def test_positions_end_where_the_fault_is() -> None:
    assert position_of("max_batch_size: 1 oops: 1 name: 'a'", "max_batch_size") == (1, 1)
    assert position_of("max_batch_size: 1 oops: 1 name: 'a'", "name") is None


@pytest.mark.parametrize("number", ["-inf", "inf", "-infinity", "nan", "1.5f", "2F", "-.5f"])
def test_positions_go_on_after_any_number(number: str) -> None:
    text = f"sequence_batching {{ direct {{ minimum_slot_utilization: {number} }} }}\nname: 'a'"
    assert position_of(text, "name") == (2, 1)
