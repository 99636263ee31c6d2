"""Production's flags x configs: what is predicted of them, and what the real core does.

Drawn command lines for drawn repositories, on drawn GPUs, each on a core of its own. Every
disagreement that was found has a line in `NAMED`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_triton.checks.checked_deployment import CheckedDeployment, NotLoaded
from pytest_triton.options.values import Deployment
from pytest_triton.placement.command_line import BadArguments, CommandLine, read_version
from pytest_triton.placement.hardware import NO_GPU, Gpu, Hardware
from pytest_triton.placement.predict import Prediction, ServerTraits
from pytest_triton.placement.refusal import classify
from pytest_triton.placement.releases import ChosenRelease
from pytest_triton.rehearsal.simulation import SimulatedGpus, assemble_backends
from pytest_triton.repository.refusals import with_known_backends
from support.bare_server import BareServer, bare_server
from support.components import RELEASES, do_without
from support.core_oracle import server_of_release

pytestmark = pytest.mark.server

VERSIONS = ("2.51.0", "2.42.0", "2.39.0", "2.36.0", "2.33.0")
# Read when tests are collected: while they run, our variables are hidden from them.
DRAWS = int(os.environ.get("PYTEST_TRITON_TEST_FLAGS", "12"))
TENSORS = """input { name: "X" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }
"""
GROUPS = (
    "",
    "{ kind: KIND_GPU }",
    "{ kind: KIND_CPU }",
    "{ kind: KIND_GPU gpus: [ 1 ] }",
    "{ kind: KIND_GPU }, { kind: KIND_CPU count: 3 }",
    "{ count: 2 }",
    "{ kind: KIND_MODEL }",
    "{ kind: KIND_AUTO gpus: [ 0 ] }",
    '{ kind: KIND_CPU host_policy: "mine" }',
    '{ kind: KIND_GPU rate_limiter { resources { name: "R" count: 2 } } }',
    '{ kind: KIND_CPU rate_limiter { resources { name: "R" count: 4 } } }',
)
MORE = ("", "max_batch_size: 4", "response_cache { enable: true }", "dynamic_batching { }")
CAPABILITIES = ((6, 0), (7, 5), (8, 0), (9, 0))
ENSEMBLE = """platform: "ensemble"
ensemble_scheduling {{ step {{ model_name: "{step}" model_version: -1
  input_map {{ key: "X" value: "X" }} output_map {{ key: "Y" value: "Y" }} }} }}
