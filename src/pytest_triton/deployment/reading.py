"""The Triton servers in deployment files: `FILE`, `DIR`, `FILE::NAME`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from pytest_triton.deployment.compose import compose_servers, is_compose
from pytest_triton.deployment.deployed_server import DeployedServer, NoTriton
from pytest_triton.deployment.kubernetes import is_kubernetes, is_shared, kubernetes_servers
from pytest_triton.deployment.yaml_file import BadYaml, Node, read_yaml

_SUFFIXES = (".yaml", ".yml")
_MOST_FILES = 1000


def read_deployments(
    text: str, start: Path, environ: Mapping[str, str] = os.environ
) -> tuple[DeployedServer, ...]:
    """The servers that `FILE`, `DIR` or `FILE::NAME` means; relative to `start`.

    Raises BadYaml for a file that can't be read, NoTriton where none is found.
    """
    name, _, wanted = text.partition("::")
    path = Path(os.path.abspath(start / os.path.expanduser(name)))
    files = sorted(_files(path)) if path.is_dir() else [path]
    read = list(_servers_in(files, environ, is_folder=path.is_dir()))
    # A file that another one includes stands in the same directory.
    found = [*{(server.name, server.node.place): server for server in read}.values()]
    # A runtime of KServe that a service uses is no server of its own.
    parts = [node for server in found for node in server.uses]
    found = [one for one in found if all(one.node is not node for node in parts)]
    if not found:
        raise NoTriton(
            f"No Triton server is started by {text}.",
            tried=[
                f"read {len(files)} file{'s' if len(files) != 1 else ''}, and looked for "
                "services of compose files and containers of Kubernetes manifests whose command "
                "is tritonserver, or whose image is Triton's (tritonserver in its name)",
                "of manifests, the pods of Kubernetes' own kinds, of KServe's, of "
                "LeaderWorkerSets, and of any kind with spec.template.spec.containers are read",
            ],
            fix="name the compose file or the rendered manifest that starts it",
        )
    chosen = [server for server in found if not wanted or wanted == server.name]
    if not chosen:
        names = [server.name for server in found]
        close = get_close_matches(wanted, names, n=1)
        raise NoTriton(
            f"There is no Triton server {wanted!r} in {name}.",
            tried=[f"the Triton servers in it: {', '.join(names)}"],
            fix=f"did you mean {close[0]}?" if close else "name one of these",
        )
    return tuple(chosen)


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            count += 1
            if count > _MOST_FILES:
                return
            if name.endswith(_SUFFIXES):
                yield Path(directory, name)


def _servers_in(
    files: Sequence[Path], environ: Mapping[str, str], *, is_folder: bool
) -> Iterator[DeployedServer]:
    read: dict[Path, tuple[Node, ...]] = {}
    for file in files:
        try:
            _, read[file] = read_yaml(file)
        except BadYaml:
            if not is_folder or _mentions_triton(file):
                raise
            # another tool's file
    shared = [(file, one) for file, those in read.items() for one in those if is_shared(one)]
    for file, documents in read.items():
        beside = [one for other, one in shared if other != file and other.parent == file.parent]
        yield from _servers_of(documents, file, environ, beside)


def _servers_of(
    documents: Sequence[Node], path: Path, environ: Mapping[str, str], beside: Sequence[Node]
) -> Iterator[DeployedServer]:
    manifests = [one for one in documents if is_kubernetes(one)]
    yield from kubernetes_servers(manifests, path, beside)
    for document in documents:
        if is_compose(document):
            yield from compose_servers(document, path, environ)


def _mentions_triton(path: Path) -> bool:
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return b"tritonserver" in text or b"InferenceService" in text
