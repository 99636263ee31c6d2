"""The simulated GPUs: called directly, and as a real tritonserver sees them."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_triton.rehearsal.simulation import (
    GPUS_LIBRARY,
    NativeLibraryMissing,
    SimulatedGpus,
    environment,
    library,
    write_control,
)
from support.bad_control_files import BAD_CONTROL
from support.bare_server import (
    bare_server,
    once_counted,
    server_libraries,
    tritonserver,
    write_model,
)
from support.native_build import device_prop_offsets

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INITIALIZATION = 0, 1, 2, 3
DRIVER_TOO_OLD, NO_DEVICE, INVALID_DEVICE, NOT_SUPPORTED, UNKNOWN = 35, 100, 101, 801, 999


class Cuda:
    """The library, called directly, with a control file of its own."""

    def __init__(self, control: Path) -> None:
        self.control = control
        self.calls = ctypes.CDLL(str(library(GPUS_LIBRARY)))
        self.calls.cudaGetErrorString.restype = ctypes.c_char_p
        self.calls.cudaGetErrorName.restype = ctypes.c_char_p

    def set(self, gpus: SimulatedGpus) -> int:
        write_control(self.control, gpus)
        return self.count()[0]

    def count(self) -> tuple[int, int]:
        """Error code and number of GPUs; reads the control file."""
        number = ctypes.c_int(-1)
        error = self.calls.cudaGetDeviceCount(ctypes.byref(number))
        return error, number.value

    def properties(self, device: int, cuda: int) -> dict[str, bytes]:
        """The device's cudaDeviceProp: field -> the bytes from its offset on."""
        function, size = {
            12: (self.calls.cudaGetDeviceProperties_v2, 1032),
            13: (self.calls.cudaGetDeviceProperties, 1008),
        }[cuda]
        guard = b"\xa5" * 64
        buffer = ctypes.create_string_buffer(b"\xff" * size + guard, size + len(guard))
        assert function(buffer, device) == SUCCESS
        assert buffer.raw[size:] == guard, "wrote behind the structure"
        return {
            name: buffer.raw[offsets[cuda - 12] : size]
            for name, offsets in device_prop_offsets().items()
            if offsets[cuda - 12] is not None
        }

    def pci_bus_id(self, device: int) -> str:
        text = ctypes.create_string_buffer(64)
        assert self.calls.cudaDeviceGetPCIBusId(text, 64, device) == SUCCESS
        return text.value.decode()

    def malloc(self, size: int) -> tuple[int, int | None]:
        address = ctypes.c_void_p()
        error = self.calls.cudaMalloc(ctypes.byref(address), ctypes.c_size_t(size))
        return error, address.value

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the current device."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        error = self.calls.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        assert error == SUCCESS
        return free.value, total.value


@pytest.fixture
def cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cuda:
    control = tmp_path / "gpus"
    monkeypatch.setenv("PYTEST_TRITON_GPUS_FILE", str(control))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cuda = Cuda(control)
    assert cuda.set(SimulatedGpus(1)) == SUCCESS
    assert cuda.calls.cudaSetDevice(0) == SUCCESS
    cuda.calls.cudaGetLastError()
    return cuda


def as_int(raw: bytes, size: int = 4) -> int:
    return int.from_bytes(raw[:size], "little")


# ---- devices -------------------------------------------------------------------------------


