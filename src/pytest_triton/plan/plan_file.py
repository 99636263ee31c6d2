"""A plan as values: what must be proven where, and the jobs that do it. JSON out and in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NoReturn, cast

import msgspec

from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.instances import Instances
from pytest_triton.plan.sharding import Shard

FORMAT: Final = "pytest-triton plan"
SCHEMA: Final = 1
CHECKS: Final = ("test_config", "test_explicit_placement", "test_audit")


class PlanUnusable(PytestTritonError):
    """A file that is no plan of this plugin."""


@dataclass(frozen=True, slots=True)
class Need:
    """A model that must be proven with at least so many GPUs, or with none at all (0).

    `predicted` is what Triton's rules make of it there, `why` says why it must be proven there,
    `identity` is that of the model that must be proven (identity.py). `placement` and `reason` are
    the prediction as values: its instances, or the class of its refusal. `image` is the variant of
    Triton's image that has its backends ("py3"; "" if none of NVIDIA's has), or production's image
    by its name, `cost` the number of its instances, and one more. Of a server in a deployment file
    `deployment` is its title (`compose.yaml::triton`), and `repository` what runs of its models
    without that file call it.
    """

    deployment: str
    model: str
    gpus: int
    declared: str
    predicted: str
    why: str
    identity: str
    placement: tuple[Instances, ...] = ()
    reason: str = ""
    image: str = "py3"
    cost: int = 1
    repository: str = ""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of templates: as --triton-values takes them, and the names of their sets."""

    texts: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    def without(self, deployment: str) -> str:
        """A deployment's name without that of its values: `models` of `models@prod`."""
        for name in self.sets:
            if deployment.endswith(f"@{name}"):
                return deployment.removesuffix(f"@{name}")
        return deployment


NO_VALUES = Values()


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A run of pytest. `gpus` is how many its runner must have, `hardware` the values of
    --triton-gpus, `image` the variant of Triton's image, or production's by its name ("": any, or
    one of your own), `more` further arguments."""

    name: str
    why: str
    gpus: int
    hardware: tuple[str, ...]
    image: str
    needs: tuple[Need, ...]
    backends: tuple[str, ...] = ()
    shard: Shard | None = None
    paths: tuple[str, ...] = ()
    server_args: tuple[str, ...] = ()
    values: Values = NO_VALUES
    more: tuple[str, ...] = ()

    @property
    def cost(self) -> int:
        return sum(need.cost for need in self.needs)

    @property
    def arguments(self) -> tuple[str, ...]:
        """For pytest, without the ledger's place. With `paths` only those models are checked."""
        deployments = dict.fromkeys(self.values.without(need.deployment) for need in self.needs)
        return (
            *(f"--triton-repo={text}" for text in deployments),
            *(f"--triton-gpus={spec}" for spec in self.hardware),
            *([f"--triton-require=gpus={self.gpus}"] if self.gpus else []),
            f"--triton-job={self.name}",
            *([f"--triton-server-args={shlex.join(self.server_args)}"] if self.server_args else []),
            *(f"--triton-values={text}" for text in self.values.texts),
            *self.more,
            *([f"--triton-shard={self.shard}"] if self.shard is not None else []),
            *self.paths,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """`needs` is all that must be proven, whoever does it; `jobs` is one way to do it. `checks`
    must be proven of each model, on whatever hardware."""

    needs: tuple[Need, ...]
    jobs: tuple[PlannedJob, ...] = ()
    checks: tuple[str, ...] = CHECKS

    @property
    def gpu_jobs(self) -> tuple[PlannedJob, ...]:
        return tuple(job for job in self.jobs if job.gpus)


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as the object that `plan --format json` prints."""
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "checks": list(plan.checks),
        "gpu_jobs": len(plan.gpu_jobs),
        "jobs": [
            {
                "name": job.name,
                "why": job.why,
                "gpus": job.gpus,
                "hardware": list(job.hardware),
                "image": job.image,
                "backends": list(job.backends),
                "shard": str(job.shard) if job.shard is not None else None,
                "cost": job.cost,
                "arguments": list(job.arguments),
                "models": [
                    {"deployment": need.deployment, "model": need.model, "why": need.why}
                    for need in job.needs
                ],
            }
            for job in plan.jobs
        ],
        "needs": [
            {
                "deployment": need.deployment,
                "model": need.model,
                "gpus": need.gpus,
                "declared": need.declared,
                "predicted": need.predicted,
                "why": need.why,
                "image": need.image,
                "cost": need.cost,
                "identity": need.identity,
                "placement": [asdict(one) for one in need.placement],
                "reason": need.reason,
                "repository": need.repository,
            }
            for need in plan.needs
        ],
    }


def needs_of(value: object) -> Plan:
    """What a plan's JSON says must be proven (its jobs don't matter to that).

    Raises PlanUnusable for anything that is no plan, and for one that asks for nothing.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise PlanUnusable(
            "This is no plan of pytest-triton.",
            fix="make one: pytest-triton plan models --format json > plan.json",
        )
    if value.get("schema") != SCHEMA:
        raise PlanUnusable(
            f"This plan has schema {value.get('schema')!r}; this pytest-triton reads {SCHEMA}.",
            fix="make the plan with the pytest-triton that merges",
        )
    needs = value.get("needs")
    if not isinstance(needs, list):
        _damaged("it has no list of needs")
    found = tuple([_need(one) for one in needs])
    if not found:
        raise PlanUnusable(
            "This plan asks for nothing, so that anything would fulfil it.",
            fix="make it of a repository that has models",
        )
    checks = value.get("checks")
    if not isinstance(checks, list) or not all(isinstance(one, str) for one in checks):
        _damaged("it has no list of checks")
    if not {*CHECKS} <= {*checks}:
        _damaged(f"it asks for fewer checks than {', '.join(CHECKS)}")
    return Plan(found, checks=tuple(checks))


def _need(value: object) -> Need:
    if not isinstance(value, dict):
        _damaged("a need is no object")
    fields = cast("Mapping[str, Any]", value)
    texts = ("deployment", "model", "declared", "predicted", "why", "identity", "reason", "image")
    for name in texts:
        if not isinstance(fields.get(name), str):
            _damaged(f"a need has no text `{name}`")
    for name in ("gpus", "cost"):
        number = fields.get(name)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            _damaged(f"a need has no number `{name}`")
    try:
        placement = msgspec.convert(fields.get("placement"), tuple[Instances, ...])
    except msgspec.ValidationError as error:
        _damaged(f"the `placement` of a need: {error}")
    return Need(
        gpus=fields["gpus"],
        cost=fields["cost"],
        placement=placement,
        repository=_repository(fields),
        **{name: fields[name] for name in texts},
    )


def _repository(fields: Mapping[str, Any]) -> str:
    found = fields.get("repository", "")
    if not isinstance(found, str):
        _damaged("the `repository` of a need is no text")
    return found


def _damaged(what: str) -> NoReturn:
    raise PlanUnusable(f"This plan is damaged: {what}.", fix="make it again")


def names(needs: Sequence[Need]) -> list[str]:
    """The models' names, each once, in order."""
    return list(dict.fromkeys(need.model for need in needs))
