"""Triton servers in Kubernetes manifests, as `helm template` and `kustomize build` print them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.deployment.commands import Found, find_tritonserver
from pytest_triton.deployment.deployed_server import DeployedServer, Grant, Probe
from pytest_triton.deployment.probes import asked_of_kubelet
from pytest_triton.deployment.sizes import kubernetes_bytes, whole
from pytest_triton.deployment.variables import references_resolved
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place
from pytest_triton.text.paths import without_dots

_POD_SPECS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "ServingRuntime": ("spec",),
    "ClusterServingRuntime": ("spec",),
    "InferenceService": ("spec", "predictor"),
}
_GPU_RESOURCE = re.compile(r"nvidia\.com/.+|[\w.-]+/(?:v?gpu|.*\bgpu)(?:[-.].*)?")
# What KServe's own runtime starts, where a predictor says no more than `triton:`.
_KSERVE = (
    "tritonserver",
    "--model-store=/mnt/models",
    "--grpc-port=9000",
    "--http-port=8080",
    "--allow-grpc=true",
    "--allow-http=true",
)


def is_kubernetes(document: Node) -> bool:
    return bool(document.string("kind") and document.string("apiVersion"))


def kubernetes_servers(documents: Sequence[Node], path: Path) -> Iterator[DeployedServer]:
    """The Triton servers among the containers of all documents of a file."""
    documents = [one for document in documents for one in _listed(document)]
    maps: dict[str, dict[str, Mapping[str, str]]] = {}
    for one in documents:
        if one.string("kind") == "ConfigMap":
            maps.setdefault(_namespace(one), {})[one.string("metadata", "name")] = _data(one)
    found: list[tuple[str, DeployedServer]] = []
    for document in documents:
        kind = document.string("kind")
        pod = document.get(*_POD_SPECS[kind]) if kind in _POD_SPECS else None
        if pod is not None:
            namespace = _namespace(document)
            name = document.string("metadata", "name") or "unnamed"
            owner = _Owner(kind, name, path, maps.get(namespace, {}))
            found += [(namespace, server) for server in _servers(owner, pod)]
    yield from _named_apart(found)


def _namespace(document: Node) -> str:
    return document.string("metadata", "namespace") or "default"


def _named_apart(found: Sequence[tuple[str, DeployedServer]]) -> Iterator[DeployedServer]:
    """Servers of one name in several namespaces get that in front. Raises BadYaml for one twice."""
    names = Counter(server.name for _, server in found)
    known: dict[str, Place] = {}
    for namespace, server in found:
        name = f"{namespace}/{server.name}" if names[server.name] > 1 else server.name
        if name in known:
            raise BadYaml(
                f"{server.node.place}: {name} is there for the second time, after "
                f"{known[name]}; a cluster would keep the last.",
                fix="give it a name or a namespace of its own, or delete one",
            )
        known[name] = server.node.place
        yield replace(server, name=name)


def _listed(document: Node) -> Iterator[Node]:
    if document.string("kind").endswith("List") and document.get("items") is not None:
        for one in document.list("items"):
            yield from _listed(one)
    elif document.kind == "map":
        yield document


def _data(config_map: Node) -> dict[str, str]:
    data = config_map.get("data")
    return {} if data is None else {name: one.text or "" for name, one in data.entries.items()}


@dataclass(frozen=True)
class _Owner:
    """The object that a pod is of, and the ConfigMaps beside it."""

    kind: str
    name: str
    path: Path
    maps: Mapping[str, Mapping[str, str]]


def _servers(owner: _Owner, pod: Node) -> Iterator[DeployedServer]:
    containers = list(pod.list("containers"))
    predictor = pod.get("triton") if owner.kind == "InferenceService" else None
    found = [(one, _found(owner, one)) for one in containers]
    if predictor is not None:
        environment, _ = _environment(owner, predictor)
        more = [references_resolved(one.text or "", environment) for one in predictor.list("args")]
        found.append((predictor, find_tritonserver((*_KSERVE, *more), environment)))
    servers = [(node, one) for node, one in found if one is not None]
    for node, one in servers:
        name = f"{owner.kind}/{owner.name}"
        if len(servers) > 1:
            name += f"/{node.string('name')}"
        yield _server(owner, name, pod, node, one)


def _found(owner: _Owner, container: Node) -> Found | None:
    environment, unknown = _environment(owner, container)
    words = [one.text or "" for key in ("command", "args") for one in container.list(key)]
    words = [references_resolved(word, environment) for word in words]
    found = find_tritonserver(words, environment)
    image = container.string("image").rpartition("/")[2]
    if found is None and not container.list("command") and "tritonserver" in image:
        # The official images' entrypoint executes what it is given.
        if not words and "-sdk" not in image:
            return Found(unknown="the image's own command isn't known here")
        if words and words[0].startswith("--"):
            return find_tritonserver(("tritonserver", *words), environment)
    missing = next((name for name in unknown if found and f"${name}" in str(words)), "")
    return Found(unknown=f"${missing} comes from elsewhere") if missing else found


def _server(owner: _Owner, name: str, pod: Node, node: Node, found: Found) -> DeployedServer:
    environment, _ = _environment(owner, node)
    environment.update(found.sets)
    grant, grant_place = _grant(pod, node)
    image = node.string("image")
    if not image and node.string("runtimeVersion"):
        image = f"nvcr.io/nvidia/tritonserver:{node.string('runtimeVersion')}"
    mounts, shm = _mounts(owner, pod, node)
    probes = tuple(_probes(node))
    return DeployedServer(
        name=name,
        path=owner.path,
        node=node,
        pod=pod,
        image=image,
        arguments=found.arguments,
        unknown=found.unknown,
        environment=environment,
        grant=grant,
        grant_place=grant_place,
        probes=probes,
        mounts=mounts,
        shm_bytes=shm,
        restarts=pod.string("restartPolicy") != "Never",
        starts_others=found.beside,
        places={
            "image": node.place_of("image"),
            "command": node.place_of("args" if "args" in node.entries else "command"),
            "environment": node.place_of("env"),
        },
    )


def _environment(owner: _Owner, container: Node) -> tuple[dict[str, str], list[str]]:
    """The variables with their values, and the names of those whose values aren't in the file."""
    known: dict[str, str] = {}
    unknown: list[str] = []
    for one in container.list("envFrom"):
        known.update(owner.maps.get(one.string("configMapRef", "name"), {}))
    for one in container.list("env"):
        name = one.string("name")
        reference = one.get("valueFrom", "configMapKeyRef")
        if one.get("valueFrom") is None:
            known[name] = references_resolved(one.string("value"), known)
        elif reference is not None and reference.string("key") in owner.maps.get(
            reference.string("name"), {}
        ):
            known[name] = owner.maps[reference.string("name")][reference.string("key")]
        else:
            unknown.append(name)
    return known, unknown


