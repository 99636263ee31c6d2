"""Two ledgers compared."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from pytest_triton.ledger import Ledger
from pytest_triton.ledger.diff import difference
from pytest_triton.ledger.fold import merged
from support.ledger_strategies import entry, ledger, ledgers


def test_changed_placement_and_what_changed_with_it() -> None:
    found = difference(
        ledger(entry(placed="refused: no GPU", version="2.33.0"), entry(model="other")),
        ledger(
            entry(placed="CPU", version="2.51.0", config="h2"),
            entry(model="other", version="2.51.0"),
        ),
    )
    (change,) = found.changes
    assert (change.model, found.same) == ("detector", 1)
    assert change.causes == ("its config changed", "Triton: 2.33.0 -> 2.51.0")
    assert found.surroundings == (), "the other model's Triton is the same"


def test_what_changed_for_all_is_reported_once() -> None:
    old = [entry(model=name, version="2.33.0") for name in "ab"]
    new = [entry(model=name, version="2.51.0") for name in "ab"]
    found = difference(ledger(*old), ledger(*new))
    assert (found.changes, found.same) == ((), 2)
    assert found.surroundings == ("Triton: 2.33.0 -> 2.51.0",)


def test_what_changed_for_all_is_that_of_the_models_in_both() -> None:
    old = [entry(model=name, version="2.33.0") for name in ("a", "gone")]
    new = [entry(model=name, version="2.51.0") for name in ("a", "new")]
    found = difference(ledger(*old), ledger(*new))
    assert found.surroundings == ("Triton: 2.33.0 -> 2.51.0",)
    assert difference(ledger(entry(model="gone")), ledger(entry(model="new"))).surroundings == ()


def test_hardware_is_paired_by_request_and_then_by_number() -> None:
    found = difference(
        ledger(entry(spec="none"), entry(spec="sim:2", placed="GPU 0 · GPU 1")),
        ledger(entry(spec="2", placed="GPU 0", real=True), entry(spec="none")),
    )
    (change,) = found.changes
    assert change.before is not None
    assert change.after is not None
    assert (change.before.hardware.spec, change.after.hardware.spec) == ("sim:2", "2")
    assert change.causes[0] == "hardware: sim:2 -> 2"
    assert found.same == 1


def test_models_that_only_one_ledger_has() -> None:
    found = difference(ledger(entry(model="old")), ledger(entry(model="new")))
    assert [(c.model, c.before is None, c.after is None) for c in found.changes] == [
        ("new", True, False),
        ("old", False, True),
    ]


def test_one_deployment_is_the_same_whatever_it_is_called() -> None:
    there = ledger(entry(deployment="models"))
    moved = ledger(entry(deployment="build/models"))
    assert difference(there, moved).same == 1
    two = ledger(entry(deployment="build/models"), entry(deployment="others"))
    assert difference(there, two).same == 0


def test_placement_that_changed_for_no_known_reason() -> None:
    (change,) = difference(ledger(entry()), ledger(entry(placed="CPU"))).changes
    assert change.causes == ()


def test_check_that_asked_no_server_is_compared_by_its_config_and_hardware() -> None:
    skipped = entry("skipped", config="h2")
    for before, after in ((entry(), skipped), (skipped, entry())):
        (change,) = difference(ledger(before), ledger(after)).changes
        assert change.causes == ("its config changed",)


def test_answer_counts_before_a_skip() -> None:
    skipped = replace(entry("skipped"), job=replace(entry().job, name="two"))
    assert difference(ledger(skipped, entry()), ledger(entry(), skipped)).same == 1


@given(ledgers())
def test_nothing_differs_from_itself(one: Ledger) -> None:
    one = merged([one])
    assert difference(one, one).changes == ()
