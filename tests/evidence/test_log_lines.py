"""Triton's text about refused models, found in the logs that five real releases write.

Releases that can't be had as a process write in other formats still; samples of these are written
by hand, after Triton's sources and release notes, and say so in their names.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.evidence.log_lines import refusals
from pytest_triton.evidence.log_messages import unquoted
from pytest_triton.options.hosts import ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.refusal import Reason, classify
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.releases import RELEASES
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.components import need_release

TENSOR = 'name: "{name}" data_type: TYPE_FP32 dims: [ 4 ]'
TYPO = 'backend: "python"\ninstance_group [ { kind: KIND_GPU gpu: [ 0 ] } ]\n'


def ensemble(model: str, *, inside: str = "X", more: str = "max_batch_size: 8\n") -> str:
    return (
        f'platform: "ensemble"\n{more}'
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
        f'ensemble_scheduling {{ step [ {{ model_name: "{model}" model_version: -1 '
        f'input_map {{ key: "{inside}" value: "X" }} '
        'output_map { key: "Y" value: "Y" } } ] }\n'
    )


def write_models(repository: RepositoryBuilder, second: RepositoryBuilder) -> None:
    """Two repositories of mistakes; `good` is the only model that loads."""
    on_cpu = "{ kind: KIND_CPU }"
    repository.add("good", on_cpu)
    # refused while polling
    for name in ("typo", "typ'o", "typo two", "line\nbreak"):
        repository.add_config(name, TYPO)
    repository.add("wrong_name", on_cpu, more='name: "other"\n')
    repository.add_config("negative", 'backend: "python"\nmax_batch_size: -1\n')
    repository.add_config("no_backend", "max_batch_size: 0\n")
    (repository.path / "no_backend" / "1" / "model.py").unlink()
    repository.add_config(
        "grouped", ensemble("good", more=f"max_batch_size: 8\ninstance_group [ {on_cpu} ]\n")
    )
    repository.add("twin", on_cpu)
    second.add("twin", on_cpu)
    # ensembles that are refused for their models
    repository.add_config("of_gone", ensemble("gone"))
    repository.add_config("of_typo", ensemble("typo"))
    repository.add_config("of_pinned", ensemble("pinned"))
    repository.add_config("of of_pinned", ensemble("of_pinned"))
    repository.add_config("unmapped two", ensemble("good", inside="Z"))
    repository.add_config("other_type", ensemble("good").replace("FP32", "INT64"))
    repository.add_config("batches", ensemble("good", more="max_batch_size: 99\n"))
    repository.add_config("circle_a", ensemble("circle_b"))
    repository.add_config("circle_b", ensemble("circle_a"))
    # refused while loading
    repository.add("pinned", "{ kind: KIND_GPU }")
    repository.add("pinned two", "{ kind: KIND_GPU }")
    repository.add("unknown_backend", on_cpu, backend="nonesuch")
    repository.add("no_version", on_cpu)
    shutil.rmtree(repository.path / "no_version" / "1")


# model -> the class of its refusal, and a text of Triton that all five releases have
EXPECTED: dict[str, tuple[Reason, str]] = {
    "typo": ("config", '2:38: Message type "inference.ModelInstanceGroup" has no field named'),
    "typ'o": ("config", "models/typ'o/config.pbtxt: Error parsing text-format"),
    "typo two": ("config", "models/typo two/config.pbtxt: Error parsing text-format"),
    "line\nbreak": ("config", "models/line\nbreak/config.pbtxt: Error parsing text-format"),
    "wrong_name": ("name", "unexpected directory name 'wrong_name' for model 'other'"),
    "negative": ("config", "'max_batch_size' must be non-negative value for negative"),
    "no_backend": ("no-backend", "Could not determine backend for model 'no_backend'"),
    "grouped": ("ensemble", "instance group should not be specified for ensemble 'grouped'"),
    "twin": ("duplicate", "not unique across all model repositories"),
    "of_gone": ("ensemble", "ensemble of_gone contains models that are not available"),
    "of_typo": ("ensemble", "ensemble of_typo contains models that are not available"),
    "of_pinned": ("ensemble", "ensemble 'of_pinned' depends on 'pinned' which has no loaded"),
    "of of_pinned": ("ensemble", "ensemble 'of of_pinned' depends on 'of_pinned'"),
    "unmapped two": ("ensemble", "in ensemble unmapped two, ensemble tensor X is mapping to non-"),
    "other_type": ("ensemble", "in ensemble other_type, ensemble tensor X: inconsistent data type"),
    "batches": ("ensemble", "ensemble batches allows maximum batch size 99"),
    "circle_a": ("ensemble", "circular dependency between ensembles: circle_a -> "),
    "circle_b": ("ensemble", "circular dependency between ensembles: circle_b -> "),
    "pinned": ("no-gpu", "instance group pinned_0 of model pinned has kind KIND_GPU but no GPUs"),
    "pinned two": ("no-gpu", "of model pinned two has kind KIND_GPU but no GPUs are available"),
    "unknown_backend": ("backend-missing", "nonesuch"),
    "no_version": ("version", "at least one version must be available under the version policy"),
}


@pytest.mark.server
@pytest.mark.parametrize("release", [release.version for release in RELEASES])
def test_every_refusal_is_found_in_the_log_of(release: str, tmp_path: Path) -> None:
    need_release(release)
    repository, second = RepositoryBuilder(tmp_path / "models"), RepositoryBuilder(tmp_path / "two")
    write_models(repository, second)
    server = launch(
        ServerSpec(
            (repository.path, second.path),
            HardwareRequest.parse("none"),
            ProcessHost(version=release),
            stand_ins=OFFICIAL_BACKENDS,
        )
    )
    try:
        server.wait_until_live()
        log = server.log.since()
    finally:
        server.stop()
    found = refusals(log)
    assert found.keys() == EXPECTED.keys()
    for model, (reason, expected_text) in EXPECTED.items():
        assert expected_text in found[model], model
        assert classify(found[model]) == reason, found[model]
        assert "\n" not in found[model].replace("line\nbreak", ""), "text of other lines"


NO_GPU = (
    "Invalid argument: instance group m_0 of model m has kind KIND_GPU but no GPUs are available"
)
POLL = (
    "Poll failed for model directory 'm': instance group should not be specified for ensemble 'm'"
)

BY_HAND = {
    "plain, as up to r24.04": f"""\
