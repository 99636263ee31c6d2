"""Parts of a repository."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.plan.sharding import Shard, needed
from support.ledger_strategies import texts


@given(name=texts, of=st.integers(1, 1000))
def test_each_model_is_in_one_part(name: str, of: int) -> None:
    assert sum(Shard(number, of).holds(name) for number in range(1, of + 1)) == 1


def test_model_keeps_its_part_for_good() -> None:
    models = ["detector", "embedder", "ranker", "search", "tokenizer"]
    parts = {name: next(n for n in (1, 2, 3) if Shard(n, 3).holds(name)) for name in models}
    assert parts == {"detector": 3, "embedder": 1, "ranker": 3, "search": 3, "tokenizer": 2}


def test_parts_are_of_about_equal_size() -> None:
    names = [f"model_{number:04}" for number in range(1000)]
    for number in range(1, 6):
        assert 150 < sum(Shard(number, 5).holds(name) for name in names) < 250


@given(st.integers(1, 1000), st.data())
def test_part_is_read_as_it_is_written(of: int, data: st.DataObject) -> None:
    shard = Shard(data.draw(st.integers(1, of)), of)
    assert Shard.parse(str(shard)) == shard


@pytest.mark.parametrize("text", ["", "2", "0/5", "6/5", "1/0", "1/1001", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2/5"):
        Shard.parse(text)


def test_ensemble_brings_its_models_and_theirs() -> None:
    steps = {"search": ["embed", "rank"], "rank": ["tokens"], "loop": ["loop"]}
    assert needed(["search"], steps) == {"search", "embed", "rank", "tokens"}
    assert needed(["loop"], steps) == {"loop"}
