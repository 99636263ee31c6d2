"""Triton servers in Kubernetes manifests, as `helm template` and `kustomize build` print them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from pytest_triton.deployment.commands import Found, find_in_container, may_be_triton
from pytest_triton.deployment.deployed_server import (
    DeployedServer,
    Grant,
    Probe,
    unset_in_command,
)
from pytest_triton.deployment.gpu_resources import granted_by
from pytest_triton.deployment.granted_gpus import hidden_in_pod
from pytest_triton.deployment.kserve import RUNTIMES, STORED, Predictor, Runtimes, predictor_of
from pytest_triton.deployment.manifest_checks import check_object, not_a_text
from pytest_triton.deployment.probes import asked_of_kubelet
from pytest_triton.deployment.sizes import kubernetes_bytes, whole
from pytest_triton.deployment.variables import references_resolved
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place
from pytest_triton.text.credentials import without_user
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
_TEMPLATE = ("spec", "template", "spec")  # of Argo's Rollout, Knative's Service, ...
_GROUP = ("spec", "leaderWorkerTemplate")  # of a LeaderWorkerSet
_SHARED = ("ConfigMap", "ServingRuntime", "ClusterServingRuntime")
_DECIDING = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
_GKE = "cloud.google.com/gke-"
_SHARES = ("gpu-fraction", "gpu-memory")  # of Run:ai and the KAI scheduler


def is_kubernetes(document: Node) -> bool:
    return bool(document.string("kind") and document.string("apiVersion"))


def is_shared(document: Node) -> bool:
    """Whether other files' servers may be made of it: a ConfigMap, a runtime, or a list of some."""
    kind = document.string("kind")
    return is_kubernetes(document) and (kind in _SHARED or kind.endswith("List"))


def kubernetes_servers(
    documents: Sequence[Node], path: Path, beside: Sequence[Node] = ()
) -> Iterator[DeployedServer]:
    """The Triton servers among the containers of all documents of a file.

    `beside` are the documents of other files, whose ConfigMaps and runtimes these may use.
    """
    documents = [one for document in documents for one in _listed(document)]
    maps: dict[str, dict[str, Mapping[str, Node]]] = {}
    known = [*_one_of_a_name(beside), *documents]
    for one in known:
        if one.string("kind") == "ConfigMap":
            maps.setdefault(_namespace(one), {})[one.string("metadata", "name")] = _data(one)
    runtimes = Runtimes.of([(_namespace(one), one) for one in known])
    predictors = {
        number: predictor_of(one, _namespace(one), runtimes)
        for number, one in enumerate(documents)
        if one.string("kind") == "InferenceService"
    }
    found: list[tuple[str, DeployedServer]] = []
    for number, document in enumerate(documents):
        kind, namespace = document.string("kind"), _namespace(document)
        for part, keys in _pods(document):
            pod = document.get(*keys)
            if pod is None:
                continue
            name = (document.string("metadata", "name") or "unnamed") + part
            above = () if kind == "InferenceService" else keys[:-1]
            around = document.get(*above)
            notes = around.get("metadata", "annotations") if around is not None else None
            owner = _Owner(kind, name, path, maps.get(namespace, {}), notes)
            predictor = predictors.get(number)
            servers = _servers(owner, pod) if predictor is None else _predicted(owner, predictor)
            if kind in RUNTIMES:
                servers = map(_with_services_gpus, servers)
            started = list(servers)
            check_object(document, pod, [server.node for server in started])
            found += [(namespace, server) for server in started]
    yield from _named_apart(found)


def _pods(document: Node) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The paths of an object's pods, each with what its servers' names have more."""
    if document.get(*_GROUP) is None:
        yield "", _POD_SPECS.get(document.string("kind"), _TEMPLATE)
        return
    yield "", (*_GROUP, "leaderTemplate", "spec")
    yield "/worker", (*_GROUP, "workerTemplate", "spec")


def _with_services_gpus(server: DeployedServer) -> DeployedServer:
    """A runtime that no service in the file uses: the services say what GPUs it gets."""
    if server.grant.kind != "none" or server.grant.others:
        return server
    why = "an InferenceService, which isn't in the file, gives the runtime its GPUs"
    return replace(server, grant=Grant("unknown", unknown=why))


def _one_of_a_name(documents: Sequence[Node]) -> Iterator[Node]:
    """The documents but for those of which there are several: which one counts isn't known."""
    listed = [one for document in documents for one in _listed(document)]
    names = [
        (one.string("kind"), _namespace(one), one.string("metadata", "name")) for one in listed
    ]
    counts = Counter(names)
    yield from (one for one, name in zip(listed, names, strict=True) if counts[name] == 1)


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


