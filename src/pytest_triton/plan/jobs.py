"""The jobs that prove what must be proven: one rehearsal without a GPU, and as few GPU jobs as
there are numbers of GPUs and images that one job can't have both of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_triton.placement.hardware import MAX_SIMULATED_GPUS
from pytest_triton.plan.plan_file import NO_VALUES, Need, Plan, PlannedJob, Values
from pytest_triton.plan.sharding import Shard

Paths = Mapping[tuple[str, str], str]  # (deployment, model) -> its directory, as pytest takes it
Backends = Mapping[tuple[str, str], frozenset[str]]


@dataclass(frozen=True)
class InJobs:
    """What jobs of a deployed server have more than others: how their names begin, and further
    arguments for pytest, of rehearsals, of jobs with GPUs, and of all."""

    prefix: str = ""
    rehearsal: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    everywhere: tuple[str, ...] = ()

    def of(self, job: PlannedJob) -> PlannedJob:
        more = self.gpus if job.gpus else self.rehearsal
        return replace(job, name=f"{self.prefix}{job.name}", more=(*more, *self.everywhere))


def plan_of(
    needs: Sequence[Need],
    paths: Paths,
    backends: Backends,
    shards: int = 1,
    server_args: tuple[str, ...] = (),
    values: Values = NO_VALUES,
    jobs: InJobs = InJobs(),
) -> Plan:
    """The plan for these needs; with `shards` each job is split into that many, empty ones not.

    `server_args` are production's arguments, `values` those of templates: each job must have them.
    """
    planned = [
        jobs.of(replace(part, server_args=server_args, values=values))
        for job in (_rehearsal(needs), *_gpu_jobs(needs, paths, backends))
        for part in _split(job, shards)
    ]
    return Plan(tuple(needs), tuple(planned))


def _rehearsal(needs: Sequence[Need]) -> PlannedJob:
    counts = sorted({need.gpus for need in needs if need.gpus})
    if any(count > MAX_SIMULATED_GPUS for count in counts):
        counts = []  # on simulated GPUs, but too few, a model would be READY nowhere: a failure
    return PlannedJob(
        name="rehearsal",
        why="every model without a GPU"
        + (", and on simulated ones before real ones are paid for" if counts else ""),
        gpus=0,
        hardware=("none", *(f"sim:{count}" for count in counts)),
        image="",
        needs=tuple(need for need in needs if need.gpus == 0),
    )


def _gpu_jobs(needs: Sequence[Need], paths: Paths, backends: Backends) -> Iterator[PlannedJob]:
    images = sorted({need.image for need in needs if need.gpus}, key=_image_order)
    most = max((need.gpus for need in needs), default=0)
    for image in images:
        for count in sorted({n.gpus for n in needs if n.gpus and n.image == image}):
            mine = tuple(n for n in needs if n.gpus == count and n.image == image)
            used = {one for need in mine for one in backends.get((need.deployment, need.model), ())}
            # A job must leave out what only others can serve: on other images, or on more GPUs.
            alone = len(images) == 1 and count == most
            only = () if alone else tuple(paths[need.deployment, need.model] for need in mine)
            yield PlannedJob(
                name=_name(count, image),
                why=_why(mine, count, image),
                gpus=count,
                hardware=(str(count),),
                image=image,
                needs=mine,
                backends=tuple(sorted(used)),
                paths=only,
            )


def _image_order(image: str) -> tuple[int, str]:
    return ("py3", image, "").index(image), image


def _is_variant(image: str) -> bool:
    """Whether it is a variant of Triton's image, and not an image by its whole name."""
    return not set(image) & set("/:@")


def _name(count: int, image: str) -> str:
    known = {"py3": "", "": "own-image"}
    variant = known.get(image, image.split("-")[0]) if _is_variant(image) else ""
    return f"{count}-gpu{'s' if count > 1 else ''}{'-' + variant if variant else ''}"


def _why(needs: Sequence[Need], count: int, image: str) -> str:
    reasons: dict[str, int] = {}
    for need in needs:
        reasons[need.why] = reasons.get(need.why, 0) + 1
    shown = [f"{number} model{'s' if number > 1 else ''}: {why}" for why, number in reasons.items()]
    if not image:
        shown.append("an image of your own that has their backends")
    return "; ".join(shown)


def _split(job: PlannedJob, shards: int) -> Iterator[PlannedJob]:
    if shards == 1:
        yield job
        return
    for number in range(1, shards + 1):
        shard = Shard(number, shards)
        mine = [index for index, need in enumerate(job.needs) if shard.holds(need.model)]
        if mine:
            yield PlannedJob(
                name=f"{job.name}-{number}of{shards}",
                why=job.why,
                gpus=job.gpus,
                hardware=job.hardware,
                image=job.image,
                needs=tuple(job.needs[index] for index in mine),
                backends=job.backends,
                shard=None if job.paths else shard,
                paths=tuple(job.paths[index] for index in mine) if job.paths else (),
            )
