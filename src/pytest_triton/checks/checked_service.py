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
from pytest_triton.repository.stores import RepositoryPlace, Say, Store, to_standard_error


def title_of(server: DeployedServer, start: Path) -> str:
    """What a deployed server is called in plans and ledgers: `deploy/compose.yaml::triton`."""
    return f"{os.path.relpath(server.path, start)}::{server.name}"


def release_of_server(server: DeployedServer, default: ChosenRelease) -> ChosenRelease:
    """The release that a server's image is of; the `default` if its tag doesn't say."""
    found = release_of_image(server.image)
    return default if found is None else ChosenRelease(found, f"the image {server.image}")


def deployment_of(server: DeployedServer, mapped: Mapping[str, RepositoryPlace]) -> Deployment:
    """The repositories of a deployed server. Raises NotMounted."""
    stores = {one.path: one for one in mapped.values() if isinstance(one, Store)}
    directories = {
        name: one.path if isinstance(one, Store) else one for name, one in mapped.items()
    }
    paths = repository_paths(server, directories, stores)
    names = (stores[path].url if path in stores else os.path.relpath(path) for path in paths)
    used = tuple(stores[path] for path in paths if path in stores)
    return Deployment(os.pathsep.join(names), paths, used)


def checked_server(
    server: DeployedServer,
    mapped: Mapping[str, RepositoryPlace],
    own_backends: Sequence[str] = (),
    release: ChosenRelease = NEWEST_KNOWN,
    say: Say | None = to_standard_error,
) -> CheckedDeployment:
    """The models that a deployed server loads; `mapped` are repositories that are elsewhere.

    What is in object stores is fetched, unless there is nobody to `say` that to: then it has been.

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
    deployment = deployment_of(server, mapped)
    with placed(server):
        return CheckedDeployment.read(
            deployment,
            server.line,
            own_backends=tuple(own_backends),
            stated_release=release,
            say=say,
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
