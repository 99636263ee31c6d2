"""The options --deployment and --deployment-repo, for all commands that take deployment files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.audit.deployed import DeployedSubject
from pytest_triton.audit.subject import Audited
from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.checks.checked_service import check_known, deployment_of, placed
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.diagnostics.diagnostic import Version
from pytest_triton.errors import PytestTritonError
from pytest_triton.options.values import OptionError
from pytest_triton.placement.command_line import CommandLine
from pytest_triton.placement.hardware import Hardware
from pytest_triton.placement.predict import ServerTraits
from pytest_triton.placement.releases import release_of_image
from pytest_triton.repository.stores import RepositoryPlace


def add_deployments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deployment",
        action="append",
        default=[],
        metavar="FILE[::NAME]",
        help="what production runs: a compose file, rendered Kubernetes manifests, or a folder of "
        "them; NAME is one server in it (repeatable)",
    )
    add_deployment_repo(parser)


def add_deployment_repo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deployment-repo",
        action="append",
        default=[],
        type=_mapping,
        metavar="/PATH=DIR",
        help="where a repository is that a deployment mounts from elsewhere: a directory, or the "
        "URL of an object store (repeatable)",
    )


def _mapping(text: str) -> tuple[str, RepositoryPlace]:
    from pytest_triton.options.reading import read_mapping

    try:
        return read_mapping(text, Path.cwd())
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True)
class Deployed:
    """The servers of deployment files, and why the models of some of them aren't known."""

    subjects: tuple[DeployedSubject, ...]
    errors: tuple[PytestTritonError, ...]


def read_deployed(
    texts: Sequence[str],
    mapped: Mapping[str, RepositoryPlace],
    host: int | None,
    own_backends: Sequence[str],
    release: Version,
) -> Deployed:
    """The servers, with the models that they load; `release` is that of images that say none.

    Raises PytestTritonError for files that can't be read, or that start no Triton server.
    """
    # Most runs have no such files.
    from pytest_triton.deployment.reading import read_deployments

    servers = [one for text in texts for one in read_deployments(text, Path.cwd())]
    read: dict[tuple[tuple[Path, ...], CommandLine], CheckedDeployment] = {}
    known: dict[tuple[object, ...], Audited] = {}
    subjects: list[DeployedSubject] = []
    errors: list[PytestTritonError] = []
    for server in servers:
        stated = release_of_image(server.image)
        version = release if stated is None else stated
        models = None
        if server.bad_arguments is None:
            try:
                check_known(server)
                deployment = deployment_of(server, mapped)
                paths = deployment.paths
                if (paths, server.line) not in read:
                    with placed(server):
                        read[paths, server.line] = CheckedDeployment.read(
                            deployment, server.line, own_backends=tuple(own_backends)
                        )
                key = (paths, server.line, _target(server, host), version)
                if key not in known:
                    checked = read[paths, server.line]
                    known[key] = _audited(checked, server, host, own_backends, version)
                models = known[key]
            except PytestTritonError as error:
                errors.append(error)
        subjects.append(DeployedSubject(server, models, host, stated))
    return Deployed(tuple(subjects), tuple(errors))


def _audited(
    checked: CheckedDeployment,
    server: DeployedServer,
    host: int | None,
    own_backends: Sequence[str],
    version: Version,
) -> Audited:
    traits = ServerTraits(version=version)
    target = _target(server, host)
    return Audited(checked.repository, target, traits, own_backends, server.line)


def _target(server: DeployedServer, host: int | None) -> Hardware | None:
    """The GPUs that Triton sees; None if nobody can count them."""
    return None if server.visible(host) is None else server.hardware(host)