def _data(config_map: Node) -> Mapping[str, Node]:
    data = config_map.get("data")
    return {} if data is None else data.entries


@dataclass(frozen=True)
class _Owner:
    """The object that a pod is of, the ConfigMaps beside it, and the pod's annotations."""

    kind: str
    name: str
    path: Path
    maps: Mapping[str, Mapping[str, Node]]
    annotations: Node | None = None


def _servers(owner: _Owner, pod: Node) -> Iterator[DeployedServer]:
    found = [(one, _found(owner, one)) for one in pod.list("containers")]
    servers = [(node, one) for node, one in found if one is not None]
    for node, one in servers:
        name = f"{owner.kind}/{owner.name}"
        if len(servers) > 1:
            name += f"/{node.string('name')}"
        yield _server(owner, name, pod, node, one)


def _predicted(owner: _Owner, predictor: Predictor) -> Iterator[DeployedServer]:
    """The server of a predictor of KServe, if it is a Triton."""
    container = predictor.container
    found = _found(owner, container)
    if predictor.unknown:
        fix = "put the runtime's manifest into the file"
        found = Found(unknown=predictor.unknown, fix=fix)
    elif found is None and "tritonserver" in container.string("image"):
        found = Found(unknown="a script of its own starts tritonserver")
    if found is None:
        return
    name = f"{owner.kind}/{owner.name}"
    server = _server(owner, name, predictor.pod, container, found)
    stored = [key for key in ("storageUri", "storageUris", "storage") if container.get(key)]
    if stored and server.mount_of(STORED) is None:
        place = container.place_of(stored[0])
        server = replace(
            server,
            mounts={**server.mounts, STORED: None},
            mounted_at={**server.mounted_at, STORED: place},
            sources={**server.sources, **_stored_at(container)},
        )
    if predictor.runtime is not None:
        server = replace(server, uses=predictor.runtime.list("spec", "containers"))
    if predictor.assumed:
        assumed = ((container.place, predictor.assumed), *server.assumed)
        server = replace(server, assumed=assumed)
    yield server


def _stored_at(container: Node) -> dict[str, str]:
    """The URL of what KServe fetches, by where it puts it; nothing if several are fetched."""
    url = container.string("storageUri") or container.string("storage", "uri")
    return {STORED: without_user(url.partition("?")[0]).rstrip("/")} if "://" in url else {}


def _found(owner: _Owner, container: Node) -> Found | None:
    variables = _environment(owner, container)
    environment = variables.known
    command, args = (
        [references_resolved(one.text or "", environment) for one in container.list(key)]
        for key in ("command", "args")
    )
    words = [*command, *args]
    image = container.string("image")
    found = find_in_container(command, args, image, environment)
    if found is None and not words and may_be_triton(image):
        return Found(unknown="the image's own command isn't known here")
    if found is not None and found.refused:
        place = container.place_of("command" if command else "args")
        raise BadYaml(f"{place}: {found.refused}.", fix=found.fix)
    missing = next((name for name in variables.unknown if found and f"${name}" in str(words)), "")
    return Found(unknown=f"${missing} comes from elsewhere") if missing else found


def _server(owner: _Owner, name: str, pod: Node, node: Node, found: Found) -> DeployedServer:
    variables = _environment(owner, node)
    if variables.refused is not None:
        raise variables.refused
    environment = {**variables.known, **dict(found.sets)}
    for one in found.unsets:
        environment.pop(one, None)
    grant, grant_place = _grant(owner, pod, node, variables.known)
    decided = environment.keys() | set(found.unsets)
    assumed = [one for one in variables.open if one[1] not in decided]
    places: dict[str, Place] = {}
    mounts, shm = _mounts(owner, pod, node, places)
    sources = dict(_claims(pod, node))
    probes = tuple(_probes(node))
    written = {
        "image": node.place_of("image"),
        "command": node.place_of("args" if "args" in node.entries else "command"),
        "environment": node.place_of("env"),
    }
    return DeployedServer(
        name=name,
        path=owner.path,
        node=node,
        pod=pod,
        image=node.string("image"),
        arguments=found.arguments,
        unknown=found.unknown,
        unknown_fix=found.fix,
        environment=environment,
        grant=grant,
        grant_place=grant_place,
        probes=probes,
        mounts=mounts,
        mounted_at=places,
        sources=sources,
        shm_bytes=shm,
        restarts=pod.string("restartPolicy") != "Never",
        restarts_after_success=pod.string("restartPolicy") in ("", "Always"),
        starts_others=found.beside,
        ending=found.ending,
        assumed=(
            *((place, text) for place, _, text in assumed),
            *unset_in_command(found, written, node.place),
        ),
        places=written,
    )


