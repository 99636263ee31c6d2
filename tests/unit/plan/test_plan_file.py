"""Plans as JSON: what is read is what was written, and a damaged one says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_triton.placement.instances import Instances
from pytest_triton.plan.plan_file import (
    CHECKS,
    Need,
    Plan,
    PlannedJob,
    PlanUnusable,
    Values,
    needs_of,
    plan_json,
)

NEED = Need(
    deployment="models",
    model="detector",
    gpus=2,
    declared="KIND_GPU",
    predicted="GPU 0 · GPU 1",
    why="runs on GPUs",
    identity="abc",
    placement=(Instances("GPU", 0, 1), Instances("GPU", 1, 1)),
    reason="no-gpu",
    image="",
    cost=3,
    repository="store",
)


def written(plan: Plan) -> Any:
    return json.loads(json.dumps(plan_json(plan)))


def test_plan_is_read_as_it_was_written() -> None:
    plan = Plan((NEED,), checks=(*CHECKS, "test_more"))
    assert needs_of(written(plan)) == plan


def _set(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda plan: plan.update({key: value})


def _need(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda plan: plan["needs"][0].update({key: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("format", "another"), "no plan of pytest-triton"),
        (_set("schema", 2), "has schema 2"),
        (_set("needs", {}), "it has no list of needs"),
        (_set("needs", []), "asks for nothing"),
        (_set("needs", ["detector"]), "a need is no object"),
        (_set("checks", "test_config"), "it has no list of checks"),
        (_set("checks", [*CHECKS, 1]), "it has no list of checks"),
        (_set("checks", [*CHECKS[1:]]), "it asks for fewer checks than test_config, "),
        (_need("gpus", -1), "no number `gpus`"),
        (_need("gpus", True), "no number `gpus`"),
        (_need("cost", "3"), "no number `cost`"),
        (_need("placement", [{"kind": 1}]), "the `placement` of a need: "),
        (_need("repository", None), "the `repository` of a need is no text"),
        *(
            (_need(name, 1), f"a need has no text `{name}`")
            for name in (
                "deployment",
                "model",
                "declared",
                "predicted",
                "why",
                "identity",
                "reason",
                "image",
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_plan_is_refused_with_what_is_wrong(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    plan = written(Plan((NEED,)))
    change(plan)
    with pytest.raises(PlanUnusable) as caught:
        needs_of(plan)
    assert said in str(caught.value)
    assert caught.value.fix


def test_what_is_no_object_is_no_plan() -> None:
    with pytest.raises(PlanUnusable, match="no plan of pytest-triton"):
        needs_of([written(Plan((NEED,)))])


def test_numbers_of_a_need_may_be_zero() -> None:
    plan = written(Plan((NEED,)))
    plan["needs"][0].update(gpus=0, cost=0)
    (need,) = needs_of(plan).needs
    assert (need.gpus, need.cost) == (0, 0)


def test_arguments_of_a_job_are_in_the_order_that_pytest_needs() -> None:
    job = PlannedJob(
        name="2-gpus",
        why="",
        gpus=2,
        hardware=("2",),
        image="py3",
        needs=(NEED, NEED),
        paths=("models/detector",),
        server_args=("--strict-readiness=false", "--id=a b"),
        values=Values(("prod.yaml",), ("prod",)),
        more=("--more",),
    )
    assert job.arguments == (
        "--triton-repo=models",
        "--triton-gpus=2",
        "--triton-require=gpus=2",
        "--triton-job=2-gpus",
        "--triton-server-args=--strict-readiness=false '--id=a b'",
        "--triton-values=prod.yaml",
        "--more",
        "models/detector",
    )
    assert job.cost == 6


def test_name_of_a_deployment_is_that_without_its_values() -> None:
    values = Values(sets=("prod", "a@b"))
    names = ("models@prod", "models@a@b", "models@other", "models")
    assert [values.without(name) for name in names] == [
        "models",
        "models",
        "models@other",
        "models",
    ]
