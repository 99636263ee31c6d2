"""What becomes of a whole server, from what becomes of its models at its start.

Seen on 2.33.0 to 2.51.0: one model that isn't loaded ends the server, unless --exit-on-error=false.
Then it isn't ready while a model of its index is unavailable, unless --strict-readiness=false. A
model whose config isn't taken at all (while polling) has no state there: the server is ready
without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_triton.placement.command_line import CommandLine
from pytest_triton.placement.predict import Prediction

Service = Literal["stops", "not ready", "degraded", "unnoticed", "unaffected"]
SERVICES: tuple[Service, ...] = ("stops", "not ready", "degraded", "unnoticed", "unaffected")


@dataclass(frozen=True)
class ServiceOutcome:
    """What a server does without its GPUs.

    `stops`: it ends, and whoever runs it sees an exit code. `not ready`: it is live, and gets no
    traffic. `degraded`: it is ready, with models refused. `unnoticed`: it is ready, with models on
    the CPU that GPUs would have served. `unaffected`: nothing it serves needs a GPU.
    """

    service: Service
    refused: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.service


def with_refused(
    outcome: ServiceOutcome, names: Collection[str], line: CommandLine
) -> ServiceOutcome:
    """The same where these models fail to load as well."""
    if not names:
        return outcome
    service: Service = "degraded"
    if line.exits_on_error:
        service = "stops"
    elif line.strict_readiness:
        service = "not ready"
    fallbacks = tuple(one for one in outcome.fallbacks if one not in names)
    return ServiceOutcome(service, tuple(sorted({*outcome.refused, *names})), fallbacks)


def service_outcome(predictions: Mapping[str, Prediction], line: CommandLine) -> ServiceOutcome:
    """Of the predictions of all models that one server loads at its start."""
    refused = {name: one.refusal for name, one in predictions.items() if one.refusal is not None}
    fallbacks = tuple(sorted(name for name, one in predictions.items() if one.fallback))
    known = any(one.stage == "load" and one.reason != "ensemble" for one in refused.values())
    service: Service = "unaffected"
    if refused and line.exits_on_error:
        service = "stops"
    elif known and line.strict_readiness:
        service = "not ready"
    elif refused:
        service = "degraded"
    elif fallbacks:
        service = "unnoticed"
    return ServiceOutcome(service, tuple(sorted(refused)), fallbacks)
