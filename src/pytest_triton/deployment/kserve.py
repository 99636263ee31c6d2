"""KServe's InferenceServices: the container that a predictor and its runtime make together.

As KServe merges them (pkg/controller/v1beta1/inferenceservice/utils): `predictor.model` over the
runtime's container `kserve-container`, arguments one after the other, lists by their keys; and the
predictor over the runtime's pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from pytest_triton.deployment.sizes import whole
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place

RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
STORED = "/mnt/models"  # where KServe puts what storageUri names
OWN = "kserve-tritonserver"
# What KServe's own runtime starts.
_ARGUMENTS = (
    "tritonserver",
    "--model-store=/mnt/models",
    "--grpc-port=9000",
    "--http-port=8080",
    "--allow-grpc=true",
    "--allow-http=true",
)
_CONTAINER = "kserve-container"
_KEYS = {
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "containers": "name",
    "initContainers": "name",
}
# Formats that no other runtime of KServe's own serves before Triton's.
_TRITONS = ("triton", "tensorrt")


@dataclass(frozen=True)
class Predictor:
    """A predictor's pod and container. `runtime` is the manifest that it uses, None if that isn't
    in the file; `unknown` says why the arguments aren't known then, `assumed` what is taken."""

    pod: Node
    container: Node
    runtime: Node | None = None
    unknown: str = ""
    assumed: str = ""


@dataclass(frozen=True)
class Runtimes:
    """The runtimes of a file: those of a namespace, and those of the whole cluster."""

    of_namespace: Mapping[str, Mapping[str, Node]] = field(default_factory=dict)
    of_cluster: Mapping[str, Node] = field(default_factory=dict)

    @classmethod
    def of(cls, documents: Sequence[tuple[str, Node]]) -> Runtimes:
        """Of the documents of a file, each with its namespace."""
        spaces: dict[str, dict[str, Node]] = {}
        cluster: dict[str, Node] = {}
        for namespace, one in documents:
            name = one.string("metadata", "name")
            if one.string("kind") == "ServingRuntime":
                spaces.setdefault(namespace, {})[name] = one
            elif one.string("kind") == "ClusterServingRuntime":
                cluster[name] = one
        return cls(spaces, cluster)

    def named(self, namespace: str, name: str) -> Node | None:
        own = self.of_namespace.get(namespace, {})
        return own.get(name) or self.of_cluster.get(name)

    def for_format(self, namespace: str, name: str, version: str) -> Node | None:
        """The one that KServe chooses for a format, where a service names none."""
        for runtimes in (self.of_namespace.get(namespace, {}), self.of_cluster):
            fitting = [
                (whole(one.string("priority")) or 0, runtime)
                for runtime in runtimes.values()
                if runtime.string("spec", "disabled") != "true"
                for one in runtime.list("spec", "supportedModelFormats")
                if one.string("name") == name
                and one.string("autoSelect") == "true"
                and version in ("", one.string("version"))
            ]
            if fitting:
                return max(fitting, key=lambda one: one[0])[1]
        return None


def predictor_of(document: Node, namespace: str, runtimes: Runtimes) -> Predictor | None:
    """What an InferenceService's predictor starts; None if it isn't known to be Triton.

    Raises BadYaml for a runtime that KServe can't use.
    """
    pod = document.get("spec", "predictor")
    if pod is None:
        return None
    model = pod.get("model")
    older = pod.get("triton")
    if (
        document.string("metadata", "annotations", "serving.kserve.io/deploymentMode")
        == "ModelMesh"
    ):
        return None  # it is a model of a server that a ServingRuntime describes
    if model is None and older is None:
        return None
    given = model if model is not None else older
    assert given is not None
    name = given.string("runtime") or (OWN if model is None else "")
    format, version = given.string("modelFormat", "name"), given.string("modelFormat", "version")
    if name:
        runtime = runtimes.named(namespace, name)
    else:
        runtime = runtimes.for_format(namespace, format, version)
        name = OWN if runtime is None and format in _TRITONS else ""
    stored = any(given.get(key) is not None for key in ("storageUri", "storageUris", "storage"))
    if name == OWN and not stored:
        given = _with_arguments(given, "--model-control-mode=explicit")
    if runtime is not None:
        if model is not None and given.string("runtime"):
            _check_supported(given, runtime)
        return _of_runtime(pod, given, runtime)
    if name == OWN:
        # Which image it has, only the cluster knows, unless the service says its tag.
        image = "nvcr.io/nvidia/tritonserver" if given.string("runtimeVersion") else ""
        container = _versioned(merged(_own_container(given.place, image), given), given)
        assumed = f"the runtime {OWN} isn't in the file: KServe's own command line is taken for it"
        return Predictor(pod, container, assumed=assumed)
    if format != "triton" and "triton" not in name.lower():
        return None
    why = f"they are those of the runtime {name}, which isn't in the file"
    return Predictor(pod, given, unknown=why)


