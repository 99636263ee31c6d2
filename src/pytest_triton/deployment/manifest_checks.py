"""What Kubernetes refuses in an object with a Triton server, or never makes a pod of."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from pytest_triton.deployment.yaml_file import BadYaml, Node

_SELECTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_KINDS = (*_SELECTING, "Pod", "ReplicationController", "Job", "CronJob")


def check_object(document: Node, pod: Node, containers: Sequence[Node]) -> None:
    """Raise BadYaml for what Kubernetes refuses of the object that a pod is of."""
    for container in containers:
        _check_texts(container)
    if document.string("kind") not in _KINDS:
        return  # what others add isn't known
    for container in containers:
        _check_mounts(document, pod, container)
    if document.string("kind") in _SELECTING:
        _check_selector(document)


def not_a_text(node: Node, what: str) -> BadYaml:
    return BadYaml(
        f"{node.place}: {what} is no text, and Kubernetes refuses it.",
        fix=f'quote it: "{node.text}"' if node.kind == "scalar" else "write a text",
    )


def _check_texts(container: Node) -> None:
    for key in ("command", "args"):
        for one in container.list(key):
            if one.type:
                raise not_a_text(one, f"the argument {one.text}")
    for one in container.list("env"):
        value = one.get("value")
        if value is not None and value.type:
            raise not_a_text(value, f"the value of {one.string('name')}")


def _check_mounts(document: Node, pod: Node, container: Node) -> None:
    names = [one.string("name") for one in pod.list("volumes")]
    names += [
        one.string("metadata", "name") for one in document.list("spec", "volumeClaimTemplates")
    ]
    for one in container.list("volumeMounts"):
        name = one.string("name")
        if name and name not in names:
            close = get_close_matches(name, names, n=1)
            raise BadYaml(
                f"{one.place}: the pod has no volume {name!r}, and Kubernetes refuses it.",
                fix=f"did you mean {close[0]}?" if close else f"write {name} into its volumes",
            )


def _check_selector(document: Node) -> None:
    labels = document.get("spec", "template", "metadata", "labels")
    chosen = document.get("spec", "selector", "matchLabels")
    for key, value in chosen.entries.items() if chosen is not None else ():
        given = labels.string(key) if labels is not None else ""
        if given != (value.text or ""):
            assert chosen is not None
            has = f"{key}: {given}" if given else f"no label {key}"
            raise BadYaml(
                f"{chosen.keys[key]}: the selector asks for {key}: {value.text}, and the pod "
                f"template has {has}: Kubernetes refuses it.",
                fix="give the template's metadata.labels the same labels",
            )
