"""TRT6..: what a compose file or a Kubernetes manifest makes of a Triton server."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_triton.audit.deployed import DeployedSubject
from pytest_triton.audit.rule import rule
from pytest_triton.deployment.deployed_server import Probe, visible_ids
from pytest_triton.deployment.granted_gpus import hidden_at, shown_by_variable, why_unknown
from pytest_triton.deployment.image_variants import lacking_backends, lacking_server
from pytest_triton.deployment.probes import faults, shown_name
from pytest_triton.diagnostics.diagnostic import NEVER, Diagnostic
from pytest_triton.placement.releases import shown_version
from pytest_triton.placement.server_flags import since

_GPU = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU } ]\n'
_SECOND_GPU = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]\n'
_PYTHON = 'backend: "python"\ninstance_group [ { kind: KIND_CPU count: 100 } ]\n'
_CPU = 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU } ]\n'
_VLLM = 'backend: "vllm"\ninstance_group [ { kind: KIND_MODEL } ]\n'
_LOADING = 300  # seconds that a start may well take: weights, engines, first compilations
_MEGABYTE = 1 << 20


def _compose(
    *lines: str,
    arguments: str = "",
    model: str = _GPU,
    image: str = "nvcr.io/nvidia/tritonserver:24.10-py3",
    repository: str = "/models",
) -> dict[str, str]:
    """An example: a service with these lines more, and its model `m`."""
    command = f"tritonserver --model-repository={repository}{' ' if arguments else ''}{arguments}"
    text = "\n".join(
        (
            "services:",
            "  triton:",
            f"    image: {image}",
            f"    command: {command}",
            "    volumes: [./models:/models]",
            "    healthcheck: { test: curl -f http://localhost:8000/v2/health/ready }",
            *(f"    {line}" for line in lines),
        )
    )
    return {"compose.yaml": f"{text}\n", "m/config.pbtxt": model, "m/1/.gitkeep": ""}


_READINESS = "readinessProbe: { httpGet: { path: /v2/health/ready, port: 8000 } }"


def _manifest(
    *lines: str, readiness: str = _READINESS, gpu: str = "nvidia.com/gpu", model: str = ""
) -> dict[str, str]:
    """An example: a Deployment whose container has these lines more."""
    text = "\n".join(
        (
            "apiVersion: apps/v1",
            "kind: Deployment",
            "metadata: { name: triton }",
            "spec:",
            "  template:",
            "    spec:",
            "      containers:",
            "        - name: triton",
            "          image: nvcr.io/nvidia/tritonserver:24.10-py3",
            '          args: ["tritonserver", "--model-repository=/models"]',
            f"          resources: {{ limits: {{ {gpu}: 1 }} }}",
            *(f"          {line}" for line in (*lines, readiness) if line),
        )
    )
    files = {"compose.yaml": f"{text}\n"}
    return {**files, "m/config.pbtxt": model, "m/1/.gitkeep": ""} if model else files


# --- GPUs --------------------------------------------------------------------------------------


@rule(
    "TRT601",
    "gpu-not-granted",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose("gpus: [{ count: 1 }]", model=_SECOND_GPU),
    fixed=_compose("gpus: [{ count: 1 }]", model=_SECOND_GPU.replace("[ 1 ]", "[ 0 ]")),
)
def gpu_not_granted(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A model names a GPU that the deployment doesn't grant.

    Triton counts the GPUs of its container, from 0. A model whose `gpus` name another is refused
    there (https://github.com/triton-inference-server/server/issues/7818,
    https://github.com/triton-inference-server/server/issues/2584).

    Where all GPUs of the host are granted, `--target` says how many it has. Without it a model that
    needs more than one is reported.
    """
    count = subject.count
    if count is None:
        yield from _uncounted(subject)
    elif count:
        for gpu, model in sorted(subject.named_gpus.items()):
            if gpu >= count:
                yield _not_granted(subject, model, gpu, count)