@dataclass
class _Variables:
    """A container's variables: those whose values are known, the names of the others, those that
    decide about GPUs and are open (place, name, text), and what keeps the pod from starting."""

    known: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    open: list[tuple[Place, str, str]] = field(default_factory=list)
    refused: BadYaml | None = None

    def take(self, name: str, key: str, value: Node) -> None:
        """A variable that a key of a ConfigMap gives."""
        self.known[name] = value.text or ""
        if value.type or value.kind != "scalar":
            self.refused = not_a_text(value, f"the value of the ConfigMap's key {key}")


def _environment(owner: _Owner, container: Node) -> _Variables:
    found = _Variables()
    for one in container.list("envFrom"):
        name = one.string("configMapRef", "name")
        if name in owner.maps:
            prefix = one.string("prefix")
            for key, value in owner.maps[name].items():
                found.take(f"{prefix}{key}", key, value)
        elif name and one.string("configMapRef", "optional") != "true":
            text = (
                f"the ConfigMap {name} isn't in the file; it may set {_DECIDING[0]}, which is "
                "taken as unset"
            )
            found.open.append((one.place, _DECIDING[0], text))
    for one in container.list("env"):
        name = one.string("name")
        if one.get("valueFrom") is None:
            found.known[name] = references_resolved(one.string("value"), found.known)
        else:
            _referred(owner, one, name, found)
    return found


def _referred(owner: _Owner, node: Node, name: str, found: _Variables) -> None:
    """A variable whose value is elsewhere: in a ConfigMap, a Secret, or the pod itself."""
    reference = node.get("valueFrom", "configMapKeyRef")
    source, key = "", ""
    if reference is not None:
        source, key = reference.string("name"), reference.string("key")
        if key in owner.maps.get(source, {}):
            found.take(name, key, owner.maps[source][key])
            return
    found.known.pop(name, None)
    found.unknown.append(name)
    given = node.get("valueFrom")
    inside = next(iter(given.entries.values()), None) if given is not None else None
    if inside is not None and inside.string("optional") == "true":
        return
    if source in owner.maps:
        close = get_close_matches(key, owner.maps[source], n=1)
        found.refused = BadYaml(
            f"{node.place}: {name} is the key {key!r} of the ConfigMap {source}, which has no such "
            "key: the container is never started.",
            fix=f"did you mean {close[0]}?" if close else f"write {key!r} into {source}",
        )
    elif name in _DECIDING:
        where = f"in the ConfigMap {source}, which isn't in the file" if source else "elsewhere"
        found.open.append((node.place, "", f"{name} is {where}; it is taken as unset"))


def _grant(
    owner: _Owner, pod: Node, container: Node, environment: Mapping[str, str]
) -> tuple[Grant, Place | None]:
    grant, place = granted_by(container)
    notes = owner.annotations
    if place is None and notes is not None and any(key in notes.entries for key in _SHARES):
        share = next(key for key in _SHARES if key in notes.entries)
        count = whole(notes.string("gpu-fraction-num-devices"))
        return Grant("count", 1 if count is None else count), notes.keys[share]
    if grant.kind == "count" and not _is_of_gke(pod):
        grant = hidden_in_pod(grant, environment)
    return grant, place


def _is_of_gke(pod: Node) -> bool:
    """Whether a pod is for nodes of GKE, whose device plugin mounts devices and libraries: the
    variables of NVIDIA's container toolkit have no effect there."""
    within = [one for key in ("nodeSelector", "affinity") if (one := pod.get(key)) is not None]
    while within:
        node = within.pop()
        if any(text.startswith(_GKE) for text in (*node.entries, node.text or "")):
            return True
        within += [*node.entries.values(), *node.items]
    return False


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


def _claims(pod: Node, container: Node) -> Iterator[tuple[str, str]]:
    """Mounted directories, with the claims whose volumes they are: pvc://CLAIM/SUBPATH."""
    claims = {
        one.string("name"): one.string("persistentVolumeClaim", "claimName")
        for one in pod.list("volumes")
    }
    for one in container.list("volumeMounts"):
        claim = claims.get(one.string("name"), "")
        if claim:
            inside = one.string("subPath").strip("/")
            yield one.string("mountPath"), f"pvc://{claim}/{inside}".rstrip("/")


def _mounts(
    owner: _Owner, pod: Node, container: Node, places: dict[str, Place]
) -> tuple[dict[str, Path | None], int | None]:
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
        places[target] = one.place
        mounts[target] = without_dots(owner.path.parent / source) if source else None
    return mounts, shm
