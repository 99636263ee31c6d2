"""What test_deployed_config asks of a running server: has it the configs of the repository?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_triton.placement.advice import Advice
from pytest_triton.placement.config_drift import Difference, config_drift

if TYPE_CHECKING:
    from pytest_triton.evidence.deployed import DeployedConfigs
    from pytest_triton.placement.compare import Observed
    from pytest_triton.repository import Model

HEADLINE = "another config is deployed than this repository has"
NOT_THERE = "(not there)"

DRIFT = Advice(
    "The server loaded the model from another config: an older or newer state of the repository, a "
    "variant in configs/, or an override in a load request. Deploy this repository's config and "
    "have the server load the model again, or bring the repository up to date."
)
PLACED_BY_DRIFT = Advice(
    "The deployed config differs from the repository's, and that is why: test_deployed_config "
    "lists the fields."
)
NO_DRIFT = Advice(
    "The deployed config is the repository's, field by field, so that the server has other GPUs, "
    "another release or another backend than was assumed here."
)
STEPS_FIRST = Advice(
    "An ensemble is loaded once all of its models are. Look at those first: as soon as the server "
    "can load them, a load request (or its next start) brings up the ensemble, too."
)
BY_GRPC = Advice("Over HTTP this name can't be asked for: attach by grpc://HOST:8001.")

_OF_PLACEMENT = ("instance_group", "backend", "platform", "runtime", "ensemble_scheduling")


def drift(model: Model, deployed: DeployedConfigs) -> tuple[Difference, ...]:
    """What a READY model is deployed with otherwise; empty where its config can't be asked for."""
    config = deployed.configs.get(model.name)
    found = () if config is None else config_drift(model.config, config)
    return (*found, *_versions(model, deployed.versions.get(model.name, ())))


def not_served(observed: Observed) -> Advice:
    """On a model that a running server refused as Triton's rules say."""
    reason = observed.refusal.reason if observed.refusal is not None else ""
    if reason in ("no-gpu", "backend-gpu-only"):
        return Advice(
            "The server has no GPU that it can use, so that nobody can use the model there: it "
            "lost them, or was started without. Only a new start with GPUs changes that; whoever "
            "runs the server has to do it. If the model is meant to be refused there because the "
            "server has no GPU, say so: --triton-gpus=none."
        )
    if reason == "gpu-id":
        return Advice(
            "The config names a GPU that the server hasn't, so that nobody can use the model "
            "there. If another one was meant, correct `gpus` and deploy that: a load request is "
            "enough, the server need not start again. More GPUs need a new start."
        )
    return Advice(
        "Nobody can use the model there. Once its config or files are corrected and deployed, a "
        "load request brings it up (or the next start, where the server loads nothing when asked)."
    )


def decides_placement(found: Sequence[Difference]) -> bool:
    """Whether such differences may put the model's instances elsewhere."""
    return any(one.field.startswith(_OF_PLACEMENT) for one in found)


def drift_lines(found: Sequence[Difference]) -> Iterator[str]:
    """The differences as a table."""
    rows = [("field", "repository", "deployed")]
    rows += [(one.field, one.repository or NOT_THERE, one.deployed or NOT_THERE) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  " + "  ".join(cells).rstrip()


def _versions(model: Model, served: Sequence[int]) -> Iterator[Difference]:
    """Weights may be kept elsewhere: without version directories nothing is known of versions."""
    wanted = model.versions_to_load
    if model.versions and not model.assumed_names and wanted and list(wanted) != list(served):
        yield Difference("versions", _listed(wanted), _listed(served))


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