"""

# What a production line may have; `{n}`, `{m}` are models of the repository.
FLAGS: tuple[tuple[str, ...], ...] = (
    ("--backend-config=default-max-batch-size=8",),
    ("--backend-config=default-max-batch-size=x",),
    ("--backend-config=onnxruntime,default-max-batch-size=0",),
    ("--backend-config=onnxruntime,backend-directory=/nowhere",),
    ("--backend-config=onnxruntime,min-compute-capability=9.0",),
    ("--backend-config=nosuch,setting=1",),
    ("--backend-config=min-compute-capability=7.5",),
    ("--backend-config=min-compute-capability=9.0", "--backend-config=min-compute-capability=6"),
    ("--min-supported-compute-capability=7.5",),
    ("--min-supported-compute-capability=8.005",),
    ("--min-supported-compute-capability=8.01",),
    ("--min-supported-compute-capability=8.05",),
    ("--min-supported-compute-capability=1e1",),
    ("--min-supported-compute-capability=.5",),
    ("--min-supported-compute-capability=-1",),
    ("--min-supported-compute-capability=9.0", "--min-supported-compute-capability=7"),
    ("--cache-config=local,size=1048576",),
    ("--response-cache-byte-size=1048576",),
    ("--host-policy=gpu_0,numa-node=0",),
    ("--host-policy=cpu,cpu-cores=0-1",),
    ("--host-policy=mine,cpu-cores=0-0",),
    ("--model-load-gpu-limit=0:1.0",),
    ("--model-load-gpu-limit=5:0",),
    ("--model-load-gpu-limit=1:1", "--model-load-gpu-limit=1:0"),
    ("--pinned-memory-pool-byte-size=0",),
    ("--pinned-memory-pool-byte-size=192",),
    ("--pinned-memory-pool-byte-size=99999999999999",),
    ("--cuda-memory-pool-byte-size=0:0",),
    ("--cuda-memory-pool-byte-size=5:67108864",),
    ("--rate-limit=execution_count",),
    ("--rate-limit=execution_count", "--rate-limit-resource=R:3"),
    ("--rate-limit=execution_count", "--rate-limit-resource=R:2:1"),
    ("--rate-limit-resource=R:1",),
    ("--strict-readiness=false",),
    ("--disable-auto-complete-config",),
    ("--strict-model-config=true",),
    ("--model-control-mode=explicit", "--load-model={n}"),
    ("--model-control-mode=Explicit", "--load-model={n}", "--load-model={m}"),
    ("--model-control-mode=explicit", "--load-model={m}", "--load-model={m}"),
    ("--model-control-mode=explicit", "--load-model=*"),
    ("--model-control-mode=none",),
    ("--model-config-name=variant",),
    ("--model-config-name=absent",),
    ("--model-config-name=../variant",),
    ("--model-config-name=sub/variant",),
    ("--model-namespacing=true",),
    ("--model-load-thread-count=0",),
    ("--buffer-manager-thread-count=2",),
)
ONCE = ("model-control-mode", "rate-limit", "cache", "compute-capability", "config-name")


def draw_line(chance: random.Random, names: Sequence[str]) -> list[str]:
    """Up to four of the flags, of each theme one."""
    found: list[str] = []
    for flags in chance.sample(FLAGS, chance.randint(1, 4)):
        theme = next((one for one in ONCE if one in flags[0]), "")
        if not theme or not any(theme in one for one in found):
            n, m = chance.choice(names), chance.choice(names)
            found += [one.format(n=n, m=m) for one in flags]
    return found


def draw_repository(chance: random.Random, path: Path) -> list[str]:
    names = [f"m{number}" for number in range(chance.randint(2, 6))]
    for name in names:
        groups = chance.choice(GROUPS)
        config = f'backend: "{chance.choice(["onnxruntime", "pytorch"])}"\n{TENSORS}'
        config += f"{chance.choice(MORE)}\n" + (f"instance_group [ {groups} ]\n" if groups else "")
        write_model(path / name, config)
        for place in ("configs/variant.pbtxt", "variant.pbtxt", "configs/sub/variant.pbtxt"):
            if chance.randrange(4) == 0:
                file = path / name / place
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(config.replace("KIND_GPU", "KIND_CPU"))
    if chance.randrange(3) == 0:
        write_model(path / "whole", ENSEMBLE.format(step=names[0]) + TENSORS)
        names.append("whole")
    return names


def write_model(directory: Path, config: str) -> None:
    (directory / "1").mkdir(parents=True)
    (directory / "config.pbtxt").write_text(config)


def predict(
    path: Path, arguments: Sequence[str], gpus: SimulatedGpus, version: str
) -> dict[str, str] | None:
    """What is predicted of each model of the repository; None: of such a line, nothing is."""
    release = read_version(version)
    assert release is not None
    try:
        line = CommandLine.parse(arguments)
        line.check_known(release)
        checked = CheckedDeployment.read(
            Deployment(str(path), (path,)), line, stated_release=ChosenRelease(release, "a test")
        )
    except (BadArguments, NotLoaded):
        return None
    hardware = NO_GPU
    if gpus.count:
        cards = [Gpu(index, gpus.compute_capability) for index in range(gpus.count)]
        hardware = Hardware(tuple(cards), simulated=True)
    traits = line.traits(with_known_backends(ServerTraits(version=release), ()))
    predictions = checked.predicted.on(hardware, traits)
    found = {name: _predicted(one) for name, one in predictions.items()}
    return {**dict.fromkeys(checked.not_loaded, "not loaded"), **found}


def _predicted(one: Prediction) -> str:
    if one.refusal is not None:
        return f"refused: {one.refusal.reason}"
    groups = [f"{g.kind}x{g.count}{list(g.gpus) if g.kind == 'GPU' else ''}" for g in one.groups]
    return "ready: " + " ".join(groups)


def see(
    path: Path, arguments: Sequence[str], gpus: SimulatedGpus, binary: Path, backends: Path
) -> dict[str, str]:
    """What the core does with each."""
    caches = binary.parent.parent / "caches"
    with bare_server(
        path,
        gpus,
        binary=binary,
        backends=backends,
        arguments=[
            f"--cache-directory={caches}",
            "--allow-metrics=false",
            "--exit-timeout-secs=1",
            *arguments,
        ],
    ) as server:
        return dict(_seen(server))


def _seen(server: BareServer) -> Iterator[tuple[str, str]]:
    for name, entry in server.read_index().items():
        if entry.get("state") == "READY":
            config = server.request(f"/v2/models/{name}/config")
            groups = [
                f"{g['kind'].removeprefix('KIND_')}x{g['count']}{g['gpus'] or ''}"
                for g in config.get("instance_group", ())
            ]
            yield name, "ready: " + " ".join(groups)
        elif entry.get("reason"):
            yield name, f"refused: {classify(entry['reason'])}"
        else:
            yield name, "not loaded"


def differences(
    path: Path, arguments: Sequence[str], gpus: SimulatedGpus, version: str, backends: Path
) -> tuple[list[str], Counter[str]]:
    """Where prediction and core differ, and how many models came to what."""
    binary = server_of_release(version)
    assert binary is not None
    predicted = predict(path, arguments, gpus, version)
    if predicted is None:
        return [], Counter(["no prediction"])
    seen = see(path, arguments, gpus, binary, backends)
    wrong = [
        f"{version} {gpus.count} GPUs {gpus.compute_capability} {' '.join(arguments)}: {name} is "
        f"{seen.get(name, 'not loaded')}, predicted: {what}\n"
        + (path / name / "config.pbtxt").read_text()
        for name, what in predicted.items()
        if not _same(what, seen.get(name, "not loaded"))
    ]
    return wrong, Counter(what.partition(":")[0] for what in predicted.values())


def _same(predicted: str, seen: str) -> bool:
    # What is refused while polling, an ensemble with a refused model too, has no state.
    refused_early = ("refused: ensemble", "refused: config")
    return predicted == seen or (predicted in refused_early and seen == "not loaded")


@pytest.mark.parametrize("version", VERSIONS)
def test_drawn_command_lines_do_what_is_predicted(version: str, tmp_path: Path) -> None:
    if server_of_release(version) is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}")
    backends = assemble_backends(tmp_path / "backends", ["onnxruntime", "pytorch"])
    count = DRAWS * (3 if version == VERSIONS[0] else 1)

    def look(number: int) -> tuple[list[str], Counter[str]]:
        chance = random.Random(f"{version} {number}")
        path = tmp_path / f"models-{number}"
        names = draw_repository(chance, path)
        gpus = SimulatedGpus(chance.randint(0, 3), chance.choice(CAPABILITIES))
        return differences(path, draw_line(chance, names), gpus, version, backends)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(look, range(count)))
    wrong = [text for found, _ in outcomes for text in found]
    assert not wrong, "\n".join(wrong)
    said = sum((counter for _, counter in outcomes), Counter[str]())
    print(f"{version}: {count} command lines, {dict(said)}")
    assert said["ready"]
    if version == VERSIONS[0]:
        assert said["refused"]
        assert said["not loaded"]


CAPABILITY_OF_80 = SimulatedGpus(2, (8, 0))
GPU, CPU = "{ kind: KIND_GPU }", "{ kind: KIND_CPU }"
NO, ON = "refused: no-gpu", "ready: GPUx1[0, 1]"
MEMORY = "refused: gpu-memory"
NAMED = {
    # Read as a fraction, not as digits.
    "hundredths": (["--min-supported-compute-capability=8.05"], GPU, NO),
    "thousandths": (["--min-supported-compute-capability=8.005"], GPU, ON),
    "exponent": (["--min-supported-compute-capability=1e1"], GPU, NO),
    "no digit before the point": (["--min-supported-compute-capability=.5"], GPU, ON),
    "negative": (["--min-supported-compute-capability=-1"], GPU, ON),
    # A setting of all backends counts before the flag, wherever it stands, and the first of two.
    "setting": (["--backend-config=min-compute-capability=9"], GPU, NO),
    "setting before the flag": (
        ["--min-supported-compute-capability=6", "--backend-config=min-compute-capability=9"],
        GPU,
        NO,
    ),
    "first setting": (
        [f"--backend-config=min-compute-capability={one}" for one in (9, 7)],
        GPU,
        NO,
    ),
    "setting of one backend": (
        ["--backend-config=onnxruntime,min-compute-capability=9"],
        GPU,
        ON,
    ),
    # Nothing of a GPU's memory; of two limits of one GPU the first counts.
    "no memory": (["--model-load-gpu-limit=1:0"], GPU, MEMORY),
    "no memory of another": (["--model-load-gpu-limit=7:0"], GPU, ON),
    "first limit": (["--model-load-gpu-limit=0:1", "--model-load-gpu-limit=0:0"], GPU, ON),
    "no memory for CPU models": (["--model-load-gpu-limit=0:0"], CPU, "ready: CPUx2"),
    "no memory without a declaration": (["--model-load-gpu-limit=0:0"], "", MEMORY),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", NAMED)
def test_named_command_line_does_what_is_predicted(case: str, version: str, tmp_path: Path) -> None:
    if server_of_release(version) is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}")
    arguments, groups, expected = NAMED[case]
    declared = f"instance_group [ {groups} ]\n" if groups else ""
    write_model(tmp_path / "models" / "m", f'backend: "onnxruntime"\n{TENSORS}{declared}')
    backends = assemble_backends(tmp_path / "backends", ["onnxruntime"])
    models = tmp_path / "models"
    wrong, _ = differences(models, arguments, CAPABILITY_OF_80, version, backends)
    assert wrong == []
    assert predict(models, arguments, CAPABILITY_OF_80, version) == {"m": expected}


UNUSABLE = (
    "--backend-config=min-compute-capability=x",
    "--backend-config=,default-max-batch-size=8",
    "--cache-config=local,size=1",
    "--cache-config=local,size=x",
    "--response-cache-byte-size=1",
    "--cache-config=local,size=1048576 --response-cache-byte-size=1048576",
    "--host-policy=gpu_0,numa-node=x",
    "--host-policy=gpu_0,cpu-cores=x",
    "--host-policy=gpu_0,other=1",
    "--model-load-gpu-limit=0:1.5",
    "--model-load-gpu-limit=0:-1",
    "--model-load-gpu-limit=x:0.5",
    "--cuda-memory-pool-byte-size=0:x",
    "--pinned-memory-pool-byte-size=100",
    "--rate-limit-resource=R:x",
    "--rate-limit-resource=R:1:x",
)


@pytest.mark.parametrize("text", UNUSABLE)
def test_line_that_is_refused_here_serves_nothing_on_the_core(text: str, tmp_path: Path) -> None:
    binary = server_of_release(VERSIONS[0])
    if binary is None:
        do_without(RELEASES, f"{RELEASES.reason}: {VERSIONS[0]}")
    arguments = text.split()
    with pytest.raises(BadArguments) as refused:
        CommandLine.parse(arguments)
    assert arguments[-1] in refused.value.what or len(arguments) > 1
    write_model(
        tmp_path / "models" / "m", f'backend: "onnxruntime"\n{TENSORS}instance_group [ {GPU} ]\n'
    )
    backends = assemble_backends(tmp_path / "backends", ["onnxruntime"])
    models = tmp_path / "models"
    line = ["--exit-on-error=true", *arguments]
    if _comes_up(models, line, binary, backends):
        assert not see(models, line, CAPABILITY_OF_80, binary, backends)["m"].startswith("ready")


def _comes_up(models: Path, line: Sequence[str], binary: Path, backends: Path) -> bool:
    try:
        see(models, line, CAPABILITY_OF_80, binary, backends)
    except RuntimeError as error:
        if "tritonserver ended" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize("version", VERSIONS)
def test_pool_without_a_byte_ends_old_releases_only(version: str, tmp_path: Path) -> None:
    binary = server_of_release(version)
    if binary is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}")
    arguments = ["--pinned-memory-pool-byte-size=0"]
    write_model(tmp_path / "models" / "m", f'backend: "onnxruntime"\n{TENSORS}')
    backends = assemble_backends(tmp_path / "backends", ["onnxruntime"])
    models = tmp_path / "models"
    predicted = predict(models, arguments, CAPABILITY_OF_80, version)
    assert (predicted is None) == (version != "2.51.0")
    line = ["--exit-on-error=true", *arguments]
    assert _comes_up(models, line, binary, backends) == (predicted is not None)
