"""The whole corpus of real configs, rehearsed: every model does as predicted, on 0 to 4 GPUs.

Also the list of the models that no server is given, with the reasons: it was written by hand, and
looked through. A model that joins or leaves it has to be looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pytest_triton.checks.run import CheckedDeployment, TritonSession
from pytest_triton.options.settings import Settings
from pytest_triton.options.values import Deployment
from pytest_triton.placement.compare import Verdict, compare
from pytest_triton.placement.hardware import HardwareRequest
from support.corpus import corpus_directory, corpus_repositories

HARDWARE = tuple(HardwareRequest.parse(spec) for spec in ("none", "sim:1", "sim:2", "sim:4"))

NO_LABELS = "there is no label file `labels.txt` in the model's directory"
NO_BACKEND = "nothing names a backend, neither config.pbtxt nor a file that Triton knows"

NOT_SERVED = {
    # The label files are made when the examples are set up, and aren't part of the corpus.
    "dali_backend/docs_examples_resnet50_trt_model_repository/resnet50_trt": NO_LABELS,
    "dali_backend/qa_L0_resnet50_ensemble_model_repository/resnet50_onnx": NO_LABELS,
    "python_backend/examples_preprocessing_model_repository/resnet50_trt": NO_LABELS,
    # The corpus has version 1 only of it.
    "dali_backend/qa_L0_many_versions_model_repository/dali_specific": (
        "the version policy chooses none of the versions that are there"
    ),
    # Examples that are copied to a directory of the right name before they are used.
    "python_backend/examples/instance_kind": (
        "the model is called `resnet50`, its directory `instance_kind`"
    ),
    "tutorials/Quick_Deploy/PyTorch": "the model is called `resnet50`, its directory `PyTorch`",
    "tutorials/Quick_Deploy/TensorFlow": (
        "the model is called `resnet50`, its directory `TensorFlow`"
    ),
    # A config in a version directory: the corpus's repository is then the model's directory.
    "tutorials/Feature_Guide_Data_Pipelines_model_repository_ensemble_model/1": NO_BACKEND,
    # The config leaves the backend to the model's file, and the corpus has no model files.
    "tutorials/Popular_Models_Guide_Llava1.5_model_repository/vision_encoder": NO_BACKEND,
}


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[TritonSession]:
    repositories = corpus_repositories()
    settings = Settings(
        repo=tuple(Deployment(str(path), (path,)) for path in repositories),
        binary=None,
        version=None,
        python=None,
        gpus=HARDWARE,
        backends="stand-in",
        timeout=120.0,
        allow_fallback=(),
        expect=(),
    )
    session = TritonSession(settings)
    yield session
    session.close()


@pytest.fixture(scope="module")
def verdicts(rehearsal: TritonSession) -> dict[tuple[str, HardwareRequest], Verdict]:
    """A verdict for every model that a server was given, on every hardware."""
    found = {}
    for checked in rehearsal.deployments:
        for hardware in HARDWARE:
            seen = rehearsal.seen(checked, hardware)
            for model in checked.repository.models:
                if model.refusal is None:
                    found[name_of(checked, model.name), hardware] = compare(
                        checked.declared[model.name],
                        seen.predicted[model.name],
                        seen.observed[model.name],
                    )
    return found


def name_of(checked: CheckedDeployment, model: str) -> str:
    directory = corpus_directory()
    assert directory is not None
    return str(checked.deployment.paths[0].relative_to(directory) / model)


def test_what_is_not_served_and_why(rehearsal: TritonSession) -> None:
    found = {
        name_of(checked, model.name): model.refusal.message
        for checked in rehearsal.deployments
        for model in checked.repository.models
        if model.refusal is not None
    }
    assert found == NOT_SERVED
    assert sum(len(checked.repository.models) for checked in rehearsal.deployments) == 86
    assert [checked for checked in rehearsal.deployments if checked.held_back] == []


def test_all_others_are_placed_as_predicted(
    verdicts: dict[tuple[str, HardwareRequest], Verdict],
) -> None:
    wrong = [
        f"{model} on {hardware.label}: {verdict.headline}\n"
        f"  {verdict.observed.refusal.text if verdict.observed.refusal else verdict.observed}"
        for (model, hardware), verdict in verdicts.items()
        if not verdict.ok
    ]
    assert not wrong, f"{len(wrong)} of {len(verdicts)} disagree:\n" + "\n".join(wrong)
    assert len(verdicts) == (86 - len(NOT_SERVED)) * len(HARDWARE)


def test_what_was_observed(verdicts: dict[tuple[str, HardwareRequest], Verdict]) -> None:
    """The corpus in numbers: a check of the two above, which compare one thing with another."""
    found = {
        hardware.id: dict(
            Counter(_outcome(verdict) for (_, on), verdict in verdicts.items() if on == hardware)
        )
        for hardware in HARDWARE
    }
    # 37 models are declared by nobody: on the CPU without a GPU, on all GPUs otherwise. 16 are
    # pinned to GPUs, 3 of these to GPU 0; 13 say KIND_CPU, 4 KIND_MODEL; one is for TensorRT.
    ensembles = {"ensemble": 3, "ensemble ready": 3}  # three use a model that isn't served
    assert found == {
        "no-gpu": {
            "CPU": 37 + 13,
            "MODEL": 4,
            "no-gpu": 13,
            "gpu-id": 3,
            "backend-gpu-only": 1,
            "ensemble": 4,
            "ensemble ready": 2,
        },
        "sim-1": {"CPU": 13, "MODEL": 4, "1 GPU": 37 + 16 + 1, **ensembles},
        "sim-2": {"CPU": 13, "MODEL": 4, "1 GPU": 3, "2 GPUs": 37 + 13 + 1, **ensembles},
        "sim-4": {"CPU": 13, "MODEL": 4, "1 GPU": 3, "4 GPUs": 37 + 13 + 1, **ensembles},
    }


def _outcome(verdict: Verdict) -> str:
    observed = verdict.observed
    if observed.refusal is not None:
        return observed.refusal.reason
    if verdict.declared.is_ensemble:
        return "ensemble ready"
    kinds = {instances.kind for instances in observed.placement}
    gpus = len(observed.placement.devices)
    if kinds == {"GPU"}:
        return f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return " and ".join(sorted(kinds))


def test_rehearsals_are_never_shown_as_real_runs(rehearsal: TritonSession) -> None:
    for checked in rehearsal.deployments[:1]:
        runs = {rehearsal.seen(checked, hardware).run for hardware in HARDWARE}
        assert all(run.startswith("rehearsal (") for run in runs)
