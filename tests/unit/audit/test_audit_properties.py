"""The audit against all that hypothesis can think of: no crash, and no word against `predict`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.audit import audit
from pytest_triton.audit.fixing import fixed_texts
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.hardware import NO_GPU, simulated_gpus
from pytest_triton.placement.predict import ample_gpus, predict
from pytest_triton.repository import Repository, read_repository
from pytest_triton.repository.refusals import completed_configs, declared_models
from support.strategies import ABSENT_BACKEND, CUSTOM_BACKENDS, model_configs

# What has the model refused on every hardware.
REFUSED_EVERYWHERE = {"TRT104", "TRT105", "TRT106", "TRT108", "TRT201", "TRT202", "TRT210"}
WORDS = st.sampled_from(
    re.split(
        r"\s+",
        """instance_group kind KIND_GPU KIND_CPU KIND_AUTO count gpus backend "python" "onnxruntime"
        parameters optimization execution_accelerators gpu_execution_accelerator name { } [ ] : ,
        0 1 -1 # ; < > key value ensemble_scheduling step model_name""",
    )
)


def _one_model(config: bytes, folder: str) -> Repository:
    root = Path(folder)
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "config.pbtxt").write_bytes(config)
    return read_repository([root])


def _rules(findings: tuple[Diagnostic, ...]) -> set[str]:
    return {finding.rule for finding in findings}


@given(config=model_configs())
def test_findings_say_what_is_predicted(config: Any) -> None:
    text = text_format.MessageToString(config)
    with tempfile.TemporaryDirectory() as folder:
        repository = _one_model(text.encode(), folder)
        own = (*CUSTOM_BACKENDS, ABSENT_BACKEND)
        rules = _rules(audit(repository, own_backends=own))
        on_two = _rules(audit(repository, target=2, own_backends=own))
        on_none = _rules(audit(repository, target=0, own_backends=own))
    model = repository.models[0]
    if model.problems or not model.readable:
        return
    declared = declared_models([model], completed_configs([model]))["m"]
    ample = predict(declared, ample_gpus([declared])).refusal
    if ample is not None and ample.diagnostic is not None and ample.diagnostic.message:
        assert "TRT510" in rules  # and no advice on its placement
        assert not rules & {"TRT101", "TRT102", "TRT103"}
        return
    cpu, gpus = predict(declared, NO_GPU), predict(declared, simulated_gpus(2))
    if cpu.fallback:
        assert rules & {"TRT101", "TRT102"}
    if cpu.ready and not declared.is_ensemble:
        assert bool(rules & {"TRT101", "TRT102"}) == cpu.fallback
    if rules & REFUSED_EVERYWHERE:
        assert not cpu.ready
        assert not predict(declared, ample_gpus([declared])).ready
    if "TRT203" in rules:
        assert not gpus.ready
    if cpu.refusal is not None and cpu.refusal.reason == "no-gpu" and declared.groups:
        assert on_none & {"TRT113", "TRT201"} or rules & REFUSED_EVERYWHERE
    if gpus.refusal is not None and gpus.refusal.reason == "gpu-id":
        assert on_two & {"TRT107", "TRT108"}


@given(config=model_configs())
def test_fixes_leave_a_config_that_can_be_read_and_a_model_that_is_placed_as_before(
    config: Any,
) -> None:
    text = text_format.MessageToString(config)
    with tempfile.TemporaryDirectory() as folder:
        repository = _one_model(text.encode(), folder)
        found = audit(repository)
        changed = fixed_texts(found, {repository.models[0].directory / "config.pbtxt": text})
    for new, _ in changed.values():
        with tempfile.TemporaryDirectory() as folder:
            after = _one_model(new.encode(), folder).models[0]
        assert after.readable
        for hardware in (NO_GPU, simulated_gpus(2), simulated_gpus(16)):
            before_it = predict(repository.models[0].config, hardware)
            after_it = predict(after.config, hardware)
            if before_it.ready:
                assert after_it.placement == before_it.placement


@given(words=st.lists(WORDS | st.text(max_size=4), max_size=40), tail=st.binary(max_size=10))
def test_any_bytes_are_audited(words: list[str], tail: bytes) -> None:
    data = " ".join(words).encode("utf-8", "replace") + tail
    with tempfile.TemporaryDirectory() as folder:
        for target in (None, 0, 3):
            repository = (
                read_repository([folder]) if target is not None else _one_model(data, folder)
            )
            for finding in audit(repository, target=target):
                assert finding.message
                assert finding.path.is_relative_to(folder)
