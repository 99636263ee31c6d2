"""What the core completes is no drift: whole repositories against what a server reports of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_triton.checks.drift_check import drift
from pytest_triton.checks.run import TritonSession
from pytest_triton.evidence.deployed import deployed_configs
from pytest_triton.options.values import Deployment
from support.corpora import OWN, all_repositories, repositories_in
from support.corpus_expectations import HARDWARE, own_deployments, rehearsal_settings

OTHERS = [path for path in all_repositories() if path not in repositories_in(OWN)]


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[TritonSession]:
    others = [Deployment(str(path), (path,)) for path in OTHERS]
    session = TritonSession(rehearsal_settings(own_deployments() + others))
    yield session
    session.close()


@pytest.mark.server
@pytest.mark.parametrize("gpus", [0, 2])
def test_config_drift_of_a_server_with_the_same_configs_is_none(
    rehearsal: TritonSession, gpus: int
) -> None:
    hardware = next(one for one in HARDWARE if one.count == gpus)
    compared, found = 0, {}
    for checked in rehearsal.deployments:
        spec = rehearsal.spec(checked, hardware)
        deployed = deployed_configs(rehearsal.pool.get(spec))
        rehearsal.pool.release(spec)
        for model in checked.repository.models:
            compared += model.name in deployed.configs
            if model.name in deployed.configs and drift(model, deployed):
                found[str(model.directory)] = drift(model, deployed)
    assert found == {}
    assert compared >= 40