@given(
    count=st.integers(1, 16),
    capability=st.tuples(st.integers(1, 99), st.integers(0, 9)),
    memory_mib=st.integers(1, 1 << 24),
    cuda_version=st.sampled_from([12, 13]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_devices_are_as_the_control_file_says(
    cuda: Cuda, count: int, capability: tuple[int, int], memory_mib: int, cuda_version: int
) -> None:
    cuda.set(SimulatedGpus(count, capability, memory_mib))
    assert cuda.count() == (SUCCESS, count)
    for device in range(count):
        properties = cuda.properties(device, cuda_version)
        assert properties["name"].split(b"\0")[0] == b"Simulated GPU"
        assert (as_int(properties["major"]), as_int(properties["minor"])) == capability
        assert as_int(properties["totalGlobalMem"], 8) == memory_mib << 20
        assert properties["uuid"][:16] == b"\x51\x30" + bytes(13) + bytes([device])
        assert as_int(properties["pciBusID"]) == device + 1
        assert cuda.pci_bus_id(device) == f"0000:{device + 1:02X}:00.0"
    assert cuda.calls.cudaSetDevice(count) == INVALID_DEVICE
    assert cuda.calls.cudaSetDevice(-1) == INVALID_DEVICE


def test_no_gpus(cuda: Cuda) -> None:
    cuda.set(SimulatedGpus(0))
    assert cuda.count() == (NO_DEVICE, 0)
    assert cuda.calls.cudaSetDevice(0) == NO_DEVICE
    assert cuda.malloc(8) == (NO_DEVICE, None)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("driver-too-old", DRIVER_TOO_OLD), ("no-device", NO_DEVICE), ("unknown", UNKNOWN)],
)
def test_faults(cuda: Cuda, fault: str, error: int) -> None:
    cuda.set(SimulatedGpus(2, fault=fault))
    assert cuda.count() == (error, 0)
    assert cuda.calls.cudaGetLastError() == error
    assert cuda.calls.cudaGetLastError() == SUCCESS
    assert cuda.calls.cudaSetDevice(0) == error


def test_each_gpu_can_have_its_own_compute_capability(cuda: Cuda) -> None:
    cuda.control.write_text("# two kinds\ncount=2\ncompute_capability=7.5,9.0  # T4, H100\n")
    assert cuda.count() == (SUCCESS, 2)
    found = [cuda.properties(device, 12) for device in range(2)]
    assert [(as_int(p["major"]), as_int(p["minor"])) for p in found] == [(7, 5), (9, 0)]


