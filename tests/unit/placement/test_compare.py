from __future__ import annotations

import pytest
from short_configs import declared, groups

from pytest_triton.placement.advice import cure_verdict
from pytest_triton.placement.compare import ABSENT, UNAVAILABLE, Observed, Verdict, compare
from pytest_triton.placement.hardware import simulated_gpus
from pytest_triton.placement.predict import predict
from pytest_triton.placement.refusal import Refusal
from pytest_triton.placement.values import NOTHING, cpu, gpu

SEEN = ("config",)
NO_GPUS = Refusal("no-gpu", "Triton's words")
OTHER = Refusal("other", "Triton's other words")


def verdict(text: str, gpus: int, observed: Observed) -> Verdict:
    read = declared(text)
    return compare(read, predict(read, simulated_gpus(gpus)), observed)


@pytest.mark.parametrize(
    ("gpus", "observed", "ok", "headline"),
    [
        (1, Observed(gpu(0), witnesses=SEEN), True, "runs on GPU 0, as predicted"),
        (
            2,
            Observed(gpu(0), witnesses=SEEN),
            False,
            "runs on GPU 0, but predicted was GPU 0 · GPU 1",
        ),
        (1, Observed(cpu(), witnesses=SEEN), False, "runs on CPU and on no GPU"),
        (1, Observed(gpu(0)), False, "no witness"),
        (1, Observed(NOTHING, OTHER, UNAVAILABLE), False, "though it was predicted to run"),
        (1, Observed(state=ABSENT), False, "not ready (absent), and nothing says why"),
        (0, Observed(NOTHING, NO_GPUS, UNAVAILABLE), True, "refused: no GPU, as predicted"),
        (0, Observed(NOTHING, OTHER, UNAVAILABLE), False, "but predicted was refused: no GPU"),
        (0, Observed(cpu(), witnesses=SEEN), False, "though Triton should have refused it"),
        (0, Observed(cpu()), False, "no witness"),
        (0, Observed(state=UNAVAILABLE), False, "nothing says why"),
        (0, Observed(state="LOADING"), False, "nothing says why"),
    ],
)
def test_verdicts_on_a_pinned_model(gpus: int, observed: Observed, ok: bool, headline: str) -> None:
    judged = verdict(groups("kind: KIND_GPU"), gpus, observed)
    assert judged.ok == ok
    assert headline in judged.headline
    advice = cure_verdict(judged)
    assert advice is None or advice.cause
    if not ok and observed.witnesses:
        assert advice is not None


def test_a_refusal_outweighs_a_state() -> None:
    assert not verdict("", 1, Observed(gpu(0), OTHER, witnesses=SEEN)).ok


def test_observations_print() -> None:
    assert str(Observed(gpu(0))) == "GPU 0"
    assert str(Observed(refusal=NO_GPUS, state=UNAVAILABLE)) == "refused: no GPU"
    assert str(Observed(state="LOADING")) == "not ready (LOADING)"