def _grant(pod: Node, container: Node) -> tuple[Grant, Place | None]:
    limits = container.get("resources", "limits")
    total, shared = 0, 0
    place: Place | None = None
    for name, amount in (limits.entries if limits is not None else {}).items():
        text = amount.text or ""
        if _GPU_RESOURCE.fullmatch(name) is None:
            continue
        place = limits.keys[name] if limits is not None else None
        if "mem" in name or "core" in name:
            shared = 1  # a part of one GPU
            continue
        count = whole(text)
        if count is None:
            return Grant("unknown", unknown=f"{name}: {text}"), place
        total += count
    if place is not None:
        total = total or shared
        return Grant("count", total) if total else Grant(), place
    claims = container.get("resources", "claims")
    if claims is not None:
        why = "resource claims (DRA) say elsewhere what they stand for"
        return Grant("unknown", unknown=why), claims.place
    return Grant(), None


def _probes(container: Node) -> Iterator[Probe]:
    for what in ("startup", "liveness", "readiness"):
        probe = container.get(f"{what}Probe")
        if probe is None:
            continue
        yield Probe(
            what,
            place=container.place_of(f"{what}Probe"),
            delay=_number(probe, "initialDelaySeconds", 0),
            period=_number(probe, "periodSeconds", 10),
            failures=_number(probe, "failureThreshold", 3),
            **asked_of_kubelet(probe, container),
        )


def _number(node: Node, key: str, default: int) -> int:
    found = whole(node.string(key))
    return default if found is None else found


def _mounts(owner: _Owner, pod: Node, container: Node) -> tuple[dict[str, Path | None], int | None]:
    """Where mounted directories are on this machine, and the size of /dev/shm."""
    volumes = {one.string("name"): one for one in pod.list("volumes")}
    mounts: dict[str, Path | None] = {}
    shm: int | None = 64 << 20
    for one in container.list("volumeMounts"):
        target, volume = one.string("mountPath"), volumes.get(one.string("name"))
        if target.rstrip("/") == "/dev/shm":
            memory = volume is not None and volume.string("emptyDir", "medium") == "Memory"
            limit = volume.string("emptyDir", "sizeLimit") if volume is not None else ""
            shm = kubernetes_bytes(limit) if limit else None if memory else shm
            continue
        source = volume.string("hostPath", "path") if volume is not None else ""
        mounts[target] = without_dots(owner.path.parent / source) if source else None
    return mounts, shm