@pytest.mark.parametrize("text", BAD_CONTROL.values(), ids=BAD_CONTROL.keys())
def test_bad_control_file_is_an_error_and_is_reported(
    cuda: Cuda, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    cuda.control.write_text(text)
    assert cuda.count() == (INITIALIZATION, 0)
    assert cuda.count() == (INITIALIZATION, 0)
    said = capfd.readouterr().err
    assert said.count("pytest-triton: simulated GPUs: ") == 1, "said once, not at each call"
    assert str(cuda.control) in said
    assert str(cuda.control) in cuda.calls.cudaGetErrorString(INITIALIZATION).decode()
    cuda.set(SimulatedGpus(1))
    assert cuda.count() == (SUCCESS, 1)


def test_missing_control_file_is_an_error(
    cuda: Cuda, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda.control.unlink()
    assert cuda.count() == (INITIALIZATION, 0)
    assert "No such file" in capfd.readouterr().err
    cuda.control.mkdir()
    assert cuda.count() == (INITIALIZATION, 0)
    assert "Is a directory" in capfd.readouterr().err
    monkeypatch.delenv("PYTEST_TRITON_GPUS_FILE")
    assert cuda.count() == (INITIALIZATION, 0)
    assert "PYTEST_TRITON_GPUS_FILE is not set" in capfd.readouterr().err


@given(
    st.lists(
        st.sampled_from(
            ["count=2", "compute_capability=", "8.0", ",", "\n", "fault=none", "=", "#", "\0"]
        )
        | st.text(max_size=20)
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_text_can_break_the_reading(cuda: Cuda, pieces: list[str]) -> None:
    cuda.control.write_bytes("".join(pieces).encode("utf-8", "surrogatepass"))
    error, count = cuda.count()
    assert (error, count) in [(SUCCESS, n) for n in range(1, 17)] + [
        (NO_DEVICE, 0),
        (INITIALIZATION, 0),
    ]


# ---- CUDA_VISIBLE_DEVICES --------------------------------------------------------------------


def visible(variable: str | None, count: int) -> list[int]:
    """What CUDA makes of the variable (PyTorch's torch/cuda/__init__.py documents the rules)."""
    if variable is None:
        return list(range(count))
    uuids = [f"GPU-51300000-0000-0000-0000-{n:012x}" for n in range(count)]
    chosen: list[int] = []
    for entry in variable.split(","):
        entry = entry.strip(" ")
        if entry.lower().startswith("gpu-"):
            found = [n for n, u in enumerate(uuids) if u.lower().startswith(entry.lower())]
        else:
            found = [int(entry)] if entry.isdigit() and int(entry) < count else []
        if len(found) != 1:
            break
        if found[0] in chosen:
            return []
        chosen += found
    return chosen


def seen(cuda: Cuda) -> list[int]:
    _, count = cuda.count()
    return [as_int(cuda.properties(device, 12)["pciBusID"]) - 1 for device in range(count)]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("0", [0]),
        ("2,0", [2, 0]),
        ("1, 3", [1, 3]),
        ("0,7,1", [0]),
        ("-1", []),
        ("1,-1,2", [1]),
        ("NoDevFiles", []),
        ("0,0", []),
        ("GPU-51300000-0000-0000-0000-000000000003,0", [3, 0]),
        ("gpu-51300000", []),
        ("GPU-ffff", []),
    ],
)
def test_cuda_visible_devices(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: list[int]
) -> None:
    cuda.set(SimulatedGpus(4))
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert seen(cuda) == expected
    assert visible(variable, 4) == expected


@given(
    st.integers(0, 16),
    st.lists(
        st.integers(-2, 18).map(str)
        | st.sampled_from(["", " ", "GPU-51300000", "GPU-", "gpu", "all", "none"])
        | st.integers(0, 17).map(lambda n: f"GPU-51300000-0000-0000-0000-{n:012x}"),
        max_size=6,
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_cuda_visible_devices_as_cuda_reads_it(cuda: Cuda, count: int, entries: list[str]) -> None:
    variable = ",".join(entries)
    os.environ["CUDA_VISIBLE_DEVICES"] = variable
    try:
        cuda.set(SimulatedGpus(count))
        assert seen(cuda) == visible(variable, count)
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]


# ---- memory, streams, events, kernels ---------------------------------------------------------


def test_memory_is_counted_per_device(cuda: Cuda) -> None:
    cuda.set(SimulatedGpus(2, memory_mib=4))
    assert cuda.memory() == (4 << 20, 4 << 20)
    error, address = cuda.malloc(3 << 20)
    assert error == SUCCESS
    assert cuda.memory() == (1 << 20, 4 << 20)
    assert cuda.malloc(2 << 20) == (OUT_OF_MEMORY, None)
    assert cuda.calls.cudaSetDevice(1) == SUCCESS
    assert cuda.memory() == (4 << 20, 4 << 20)
    assert cuda.calls.cudaSetDevice(0) == SUCCESS
    assert cuda.calls.cudaFree(ctypes.c_void_p(address)) == SUCCESS
    assert cuda.memory() == (4 << 20, 4 << 20)
    assert cuda.calls.cudaFree(ctypes.c_void_p(12345)) == INVALID_VALUE
    assert cuda.calls.cudaFree(None) == SUCCESS


def test_copies_and_fills(cuda: Cuda) -> None:
    _, address = cuda.malloc(64)
    device = ctypes.c_void_p(address)
    assert cuda.calls.cudaMemset(device, 7, ctypes.c_size_t(64)) == SUCCESS
    assert cuda.calls.cudaMemcpy(device, b"hello", ctypes.c_size_t(5), 1) == SUCCESS
    back = ctypes.create_string_buffer(8)
    assert cuda.calls.cudaMemcpyAsync(back, device, ctypes.c_size_t(6), 2, None) == SUCCESS
    assert back.raw == b"hello\x07\0\0"
    assert cuda.calls.cudaMemcpyPeer(device, 5, device, 0, ctypes.c_size_t(1)) == INVALID_DEVICE
    assert cuda.calls.cudaMemcpy(None, device, ctypes.c_size_t(1), 1) == INVALID_VALUE
    cuda.calls.cudaFree(device)


def test_memory_can_be_shared_with_another_process(cuda: Cuda) -> None:
    _, address = cuda.malloc(100)
    assert address is not None
    ctypes.memmove(address, b"from the parent", 15)
    handle = ctypes.create_string_buffer(64)
    assert cuda.calls.cudaIpcGetMemHandle(handle, ctypes.c_void_p(address)) == SUCCESS
    child = f"""
import ctypes
class Handle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_char * 64)]
calls = ctypes.CDLL({str(library(GPUS_LIBRARY))!r})
handle = Handle.from_buffer_copy(bytes.fromhex({handle.raw.hex()!r}))
address = ctypes.c_void_p()
assert calls.cudaIpcOpenMemHandle(ctypes.byref(address), handle, 1) == 0
print(ctypes.string_at(address.value, 15).decode())
ctypes.memmove(address.value, b"from the child!", 15)
assert calls.cudaIpcCloseMemHandle(address) == 0
wrong = Handle.from_buffer_copy(bytes(64))
assert calls.cudaIpcOpenMemHandle(ctypes.byref(address), wrong, 1) == {INVALID_VALUE}
"""
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("from the parent\n", "")
    assert ctypes.string_at(address, 15) == b"from the child!"
    cuda.calls.cudaFree(ctypes.c_void_p(address))
    assert cuda.calls.cudaIpcGetMemHandle(handle, ctypes.c_void_p(address)) == INVALID_VALUE


def test_host_functions_run_and_events_report_time(cuda: Cuda) -> None:
    stream, start, end = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    calls = cuda.calls
    assert calls.cudaStreamCreateWithPriority(ctypes.byref(stream), 1, -2) == SUCCESS
    flags = ctypes.c_uint()
    assert calls.cudaStreamGetFlags(stream, ctypes.byref(flags)) == SUCCESS
    assert flags.value == 1
    seen_data: list[int] = []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda data: seen_data.append(data))
    for event in (start, end):
        assert calls.cudaEventCreate(ctypes.byref(event)) == SUCCESS
    assert calls.cudaEventRecord(start, stream) == SUCCESS
    assert calls.cudaLaunchHostFunc(stream, callback, ctypes.c_void_p(42)) == SUCCESS
    assert calls.cudaEventRecord(end, stream) == SUCCESS
    assert calls.cudaStreamSynchronize(stream) == SUCCESS
    assert seen_data == [42]
    elapsed = ctypes.c_float(-1)
    assert calls.cudaEventElapsedTime(ctypes.byref(elapsed), start, end) == SUCCESS
    assert elapsed.value >= 0
    for event in (start, end):
        calls.cudaEventDestroy(event)
    calls.cudaStreamDestroy(stream)


def test_kernels_are_refused(cuda: Cuda) -> None:
    class Dim3(ctypes.Structure):
        _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]

    one = Dim3(1, 1, 1)
    assert cuda.calls.cudaLaunchKernel(None, one, one, None, 0, None) == NOT_SUPPORTED
    assert cuda.calls.cudaGetErrorName(NOT_SUPPORTED) == b"cudaErrorNotSupported"


def test_peers(cuda: Cuda) -> None:
    cuda.set(SimulatedGpus(3))
    can = ctypes.c_int(-1)
    for first, second, expected in [(0, 2, 1), (1, 1, 0)]:
        assert cuda.calls.cudaDeviceCanAccessPeer(ctypes.byref(can), first, second) == SUCCESS
        assert can.value == expected
    assert cuda.calls.cudaDeviceCanAccessPeer(ctypes.byref(can), 0, 3) == INVALID_DEVICE
    assert cuda.calls.cudaDeviceEnablePeerAccess(2, 0) == SUCCESS
    assert cuda.calls.cudaDeviceEnablePeerAccess(2, 0) == 704
    assert cuda.calls.cudaDeviceEnablePeerAccess(0, 0) == INVALID_DEVICE


# ---- the Python side --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"count": -1},
        {"count": 17},
        {"count": 1, "compute_capability": (0, 0)},
        {"count": 1, "compute_capability": (8, 10)},
        {"count": 1, "memory_mib": 0},
        {"count": 1, "fault": "broken"},
    ],
)
def test_values_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="simulated GPUs: "):
        SimulatedGpus(**bad)  # type: ignore[arg-type]


