"""`plan --deployment`: the jobs that prove what production serves, on just the GPUs it grants."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.checks.checked_service import checked_server, release_of_server, title_of
from pytest_triton.cli.plan_models import left_out_note, planned_models
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.granted_gpus import why_unknown
from pytest_triton.deployment.reading import read_deployments
from pytest_triton.deployment.repositories import NotMounted
from pytest_triton.options.production_arguments import adapted
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import tag_of
from pytest_triton.plan.jobs import InJobs, plan_of
from pytest_triton.plan.needs import Production, needs_of_deployment
from pytest_triton.plan.plan_file import Plan
from pytest_triton.repository.refusals import with_known_backends
from pytest_triton.repository.stores import RepositoryPlace, Store
from pytest_triton.text.shown_text import printable


@dataclass(frozen=True)
class DeployedPlan:
    """The plan of the servers of deployment files, and a line about each of them."""

    plan: Plan
    servers: tuple[str, ...]


def plan_of_deployments(arguments: argparse.Namespace, shards: int = 1) -> DeployedPlan:
    """Each job is split into that many `shards`.

    Raises PytestTritonError for files that can't be read, and for servers that can't be planned.
    One whose GPUs nobody can count here is such a server, unless `--target` does.
    """
    mapped = dict(arguments.deployment_repo)
    plans: list[Plan] = []
    said: list[str] = []
    names: set[str] = set()
    for text in arguments.deployment:
        for server in read_deployments(text, Path.cwd()):
            name = _unique(server, names)
            plan, line = _planned(server, name, mapped, arguments, shards)
            plans.append(plan)
            said.append(line)
    needs = dict.fromkeys(need for plan in plans for need in plan.needs)
    jobs = tuple(job for plan in plans for job in plan.jobs)
    return DeployedPlan(Plan(tuple(needs), jobs), tuple(said))


def _unique(server: DeployedServer, known: set[str]) -> str:
    """A name for the server's jobs, which no other server's have."""
    base = server.name.replace("/", "-").lower()
    name, number = base, 1
    while name in known:
        number += 1
        name = f"{base}-{number}"
    known.add(name)
    return name


def _planned(
    server: DeployedServer,
    name: str,
    mapped: Mapping[str, RepositoryPlace],
    arguments: argparse.Namespace,
    shards: int,
) -> tuple[Plan, str]:
    release = release_of_server(server, arguments.release)
    checked = checked_server(server, mapped, arguments.own_backend, release)
    count = _count(server, arguments.target)
    traits = server.line.traits(ServerTraits(version=release.version))
    image = "" if server.is_built else server.image
    found = planned_models(checked)
    needs = needs_of_deployment(
        checked.name,
        found.models,
        with_known_backends(traits, arguments.own_backend),
        Production(count, image),
    )
    title = title_of(server, Path.cwd())
    jobs = InJobs(
        prefix=f"{name}-",
        rehearsal=(f"--triton-deployment={title}", *_given(arguments)),
        gpus=(f"--triton-image={image}",) if image else (),
        everywhere=() if release.assumed else (f"--triton-release={tag_of(release.version)}",),
    )
    plan = plan_of(
        list(needs),
        found.paths,
        found.backends,
        shards,
        adapted(server.line.public, in_container=True).arguments,
        jobs=jobs,
    )
    gpus = f"{count} GPU{'s' if count != 1 else ''}" if count else "no GPU"
    # Each server must be proven; runs of its models under the repository's name count for it.
    ours = tuple(replace(one, deployment=title, repository=one.deployment) for one in plan.needs)
    plan = replace(plan, needs=ours)
    return plan, (
        f"{printable(title)}: {gpus}, by Triton's rules for release {release}."
        f"{left_out_note(server.line)}"
    )


def _given(arguments: argparse.Namespace) -> Iterator[str]:
    """What else the test of a deployment must be given as it was given here."""
    for path, directory in arguments.deployment_repo:
        here = directory.url if isinstance(directory, Store) else os.path.relpath(directory)
        yield f"--triton-deployment-repo={path}={here}"
    if arguments.target is not None:
        yield f"--triton-target={arguments.target}"


def _count(server: DeployedServer, host: int | None) -> int:
    count = server.visible(host)
    if count is None:
        raise NotMounted(
            f"how many GPUs {server.name} has in production isn't known here: "
            f"{why_unknown(server)}.",
            fix="say how many: --target=N",
        )
    return count
