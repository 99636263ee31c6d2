from __future__ import annotations

import pytest

from pytest_triton.placement.advice import advise_on_verdict
from pytest_triton.placement.compare import (
    ABSENT,
    READY,
    UNAVAILABLE,
    Observation,
    Observed,
    Verdict,
    compare,
)
from pytest_triton.placement.hardware import simulated_gpus
from pytest_triton.placement.instances import NOTHING, Placement, cpu, gpu
from pytest_triton.placement.predict import predict
from pytest_triton.placement.refusal import Refusal
from support.short_configs import declared, groups

NO_GPUS = Refusal("no-gpu", "Triton's text")
OTHER = Refusal("other", "Triton's other text")


def seen(*placements: Placement) -> Observed:
    """A ready model, and where each source says that it runs."""
    reported = [
        Observation(f"source {n}", "high", "", placement) for n, placement in enumerate(placements)
    ]
    return Observed.of(READY, reported)


def verdict(text: str, gpus: int, observed: Observed) -> Verdict:
    read = declared(text)
    return compare(read, predict(read, simulated_gpus(gpus)), observed)


@pytest.mark.parametrize(
    ("gpus", "observed", "ok", "headline"),
    [
        (1, seen(gpu(0)), True, "runs on GPU 0, as predicted"),
        (
            2,
            seen(gpu(0)),
            False,
            "runs on GPU 0, but predicted was GPU 0 · GPU 1",
        ),
        (1, seen(cpu()), False, "runs on CPU and on no GPU"),
        (1, Observed(gpu(0)), False, "no evidence"),
        (1, Observed(NOTHING, OTHER, UNAVAILABLE), False, "though it was predicted to run"),
        (1, Observed(state=ABSENT), False, "not ready (absent), and nothing says why"),
        (0, Observed(NOTHING, NO_GPUS, UNAVAILABLE), True, "refused: no GPU, as predicted"),
        (0, Observed(NOTHING, OTHER, UNAVAILABLE), False, "but predicted was refused: no GPU"),
        (0, seen(cpu()), False, "though Triton should have refused it"),
        (0, Observed(cpu()), False, "no evidence"),
        (0, Observed(state=UNAVAILABLE), False, "nothing says why"),
        (0, Observed(state="LOADING"), False, "nothing says why"),
    ],
)
def test_verdicts_on_a_pinned_model(gpus: int, observed: Observed, ok: bool, headline: str) -> None:
    judged = verdict(groups("kind: KIND_GPU"), gpus, observed)
    assert judged.ok == ok
    assert headline in judged.headline
    advice = advise_on_verdict(judged)
    assert advice is None or advice.cause
    if not ok and observed.sources:
        assert advice is not None


def test_refusal_outweighs_a_state() -> None:
    assert not verdict("", 1, Observed(gpu(0), OTHER)).ok


def test_observations_print() -> None:
    assert str(Observed(gpu(0))) == "GPU 0"
    assert str(Observed(refusal=NO_GPUS, state=UNAVAILABLE)) == "refused: no GPU"
    assert str(Observed(state="LOADING")) == "not ready (LOADING)"


# Observations put together

INDEX_READY = Observation("index", "high", "", state=READY)
INDEX_REFUSED = Observation("index", "high", "message", refusal=NO_GPUS, state=UNAVAILABLE)
INDEX_ABSENT = Observation("index", "high", "", state=ABSENT)
CONFIG = Observation("config", "high", "", gpu(0))
LOG = Observation("log", "medium", "m_0 (GPU device 0)", gpu(0))
LOG_CPU = Observation("log", "medium", "m_0 (CPU)", cpu())
LOG_SILENT = Observation("log", "medium", "nothing about its instances")
LOG_REFUSED = Observation("log", "medium", "message", refusal=NO_GPUS)
LOG_OTHER = Observation("log", "medium", "other text", refusal=OTHER)


@pytest.mark.parametrize(
    ("state", "observations", "proof", "proof_text"),
    [
        (READY, [INDEX_READY, CONFIG, LOG], "proven", "evidence: config, log"),
        (READY, [INDEX_READY, CONFIG, LOG_SILENT], "one source", "one source: config"),
        (READY, [INDEX_READY, LOG], "one source", "one source: log"),
        (READY, [INDEX_READY, LOG_SILENT], "not proven", "no evidence"),
        (READY, [CONFIG, LOG_CPU], "disagreement", "evidence: config, log, which disagree"),
        (READY, [], "not proven", "no evidence"),
        (UNAVAILABLE, [INDEX_REFUSED, LOG_REFUSED], "proven", "evidence: index, log"),
        (UNAVAILABLE, [INDEX_REFUSED], "one source", "one source: index"),
        (UNAVAILABLE, [INDEX_REFUSED, LOG_OTHER], "disagreement", "index, log, which disagree"),
        (ABSENT, [INDEX_ABSENT, LOG_OTHER], "proven", "evidence: index, log"),
        (ABSENT, [LOG_OTHER], "one source", "one source: log"),
        (ABSENT, [INDEX_ABSENT], "not proven", "no evidence"),
        (READY, [CONFIG, LOG_REFUSED], "disagreement", "which disagree"),
    ],
)
def test_proof_follows_from_the_observations(
    state: str, observations: list[Observation], proof: str, proof_text: str
) -> None:
    observed = Observed.of(state, observations)
    assert observed.proof == proof
    assert proof_text in observed.proof_text
    assert (observed.disagreement is not None) == (proof == "disagreement")


@pytest.mark.parametrize("order", [[LOG_CPU, CONFIG], [CONFIG, LOG_CPU]])
def test_more_trusted_source_counts_and_the_contradiction_fails(
    order: list[Observation],
) -> None:
    observed = Observed.of(READY, order)
    assert observed.placement == gpu(0)
    judged = verdict(groups("kind: KIND_GPU"), 1, observed)
    assert not judged.ok
    assert judged.headline == ("the evidence disagrees: the config says GPU 0, the log says CPU")


def test_sources_that_disagree_on_a_refusal_fail_though_the_first_is_as_predicted() -> None:
    observed = Observed.of(UNAVAILABLE, [INDEX_REFUSED, LOG_OTHER])
    judged = verdict(groups("kind: KIND_GPU"), 0, observed)
    assert not judged.ok
    assert "the index says refused: no GPU, the log says refused: other" in judged.headline


def test_one_source_is_believed_and_reported_to_be_the_only_one() -> None:
    judged = verdict(groups("kind: KIND_GPU"), 1, Observed.of(READY, [CONFIG, LOG_SILENT]))
    assert judged.ok
    assert judged.headline == "runs on GPU 0, as predicted (one source: config)"


def test_two_sources_that_agree_need_no_mention() -> None:
    judged = verdict(groups("kind: KIND_GPU"), 1, Observed.of(READY, [CONFIG, LOG]))
    assert (judged.ok, judged.headline) == (True, "runs on GPU 0, as predicted")


def test_text_of_an_observation() -> None:
    assert str(LOG) == "log, medium trust: GPU 0 (m_0 (GPU device 0))"
    assert str(LOG_SILENT) == "log, medium trust: nothing about its instances"
    assert str(INDEX_REFUSED) == "index, high trust: refused: no GPU (message)"
    assert str(INDEX_READY) == "index, high trust: READY"
    assert str(Observation("config", "high", "", NOTHING)) == "config, high trust: no instances"