def test_environment_keeps_what_was_preloaded(tmp_path: Path) -> None:
    ours = str(library(GPUS_LIBRARY))
    found = environment(tmp_path / "gpus", {"LD_PRELOAD": "/a.so /b.so"})
    assert found["LD_PRELOAD"] == f"/a.so:/b.so:{ours}"
    assert found["PYTEST_TRITON_GPUS_FILE"] == str(tmp_path / "gpus")
    assert environment(tmp_path, found)["LD_PRELOAD"] == found["LD_PRELOAD"]
    assert environment(tmp_path, {})["LD_PRELOAD"] == ours


def test_missing_library_names_the_fix() -> None:
    with pytest.raises(NativeLibraryMissing) as caught:
        library("libnowhere.so")
    text = str(caught.value)
    assert "libnowhere.so isn't there" in text
    assert "install a C compiler" in text


# ---- a real server ----------------------------------------------------------------------------


def test_every_function_that_a_server_asks_for_is_there() -> None:
    binary = tritonserver()
    tree = binary.parent.parent
    files = [binary, *tree.rglob("libtriton_python.so"), *tree.rglob("*_python_backend_stub")]
    for folder in [*server_libraries(binary), tree / "lib"]:
        files += folder.glob("libtritonserver*.so*")
    assert len(files) > 2

    def names(kind: str, path: Path) -> set[str]:
        listed = subprocess.run(
            ["nm", "-D", kind, str(path)], capture_output=True, text=True, check=True
        ).stdout
        symbols = {line.split()[-1].partition("@")[0] for line in listed.splitlines()}
        return {name for name in symbols if name.lstrip("_").startswith(("cuda", "dcgm"))}

    offered = names("--defined-only", library(GPUS_LIBRARY))
    asked = set().union(*(names("--undefined-only", path) for path in files))
    assert len([name for name in asked if name.startswith("cuda")]) > 30
    assert len([name for name in asked if name.startswith("dcgm")]) > 10
    assert asked - offered == set()