I0401 10:00:00.000001 1 model_lifecycle.cc:461] loading: m:1
E0401 10:00:00.000002 1 model_lifecycle.cc:638] failed to load 'm' version 1: {NO_GPU}
I0401 10:00:00.000003 1 server.cc:604]
+------+
""",
    "JSON-quoted, as from r24.05 on": f"""\
I0501 10:00:00.000001 1 model_lifecycle.cc:472] "loading: m:1"
E0501 10:00:00.000002 1 model_lifecycle.cc:642] "failed to load 'm' version 1: {NO_GPU}"
""",
    "INFO on stdout and the rest on stderr, as from r25.06 on: INFO comes in late": f"""\
E0601 10:00:00.000002 1 model_lifecycle.cc:654] "failed to load 'm' version 1: {NO_GPU}"
E0601 10:00:00.000005 1 tritonserver.cc:2803] "Internal: failed to load all models"
I0601 10:00:00.000001 1 model_lifecycle.cc:473] "loading: m:1"
I0601 10:00:00.000004 1 server.cc:681] "failed to load 'other' version 1: not an error line"
""",
}


@pytest.mark.parametrize("log", BY_HAND.values(), ids=BY_HAND)
def test_written_by_hand(log: str) -> None:
    assert refusals(log) == {"m": NO_GPU}


def test_written_by_hand_with_quotes_in_the_message() -> None:
    log = (
        "E0501 10:00:00.000002 1 model_repository_manager.cc:1460] "
        r'"Poll failed for model directory \'m\': no \"backend\" in C:\\models\\m"'.replace(
            r"\'", "'"
        )
    )
    assert refusals(log) == {"m": 'no "backend" in C:\\models\\m'}


def test_written_by_hand_with_the_parser_logging_through_abseil() -> None:
    log = (
        "E0000 00:00:1760000000.123456      31 text_format.cc:432] Error parsing text-format "
        "inference.ModelConfig: 3:5: no field named gpu\n"
        'E1009 10:00:00.000002 31 model_repository_manager.cc:1460] "Poll failed for model '
        "directory 'm': failed to read text proto from /models/m/config.pbtxt\"\n"
    )
    assert refusals(log) == {
        "m": "failed to read text proto from /models/m/config.pbtxt: Error parsing text-format "
        "inference.ModelConfig: 3:5: no field named gpu"
    }


def test_last_refusal_of_a_log_counts() -> None:
    first = f"E0401 10:00:00.000002 1 a.cc:1] failed to load 'm' version 1: {NO_GPU}\n"
    then = first.replace(NO_GPU, "Internal: another")
    assert refusals(first + then) == {"m": "Internal: another"}


def test_text_of_the_parser_goes_to_the_next_model_only() -> None:
    parser = (
        "[libprotobuf ERROR x.cc:1] Error parsing text-format inference.ModelConfig: 1:1: bad\n"
    )
    poll = "E0401 10:00:00.000002 1 a.cc:1] Poll failed for model directory '{}': {}\n"
    log = (
        parser + poll.format("a", "something else") + poll.format("b", "failed to read text proto")
    )
    assert refusals(log) == {"a": "something else", "b": "failed to read text proto"}


def test_output_of_a_model_is_no_evidence() -> None:
    log = (
        "failed to load model 'm': printed by a model\n"
        f"W0401 10:00:00.000002 1 a.cc:1] {POLL}\n"
        "E0401 10:00:00.000002 1 a.cc:1] failed to load 'm' version 1: Internal: first\n"
        "Poll failed for model directory 'm': printed after an error\n"
    )
    assert refusals(log) == {"m": "Internal: first"}


@given(st.text())
def test_no_log_is_too_odd(log: str) -> None:
    refusals(log)
    refusals(f"E0401 10:00:00.000002 1 a.cc:1] {log}")


@given(st.text(st.characters(exclude_characters="'\n", codec="utf-8"), min_size=1), st.booleans())
def test_every_name_is_found(name: str, quoted: bool) -> None:
    message = f"Poll failed for model directory '{name}': some words"
    text = json.dumps(message, ensure_ascii=False) if quoted else message
    assert refusals(f"E0401 10:00:00.000002 1 a.cc:1] {text}\n") == {name: "some words"}


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ("plain", "plain"),
        ('"quoted"', "quoted"),
        (r'"with \"quotes\" and \n"', 'with "quotes" and \n'),
        ('"torn', '"torn'),
        ('"quoted"printed by a model', "quoted"),
        ("", ""),
    ],
)
def test_unquoted(message: str, plain: str) -> None:
    assert unquoted(message) == plain
