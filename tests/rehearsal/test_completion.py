"""Configs that real backends would complete: guessed well enough for Triton's real core.

A config without inputs and outputs is usual: the backend reads them from the model's file. An
ensemble over such a model is refused unless the stand-in says what the real backend would have
said, so every case here ends with a rehearsed server on which the ensembles are READY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig

from pytest_triton.checks.run import TritonSession
from pytest_triton.options.settings import Settings
from pytest_triton.options.values import Deployment
from pytest_triton.placement.completed_tensors import completions
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.completed_configs import as_json, write_completions
from support.builders import RepositoryBuilder

NO_GPU = HardwareRequest.parse("none")


def config(text: str, name: str = "m") -> ModelConfig:
    read = text_format.Parse(text, ModelConfig())
    read.name = read.name or name
    return read


def tensor(kind: str, name: str, data_type: str = "FP32", dims: str = "4") -> str:
    """`tensor("input", "X")`: a whole input or output."""
    return f'{kind} [ {{ name: "{name}" data_type: TYPE_{data_type} dims: [ {dims} ] }} ]\n'


def ensemble(
    ends: str, *steps: tuple[str, Mapping[str, str], Mapping[str, str]], more: str = ""
) -> str:
    """An ensemble of steps (model, input map, output map); `ends` are its inputs and outputs."""
    text = f'platform: "ensemble"\n{more}{ends}ensemble_scheduling {{\n'
    for model, inputs, outputs in steps:
        text += f'  step {{ model_name: "{model}" model_version: -1\n'
        for way, maps in (("input_map", inputs), ("output_map", outputs)):
            for key, value in maps.items():
                text += f'    {way} {{ key: "{key}" value: "{value}" }}\n'
        text += "  }\n"
    return text + "}\n"


def completed(texts: Mapping[str, str]) -> dict[str, ModelConfig]:
    """What is completed of these models; all but ensembles complete."""
    models = {name: config(text, name) for name, text in texts.items()}
    completing = frozenset(n for n, m in models.items() if m.platform != "ensemble")
    return completions(models, completing)


def shapes(tensors: object) -> dict[str, tuple[int, list[int]]]:
    return {t.name: (t.data_type, list(t.dims)) for t in tensors}  # type: ignore[attr-defined]


FP32, INT64, STRING = 11, 9, 13  # inference.DataType

Serve = Callable[[Mapping[str, str]], dict[str, str]]


@pytest.fixture
def serve(repository: RepositoryBuilder) -> Iterator[Serve]:
    """Rehearse models on a real server: what became of each, by name, "READY" or the refusal."""
    sessions = []

    def serve(texts: Mapping[str, str]) -> dict[str, str]:
        for name, text in texts.items():
            repository.add_config(name, text)
        deployment = Deployment("models", (repository.path,))
        session = TritonSession(
            Settings(
                repo=(deployment,),
                binary=None,
                version=None,
                python=None,
                gpus=(NO_GPU,),
                backends="stand-in",
                timeout=60.0,
                allow_fallback=(),
                expect=(),
            )
        )
        sessions.append(session)
        (checked,) = session.deployments
        found = session.seen(checked, NO_GPU).observed
        return {n: o.refusal.text if o.refusal else o.state for n, o in found.items()}

    yield serve
    for session in sessions:
        session.close()


CPU = "instance_group [ { kind: KIND_CPU } ]\n"
ONNX = 'backend: "onnxruntime"\n' + CPU
ENDS = tensor("input", "X") + tensor("output", "Y")
ONE_STEP = ({"IN": "X"}, {"OUT": "Y"})

CASES = {
    "nothing declared": {
        "model": ONNX,
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP)),
    },
    "inputs only": {
        "model": ONNX + tensor("input", "IN"),
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP)),
    },
    "outputs only": {
        "model": ONNX + tensor("output", "OUT"),
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP)),
    },
    "neither type nor shape": {
        "model": ONNX + 'input [ { name: "IN" } ]\noutput [ { name: "OUT" } ]\n',
        "ensemble": ensemble(
            tensor("input", "X", dims="-1") + tensor("output", "Y", dims="-1"),
            ("model", *ONE_STEP),
        ),
    },
    "types from the other steps": {
        "first": ONNX + tensor("input", "IN") + tensor("output", "OUT", "INT64", "7"),
        "silent": ONNX,
        "last": ONNX + tensor("input", "IN", "STRING", "2, 3") + tensor("output", "OUT"),
        "ensemble": ensemble(
            ENDS,
            ("first", {"IN": "X"}, {"OUT": "a"}),
            ("silent", {"IN": "a"}, {"OUT": "b"}),
            ("last", {"IN": "b"}, {"OUT": "Y"}),
        ),
    },
    "a silent model after another": {
        "one": ONNX,
        "two": ONNX,
        "ensemble": ensemble(
            ENDS, ("one", {"IN": "X"}, {"OUT": "a"}), ("two", {"IN": "a"}, {"OUT": "Y"})
        ),
    },
    "batches": {
        "model": ONNX,
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP), more="max_batch_size: 8\n"),
    },
    "a model that batches more": {
        "model": ONNX + "max_batch_size: 32\n",
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP), more="max_batch_size: 8\n"),
    },
    "a model that batches in an ensemble that doesn't": {
        "model": ONNX + "max_batch_size: 8\n",
        "ensemble": ensemble(
            tensor("input", "X", dims="-1, 4") + tensor("output", "Y", dims="-1, 4"),
            ("model", *ONE_STEP),
        ),
    },
    "silent between one that batches and an ensemble that doesn't": {
        "first": ONNX + "max_batch_size: 8\n" + tensor("input", "IN") + tensor("output", "OUT"),
        "silent": ONNX,
        "ensemble": ensemble(
            tensor("input", "X", dims="-1, 4") + tensor("output", "Y", dims="-1, 4"),
            ("first", {"IN": "X"}, {"OUT": "a"}),
            ("silent", {"IN": "a"}, {"OUT": "Y"}),
        ),
    },
    "two ensembles on one model": {
        "model": ONNX,
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP)),
        "other": ensemble(ENDS, ("model", *ONE_STEP)),
    },
    "two ensembles that use different outputs": {
        "model": ONNX,
        "ensemble": ensemble(ENDS, ("model", {"IN": "X"}, {"OUT": "Y"})),
        "other": ensemble(ENDS, ("model", {"IN": "X"}, {"OUT2": "Y"})),
    },
    "two ensembles of which one leaves an input out": {
        "model": ONNX,
        "ensemble": ensemble(ENDS, ("model", *ONE_STEP)),
        "other": ensemble(
            ENDS + tensor("input", "X2"), ("model", {"IN": "X", "IN2": "X2"}, {"OUT": "Y"})
        ),
    },
    "what one ensemble doesn't know, another does": {
        "counts": ONNX + tensor("input", "IN") + tensor("output", "OUT", "INT64", "7"),
        "one": ONNX,
        "two": ONNX,
        "ensemble": ensemble(
            ENDS, ("one", {"IN": "X"}, {"OUT": "a"}), ("two", {"IN": "a"}, {"OUT": "Y"})
        ),
        "other": ensemble(
            ENDS, ("counts", {"IN": "X"}, {"OUT": "a"}), ("two", {"IN": "a"}, {"OUT": "Y"})
        ),
    },
    "an ensemble in an ensemble": {
        "model": ONNX,
        "inner": ensemble(
            tensor("input", "A", "INT64") + tensor("output", "B"),
            ("silent", {"IN": "A"}, {"OUT": "B"}),
        ),
        "silent": ONNX,
        "outer": ensemble(
            ENDS, ("model", {"IN": "X"}, {"OUT": "a"}), ("inner", {"A": "a"}, {"B": "Y"})
        ),
    },
    "one model twice": {
        "model": ONNX,
        "ensemble": ensemble(
            ENDS, ("model", {"IN": "X"}, {"OUT": "a"}), ("model", {"IN": "a"}, {"OUT": "Y"})
        ),
    },
}


@pytest.mark.parametrize("texts", CASES.values(), ids=CASES)
def test_core_takes_the_completed_models(texts: Mapping[str, str], serve: Serve) -> None:
    assert serve(texts) == dict.fromkeys(texts, "READY")


def test_types_and_shapes_come_from_the_other_steps() -> None:
    found = completed(CASES["types from the other steps"])
    assert list(found) == ["silent"]
    assert shapes(found["silent"].input) == {"IN": (INT64, [7])}
    assert shapes(found["silent"].output) == {"OUT": (STRING, [2, 3])}


def test_what_nobody_knows_is_a_float_of_any_length() -> None:
    found = completed(CASES["a silent model after another"])
    assert shapes(found["one"].output) == {"OUT": (FP32, [-1])}
    assert shapes(found["two"].input) == {"IN": (FP32, [-1])}


def test_what_is_declared_stays() -> None:
    text = ONNX + 'max_batch_size: 2\ninput [ { name: "IN" data_type: TYPE_INT64 } ]\n'
    found = completed(
        {"m": text, "e": ensemble(ENDS, ("m", *ONE_STEP), more="max_batch_size: 2\n")}
    )
    assert shapes(found["m"].input) == {"IN": (INT64, [-1])}
    assert shapes(found["m"].output) == {"OUT": (FP32, [4])}
    assert found["m"].max_batch_size == 2
    assert found["m"].instance_group == config(text).instance_group


@pytest.mark.parametrize(
    ("declared", "of_ensemble", "then"),
    [
        ("", 8, 8),
        ("max_batch_size: 4", 8, 4),
        (tensor("input", "IN"), 8, 0),
        ("", 0, 0),
    ],
)
def test_max_batch_size(declared: str, of_ensemble: int, then: int) -> None:
    """A model that says nothing of itself batches as its ensemble does."""
    steps = ensemble(ENDS, ("m", *ONE_STEP), more=f"max_batch_size: {of_ensemble}\n")
    assert completed({"m": ONNX + declared, "e": steps})["m"].max_batch_size == then


def test_whole_models_and_unknown_ones_are_left_alone() -> None:
    whole = ONNX + tensor("input", "IN") + tensor("output", "OUT")
    steps = ("whole", {"IN": "X"}, {"OUT": "a"}), ("gone", {"IN": "a"}, {"OUT": "Y"})
    assert completed({"whole": whole, "e": ensemble(ENDS, *steps)}) == {}


def test_models_of_backends_that_complete_nothing_are_left_alone() -> None:
    models = {"m": config(ONNX), "e": config(ensemble(ENDS, ("m", *ONE_STEP)), "e")}
    assert completions(models, frozenset()) == {}


def test_unknown_model_is_the_ensembles_refusal(serve: Serve) -> None:
    found = serve({"e": ensemble(ENDS, ("gone", *ONE_STEP)), "m": ONNX})
    assert found["m"] == "READY"
    assert "gone" in found["e"]


def test_stand_in_is_handed_what_was_completed(tmp_path: Path) -> None:
    found = completed(CASES["batches"])
    variables = write_completions(tmp_path / "completions", as_json(found))
    (folder,) = variables.values()
    assert [path.name for path in Path(folder).iterdir()] == ["model.json"]


names = st.sampled_from(["m0", "m1", "m2", "e0", "e1"])
parts = st.sampled_from(["", tensor("input", "IN"), tensor("output", "OUT", "INT64", "2")])
tensors = st.sampled_from(["X", "Y", "a", "b"])
steps = st.tuples(
    names,
    st.dictionaries(st.sampled_from(["IN", "IN2"]), tensors, max_size=2),
    st.dictionaries(st.sampled_from(["OUT", "OUT2"]), tensors, max_size=2),
)


@given(
    st.dictionaries(st.sampled_from(["m0", "m1", "m2"]), st.lists(parts, unique=True)),
    st.dictionaries(
        st.sampled_from(["e0", "e1"]),
        st.tuples(st.lists(steps, min_size=1, max_size=3), st.sampled_from([0, 8])),
    ),
)
def test_whatever_is_drawn(
    models: Mapping[str, list[str]],
    ensembles: Mapping[str, tuple[list[tuple[str, dict[str, str], dict[str, str]]], int]],
) -> None:
    """Nothing given is changed, what was declared stays, and what ensembles map is there.

    A config that declares inputs, or outputs, gets none added.
    """
    texts = {name: ONNX + "".join(some) for name, some in models.items()}
    for name, (drawn, batch) in ensembles.items():
        texts[name] = ensemble(ENDS, *drawn, more=f"max_batch_size: {batch}\n")
    given_ = {name: config(text, name) for name, text in texts.items()}
    before = {name: one.SerializeToString(deterministic=True) for name, one in given_.items()}
    found = completions(given_, frozenset(models))
    after = {name: one.SerializeToString(deterministic=True) for name, one in given_.items()}
    assert after == before
    assert found.keys() <= models.keys()
    for name, one in found.items():
        for kind in ("input", "output"):
            declared, now = getattr(given_[name], kind), getattr(one, kind)
            assert list(now)[: len(declared)] == list(declared)
            assert len(now) == len(declared) or not len(declared)
            assert len({t.name for t in now}) == len(now)
            assert all(t.data_type and len(t.dims) for t in now)
        assert one.instance_group == given_[name].instance_group
    for drawn, _ in ensembles.values():
        for model, inputs, outputs in drawn:
            if model in models:
                one = found.get(model, given_[model])
                for kind, mapped in (("input", inputs), ("output", outputs)):
                    if not getattr(given_[model], kind):  # those that declare some get none
                        assert set(mapped) <= {t.name for t in getattr(one, kind)}