def test_metrics_name_the_simulated_gpus(tmp_path: Path) -> None:
    """gpu_uuid labels, after CUDA_VISIBLE_DEVICES, and DCGM's gauges."""
    io = 'input { name: "x" data_type: TYPE_FP32 dims: [1] }'
    write_model(tmp_path, "m", f'backend: "identity" instance_group {{ kind: KIND_GPU }} {io}')
    uuids = [f"GPU-51300000-0000-0000-0000-{n:012x}" for n in range(3)]
    with bare_server(
        tmp_path,
        SimulatedGpus(3, memory_mib=1024),
        variables={"CUDA_VISIBLE_DEVICES": "2,0"},
        arguments=["--model-control-mode=explicit"],
    ) as server:
        if server.version() < (2, 34):
            pytest.skip("2.33.0 can't bind its metrics to one address: they are off in tests")
        server.load("m")
        for _ in range(8):
            server.infer("m", [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}])

        def counts() -> dict[str, int]:
            of_m = r'nv_inference_count{gpu_uuid="([^"]+)",model="m",[^}]*} (\d+)'
            return {uuid: int(count) for uuid, count in re.findall(of_m, server.metrics())}

        assert once_counted(lambda: sum(counts().values()), 8) == 8
        assert counts().keys() == {uuids[0], uuids[2]}
        metrics = server.metrics()
        assert "Collecting metrics for GPU 1: Simulated GPU" in server.log
    for uuid in (uuids[0], uuids[2]):
        assert f'nv_gpu_memory_total_bytes{{gpu_uuid="{uuid}"}} 1073741824' in metrics
        assert f'nv_gpu_memory_used_bytes{{gpu_uuid="{uuid}"}} 67108864' in metrics
        assert f'nv_gpu_power_limit{{gpu_uuid="{uuid}"}} 400' in metrics
    assert uuids[1] not in metrics


