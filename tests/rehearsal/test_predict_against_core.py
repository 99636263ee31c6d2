"""`predict` held against Triton's real core: thousands of drawn models a server start.

Stand-in backends and simulated GPUs; every release that can be installed. A disagreement found
here becomes a named case in tests/unit/placement/test_regressions.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import read_release
from support.components import RELEASES, do_without
from support.core_oracle import SERVERS_VARIABLE, server_of_release
from support.core_pairs import STAND_INS, compare_pairs

SEED = 20240


def tritonserver_of(version: str) -> Path:
    binary = server_of_release(version)
    if binary is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}, or one named in {SERVERS_VARIABLE}")
    return binary


def check(version: str, models_of_each: int, seed: int, scratch: Path) -> Counter[str]:
    """Asks core about that many models on each hardware; returns how often it said what."""
    traits = ServerTraits(version=read_release(version), backends=frozenset(STAND_INS))
    found = compare_pairs(tritonserver_of(version), traits, models_of_each, seed, scratch)
    assert not found.wrong, found.report
    return found.said


OUTCOMES_SEEN = {
    "ready",
    "no-gpu",
    "gpu-id",
    "cpu-with-gpus",
    "model-with-gpus",
    "kind",
    "profile",
    "backend-cpu-only",
    "backend-gpu-only",
    "backend-missing",
    "no-backend",
    "no-config",
    "config",
    "name",
    "version",
    "ensemble",
    "version of a step",
    "ready ensemble",
}


def test_newest_installable_release(tmp_path: Path) -> None:
    said = check("2.51.0", 2_100, SEED, tmp_path)
    assert said.total() >= 10_000
    assert said.keys() == OUTCOMES_SEEN, "the drawn models no longer reach every rule"
    assert said["ready"] > said.total() / 5, "too few of the drawn models load"


@pytest.mark.parametrize("version", ["2.42.0", "2.39.0", "2.36.0", "2.33.0"])
def test_older_release(version: str, tmp_path: Path) -> None:
    said = check(version, 220, SEED + 100, tmp_path)
    assert said.total() >= 1_000
    assert said["version of a step"]
