"""Every refusal from configs and files, held against Triton's real core, family by family.

Stand-in backends; every release that can be installed. A disagreement found here becomes a named
case in tests/unit/placement/test_regressions.py.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from test_predict_against_core import tritonserver_of

from pytest_triton.placement.backends import BACKENDS
from pytest_triton.placement.data_flow import check_data_flow
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.predict import Prediction, ServerTraits, predict_all
from pytest_triton.placement.rate_limits import RateLimits
from pytest_triton.placement.refusal import classify
from pytest_triton.rehearsal.simulation import SimulatedGpus
from pytest_triton.repository import read_repository
from support.core_families import FAMILIES, Family, Group, draw, rate_conflicts, rate_limits, write
from support.core_oracle import CoreOutcome, ask_core

STAND_INS = (*BACKENDS, "mine", "x.y")
TRAITS = ServerTraits(
    backends=frozenset(STAND_INS),
    agents=frozenset(),
    libraries=frozenset(
        f"{name}/{file}" for name in STAND_INS for file in (f"libtriton_{name}.so", "model.py")
    ),
)
GROUPS = int(os.environ.get("PYTEST_TRITON_CORE_GROUPS", "20"))


def compare_family(
    family: str, version: str, groups: int, seed: int, scratch: Path
) -> tuple[Counter[str], list[str]]:
    """How often core said what of a family's models, and where `predict` says otherwise."""
    models = draw(FAMILIES[family], groups, seed)
    return compare_models(models, version, scratch)


def compare_models(
    models: Group,
    version: str,
    scratch: Path,
    traits: ServerTraits | None = None,
    arguments: tuple[str, ...] = (),
) -> tuple[Counter[str], list[str]]:
    repository = scratch / "repository"
    write(repository, models)
    if traits is None:
        traits = TRAITS
    release = tuple(int(part) for part in version.split("."))
    traits = replace(traits, version=release)  # type: ignore[arg-type]
    predictions = predicted(repository, traits)
    outcomes = _ask(repository, models, version, scratch, arguments)
    said = Counter(
        "ready" if one.ready else classify(one.text) or "nothing" for one in outcomes.values()
    )
    wrong = []
    for name, drawn in models.items():
        why = _difference(predictions, outcomes[name], name)
        if why:
            refusal = predictions[name].refusal
            wrong.append(
                f"{version}: {why} of {name}\npredicted: {refusal!r}\n"
                f"core: {outcomes[name]}\nfiles: {drawn.files}\n{drawn.text}"
            )
    return said, wrong


LIMITED = (
    "--rate-limit=execution_count",
    "--rate-limit-resource=few:2",
    "--rate-limit-resource=many:5",
)


def _ask(
    repository: Path, models: Group, version: str, scratch: Path, arguments: tuple[str, ...]
) -> dict[str, CoreOutcome]:
    """What core says."""
    binary = tritonserver_of(version)
    return ask_core(repository, models, SimulatedGpus(0), binary, STAND_INS, scratch, arguments)


def predicted(repository: Path, traits: ServerTraits) -> dict[str, Prediction]:
    """What is predicted of a repository as it is on disk; stand-ins complete nothing here."""
    declared = {}
    for model in read_repository([repository]).models:
        on_disk = replace(model.on_disk, may_complete=False)
        declared[model.name] = Declared.of(model.config, on_disk=on_disk)
    return predict_all(declared, NO_GPU, server=traits)


def _difference(predictions: Mapping[str, Prediction], outcome: CoreOutcome, name: str) -> str:
    prediction = predictions[name]
    refusal = prediction.refusal
    if (refusal is None) != outcome.ready:
        return "outcome"
    if refusal is None:
        return ""
    if refusal.stage != outcome.stage:
        return "stage"
    ours, cores = _plain(refusal.text), _plain(outcome.text)
    if ours == cores or cores in {_plain(text) for text in alternatives(prediction, predictions)}:
        return ""
    return "reason" if refusal.reason != classify(outcome.text) else "text"


def alternatives(prediction: Prediction, predictions: Mapping[str, Prediction]) -> list[str]:
    """Other texts that core may have as well: a hash table decides which of several comes first."""
    declared = prediction.declared
    if declared.data_flow is not None:  # it differs from run to run here (seen on 2.42.0)
        models = {name: one.declared.signature for name, one in predictions.items()}
        known = {name: one for name, one in models.items() if one is not None}
        flaws = check_data_flow(declared.name, declared.data_flow, known).flaws
        return [flaw.triton for flaw in (*declared.flaws, *flaws) if flaw.reason == "ensemble"]
    found = [flaw.triton for flaw in declared.flaws if flaw.reason == "ensemble"]
    found += [f"{flaw.code}: {flaw.triton}" for flaw in declared.instance_flaws]
    return found


def _plain(text: str) -> str:
    """Without paths, and with what stands in an unordered list sorted."""
    text = re.sub(r"/[^ ']*/(?=[^ '/]+/config\.pbtxt)", "", text)
    text = re.sub(r", (searched:|in /) ?.*", "", text)
    return re.sub(
        r"\[('[^]]*')\]", lambda match: f"[{','.join(sorted(match[1].split(',')))}]", text
    )


SEED = int(os.environ.get("PYTEST_TRITON_CORE_SEED", "11"))


def _groups(family: str) -> int:
    """Fewer of those that take core longer, or may crash it."""
    return GROUPS // 4 if family == "states" else GROUPS


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("version", ["2.51.0", "2.42.0", "2.39.0", "2.36.0", "2.33.0"])
def test_family_is_refused_as_predicted(
    version: str,
    family: str,
    tmp_path: Path,
) -> None:
    said, wrong = compare_family(family, version, _groups(family), SEED, tmp_path)
    shown = "\n\n".join(wrong[:5])
    assert not wrong, f"{len(wrong)} of {said.total()} disagree, the first of them:\n\n{shown}"
    assert len(said) > 1, f"all the same: {said}"
    print(f"{version} {family}: {said.total()} models, {dict(said)}")


@pytest.mark.parametrize(
    ("family", "arguments"), [(rate_conflicts, LIMITED[:1]), (rate_limits, LIMITED)]
)
def test_rate_limiter_refuses_as_predicted(
    family: Family, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    traits = replace(TRAITS, rate_limits=RateLimits.of_arguments(arguments))
    said: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(SEED, SEED + 4):  # a few at a time: more would crash core in its race
        models = draw(family, 10, seed)
        more = compare_models(models, "2.51.0", tmp_path / str(seed), traits, arguments)
        said += more[0]
        wrong += more[1]
    shown = "\n\n".join(wrong[:5])
    assert not wrong, f"{len(wrong)} of {said.total()} disagree, the first of them:\n\n{shown}"
    assert said["rate-limit"]
    assert said["ready"]
    print(f"2.51.0 {family.__name__}: {said.total()} models, {dict(said)}")
