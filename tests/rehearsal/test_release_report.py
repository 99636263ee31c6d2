"""The report about a server of any release can report a disagreement."""

from __future__ import annotations

import pytest

from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import read_release
from support.components import RELEASES, do_without
from support.core_oracle import server_of_release
from support.release_report import pairs_line

pytestmark = pytest.mark.server


@pytest.mark.parametrize(("least", "agree"), [((6, 0), True), ((9, 0), False)])
def test_report_on_a_server_counts_what_disagrees(least: tuple[int, int], agree: bool) -> None:
    binary = server_of_release("2.51.0") or do_without(RELEASES, RELEASES.reason)
    traits = ServerTraits(version=read_release("2.51.0"), min_compute_capability=least)
    lines = list(pairs_line(binary, traits, 30))
    assert "pairs: 150 of drawn models and 5 hardware configurations, " in lines[0][0]
    assert (lines[0][1] == 0) is agree