def _check_supported(given: Node, runtime: Node) -> None:
    """What KServe asks of a runtime that a model names (components/predictor.go). Raises BadYaml.

    A version of the format, which KServe compares too, is left to it.
    """
    name = given.string("runtime")
    if runtime.string("spec", "disabled") == "true":
        raise BadYaml(
            f"{given.place_of('runtime')}: the runtime {name} is disabled, and KServe starts "
            "nothing.",
            fix=f"name another runtime, or delete `disabled: true` "
            f"({_place_in(runtime, 'disabled')})",
        )
    protocol = given.string("protocolVersion")
    protocols = [one.text or "" for one in runtime.list("spec", "protocolVersions")]
    if protocol and protocols and protocol not in protocols:
        raise BadYaml(
            f"{given.place_of('protocolVersion')}: the runtime {name} has no protocolVersion "
            f"{protocol}, and KServe starts nothing.",
            fix=f"write one that it has: {', '.join(protocols)} "
            f"({_place_in(runtime, 'protocolVersions')})",
        )
    format = given.string("modelFormat", "name")
    formats = [one.string("name") for one in runtime.list("spec", "supportedModelFormats")]
    if format and format not in formats:
        close = get_close_matches(format, formats, n=1)
        listed = ", ".join(dict.fromkeys(formats)) or "none"
        raise BadYaml(
            f"{given.place_of('modelFormat', 'name')}: the runtime {name} doesn't support the "
            f"format {format}, and KServe starts nothing.",
            fix=f"did you mean {close[0]}?"
            if close
            else f"write one that it supports: {listed} "
            f"({_place_in(runtime, 'supportedModelFormats')})",
        )


def _place_in(runtime: Node, key: str) -> Place:
    spec = runtime.get("spec")
    assert spec is not None
    return spec.place_of(key)


def _of_runtime(pod: Node, given: Node, runtime: Node) -> Predictor:
    containers = runtime.list("spec", "containers")
    base = next((one for one in containers if one.string("name") == _CONTAINER), None)
    if base is None:
        raise BadYaml(
            f"{runtime.place}: the runtime {runtime.string('metadata', 'name')} has no container "
            f"{_CONTAINER}, and KServe starts nothing.",
            fix=f"call its container {_CONTAINER}",
        )
    spec = runtime.get("spec")
    assert spec is not None
    rest = tuple(one for one in containers if one is not base)
    listed = replace(spec.entries["containers"], items=rest)
    spec = replace(spec, entries={**spec.entries, "containers": listed})
    return Predictor(merged(spec, pod), _versioned(merged(base, given), given), runtime)


def _own_container(place: Place, image: str) -> Node:
    words = tuple(Node(place, one) for one in _ARGUMENTS)
    entries = {
        "name": Node(place, _CONTAINER),
        "image": Node(place, image),
        "args": Node(place, kind="list", items=words),
    }
    return Node(place, kind="map", entries=entries, keys=dict.fromkeys(entries, place))


def _with_arguments(node: Node, *more: str) -> Node:
    args = node.get("args") or Node(node.place, kind="list")
    items = (*args.items, *(Node(args.place, one) for one in more))
    entries = {**node.entries, "args": replace(args, items=items)}
    return replace(node, entries=entries, keys={**node.keys, "args": node.place_of("args")})


def _versioned(container: Node, given: Node) -> Node:
    """The container with the image's tag that `runtimeVersion` asks for."""
    version = given.get("runtimeVersion")
    image = container.string("image")
    if version is None or "@sha256:" in image:
        return container
    text = re.sub(r":[\w.-]*$", "", image) + f":{version.text}"
    entries = {**container.entries, "image": replace(version, text=text)}
    keys = {**container.keys, "image": given.place_of("runtimeVersion")}
    return replace(container, entries=entries, keys=keys)


def merged(base: Node, over: Node, key: str = "") -> Node:
    """A strategic merge of two values of a field, with the arguments of both."""
    if base.kind == over.kind == "map":
        entries = dict(base.entries)
        for name, value in over.entries.items():
            entries[name] = merged(entries[name], value, name) if name in entries else value
        return replace(over, entries=entries, keys={**base.keys, **over.keys})
    if base.kind == over.kind == "list":
        if key == "args":
            return replace(over, items=(*base.items, *over.items))
        if key in _KEYS:
            by = {one.string(_KEYS[key]): one for one in base.items}
            for one in over.items:
                known = by.get(one.string(_KEYS[key]))
                by[one.string(_KEYS[key])] = one if known is None else merged(known, one)
            return replace(over, items=tuple(by.values()))
    return over if not over.is_null else base
