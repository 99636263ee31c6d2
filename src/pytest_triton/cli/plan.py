"""`pytest-triton plan`: the jobs that prove all models of a repository, and why.

No server is started. Exit codes: 0; 1 if the repository can't be read; 2 for wrong usage.

Formats (`--json` is short for `--format json`):

    text    for people
    json    {format, schema, checks, gpu_jobs, jobs, needs}: what `merge --plan` takes. `needs` is
            all that must be proven: {deployment, model, gpus, declared, predicted, why, image,
            cost, identity, placement, reason} (gpus: at least so many, 0: none at all; identity:
            of the model that must be proven; placement, reason: what it must come to). `checks`
            are the tests that must pass for each model. `jobs` is one way to prove it: {name,
            why, gpus, hardware, image, backends, shard, cost, arguments, models} (arguments: for
            pytest)
    github  lines for $GITHUB_OUTPUT: matrix= and gpu_matrix=, each for fromJSON, gpu_jobs=N
    gitlab  a file (JSON, so YAML too) to include in a child pipeline: hidden jobs .triton-plan and
            .triton-gpu-plan with `parallel: matrix` (the latter only if there are GPU jobs)
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.cli.deployed import add_deployments
from pytest_triton.cli.deployments import read_deployment
from pytest_triton.cli.plan_models import left_out_note, planned_models
from pytest_triton.cli.reading_options import add_reading, check_values, readings_of
from pytest_triton.cli.server_options import (
    add_own_backends,
    add_release,
    add_server_args,
    server_of,
)
from pytest_triton.options.values import Deployment
from pytest_triton.placement.command_line import NO_ARGUMENTS, CommandLine
from pytest_triton.placement.predict import DEFAULT_TRAITS, ServerTraits
from pytest_triton.plan.jobs import plan_of
from pytest_triton.plan.needs import MOST_GPUS, needs_of_deployment
from pytest_triton.plan.plan_file import Need, Plan, PlannedJob, Values, names, plan_json
from pytest_triton.plan.sharding import MOST
from pytest_triton.repository.reading import AS_IT_IS, Reading
from pytest_triton.repository.refusals import with_known_backends
from pytest_triton.text.shown_text import printable
from pytest_triton.text.tables import lay_out, screen_width
from pytest_triton.text.wrapping import wrapped

_WIDTH = 92  # characters a line of prose
_MOST_NAMES = 20  # of a job's models in the text
_MOST_PERMUTATIONS = {"github": 256, "gitlab": 200}  # that one matrix may have


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say which jobs prove every model of a repository on the hardware it is meant for, and "
        "why. No server is started and no GPU is needed."
    )
    parser.add_argument(
        "repositories",
        nargs="*",
        type=read_deployment,
        metavar="DIR",
        help="a model repository, written as --triton-repo has it in the jobs; DIR:DIR are "
        "several that one server gets",
    )
    add_deployments(parser)
    parser.add_argument(
        "--target",
        type=gpu_count,
        metavar="GPUS",
        help="how many GPUs a deployed server has that is granted all of its host, or a number "
        "that its file doesn't say",
    )
    parser.add_argument(
        "--format",
        choices=["text", "json", "github", "gitlab"],
        default="text",
        help="text (default), json (for merge --plan), or a matrix for GitHub Actions or GitLab",
    )
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="the same as --format json",
    )
    parser.add_argument(
        "--shards", type=_shards, default=1, metavar="N", help="split each job into N parts"
    )
    add_release(parser)
    add_own_backends(parser)
    add_server_args(parser)
    add_reading(parser)


def run(arguments: argparse.Namespace) -> int:
    problem = _problem(arguments)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    plan, said = _plan(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no "·"
    most = _MOST_PERMUTATIONS.get(arguments.format)
    if most is not None and len(plan.jobs) > most:
        print(f"error: {len(plan.jobs)} jobs; a matrix has up to {most}", file=sys.stderr)
        return 1
    show = {"json": _json, "github": _github, "gitlab": _gitlab}
    if arguments.format == "text":
        print("\n".join(_text(plan, said)))
    else:
        print("\n".join(show[arguments.format](plan)))
    return 0


def _problem(arguments: argparse.Namespace) -> str:
    """What is wrong with the options together; "" if nothing is."""
    if bool(arguments.deployment) == bool(arguments.repositories):
        return "name model repositories, or deployment files with --deployment, not both"
    if not arguments.deployment:
        return "--target is for --deployment" if arguments.target is not None else ""
    if arguments.server_args.given:
        return "--server-args: the deployment file has the arguments of its servers"
    return "--values: not with --deployment" if arguments.values else ""


def _plan(arguments: argparse.Namespace) -> tuple[Plan, Sequence[str]]:
    """The plan, and lines that say whose rules it goes by. Raises PytestTritonError."""
    if arguments.deployment:
        from pytest_triton.cli.deployed_plan import plan_of_deployments

        deployed = plan_of_deployments(arguments, arguments.shards)
        return deployed.plan, deployed.servers
    plan = make_plan(
        arguments.repositories,
        server_of(arguments),
        arguments.own_backend,
        shards=arguments.shards,
        line=arguments.server_args,
        readings=readings_of(arguments),
        values=tuple(one.shown for one in arguments.values),
    )
    note = left_out_note(arguments.server_args)
    return plan, [f"By Triton's rules for release {arguments.release}.{note}"]


def make_plan(
    deployments: Sequence[Deployment],
    server: ServerTraits = DEFAULT_TRAITS,
    own_backends: Sequence[str] = (),
    shards: int = 1,
    line: CommandLine = NO_ARGUMENTS,
    readings: Sequence[Reading] = (AS_IT_IS,),
    values: tuple[str, ...] = (),
) -> Plan:
    """The plan of repositories on disk, by the rules of a server's release.

    The server has `own_backends` beside Triton's, and is started with `line`. Raises
    RepositoryError if a repository can't be read.
    """
    traits = with_known_backends(server, own_backends)
    needs: list[Need] = []
    paths: dict[tuple[str, str], str] = {}
    backends: dict[tuple[str, str], frozenset[str]] = {}
    read = [
        CheckedDeployment.read(one, line, reading=reading)
        for one in deployments
        for reading in readings
    ]
    check_values([checked.repository for checked in read])
    for checked in read:
        found = planned_models(checked)
        paths.update(found.paths)
        backends.update(found.backends)
        needs += needs_of_deployment(checked.name, found.models, traits)
    sets = tuple(one.values.name for one in readings if one.values is not None and one.values.name)
    return plan_of(needs, paths, backends, shards, line.public.arguments, Values(values, sets))


def gpu_count(text: str) -> int:
    """The value of --target."""
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_GPUS):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of GPUs, up to {MOST_GPUS}")
    return int(text)


def _shards(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of parts, 1 to {MOST}")
    return int(text)


# Text


def _text(plan: Plan, said: Sequence[str]) -> Iterator[str]:
    models = {(need.deployment, need.model) for need in plan.needs}
    on_gpus = {(need.deployment, need.model) for need in plan.needs if need.gpus}
    yield (
        f"{len(models)} model{'s' if len(models) != 1 else ''}, {len(on_gpus)} of them for GPUs: "
        f"{len(plan.jobs)} job{'s' if len(plan.jobs) != 1 else ''}, "
        f"{len(plan.gpu_jobs)} with GPUs"
    )
    yield from said
    if not plan.gpu_jobs:
        yield "No GPU job is needed: nothing in the repository runs on GPUs."
    yield ""
    rows = [["job", "GPUs", "image", "models", "cost"]]
    for job in plan.jobs:
        rows.append(
            [job.name, str(job.gpus), _image(job), str(len(names(job.needs))), str(job.cost)]
        )
    for lines in lay_out(rows, screen_width()):
        yield from lines
    yield "cost: the instances that a job loads, and one for each model; it is no time."
    for job in plan.jobs:
        yield ""
        yield f"{job.name}:"
        yield from _wrapped("why:    ", job.why)
        shown = [printable(name) for name in names(job.needs)]
        more = f", and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
        yield from _wrapped("models: ", ", ".join(shown[:_MOST_NAMES]) + more)
        yield from _wrapped("run:    ", _command(job))


def _image(job: PlannedJob) -> str:
    if not job.gpus:
        return "none"
    if set(job.image) & set("/:@"):
        return job.image
    return f"tritonserver:*-{job.image}" if job.image else "your own"


def _command(job: PlannedJob) -> str:
    return shlex.join(["pytest", *job.arguments, f"--triton-ledger=ledgers/{job.name}.json"])


def _wrapped(head: str, text: str) -> list[str]:
    return wrapped(text, _WIDTH, start=f"  {head}", behind=" " * (2 + len(head)))


# For programs


def _json(plan: Plan) -> Iterator[str]:
    yield json.dumps(plan_json(plan), indent=2)


def _github(plan: Plan) -> Iterator[str]:
    yield f"matrix={_one_line(plan.jobs)}"
    yield f"gpu_matrix={_one_line(plan.gpu_jobs)}"
    yield f"gpu_jobs={len(plan.gpu_jobs)}"


def _one_line(jobs: Sequence[PlannedJob]) -> str:
    return json.dumps({"include": [_variables(job) for job in jobs]})


def _variables(job: PlannedJob) -> dict[str, Any]:
    return {
        "name": job.name,
        "gpus": job.gpus,
        "image": job.image,
        "arguments": shlex.join(job.arguments),
        "ledger": f"ledgers/{job.name}.json",
    }


def _gitlab(plan: Plan) -> Iterator[str]:
    hidden = {".triton-plan": plan.jobs, ".triton-gpu-plan": plan.gpu_jobs}
    found = {
        name: {"parallel": {"matrix": [_gitlab_variables(job) for job in jobs]}}
        for name, jobs in hidden.items()
        if jobs
    }
    yield json.dumps(found, indent=2)


def _gitlab_variables(job: PlannedJob) -> dict[str, str]:
    variables = _variables(job)
    return {f"TRITON_{name.upper()}": str(value) for name, value in variables.items()}
