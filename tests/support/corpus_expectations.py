"""What is expected of the models in tests/corpus; run as a program, it writes that down anew.

A line that changes has to be looked at by hand before it is committed.
"""

from __future__ import annotations

from pytest_triton.audit import audit
from pytest_triton.checks.run import TritonSession
from pytest_triton.options.settings import Settings
from pytest_triton.options.values import Deployment
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.repository import read_repository
from support.corpora import OWN, OWN_BACKENDS, repositories_in

HARDWARE = tuple(HardwareRequest.parse(spec) for spec in ("none", "sim:1", "sim:2", "sim:4"))
PLACEMENTS = OWN / "placements.txt"
FINDINGS = OWN / "findings.txt"


def rehearsal_settings(deployments: list[Deployment]) -> Settings:
    return Settings(
        repo=tuple(deployments),
        binary=None,
        version=None,
        python=None,
        gpus=HARDWARE,
        backends="stand-in",
        timeout=120.0,
        allow_fallback=(),
        expect=(),
        own_backends=OWN_BACKENDS,
    )


def own_deployments() -> list[Deployment]:
    return [Deployment(path.name, (path,)) for path in repositories_in(OWN)]


def observed_placements(session: TritonSession) -> list[str]:
    """A line for each model of tests/corpus: what a real server did with it on each hardware.

    Other repositories of the session are left out.
    """
    lines = ["# model: " + " | ".join(hardware.id for hardware in HARDWARE)]
    for checked in session.deployments:
        repository = checked.deployment.paths[0]
        for model in checked.repository.models if repository.parent == OWN else ():
            outcomes = []
            for hardware in HARDWARE:
                if model.refusal is not None:
                    outcomes.append(f"not served: {model.refusal.message}")
                    break
                observed = session.seen(checked, hardware).observed[model.name]
                if observed.refusal is not None:
                    outcomes.append(f"refused: {observed.refusal.reason}")
                elif checked.declared[model.name].is_ensemble:
                    outcomes.append(observed.state.lower())
                else:
                    outcomes.append(str(observed.placement))
            lines.append(f"{repository.name}/{model.name}: {' | '.join(outcomes)}")
    return lines


def found_by_the_audit() -> list[str]:
    """A line for each finding of the audit in tests/corpus."""
    lines = []
    for repository in repositories_in(OWN):
        for finding in audit(read_repository([repository]), own_backends=OWN_BACKENDS):
            place = (finding.path.relative_to(OWN), finding.line, finding.column)
            spelled = ":".join(str(part) for part in place if part is not None)
            lines.append(f"{spelled} {finding.rule}")
    return sorted(lines)


if __name__ == "__main__":
    with_servers = TritonSession(rehearsal_settings(own_deployments()))
    try:
        PLACEMENTS.write_text("\n".join(observed_placements(with_servers)) + "\n")
    finally:
        with_servers.close()
    FINDINGS.write_text("\n".join(found_by_the_audit()) + "\n")
