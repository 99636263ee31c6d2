"""A deployed server as something to check: its repositories, read for its own command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_triton.checks.checked_deployment import CheckedDeployment, NotLoaded
from pytest_triton.deployment.deployed_server import DeployedServer
from pytest_triton.deployment.repositories import NotMounted, repository_paths
from pytest_triton.options.values import Deployment
from pytest_triton.placement.command_line import BadArguments
from pytest_triton.placement.releases import NEWEST_KNOWN, ChosenRelease, release_of_image


def title_of(server: DeployedServer, start: Path) -> str:
    """What a deployed server is called in plans and ledgers: `deploy/compose.yaml::triton`."""
    return f"{os.path.relpath(server.path, start)}::{server.name}"


def release_of_server(server: DeployedServer, default: ChosenRelease) -> ChosenRelease:
    """The release that a server's image is of; the `default` if its tag doesn't say."""
    found = release_of_image(server.image)
    return default if found is None else ChosenRelease(found, f"the image {server.image}")


def checked_server(
    server: DeployedServer,
    mapped: Mapping[str, Path],
    own_backends: Sequence[str] = (),
    release: ChosenRelease = NEWEST_KNOWN,
) -> CheckedDeployment:
    """The models that a deployed server loads; `mapped` are repositories that are elsewhere.

    Raises PytestTritonError for arguments that aren't known, for a repository that isn't here, or
    can't be used.
    """
    check_known(server)
    if server.bad_arguments is not None:
        bad = server.bad_arguments
        raise NotMounted(f"{server.place('command')}: {bad.what}", fix=bad.fix)
    try:
        server.line.check_known(release.version)
    except BadArguments as error:
        raise NotMounted(f"{server.place('command')}: {error.what}", fix=error.fix) from None
    paths = repository_paths(server, mapped)
    text = os.pathsep.join(os.path.relpath(path) for path in paths)
    with placed(server):
        return CheckedDeployment.read(
            Deployment(text, paths),
            server.line,
            own_backends=tuple(own_backends),
            stated_release=release,
        )


def check_known(server: DeployedServer) -> None:
    """Raise NotMounted for a server whose arguments aren't known."""
    if server.unknown:
        raise NotMounted(
            f"{server.place('command')}: {server.name}: the arguments of tritonserver aren't "
            f"known: {server.unknown}.",
            fix=server.unknown_fix,
        )


@contextmanager
def placed(server: DeployedServer) -> Iterator[None]:
    """What its command line names and that isn't there, with the place and the server."""
    try:
        yield
    except NotLoaded as error:
        place = server.place_of_word(
            "--load-model" if server.line.all("load-model") else "explicit"
        )
        raise NotLoaded(
            f"{place}: {server.name}: {error.what}", tried=error.tried, fix=error.fix
        ) from None
