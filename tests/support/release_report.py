"""A server of any release held against the plugin's rules, as a report to paste.

`scripts/test-release` runs it: drawn models against core (in an image: through the plugin), the
corpus, what the evidence says, and the example project.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.checks.run import TritonSession
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.values import Deployment
from pytest_triton.placement.compare import compare
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import NEWEST_RELEASE, shown_release
from support.core_oracle import write_repository
from support.core_pairs import DRAWN_HARDWARE, STAND_INS, compare_pairs
from support.corpus_expectations import HARDWARE, own_deployments, rehearsal_settings
from support.strategies import CUSTOM_BACKENDS, bulk_cases, named

ROOT = Path(__file__).parents[2]
SEED = 30250
_MOST_IN_IMAGE = 500
DRAWN = "drawn models"


def main() -> int:
    parser = argparse.ArgumentParser(prog="test-release", description=__doc__)
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--binary", type=Path, help="a tritonserver of this machine")
    server.add_argument("--image", help="an image with a tritonserver")
    parser.add_argument("--models", type=int, default=4100, help="drawn models on each hardware")
    arguments = parser.parse_args()
    disagreements = 0
    for line, count in report(arguments.binary, arguments.image, arguments.models):
        disagreements += count
        print(line, flush=True)
    print(f"disagreements in all: {disagreements}")
    return 1 if disagreements else 0


def report(binary: Path | None, image: str | None, models: int) -> Iterator[tuple[str, int]]:
    """The lines of the report, with the disagreements that each reports."""
    with tempfile.TemporaryDirectory() as scratch:
        drawn = Path(scratch, "drawn")
        deployments = own_deployments()
        if image is not None:  # core in it can't be asked in other ways
            write_repository(drawn, named(bulk_cases(min(models, _MOST_IN_IMAGE), SEED)))
            deployments.append(Deployment(DRAWN, (drawn,)))
        settings = rehearsal_settings(deployments)
        settings = replace(settings, own_backends=(*settings.own_backends, *CUSTOM_BACKENDS))
        if image is not None:
            settings = replace(settings, server="container", image=image)
        else:
            settings = replace(settings, binary=binary)
        yield from _of_server(TritonSession(settings), binary, models)
    yield _example(binary, image)


def _of_server(
    session: TritonSession, binary: Path | None, models: int
) -> Iterator[tuple[str, int]]:
    try:
        try:
            first = session.seen(session.deployments[0], HARDWARE[0])
        except PytestTritonError as error:
            yield f"no server: {error}", 1
            return
        traits = first.traits
        yield f"server: {first.server}", 0
        newer = ", newer than the rules known here" if traits.version > NEWEST_RELEASE else ""
        yield f"release: {shown_release(traits.version)}{newer}", 0
        least = "{}.{}".format(*traits.min_compute_capability)
        support = "with" if traits.gpu_support else "without"
        yield f"build: {support} GPU support, least compute capability {least}", 0
        if binary is not None:
            yield from pairs_line(binary, traits, models)
        yield from _corpus(session)
    finally:
        session.close()


def pairs_line(binary: Path, traits: ServerTraits, models: int) -> Iterator[tuple[str, int]]:
    traits = replace(traits, backends=frozenset(STAND_INS))
    with tempfile.TemporaryDirectory() as scratch:
        found = compare_pairs(binary, traits, models, SEED, Path(scratch))
    wrong = len(found.wrong)
    yield (
        f"pairs: {found.total} of drawn models and {len(DRAWN_HARDWARE)} hardware configurations, "
        f"{wrong} disagree",
        wrong,
    )
    for text in found.wrong[:5]:
        yield text, 0


def _corpus(session: TritonSession) -> Iterator[tuple[str, int]]:
    """Every verdict, and what the evidence says: two pieces where the log can be read."""
    own = [one for one in session.deployments if one.name != DRAWN]
    yield from _verdicts(session, own, f"corpus of {len(own)} repositories")
    if len(own) < len(session.deployments):
        yield from _verdicts(session, [session.deployments[-1]], DRAWN)


def _verdicts(
    session: TritonSession, deployments: Sequence[CheckedDeployment], what: str
) -> Iterator[tuple[str, int]]:
    wrong: list[str] = []
    verdicts = twice = 0
    for checked in deployments:
        for model in checked.repository.models:
            for hardware in HARDWARE if model.refusal is None else ():
                seen = session.seen(checked, hardware)
                name = model.name
                verdict = compare(checked.declared[name], seen.predicted[name], seen.observed[name])
                verdicts += 1
                twice += len(verdict.observed.observations) > 1
                if not verdict.ok:
                    wrong.append(f"{checked.name}/{name} on {hardware.label}: {verdict.headline}")
    yield (
        f"{what}: {verdicts} verdicts, {len(wrong)} disagree; {twice} by two pieces of evidence",
        len(wrong),
    )
    for text in wrong[:20]:
        yield f"  {text}", 0


def _example(binary: Path | None, image: str | None) -> tuple[str, int]:
    where = f"--triton-binary={binary}" if image is None else f"--triton-image={image}"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--triton-repo=models"]
    command += [where, "--triton-backends=stand-in", "--triton-gpus=none", "--triton-gpus=sim:2"]
    done = subprocess.run(
        [*command, "models"],
        cwd=ROOT / "example_project",
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = done.stdout.strip().splitlines()[-1].strip("= ") if done.stdout else done.stderr
    failed = re.search(r"(\d+) (failed|error)", counts)
    count = int(failed[1]) if failed else int(done.returncode != 0)
    return f"example project: {counts}", count


if __name__ == "__main__":
    sys.exit(main())
