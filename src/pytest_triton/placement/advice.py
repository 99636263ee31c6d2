"""Advice on a refusal: the likely cause, and the config.pbtxt lines that fix it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS, meant_backend
from pytest_triton.placement.compare import Verdict
from pytest_triton.placement.declared import Declared, DeclaredGroup
from pytest_triton.placement.hardware import Hardware
from pytest_triton.placement.predict import Prediction, ServerTraits, usable_gpus
from pytest_triton.placement.refusal import Refusal, refused_steps


@dataclass(frozen=True)
class Advice:
    """The likely `cause` in plain English, and `lines` for config.pbtxt ("" when none fix it).

    Lines of `instance_group` stand for all of them: they replace what the config has.
    """

    cause: str
    lines: str = ""

    def __str__(self) -> str:
        return f"{self.cause}\n\n{self.lines}" if self.lines else self.cause


def advise(declared: Declared, prediction: Prediction) -> Advice | None:
    """Advice on a predicted refusal or fallback; None for a model that runs as declared."""
    if prediction.refusal is not None:
        return advise_on_refusal(
            declared, prediction.refusal, prediction.hardware, prediction.server
        )
    if prediction.fallback:
        return _advise_fallback(declared)
    return None


def advise_on_verdict(verdict: Verdict) -> Advice | None:
    """Advice on a verdict: on what was observed where it differs, else on what was predicted."""
    predicted, observed = verdict.predicted, verdict.observed
    if verdict.ok:
        return advise(verdict.declared, predicted)
    if observed.refusal is not None:
        refusal = observed.refusal
        if predicted.refusal is not None and predicted.refusal.reason == refusal.reason:
            refusal = predicted.refusal  # which knows the field
        return advise_on_refusal(verdict.declared, refusal, predicted.hardware, predicted.server)
    if not observed.ready:
        return Advice(
            f"The server says only {observed.state!r}. Its log may say more; a model directory "
            "without a usable version, for instance, is only mentioned there."
        )
    if predicted.refusal is not None:
        return Advice(
            "The server loaded what Triton's rules refuse. Most likely it has other hardware or "
            f"another release than was assumed here: {predicted.hardware.label}, "
            f"Triton {'.'.join(map(str, predicted.server.version))}."
        )
    return Advice(
        "The server placed the model elsewhere. Most likely it sees other GPUs than was assumed "
        f"here ({predicted.hardware.label}), or serves another config (an override, a variant "
        "in configs/, one that the backend completed)."
    )


def _advise_fallback(declared: Declared) -> Advice:
    what = (
        "An instance group says no kind (or KIND_AUTO)"
        if declared.groups
        else "No instance_group is declared"
    )
    if not declared.has_config:
        what = (
            "There is no config.pbtxt (write one with these lines; Triton completes the rest as it "
            "does now), and nobody says where the model belongs"
        )
    return Advice(
        f"{what}, so Triton looks at the hardware: without a GPU the model comes up on the CPU, "
        "slow and unnoticed. Say where it belongs; with KIND_GPU it is refused instead.",
        instance_group_lines(
            replace(group, kind="GPU") if group.kind == "AUTO" else group
            for group in declared.groups or (DeclaredGroup(),)
        ),
    )


def advise_on_refusal(
    declared: Declared, refusal: Refusal, hardware: Hardware, server: ServerTraits
) -> Advice:
    """Advice on a refusal, predicted or observed."""
    advice = _advise_reason(declared, refusal, hardware, server)
    if refusal.diagnostic is not None and refusal.diagnostic.message:
        cause = f"{_sentence(refusal.diagnostic.message)} {refusal.diagnostic.fix}".strip()
        keep = refusal.reason in ("name", "backend-missing", "config", "ensemble")
        return Advice(cause, advice.lines if keep else "")
    return advice


def _advise_reason(
    declared: Declared, refusal: Refusal, hardware: Hardware, server: ServerTraits
) -> Advice:
    """Advice on a refusal of which only the reason is known."""
    reason = refusal.reason
    usable = usable_gpus(hardware, server)
    if reason == "no-gpu":
        return _advise_no_gpu(declared, hardware, server)
    if reason == "gpu-id":
        return _advise_gpu_id(declared, usable)
    if reason == "cpu-with-gpus":
        return _advise_cpu_with_gpus(declared)
    if reason == "backend-cpu-only" and "not enabled in this build" in refusal.text:
        return Advice(
            f"The {declared.backend or 'onnxruntime'} backend of this server is built without GPU "
            "support, so no GPU instance of it loads there, whatever GPUs the server has. Take a "
            "server whose backend has its CUDA execution provider (NVIDIA's images have; build.py "
            "needs --enable-gpu)."
        )
    if reason in ("backend-cpu-only", "backend-gpu-only"):
        return _advise_backend_kind(declared, "CPU" if reason == "backend-cpu-only" else "GPU")
    if reason == "backend-missing":
        return _advise_backend_missing(declared, server)
    if reason == "no-backend" and "unexpected platform type" in refusal.text:
        meant = meant_backend(declared.platform)
        return Advice(
            "The platform doesn't stand for a backend. Write the backend in its place.",
            f'backend: "{meant}"' if meant else "",
        )
    if reason == "name":
        directory = re.search(r"unexpected directory name '(.*?)' for model '", refusal.text)
        return Advice(
            "The name in the config has to be the directory's; it may also be left out.",
            f'name: "{directory[1]}"' if directory else "",
        )
    version = re.search(r"depends on '(.*?)' whose required version (-?\d+) is", refusal.text)
    if reason == "ensemble" and version is not None:
        return Advice(
            f"Version {version[2]} of `{version[1]}` isn't loaded. A step without model_version "
            "asks for version 0, not for the newest: that is -1. Which versions are loaded, the "
            "model's version policy says; without one it is the newest alone.",
            "model_version: -1",
        )
    if reason == "ensemble" and "specified for ensemble" in refusal.text:
        return Advice("An ensemble takes no instance_group, optimization or warm-up of its own.")
    steps = refused_steps(refusal.text) if reason == "ensemble" else ()
    if steps:
        return Advice(
            f"An ensemble is only as ready as its models, and {' and '.join(steps)} "
            f"{'are' if len(steps) > 1 else 'is'} not loaded: look there first. Nothing says that "
            "the ensemble's own config is wrong."
        )
    if reason == "config" and "max_batch_size" in refusal.text:
        return Advice(
            "max_batch_size is 0 for a model that takes no batches, else the largest batch.",
            "max_batch_size: 0",
        )
    cause, keep = _CAUSES.get(reason, ("", None))
    lines = ""
    if keep is not None and declared.groups:
        lines = instance_group_lines(_without(group, keep) for group in declared.groups)
    return Advice(cause or "Triton's own text is all there is to go by.", lines)


# reason -> the cause, and the field of instance_group that has to go, if that fixes it
_CAUSES: dict[str, tuple[str, str | None]] = {
    "no-gpu-support": (
        "This tritonserver is built without GPU support, so no KIND_GPU model can load. Take a "
        "GPU build; on a machine without a GPU it starts as well.",
        None,
    ),
    "model-with-gpus": (
        "With KIND_MODEL the model or its backend chooses the device: `gpus` can't be given.",
        "gpus",
    ),
    "kind": (
        "The kind is a number that Triton doesn't know. Write KIND_GPU, KIND_CPU or KIND_MODEL.",
        "kind",
    ),
    "profile": (
        "`profile` is for TensorRT models only, and holds numbers of 0 or more as strings.",
        "profile",
    ),
    "backend-load": (
        "The backend's library is there but can't be loaded. Often one of its own libraries is "
        "missing: a GPU build of a backend in an image without CUDA, or LD_LIBRARY_PATH.",
        None,
    ),
    "no-backend": (
        'The config names no backend and no model file gives it away. Add `backend: "..."`.',
        None,
    ),
    "no-config": (
        "There is no config.pbtxt, and this backend doesn't complete one by itself.",
        None,
    ),
    "config": ("The config contradicts itself; Triton refuses it on any hardware.", None),
    "duplicate": (
        "A model of this name stands in more than one of the server's repositories; Triton then "
        "loads none of them. Rename one, or serve the repositories apart.",
        None,
    ),
    "version": (
        "No version directory is there that the version policy takes. Versions are directories "
        "with a number for a name, like 1/, without a leading zero.",
        None,
    ),
    "ensemble": ("Triton takes the ensemble's steps for wrong, or their tensors.", None),
    "warm-up": (
        "A sample of model_warmup doesn't fit the model's inputs: their names, data types and dims "
        "(without the batch) have to be those of the config, files lie in warmup/.",
        None,
    ),
    "agent-missing": (
        "This server has no repository agent of that name. NVIDIA's images have `checksum`, the "
        "releases that pytest-triton installs have none: check the model in a container.",
        None,
    ),
    "model-file": ("The model's file is missing in the version directory, or unreadable.", None),
    "cuda": (
        "CUDA itself fails when asked for its GPUs, and then Triton refuses every model, those "
        "for the CPU as well. Look at the driver (nvidia-smi), or hide the GPUs with an empty "
        "CUDA_VISIBLE_DEVICES.",
        None,
    ),
    "gpu-memory": ("The GPU's memory is full, or --model-load-gpu-limit is reached.", None),
    "shared-memory": (
        "Each instance of a python model needs shared memory in /dev/shm (1 MB to start with, "
        "64 MB in older releases), and there is too little, or it can't be written. A container "
        "that the plugin starts: --triton-shm-size=1g. A container that pytest runs in: docker run "
        "--shm-size=1g, or --ipc=host. Kubernetes: a memory-backed emptyDir (medium: Memory), "
        "mounted at /dev/shm. This machine: remove what is left in /dev/shm, or mount it larger.",
        None,
    ),
    "crash": (
        "Triton doesn't survive this config: the whole server ends, with all its models. A "
        "profile has to be a number that fits into 32 bits.",
        "profile",
    ),
    "rate-limit": (
        "The server was started with --rate-limit=execution_count and too few resources.",
        None,
    ),
}


def _advise_no_gpu(declared: Declared, hardware: Hardware, server: ServerTraits) -> Advice:
    if hardware.count:
        minimum = "{}.{}".format(*server.min_compute_capability)
        why = (
            f"The server's GPUs are below compute capability {minimum}, which this Triton "
            "needs: it ignores them."
        )
    else:
        why = (
            "The server sees no GPU. On a host without one, the refusal is what KIND_GPU is for. "
            "Else: no --gpus for the container, an empty CUDA_VISIBLE_DEVICES, a driver that is "
            "too old or a device that is lost."
        )
    if not declared.groups:
        why += (
            f" This Triton release gives a model of the {declared.backend} backend without "
            "instance_group to the GPU, also where there is none."
        )
    others = [group for group in declared.groups if group.kind in ("CPU", "MODEL")]
    if others:
        why += " One group that can't be had is enough: the whole model is refused."
    return Advice(
        f"{why} For hosts without a GPU a variant of the config would say:",
        instance_group_lines(others) if others else _groups_of_kind(declared, "CPU"),
    )


def _advise_gpu_id(declared: Declared, usable: tuple[int, ...]) -> Advice:
    there = ", ".join(map(str, usable)) or "none"
    known = frozenset(usable)
    groups = [
        replace(group, gpus=tuple(gpu for gpu in group.gpus if gpu in known))
        for group in declared.groups
    ]
    return Advice(
        "`gpus` counts from 0 and only those that the server was given (CUDA_VISIBLE_DEVICES, "
        f"--gpus): it can use {there}. Without `gpus` the model takes all of them.",
        instance_group_lines(groups),
    )


def _advise_cpu_with_gpus(declared: Declared) -> Advice:
    if any(group.kind == "AUTO" and group.gpus for group in declared.groups):
        return Advice(
            "A group lists `gpus` but no kind. Where one of them is missing Triton turns it into "
            "KIND_CPU, and then refuses it for its `gpus`. Say KIND_GPU.",
            instance_group_lines(
                replace(group, kind="GPU") if group.kind == "AUTO" and group.gpus else group
                for group in declared.groups
            ),
        )
    return Advice(
        "A group of KIND_CPU lists `gpus`. Leave them out, or, if the GPU was meant, write "
        "KIND_GPU instead.",
        instance_group_lines(
            replace(group, gpus=()) if group.kind == "CPU" else group for group in declared.groups
        ),
    )


def _advise_backend_kind(declared: Declared, kind: Literal["GPU", "CPU"]) -> Advice:
    other = "GPU" if kind == "CPU" else "CPU"
    why = f"The {declared.backend} backend takes {kind} instances only."
    if kind == "GPU" and not any(group.kind == other for group in declared.groups):
        why += " The server has no GPU it can use, so the model ended up on the CPU."
    return Advice(why, _groups_of_kind(declared, kind))


def _advise_backend_missing(declared: Declared, server: ServerTraits) -> Advice:
    meant = meant_backend(declared.backend)
    if meant and declared.backend not in OFFICIAL_BACKENDS:
        return Advice(
            f"There is no backend {declared.backend!r}. Did you mean {meant!r}?",
            f'backend: "{meant}"',
        )
    there = ", ".join(sorted(server.backends or ())) or "none that is known"
    return Advice(
        f"This server has no {declared.backend!r} backend ({there}). Take an image or a backend "
        "directory that has it, or a rehearsal with stand-in backends.",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _without(group: DeclaredGroup, field: str) -> DeclaredGroup:
    if field == "kind":
        return replace(group, kind="GPU") if group.kind == "UNKNOWN" else group
    if field == "profile":
        return replace(group, profile=())
    return replace(group, gpus=()) if group.kind == "MODEL" else group


def _groups_of_kind(declared: Declared, kind: Literal["GPU", "CPU"]) -> str:
    """All groups, or the one that isn't written, as groups of this kind."""
    return instance_group_lines(
        replace(group, kind=kind, gpus=group.gpus if kind == "GPU" else ())
        for group in declared.groups or (DeclaredGroup(),)
    )


