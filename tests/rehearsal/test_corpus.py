"""Whole repositories, rehearsed: every model does as predicted, on 0, 1, 2 and 4 GPUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_triton.checks.run import TritonSession
from pytest_triton.options.values import Deployment
from pytest_triton.placement.compare import compare
from support.corpora import OWN, all_repositories, repositories_in
from support.corpus_expectations import (
    HARDWARE,
    PLACEMENTS,
    observed_placements,
    own_deployments,
    rehearsal_settings,
)

OTHERS = [path for path in all_repositories() if path not in repositories_in(OWN)]


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[TritonSession]:
    others = [Deployment(str(path), (path,)) for path in OTHERS]
    session = TritonSession(rehearsal_settings(own_deployments() + others))
    yield session
    session.close()


def test_own_corpus_is_placed_as_written_down(rehearsal: TritonSession) -> None:
    assert observed_placements(rehearsal) == PLACEMENTS.read_text().splitlines()


def test_all_models_are_placed_as_predicted(rehearsal: TritonSession) -> None:
    wrong = []
    served = 0
    for checked in rehearsal.deployments:
        assert checked.excluded == {}
        for model in checked.repository.models:
            if model.refusal is not None:
                continue
            for hardware in HARDWARE:
                seen = rehearsal.seen(checked, hardware)
                verdict = compare(
                    checked.declared[model.name],
                    seen.predicted[model.name],
                    seen.observed[model.name],
                )
                served += 1
                if not verdict.ok:
                    where = f"{checked.deployment.paths[0] / model.name} on {hardware.label}"
                    observed = verdict.observed.refusal or verdict.observed
                    wrong.append(f"{where}: {verdict.headline}\n  {observed}")
    assert not wrong, f"{len(wrong)} of {served} disagree:\n" + "\n".join(wrong)
    assert served >= 50 * len(HARDWARE)


def test_rehearsals_are_never_shown_as_real_runs(rehearsal: TritonSession) -> None:
    for checked in rehearsal.deployments[:1]:
        runs = {rehearsal.seen(checked, hardware).run for hardware in HARDWARE}
        assert all(run.startswith("rehearsal (") for run in runs)
