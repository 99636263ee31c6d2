"""Which lines of a server's log stand beside a failure."""

from __future__ import annotations

from pathlib import Path

from pytest_triton.servers.log_excerpt import named_in, without_tables_and_telemetry
from pytest_triton.servers.server_log import ServerLog

LOG = """\
I1128 01:28:11.480001 24456 model_lifecycle.cc:472] "loading: step:1"
Error: Failed to initialize NVML
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
    lines = without_tables_and_telemetry([*LOG.splitlines(), "Error: Failed to initialize NVML: 9"])
    assert [line[:5] for line in lines if "NVML" in line] == ["E1128", "Error"]


def test_names_are_found_as_whole_words() -> None:
    text = "assert server.placement('step') == cpu(), step_2 and other.step"
    assert named_in(text, ["step", "step_2", "step_22", "ste", "other"]) == ["step", "step_2"]


def test_last_lines_of_a_log_are_those_that_may_say_what_went_wrong(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LOG)
    assert [line[:5] for line in ServerLog(path).tail(3).splitlines()] == [
        "I1128",
        "E1128",
        "what ",
    ]


def test_last_lines_of_a_log_are_others_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("\n".join(LOG.splitlines()[5:7]))
    assert "| Model " in ServerLog(path).tail()