def instance_group_lines(groups: Iterable[DeclaredGroup]) -> str:
    """`instance_group [...]` as it stands in a config.pbtxt."""
    blocks = []
    for group in groups:
        lines = []
        if group.name:
            lines.append(f'name: "{_escaped(group.name)}"')
        if group.kind != "UNKNOWN":
            lines.append(f"kind: KIND_{group.kind}")
        if group.count:
            lines.append(f"count: {group.count}")
        if group.gpus:
            lines.append(f"gpus: [ {', '.join(map(str, group.gpus))} ]")
        if group.profile:
            quoted = ", ".join(f'"{_escaped(profile)}"' for profile in group.profile)
            lines.append(f"profile: [ {quoted} ]")
        if group.passive:
            lines.append("passive: true")
        if group.host_policy:
            lines.append(f'host_policy: "{_escaped(group.host_policy)}"')
        for kind, device in group.secondary_devices:
            name = "KIND_NVDLA" if kind == 0 else str(kind)
            lines.append(f"secondary_devices {{ kind: {name} device_id: {device} }}")
        body = "".join(f"    {line}\n" for line in lines)
        blocks.append(f"  {{\n{body}  }}")
    return "instance_group [\n" + ",\n".join(blocks) + "\n]" if blocks else ""


def _escaped(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(escapes.get(character, character) for character in text)
