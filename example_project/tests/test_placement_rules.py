"""Triton's placement rules as plain values: no server is started here."""

from pathlib import Path

from pytest_triton import NO_GPU, cpu, gpu, predict, read_repository, simulated_gpus

MODELS = {
    model.name: model.config
    for model in read_repository([Path(__file__).parent.parent / "models"]).models
}


def test_the_ranker_uses_every_gpu_and_the_cpu():
    assert predict(MODELS["ranker"], simulated_gpus(2)).placement == gpu(0) + gpu(1) + cpu()


def test_the_ranker_is_refused_as_a_whole_without_a_gpu():
    assert predict(MODELS["ranker"], NO_GPU).refusal.reason == "no-gpu"


def test_only_the_spellcheck_may_fall_back():
    fallen = {name for name, model in MODELS.items() if predict(model, NO_GPU).fallback}
    assert fallen == {"spellcheck"}