NO_GPUS = "has kind KIND_GPU but no GPUs are available"
CPU_WITH_GPUS = "has kind KIND_CPU but specifies one or more GPUs"


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model for each row of the table of outcomes."""
    repository = tmp_path_factory.mktemp("declarations")
    groups = {
        "nothing": "",
        "auto": "instance_group { count: 1 }",
        "auto_0": "instance_group { gpus: [0] }",
        "auto_0123": "instance_group { gpus: [0, 1, 2, 3] }",
        "gpu": "instance_group { kind: KIND_GPU }",
        "gpu_1": "instance_group { kind: KIND_GPU gpus: [1] }",
        "cpu": "instance_group { kind: KIND_CPU }",
        "cpu_0": "instance_group { kind: KIND_CPU gpus: [0] }",
        "model": "instance_group { kind: KIND_MODEL }",
        "mixed": "instance_group [{ kind: KIND_GPU }, { kind: KIND_CPU }]",
    }
    for name, group in groups.items():
        write_model(repository, name, f'backend: "identity"\n{group}\n')
    return repository


# Rows of the outcome table: model -> what 0, 1 and 2 GPUs make of it.
OUTCOMES = {
    "nothing": ["cpu", "gpu(0)", "gpu(0) gpu(1)"],
    "auto": ["cpu", "gpu(0)", "gpu(0) gpu(1)"],
    "auto_0": [CPU_WITH_GPUS, "gpu(0)", "gpu(0)"],
    "auto_0123": [CPU_WITH_GPUS] * 3,
    "gpu": [NO_GPUS, "gpu(0)", "gpu(0) gpu(1)"],
    "gpu_1": ["unsupported gpu id 1", "unsupported gpu id 1", "gpu(1)"],
    "cpu": ["cpu", "cpu", "cpu"],
    "cpu_0": [CPU_WITH_GPUS] * 3,
    "model": ["model", "model", "model"],
    "mixed": [NO_GPUS, "gpu(0) cpu", "gpu(0) gpu(1) cpu"],
}


def assert_outcomes(repository: Path, gpus: SimulatedGpus, column: int, **more: str) -> None:
    with bare_server(repository, gpus, variables=more) as server:
        found = {model: server.placement(model) for model in OUTCOMES}
        log = server.log
    for model, columns in OUTCOMES.items():
        expected = columns[column]
        if " " in expected and "(" not in expected:
            assert expected in found[model], model
        else:
            assert found[model] == expected, model
    for device in range(column):
        assert f"CUDA memory pool is created on device {device}" in log


@pytest.mark.parametrize("count", [0, 1, 2])
def test_outcomes_of_a_real_server(declarations: Path, count: int) -> None:
    assert_outcomes(declarations, SimulatedGpus(count), count)


def test_gpus_hidden_by_cuda_visible_devices(declarations: Path) -> None:
    assert_outcomes(declarations, SimulatedGpus(4), 0, CUDA_VISIBLE_DEVICES="")


def test_gpus_chosen_by_cuda_visible_devices(declarations: Path) -> None:
    assert_outcomes(declarations, SimulatedGpus(4), 2, CUDA_VISIBLE_DEVICES="3,1")


@pytest.mark.parametrize("fault", ["driver-too-old", "no-device"])
def test_faults_that_a_server_takes_for_no_gpu(declarations: Path, fault: str) -> None:
    assert_outcomes(declarations, SimulatedGpus(2, fault=fault), 0)


def test_gpus_below_the_minimum_are_dropped(declarations: Path) -> None:
    assert_outcomes(declarations, SimulatedGpus(2, compute_capability=(5, 2)), 0)


def test_another_cuda_error_refuses_every_model(declarations: Path) -> None:
    with bare_server(declarations, SimulatedGpus(2, fault="unknown")) as server:
        found = {model: server.placement(model) for model in OUTCOMES}
    message = "unable to get number of CUDA devices: unknown error"
    assert {model for model, text in found.items() if message in text} == set(OUTCOMES)


def test_bad_control_file_refuses_every_model(declarations: Path, tmp_path: Path) -> None:
    control = tmp_path / "gpus"
    control.write_text("count=two\n")
    with bare_server(declarations, control=control) as server:
        found = {model: server.placement(model) for model in OUTCOMES}
        assert f"pytest-triton: simulated GPUs: control file {control}: line 1" in server.log
    message = "line 1 is not understood: count=two"
    assert {model for model, text in found.items() if message in text} == set(OUTCOMES)


def test_gpus_can_be_taken_away_and_given_back(declarations: Path) -> None:
    arguments = ["--model-control-mode=explicit", "--load-model=gpu"]
    with bare_server(declarations, SimulatedGpus(2), arguments=arguments) as server:
        assert server.placement("gpu") == "gpu(0) gpu(1)"
        server.unload("gpu")
        server.set_gpus(SimulatedGpus(0))
        assert NO_GPUS in server.load("gpu")["error"]
        server.load("nothing")
        assert server.placement("nothing") == "cpu"
        server.set_gpus(SimulatedGpus(1))
        assert server.load("gpu") is None
        assert server.placement("gpu") == "gpu(0)"