def _not_granted(subject: DeployedSubject, model: str, gpu: int, count: int) -> Diagnostic:
    """A GPU that the deployment doesn't grant, or that CUDA_VISIBLE_DEVICES hides."""
    server = subject.server
    granted = server.granted(subject.host)
    pinned = f"`{model}` is pinned to GPU {gpu}"
    if granted is not None and gpu >= granted:
        counted = f"{count} GPU{'s' if count > 1 else ''}, so ids up to {count - 1}"
        return subject.at(subject.grant_place, f"{pinned}, and Triton sees {counted}")
    return subject.at(
        server.place("environment"), f"{pinned}, and {shown_by_variable(server, count)}"
    )


def _uncounted(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A model that needs more than one GPU, where nobody knows how many there are."""
    needs = max(
        ((gpu + 1, f"`{name}` is pinned to GPU {gpu}") for gpu, name in subject.named_gpus.items()),
        default=(0, ""),
    )
    engines = max(
        ((count, f"the engine of `{name}` needs {count} GPUs") for name, count in subject.engines),
        default=(0, ""),
    )
    fewest, why = max(needs, engines)
    if fewest > 1:
        yield subject.at(
            subject.grant_place,
            f"{why}, and how many GPUs there are isn't known: {why_unknown(subject.server)}. "
            f"Say how many: --target={fewest} or more",
        )


@rule(
    "TRT602",
    "hosts-gpu-numbers",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose(
        'gpus: [ { device_ids: ["6", "7"] } ]', 'environment: { CUDA_VISIBLE_DEVICES: "6,7" }'
    ),
    fixed=_compose('gpus: [ { device_ids: ["6", "7"] } ]'),
)
def hosts_gpu_numbers(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """CUDA_VISIBLE_DEVICES names GPUs by numbers that the container doesn't have.

    In a container GPUs are counted from 0, whatever the host calls them. CUDA shows those before
    the first number that isn't there, often none, and without an error: models come up on the CPU
    or are refused (https://github.com/triton-inference-server/server/issues/1567).
    """
    text = subject.server.environment.get("CUDA_VISIBLE_DEVICES", "").strip()
    granted = subject.server.granted(subject.host)
    if not text or text == "-1" or not granted:
        return
    entries = [one.strip() for one in text.split(",")]
    shown = visible_ids(text, granted)
    if len(shown) < len(entries):
        yield subject.at(
            subject.server.place("environment"),
            f"CUDA_VISIBLE_DEVICES={text} names GPU {entries[len(shown)]}, and the container has "
            f"{granted}, counted from 0: CUDA shows {len(shown) or 'none'} of them",
        )


@rule(
    "TRT603",
    "idle-grant",
    "note",
    scope="deployment",
    failing=_compose("gpus: [{ count: 2 }]", model=_SECOND_GPU.replace("[ 1 ]", "[ 0 ]")),
    fixed=_compose("gpus: [{ count: 1 }]", model=_SECOND_GPU.replace("[ 1 ]", "[ 0 ]")),
)
def idle_grant(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """More GPUs are granted than any model uses.

    They are paid for, and no one else gets them. Nothing is said where a model decides by itself
    (KIND_MODEL, vLLM, TensorRT-LLM).
    """
    count = subject.server.granted(subject.host)
    if not count or subject.models is None or subject.is_placing_itself:
        return
    used = {gpu for one in subject.predictions.values() for gpu in one.placement.devices}
    if all(one.ready for one in subject.predictions.values()) and len(used) < count:
        few = f"only {len(used)} of them" if used else "none of them"
        yield subject.at(subject.grant_place, f"{count} GPUs are granted, and the models use {few}")


@rule(
    "TRT604",
    "no-gpu-granted",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose(),
    fixed=_compose("gpus: [{ count: 1 }]"),
)
def no_gpu_granted(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """Models are for GPUs, and the deployment grants none.

    They are refused, which by default ends the whole server; vLLM and TensorRT-LLM fail in their
    own ways.
    """
    if subject.server.granted(subject.host) != 0 or not subject.gpu_models:
        return
    names = ", ".join(f"`{name}`" for name in subject.gpu_models[:5])
    others = subject.server.grant.others
    why = f" ({others})" if others else ""
    count = max((0, *subject.named_gpus)) + 1
    how = (
        f"gpus: [{{ count: {count} }}]  # or deploy.resources.reservations.devices"
        if subject.server.is_compose
        else f"resources.limits: {{ nvidia.com/gpu: {count} }}"
    )
    yield subject.at(
        subject.grant_place,
        f"no GPU is granted{why}, and these models are for GPUs: {names}",
        how,
    )


@rule(
    "TRT605",
    "gpus-beside-the-grant",
    "warning",
    scope="deployment",
    failing=_manifest("env: [ { name: NVIDIA_VISIBLE_DEVICES, value: all } ]"),
    fixed=_manifest(),
)
def gpus_beside_the_grant(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A manifest makes all GPUs of the node visible, whatever its limits are.

    NVIDIA_VISIBLE_DEVICES is set by Kubernetes' device plugin. Written in a manifest it gives the
    container GPUs that the scheduler takes for free, and that other pods use.
    """
    visible = subject.server.environment.get("NVIDIA_VISIBLE_DEVICES", "")
    if not subject.server.is_compose and visible not in ("", "void", "none"):
        yield subject.at(
            subject.server.place("environment"),
            f"NVIDIA_VISIBLE_DEVICES={visible} gives GPUs that no limit counts",
        )


@rule(
    "TRT606",
    "memory-of-absent-gpu",
    "note",
    scope="deployment",
    failing=_compose("gpus: [{ count: 1 }]", arguments="--cuda-memory-pool-byte-size=1:67108864"),
    fixed=_compose("gpus: [{ count: 1 }]", arguments="--cuda-memory-pool-byte-size=0:67108864"),
)
def memory_of_absent_gpu(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A flag gives memory, or a limit, to a GPU that Triton doesn't see.

    Triton says nothing, and the flag has no effect.
    """
    count = subject.count
    for gpu, flag in subject.server.line.named_gpus:
        if count is not None and gpu >= count:
            yield subject.at(
                subject.server.place("command"),
                f"--{flag} is about GPU {gpu}, and Triton sees {count or 'none'}",
            )


@rule(
    "TRT607",
    "other-accelerators",
    "warning",
    scope="deployment",
    failing=_manifest(gpu="amd.com/gpu", model=_CPU),
    fixed=_manifest(model=_CPU),
)
def other_accelerators(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """What is granted isn't known to be an NVIDIA GPU.

    Triton's KIND_GPU is about GPUs that CUDA shows. AMD's, Intel's and others' devices are none,
    and neither are shares of memory without a GPU that they are of. For a resource of your
    cluster's own `--target` says how many GPUs it stands for.
    """
    if subject.server.grant.others:
        yield subject.at(subject.grant_place, subject.server.grant.others)


@rule(
    "TRT608",
    "gpus-hidden",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_manifest('env: [ { name: NVIDIA_VISIBLE_DEVICES, value: "void" } ]'),
    fixed=_manifest(),
)
def gpus_hidden(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """GPUs are granted, and a variable or a capability keeps them from Triton.

    NVIDIA_VISIBLE_DEVICES in a manifest (`void`, `none`, empty) takes the place of what the device
    plugin writes into it. NVIDIA_DRIVER_CAPABILITIES, and the `capabilities` of a device in a
    compose file, say which libraries of the driver the container gets: without `compute` there is
    no libcuda, and Triton sees no GPU, though `nvidia-smi` shows it
    (https://github.com/mudler/LocalAI/issues/11973).

    Where GPUs are passed by CDI (`--device-list-strategy` of the device plugin, and recent releases
    of Docker and of NVIDIA's container toolkit, if so configured), or mounted as on GKE, both have
    no effect. Suppress the rule if that is so on every host; a pod that selects GKE's nodes
    (`cloud.google.com/gke-accelerator`) isn't judged.
    """
    hidden = subject.server.grant.hidden
    unless = "all hosts pass GPUs by CDI"
    if not subject.server.is_compose:
        unless += ", or are GKE's"
    if hidden and subject.server.granted(subject.host) != 0:
        yield subject.at(
            hidden_at(subject.server),
            f"{subject.server.grant} granted, and {hidden} (unless {unless})",
        )


# --- who notices -------------------------------------------------------------------------------


@rule(
    "TRT610",
    "liveness-asks-ready",
    "error",
    scope="deployment",
    failing=_manifest("livenessProbe: { httpGet: { path: /v2/health/ready, port: 8000 } }"),
    fixed=_manifest(
        "livenessProbe: { httpGet: { path: /v2/health/live, port: 8000 } }",
        "startupProbe:",
        "  httpGet: { path: /v2/health/live, port: 8000 }",
        "  failureThreshold: 60",
    ),
)
def liveness_asks_ready(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A liveness probe asks whether the server is ready.

    A server that isn't ready (a model is refused, or one is being loaded) is restarted over and
    over, where it should get no traffic
    (https://github.com/triton-inference-server/server/issues/7014).
    """
    for probe in _probes(subject, "liveness"):
        if probe.asks_ready:
            yield subject.at(probe.place, f"the liveness probe asks {probe.asked}")


@rule(
    "TRT611",
    "nobody-asks-ready",
    "warning",
    scope="deployment",
    failing=_manifest(readiness=""),
    fixed=_manifest(),
)
def nobody_asks_ready(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """Nobody asks whether the server is ready.

    It then gets traffic while it loads, and while models are refused: what --strict-readiness
    reports, nobody reads. A Job needs no probe.
    """
    if subject.server.name.startswith(("Job/", "CronJob/", "ServingRuntime", "Cluster")):
        return
    whats = ("healthcheck",) if subject.server.is_compose else ("readiness",)
    if not any(probe.asks_ready for probe in _probes(subject, *whats)):
        what = "healthcheck" if subject.server.is_compose else "readiness probe"
        yield subject.at(subject.server.node.place, f"no {what} asks /v2/health/ready")


@rule(
    "TRT612",
    "no-startup-probe",
    "warning",
    scope="deployment",
    failing=_manifest("livenessProbe: { httpGet: { path: /v2/health/live, port: 8000 } }"),
    fixed=_manifest(
        "livenessProbe: { httpGet: { path: /v2/health/live, port: 8000 } }",
        "startupProbe:",
        "  httpGet: { path: /v2/health/live, port: 8000 }",
        "  failureThreshold: 60",
    ),
)
def no_startup_probe(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A liveness probe, or a startup probe, may end a server that is still loading.

    Triton opens no port before all models are loaded, which takes minutes where weights are large.
    Until then a liveness probe fails, and the container is restarted from the beginning
    (https://github.com/triton-inference-server/server/issues/6469). A startup probe keeps the
    others waiting, for as long as its own `periodSeconds` and `failureThreshold` say.
    """
    starting = next(_probes(subject, "startup"), None)
    if starting is not None:
        # Until it has succeeded no other probe is asked.
        if starting.patience < _LOADING:
            yield subject.at(
                starting.place,
                f"the container is restarted {starting.patience} s after its start if it is still "
                "loading then: raise the startup probe's failureThreshold",
                f"failureThreshold: {_attempts(starting)}  # 10 minutes",
            )
        return
    for probe in _probes(subject, "liveness"):
        patience = probe.patience
        if patience < _LOADING:
            yield subject.at(
                probe.place,
                f"the container is restarted {patience} s after its start if it is still loading "
                "then",
                "startupProbe:\n  httpGet: { path: /v2/health/live, port: "
                f"{subject.server.line.number('http-port', 8000)} }}\n"
                "  failureThreshold: 60  # 10 minutes",
            )


@rule(
    "TRT613",
    "refusals-unnoticed",
    "error",
    scope="deployment",
    failing=_compose(
        "gpus: [{ count: 1 }]", arguments="--exit-on-error=false --strict-readiness=false"
    ),
    fixed=_compose("gpus: [{ count: 1 }]", arguments="--exit-on-error=false"),
)
def refusals_unnoticed(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The server is ready whatever becomes of its models.

    With `--exit-on-error=false` a model that is refused ends nothing, and with
    `--strict-readiness=false` no probe says either: when a GPU is lost, requests fail one by one.
    """
    line = subject.server.line
    if not line.exits_on_error and not line.strict_readiness:
        yield subject.at(
            subject.server.place("command"),
            "with --exit-on-error=false and --strict-readiness=false nobody notices models that "
            "are refused",
        )


@rule(
    "TRT614",
    "gpu-loss-unnoticed",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose("gpus: [{ count: 1 }]", model='backend: "onnxruntime"\n'),
    fixed=_compose("gpus: [{ count: 1 }]"),
)
def gpu_loss_unnoticed(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """Without its GPUs the service comes up as ever, on the CPU.

    GPUs are granted, and the models would be READY without them: a lost device, an old driver or a
    forgotten grant shows only in latencies. Declare `KIND_GPU` in the models' configs: then the
    server refuses them, ends, and is noticed.
    """
    lost = subject.without_gpus
    if subject.server.granted(subject.host) != 0 and lost.service == "unnoticed":
        names = ", ".join(f"`{name}`" for name in lost.fallbacks[:5])
        yield subject.at(
            subject.grant_place, f"when its GPUs are lost, the service runs on the CPU: {names}"
        )


@rule(
    "TRT615",
    "metrics-off",
    "note",
    scope="deployment",
    failing=_compose("gpus: [{ count: 1 }]", arguments="--allow-metrics=false"),
    fixed=_compose("gpus: [{ count: 1 }]"),
)
def metrics_off(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """Metrics are switched off, which would show where requests are served.

    `nv_inference_count` has the GPU of each, and latencies show what probes don't.
    """
    if not subject.server.line.switch("allow-metrics", default=True):
        yield subject.at(subject.server.place("command"), "--allow-metrics=false")


@rule(
    "TRT616",
    "probe-fails-always",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose("gpus: [{ count: 1 }]", arguments="--http-port=8080"),
    fixed=_compose("gpus: [{ count: 1 }]", arguments="--http-port=8000"),
)
def probe_fails_always(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A probe or health check asks where Triton doesn't answer.

    Another port than the server's (`--http-port`, `--grpc-port`), a port that has no such name, a
    path that Triton doesn't have, a model or version that isn't loaded, or what
    `--allow-http=false` switches off: the check fails for ever. A pod is then never ready, or is
    restarted over and over, and a service never healthy.
    """
    for probe, fault in faults(subject.server, subject.served):
        if not fault.passes:
            yield subject.at(
                probe.place, f"the {shown_name(probe)} fails always: {fault.what}; {fault.fix}"
            )


@rule(
    "TRT617",
    "probe-never-fails",
    "warning",
    scope="deployment",
    failing=_manifest(
        readiness="readinessProbe: { httpGet: { path: /v2/health/ready, port: 8002 } }"
    ),
    fixed=_manifest(),
)
def probe_never_fails(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A probe or health check succeeds whatever the server says.

    The port of Triton's metrics answers every path with 200 (from 2.42.0 on), and `curl` without
    `-f` ends with 0 whatever the status of the answer is. A server that isn't ready, since its
    GPUs are lost or models are refused, goes on getting traffic.
    """
    for probe, fault in faults(subject.server, subject.served):
        if fault.passes:
            yield subject.at(
                probe.place, f"the {shown_name(probe)} never fails: {fault.what}; {fault.fix}"
            )


# --- image, flags, memory ----------------------------------------------------------------------


@rule(
    "TRT620",
    "little-shared-memory",
    "error",
    scope="deployment",
    failing=_compose(model=_PYTHON),
    fixed=_compose("shm_size: 1g", model=_PYTHON),
)
def little_shared_memory(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The container's shared memory is too small for its python instances.

    Each takes at least 1 MB of /dev/shm (`--backend-config=python,shm-default-byte-size`), and a
    container has 64 MB unless it asks for more. Models beyond that fail to load.
    """
    size = subject.server.shm_bytes
    if size is None or subject.models is None:
        return
    instances = sum(
        one.placement.total
        for one in subject.predictions.values()
        if one.declared.backend in ("python", "vllm")
    )
    each = _MEGABYTE
    for value in subject.server.line.all("backend-config"):
        found = re.match(r"python,shm-default-byte-size=(\d{1,15})", value, re.ASCII)
        each = int(found[1]) if found is not None else each
    if instances * each > size:
        needed = -(-instances * each // _MEGABYTE)
        how = (
            f"shm_size: {needed}m"
            if subject.server.is_compose
            else f"emptyDir: {{ medium: Memory, sizeLimit: {needed}Mi }}  # at /dev/shm"
        )
        yield subject.at(
            subject.server.place("shm"),
            f"{instances} python instances need {needed} MB of shared memory, and there are "
            f"{size // _MEGABYTE}",
            how,
        )


@rule(
    "TRT621",
    "floating-image",
    "warning",
    scope="deployment",
    failing=_compose("gpus: [{ count: 1 }]", image="registry/tritonserver:latest"),
    fixed=_compose("gpus: [{ count: 1 }]", image="registry/tritonserver:24.10-py3"),
)
def floating_image(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The image's tag may mean another image tomorrow.

    Releases differ in flags, config fields and in where models run: what was tested isn't what a
    later restart starts.
    """
    server = subject.server
    if server.image and not server.has_digest and server.tag in ("", "latest"):
        yield subject.at(server.place("image"), f"`{server.image}` has no fixed tag")


@rule(
    "TRT622",
    "flag-refused",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose(
        "gpus: [{ count: 1 }]",
        arguments="--model-config-name=h100",
        image="nvcr.io/nvidia/tritonserver:24.01-py3",
    ),
    fixed=_compose("gpus: [{ count: 1 }]", arguments="--model-config-name=h100"),
)
def flag_refused(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """tritonserver doesn't know a flag, or doesn't take its value.

    It prints its usage and ends, at each restart. Which flags a release knows is in a table made
    of the releases' own `--help`.
    """
    place = subject.server.place("command")
    bad = subject.server.bad_arguments
    if bad is not None:
        yield subject.at(place, bad.what)
    if subject.release is not None:
        for flag in subject.server.line.unknown_to(subject.release):
            known = shown_version(since(flag.name))
            yield subject.at(
                place,
                f"{flag.shown} is known from release {known} on, and the image is "
                f"{subject.server.tag}",
            )


@rule(
    "TRT623",
    "variant-lacks-backend",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose("gpus: [{ count: 1 }]", "shm_size: 1g", model=_VLLM),
    fixed=_compose(
        "gpus: [{ count: 1 }]",
        "shm_size: 1g",
        model=_VLLM,
        image="nvcr.io/nvidia/tritonserver:24.10-vllm-python-py3",
    ),
)
def variant_lacks_backend(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The image's variant doesn't have the backend of a model.

    NVIDIA's `-py3` images have neither vLLM nor TensorRT-LLM, and the variants for those have
    little else. Images of your own are not judged.
    """
    if subject.models is None:
        return
    declared = {name: one.declared for name, one in subject.models.by_name.items()}
    for lacking in lacking_backends(subject.server, declared):
        yield subject.at(subject.server.place("image"), str(lacking))


@rule(
    "TRT624",
    "newer-config-field",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose(
        "gpus: [{ count: 1 }]",
        model=f"{_GPU}model_metrics {{ }}\n",
        image="nvcr.io/nvidia/tritonserver:24.01-py3",
    ),
    fixed=_compose(
        "gpus: [{ count: 1 }]",
        model=f"{_GPU}model_metrics {{ }}\n",
        image="nvcr.io/nvidia/tritonserver:24.11-py3",
    ),
)
def newer_config_field(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """A model's config has a field that the image's release doesn't know.

    The model is refused while its config is read.
    """
    if subject.release is None or subject.models is None:
        return
    for name, one in subject.models.by_name.items():
        for flaw in one.declared.flaws:
            if flaw.field and flaw.until != NEVER and flaw.holds(subject.release):
                what = f"`{name}`: {flaw.message or flaw.triton}"
                yield subject.at(subject.server.place("image"), what)


@rule(
    "TRT625",
    "polling",
    "warning",
    scope="deployment",
    failing=_compose("gpus: [{ count: 1 }]", arguments="--model-control-mode=poll"),
    fixed=_compose("gpus: [{ count: 1 }]"),
)
def polling(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The server polls its repository, and loads what changes there.

    A half-written model is loaded as it is, and what runs after that was never tested. Triton's
    documentation advises against it in production.
    """
    if subject.server.line.control_mode == "poll":
        yield subject.at(subject.server.place("command"), "--model-control-mode=poll")


@rule(
    "TRT626",
    "not-in-the-file",
    "note",
    scope="deployment",
    failing=_manifest(
        "env:",
        "  - name: CUDA_VISIBLE_DEVICES",
        "    valueFrom: { configMapKeyRef: { name: gpus, key: visible } }",
    ),
    fixed=_manifest('env: [ { name: CUDA_VISIBLE_DEVICES, value: "0" } ]'),
)
def not_in_the_file(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """What decides where models run isn't in the file.

    The findings are those of what is assumed: a variable that a ConfigMap elsewhere sets, or the
    runtime of a KServe cluster. Put the manifest into the file, or write the value.
    """
    for place, text in subject.server.assumed:
        yield subject.at(place, text)


@rule(
    "TRT627",
    "repository-beside-the-mount",
    "warning",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose("gpus: [{ count: 1 }]", repository="/modles"),
    fixed=_compose("gpus: [{ count: 1 }]"),
)
def repository_beside_the_mount(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The server's repository isn't mounted, and a directory of nearly that name is.

    Unless the image has the repository, production finds no models, and ends. Where a repository
    is on this machine (`--deployment-repo`) says nothing of that.
    """
    server = subject.server
    for name in server.line.repositories:
        near = server.mount_like(name)
        if near is not None:
            yield subject.at(
                server.place_of_word(name),
                f"nothing is mounted at {name}; did you mean {near}?",
            )


@rule(
    "TRT628",
    "image-without-server",
    "error",
    scope="deployment",
    reported_by="test_deployment",
    failing=_compose("gpus: [{ count: 1 }]", image="nvcr.io/nvidia/tritonserver:24.10-py3-sdk"),
    fixed=_compose("gpus: [{ count: 1 }]", image="nvcr.io/nvidia/tritonserver:24.10-py3"),
)
def image_without_server(subject: DeployedSubject) -> Iterator[Diagnostic]:
    """The image has no tritonserver, or there is no such image.

    NVIDIA's `-sdk` images have clients and their tools, `-min` images what images of one's own are
    built on; a tag names a release, which is a month, and a variant. Images of your own are not
    judged.
    """
    why = lacking_server(subject.server)
    if why:
        yield subject.at(subject.server.place("image"), why)


def _attempts(probe: Probe) -> int:
    """How often a probe has to fail until ten minutes are over."""
    return -(-max(2 * _LOADING - probe.delay, 1) // max(probe.period, 1))


def _probes(subject: DeployedSubject, *whats: str) -> Iterator[Probe]:
    return (probe for probe in subject.server.probes if probe.what in whats)
