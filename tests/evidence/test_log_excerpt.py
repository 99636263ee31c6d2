"""Which lines of a server's log stand beside a failure."""

from __future__ import annotations

from pytest_triton.evidence.log_excerpt import named_in, without_tables_and_telemetry

LOG = """\
W1128 01:28:11.484701 24456 metrics.cc:811] "DCGM unable to start: DCGM initialization error"
W1128 01:28:11.484701 24456 metrics.cc:851] Cannot get CUDA device count, GPU metrics (NVML) off
I1128 01:28:11.484701 24456 server.cc:674]
+-------+---------+----------------------------------------------------------+
| Model | Version | Status                                                   |
| step  | 1       | UNAVAILABLE: Internal: RuntimeError: weights are missing |
+-------+---------+----------------------------------------------------------+
E1128 01:28:14.266923 24456 model_lifecycle.cc:642] "failed to load 'step': NVML error 9"
what the model printed | itself"""


def test_tables_and_telemetry_are_left_out() -> None:
    kept = without_tables_and_telemetry(LOG.splitlines())
    assert [line[:5] for line in kept] == ["I1128", "E1128", "what "]


def test_error_of_a_model_about_nvml_is_kept() -> None:
    assert "NVML error 9" in "\n".join(without_tables_and_telemetry(LOG.splitlines()))


def test_names_are_found_as_whole_words() -> None:
    text = "assert server.placement('step') == cpu(), step_2 and other.step"
    assert named_in(text, ["step", "step_2", "step_22", "ste", "other"]) == ["step", "step_2"]
