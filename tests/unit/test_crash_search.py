"""The search for the models that a server crashes on; the servers here are functions."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.checks.crash_search import MOST_STARTS, Culprits, find_culprits

NAMES = tuple(f"m{number}" for number in range(1000))


def test_model_that_always_kills_is_found_among_many() -> None:
    found = find_culprits(NAMES, lambda names, _: "m617" not in names)
    assert found.groups == (("m617",),)
    assert found.certain
    assert found.starts <= 30


def test_crash_by_chance_is_no_culprit() -> None:
    assert find_culprits(NAMES, lambda _, number: number == 1) == Culprits((), 2)


def test_models_that_kill_together_only_are_found_together() -> None:
    found = find_culprits(NAMES[:8], lambda names, _: not {"m1", "m6"} <= names)
    assert found.groups == (NAMES[:8],)


def test_limit_of_starts_holds_and_the_rest_is_suspect() -> None:
    kills = {f"m{number}" for number in range(0, 1000, 20)}
    found = find_culprits(NAMES, lambda names, _: not kills & names)
    assert found.starts <= MOST_STARTS
    assert not found.certain
    assert kills <= found.names


@given(kills=st.sets(st.sampled_from(NAMES[:40]), max_size=3), size=st.integers(1, 40))
def test_few_culprits_are_found_exactly(kills: set[str], size: int) -> None:
    names = NAMES[:size]
    found = find_culprits(names, lambda given, _: not kills & given)
    assert found.certain
    assert found.names == kills & set(names)


@given(seed=st.integers(0, 1000))
def test_culprit_is_found_beside_crashes_by_chance(seed: int) -> None:
    chance = random.Random(seed)
    found = find_culprits(NAMES[:16], lambda names, _: "m7" not in names and chance.random() > 0.1)
    assert "m7" in found.names
