"""The metrics as evidence: the parser, where inferences ran, and what real servers count."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_triton.client.address import Endpoint
from pytest_triton.client.endpoints import Endpoints
from pytest_triton.client.metrics import NoMetrics, read_metrics
from pytest_triton.client.tls import OPEN
from pytest_triton.evidence.metrics import (
    MetricsUnreadable,
    Ran,
    Sample,
    devices_that_ran,
    gpu_ids,
    inference_counts,
    labelled_gpus,
    samples,
    what_is_wrong,
)
from pytest_triton.inference.infer import infer
from pytest_triton.options.hosts import ContainerHost, ProcessHost
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.placement.instances import NOTHING, Placement, cpu, gpu, on_model
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import ProcessServer, launch
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.components import need_release

# As tritonserver 2.51.0 writes them, shortened.
TEXT = """\
# HELP nv_inference_count Number of inferences performed (does not include cached requests)
# TYPE nv_inference_count counter
nv_inference_count{gpu_uuid="GPU-b",model="m",version="1"} 5
nv_inference_count{gpu_uuid="GPU-b",model="m",version="3"} 2
nv_inference_count{gpu_uuid="GPU-a",model="m",version="1"} 4
nv_inference_count{model="m",version="1"} 3
nv_inference_count{model="we\\"ird\\\\x",version="1"} 7
# HELP nv_inference_exec_count Number of model executions performed
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{gpu_uuid="GPU-a",model="m",version="1"} 1000
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-b"} 0
nv_gpu_utilization{gpu_uuid="GPU-c"} 0.25
nv_cpu_utilization 0.5
"""


def simulated(number: int) -> str:
    return f"GPU-51300000-0000-0000-0000-{number:012x}"


# --- the text -------------------------------------------------------------------------------------


def test_counts_are_by_gpu_and_of_all_versions() -> None:
    assert inference_counts(TEXT, "m") == {"GPU-a": 4, "GPU-b": 7, "": 3}
    assert inference_counts(TEXT, 'we"ird\\x') == {"": 7}
    assert inference_counts(TEXT, "other") == {}
    assert labelled_gpus(TEXT) == {"GPU-b", "GPU-c"}
    assert labelled_gpus("") == frozenset()


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("up 1", Sample("up", {}, 1.0)),
        ("up{} 1", Sample("up", {}, 1.0)),
        ('up { a = "1" , b="2", } 1e+06 1700000000', Sample("up", {"a": "1", "b": "2"}, 1e6)),
        ('up{a="} 5"} +Inf', Sample("up", {"a": "} 5"}, float("inf"))),
        (r'up{a="\\n\n\""} -1', Sample("up", {"a": '\\n\n"'}, -1.0)),
    ],
)
def test_lines_of_the_format(line: str, sample: Sample) -> None:
    assert list(samples(line)) == [sample]


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        "up",
        "up one",
        "up 1 2 3",
        'up{a="1" 1',
        'up{a="1} 1',
        "up{a=1} 1",
        'up{a="1"b="2"} 1',
        'up{,a="1"} 1',
    ],
)
def test_what_is_no_line_of_it(line: str) -> None:
    with pytest.raises(MetricsUnreadable, match="no line of metrics"):
        list(samples(line))


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def written(counts: Mapping[tuple[str, str, int], int]) -> str:
    """The metrics of such counts, by model, UUID ("" for none) and version."""
    lines = ["# HELP nv_inference_count Number of inferences"]
    for (model, uuid, version), count in counts.items():
        label = f'gpu_uuid="{uuid}",' if uuid else ""
        labels = f'{{{label}model="{escaped(model)}",version="{version}"}}'
        lines += [
            f"nv_inference_count{labels} {count}",
            f"nv_inference_exec_count{labels} {count + 1}",
        ]
    return "\n".join(lines) + "\n"


NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n{},= \x85'))
SERIES = st.tuples(NAMES, st.sampled_from(["", "GPU-a", "GPU-b", "GPU-c"]), st.integers(1, 3))
COUNTS = st.dictionaries(SERIES, st.integers(0, 10**12))


@settings(deadline=None)
@given(COUNTS, st.data())
def test_every_model_is_read_back(
    counts: dict[tuple[str, str, int], int], data: st.DataObject
) -> None:
    models = {model for model, _, _ in counts}
    model = data.draw(st.sampled_from(sorted(models)) if models else NAMES)
    expected: dict[str, int] = {}
    for (name, uuid, _), count in counts.items():
        if name == model:
            expected[uuid] = expected.get(uuid, 0) + count
    assert inference_counts(written(counts), model) == expected


@settings(deadline=None)
@given(st.text() | st.text('nv_inference_count{}=",\\ #1\n'))
def test_any_text_is_read_or_refused(text: str) -> None:
    for prefix in ("", "nv_inference_count"):
        with suppress(MetricsUnreadable):
            list(samples(text, prefix))


# --- two looks ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_what_rose_in_between(
    before: dict[tuple[str, str, int], int], rise: dict[tuple[str, str, int], int]
) -> None:
    """Series may be new; what rose is exactly what was added, for each model."""
    after = {key: before.get(key, 0) + rise.get(key, 0) for key in {**before, **rise}}
    for model in {name for name, _, _ in after}:
        ran = devices_that_ran(written(before), written(after), model)
        added: dict[str, int] = {}
        for (name, uuid, _), count in rise.items():
            if name == model and count:
                added[uuid] = added.get(uuid, 0) + count
        assert ran.total == sum(added.values())
        assert ran.elsewhere == added.get("", 0)
        assert ran.gpus == added.keys() - {""}
        assert ran.by_gpu.keys() == {uuid for name, uuid, _ in after if name == model} - {""}


@pytest.mark.parametrize(
    "after", [TEXT.replace("} 5", "} 1"), TEXT.replace('model="m"', 'model="n"')]
)
def test_reload_in_between_is_noticed(after: str) -> None:
    with pytest.raises(MetricsUnreadable, match="for m became fewer"):
        devices_that_ran(TEXT, after, "m")


def test_text_of_a_count() -> None:
    ids = {"GPU-b": 0, "GPU-a": 1}
    reported = Ran("m", {"GPU-a": 4, "GPU-b": 0}, 0).observation(ids)
    assert (reported.text, reported.trust) == ("4 inferences, GPU 0: 0 · GPU 1: 4", "high")
    reported = Ran("m", {"GPU-b": 1, "GPU-a": 4}, 2).observation({})
    assert (reported.text, reported.trust) == (
        "7 inferences, GPU-a: 4 · GPU-b: 1 · on no GPU: 2",
        "medium",
    )
    assert Ran("m", {}, 1).observation({}).text == "1 inference, on no GPU: 1"
    assert Ran("m", {}, 0).observation({}).text == "0 inferences, on no GPU: 0"


# --- as wanted? -----------------------------------------------------------------------------------

BOTH = gpu(0) + gpu(1)
A, B = "GPU-a", "GPU-b"
KNOWN = {A: 0, B: 1}


@pytest.mark.parametrize(
    ("ran", "wanted", "ids", "why"),
    [
        (Ran("m", {A: 1, B: 2}, 0), BOTH, KNOWN, None),
        (Ran("m", {A: 1, B: 2}, 0), BOTH, {}, None),
        (Ran("m", {A: 3}, 0), gpu(0), {}, None),
        (Ran("m", {A: 1, B: 1}, 1), BOTH + cpu(), KNOWN, None),
        (Ran("m", {}, 3), cpu(), {}, None),
        (Ran("m", {}, 3), on_model(), {}, None),
        (Ran("m", {A: 1, B: 1}, 0), BOTH, KNOWN, "not proven: the metrics count 2 of 3"),
        (Ran("m", {}, 3), gpu(0), {}, "not proven: the metrics name 0 GPUs for its 1"),
        (Ran("m", {A: 3}, 0), BOTH, KNOWN, "not proven: the metrics name 1 GPU for its 2"),
        (Ran("m", {A: 3}, 0), cpu(), KNOWN, "not proven: the metrics name 1 GPU for its 0"),
        (Ran("m", {B: 3}, 0), gpu(0), KNOWN, "ran on GPU 1"),
        (Ran("m", {A: 2}, 1), gpu(0), KNOWN, "1 of 3 inferences ran on no GPU"),
        (Ran("m", {A: 3, B: 0}, 0), BOTH, KNOWN, "nothing ran on GPU 1"),
        (Ran("m", {A: 3, B: 0}, 0), BOTH, {}, "nothing ran on GPU-b"),
        (Ran("m", {A: 3}, 0), gpu(0) + cpu(), KNOWN, "nothing ran on CPU"),
        (Ran("m", {A: 0}, 3), gpu(0) + cpu(), KNOWN, "nothing ran on GPU 0"),
    ],
)
def test_claims(ran: Ran, wanted: Placement, ids: dict[str, int], why: str | None) -> None:
    wrong = what_is_wrong(ran, 3, wanted, ids)
    if why is None:
        assert wrong is None
    else:
        assert wrong is not None
        assert wrong.why.endswith(why) or why in wrong.why


def test_only_idle_devices_may_still_come() -> None:
    idle = what_is_wrong(Ran("m", {A: 3, B: 0}, 0), 3, BOTH, KNOWN)
    wrong = what_is_wrong(Ran("m", {B: 3}, 0), 3, gpu(0), KNOWN)
    assert idle is not None
    assert idle.may_change
    assert wrong is not None
    assert not wrong.may_change


@pytest.mark.parametrize("ids", [KNOWN, {}])
def test_passive_instances_never_run(ids: dict[str, int]) -> None:
    """The model has instances on both GPUs, and those of GPU 1 are passive."""
    assert what_is_wrong(Ran("m", {A: 3, B: 0}, 0), 3, gpu(0), ids, BOTH) is None
    wrong = what_is_wrong(Ran("m", {A: 2, B: 1}, 0), 3, gpu(0), ids, BOTH)
    assert wrong is not None
    assert wrong.why == ("ran on GPU 1" if ids else "ran on GPU-a and GPU-b")


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 3)),
    st.sampled_from([NOTHING, cpu(), on_model(count=2)]),
    st.dictionaries(st.integers(0, 3), st.integers(0, 3)),
    st.integers(0, 3),
    st.booleans(),
)
def test_claim_holds_only_if_each_device_ran_and_no_other(
    devices: set[int], off_gpus: Placement, by_gpu: dict[int, int], elsewhere: int, known: bool
) -> None:
    wanted = Placement([one for device in devices for one in gpu(device)]) + off_gpus
    ran = Ran("m", {simulated(device): count for device, count in by_gpu.items()}, elsewhere)
    ids = {simulated(device): device for device in range(4)}
    if not known:  # then only as many GPUs as are wanted can be asked for
        ids = {}
    holds = (
        ran.total >= 1
        and (by_gpu.keys() == devices if known else len(by_gpu) == len(devices))
        and all(by_gpu.values())
        and bool(elsewhere) == bool(off_gpus)
    )
    assert (what_is_wrong(ran, 1, wanted, ids) is None) == holds


# --- which GPU is which ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "uuids", "ids"),
    [
        ("sim:2", {simulated(0), simulated(15)}, {simulated(0): 0, simulated(15): 15}),
        ("sim:2", {"GPU-a"}, {}),
        ("GPU-b,GPU-a", {"GPU-a", "GPU-b"}, {"GPU-b": 0, "GPU-a": 1}),
        ("GPU-8,GPU-7", {"GPU-7abc", "GPU-8abc"}, {"GPU-8abc": 0, "GPU-7abc": 1}),
        ("GPU-7", {"GPU-71", "GPU-72"}, {}),
        ("all", {simulated(0)}, {}),
        ("2", {"GPU-a", "GPU-b"}, {}),
        ("0,1", {"GPU-a", "GPU-b"}, {}),
    ],
)
def test_ids_are_reported_only_where_they_are_certain(
    gpus: str, uuids: set[str], ids: dict[str, int]
) -> None:
    spec = ServerSpec((), HardwareRequest.parse(gpus))
    assert gpu_ids(spec, frozenset(uuids)) == ids
    if not spec.hardware.simulated:  # CUDA has an order of its own in a container
        assert gpu_ids(replace(spec, host=ContainerHost()), frozenset(uuids)) == {}


# --- real servers ---------------------------------------------------------------------------------


@contextmanager
def serving(repository: Path, gpus: str, version: str | None = None) -> Iterator[ProcessServer]:
    hardware = HardwareRequest.parse(gpus)
    spec = ServerSpec(
        (repository,), hardware, ProcessHost(version=version), stand_ins=OFFICIAL_BACKENDS
    )
    server = launch(replace(spec, model_control="explicit"))
    try:
        server.wait_until_live()
        yield server
    finally:
        server.stop()


def look_after(server: ProcessServer, model: str, before: str, requests: int) -> Ran:
    """What rose once Triton has counted them all; it answers before it counts."""
    for _ in range(requests):
        infer(server.view.endpoints, model)
    deadline = time.monotonic() + 60
    while True:
        ran = devices_that_ran(before, read_metrics(server.view.endpoints), model)
        if ran.total >= requests or time.monotonic() > deadline:
            return ran
        time.sleep(0.01)


@pytest.mark.server
@pytest.mark.parametrize("release", ["2.36.0", "2.39.0", "2.42.0", "2.51.0"])
def test_what_servers_count(repository: RepositoryBuilder, release: str) -> None:
    """Without labels for what was loaded at the start; with them, for all releases, afterwards."""
    need_release(release)
    from tritonclient.grpc import InferenceServerClient

    names = {
        "two": "{ kind: KIND_GPU }",
        "second": "{ kind: KIND_GPU gpus: [ 1 ] }",
        "mixed": "{ kind: KIND_GPU }, { kind: KIND_CPU }",
        'sm"all\\': "{ kind: KIND_CPU count: 2 }",
        "on model": "{ kind: KIND_MODEL }",
    }
    for name, groups in names.items():
        repository.add(name, groups)
    with serving(repository.path, "sim:3", release) as server:
        before = read_metrics(server.view.endpoints)
        assert labelled_gpus(before) == {simulated(0), simulated(1), simulated(2)}
        assert look_after(server, "two", before, 4) == Ran("two", {}, 4)
        client = InferenceServerClient(server.grpc)
        for name in names:
            client.unload_model(name)
            while client.is_model_ready(name) or inference_counts(
                read_metrics(server.view.endpoints), name
            ):
                time.sleep(0.01)
            client.load_model(name)
        client.close()
        before = read_metrics(server.view.endpoints)
        found = {name: look_after(server, name, before, 12) for name in names}
        ids = gpu_ids(server.spec, labelled_gpus(before))
    assert {name: ran.total for name, ran in found.items()} == dict.fromkeys(names, 12)
    gpus = {name: {ids[uuid] for uuid in ran.gpus} for name, ran in found.items()}
    assert gpus == {
        "two": {0, 1, 2},
        "second": {1},
        "mixed": {0, 1, 2},
        'sm"all\\': set(),
        "on model": set(),
    }
    elsewhere = {name for name, ran in found.items() if ran.elsewhere}
    assert elsewhere == {"mixed", 'sm"all\\', "on model"}


@pytest.mark.server
def test_release_without_metrics(repository: RepositoryBuilder) -> None:
    need_release("2.33.0")
    with (
        serving(repository.path, "none", "2.33.0") as server,
        pytest.raises(NoMetrics, match="take a newer release"),
    ):
        read_metrics(server.view.endpoints)


@pytest.mark.server
def test_servers_without_known_metrics(repository: RepositoryBuilder) -> None:
    with serving(repository.path, "none") as server:
        view = server.view
        assert labelled_gpus(read_metrics(view.endpoints)) == frozenset()
        known = view.endpoints
        attached = Endpoints.at(Endpoint.parse("grpc://127.0.0.1:8001"), OPEN, "it")
        with pytest.raises(NoMetrics, match="isn't known"):
            read_metrics(attached)
        with pytest.raises(NoMetrics, match="has no metrics"):
            read_metrics(replace(known, metrics=""))
        with pytest.raises(NoMetrics, match="with 4"):
            read_metrics(replace(known, metrics=known.http))
