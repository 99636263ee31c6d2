"""The C sources: warnings, sanitizers, and the build hook that compiles them for users."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_triton.rehearsal import simulation
from pytest_triton.rehearsal.simulation import SimulatedGpus
from support.bad_control_files import BAD_CONTROL
from support.bare_server import BareServer, bare_server, write_model
from support.native_build import NATIVE, build_hook

HERE = Path(__file__).parent
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    return build_hook()


@pytest.fixture(scope="module")
def programs(hook: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """check_json and check_gpus, compiled with the sanitizers."""
    place = tmp_path_factory.mktemp("programs")
    sources = {"check_json": ["json.c"], "check_gpus": ["simulated_gpus.c", "simulated_dcgm.c"]}
    for program, parts in sources.items():
        command = [*hook.compiler(), "-std=c11", "-Wall", "-Wextra", "-Werror", *SANITIZERS]
        command += ["-I", str(NATIVE), str(HERE / f"{program}.c")]
        command += [str(NATIVE / part) for part in parts]
        subprocess.run([*command, "-o", str(place / program)], check=True)
    return place


def run_program(program: Path, documents: list[bytes], *arguments: str, **more: str) -> list[str]:
    """The program's lines, one for each document. Fails on any finding of the sanitizers."""
    sent = b"".join(struct.pack("I", len(text)) + text for text in documents)
    env = {**os.environ, **more}
    env.pop("LD_PRELOAD", None)
    command = [str(program), *arguments]
    done = subprocess.run(command, input=sent, capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(documents)
    return lines


# ---- the JSON reader ---------------------------------------------------------------------------


def expected_line(document: dict[str, Any]) -> str:
    name, line = document["name"].encode(), ""
    if len(name) < 64 and b"\0" not in name:
        line += f"name={name.hex()}"
    if "outer" in document:
        line += f" inner={len(document['outer']['name'].encode())}"
    line += f" count={document['count']} dims="
    line += "".join(f"{dim}," for dim in document["dims"])
    return line + (" flag" if document["flag"] else "")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(-(2**63), 2**63 - 1)
anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
documents = st.builds(
    lambda before, known, after: {**before, **known, **after},
    st.dictionaries(texts.map(lambda w: "before " + w), anything, max_size=3),
    st.fixed_dictionaries(
        {
            "name": texts,
            "count": numbers,
            "dims": st.lists(numbers, max_size=5),
            "flag": st.booleans(),
        },
        optional={"outer": st.just({"x": [{"name": "not this"}], "name": "inner"})},
    ),
    st.dictionaries(texts.map(lambda w: "after " + w), anything, max_size=3),
)
layouts = st.sampled_from([{"indent": None}, {"indent": 2}, {"separators": (",", ":")}])


@given(st.lists(st.tuples(documents, layouts, st.booleans()), max_size=20))
@settings(max_examples=60)
def test_json_is_read_as_python_reads_it(
    programs: Path, cases: list[tuple[dict[str, Any], dict[str, Any], bool]]
) -> None:
    texts = [
        json.dumps(document, ensure_ascii=escaped, **layout).encode()
        for document, layout, escaped in cases
    ]
    assert run_program(programs / "check_json", texts) == [
        expected_line(document) for document, _, _ in cases
    ]


@given(st.lists(documents, min_size=1, max_size=10), st.integers(0, 2**32))
@settings(max_examples=60)
def test_malformed_json_harms_nothing(
    programs: Path, cases: list[dict[str, Any]], seed: int
) -> None:
    choose = random.Random(seed)
    broken = []
    for case in cases:
        text = bytearray(json.dumps(case, ensure_ascii=choose.random() < 0.5).encode())
        for _ in range(choose.randint(1, 4)):
            at = choose.randrange(len(text) + 1)
            text[at : at + choose.randint(0, 3)] = choose.choice(
                [b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u12", b"\xff", b"\0"]
            )
        broken += [bytes(text), bytes(text[: choose.randrange(len(text) + 1)])]
    run_program(programs / "check_json", broken)


def test_json_by_hand(programs: Path) -> None:
    cases = {
        b"": " dims=",
        b"{}": " dims=",
        b'{"name"': " dims=",
        b'{"name":"a"': "name=61 dims=",
        b'{"name":"a': " dims=",
        b'{"count":"-12"}': " count=-12 dims=",
        b'{"count":9223372036854775808}': " dims=",
        b'{"count":1.5}': " dims=",
        b'{"count":-}': " dims=",
        b'{"dims":[1,"2",x,4]}': " dims=1,2,?,4,",
        b'{"dims":[1,2': " dims=",
        b'{"other":{"name":"b"},"name":"\\ud83d\\ude00\\u00e9"}': "name=f09f9880c3a9 dims=",
        b'{"name":"' + b"x" * 64 + b'"}': " dims=",
        b"[" * 100000: " dims=",
        b'{"a":' * 50000 + b"1": " dims=",
    }
    assert run_program(programs / "check_json", list(cases)) == list(cases.values())


# ---- the simulated GPUs -----------------------------------------------------------------------


def test_simulated_gpus_under_sanitizers(programs: Path, tmp_path: Path) -> None:
    control = tmp_path / "gpus"
    good = [SimulatedGpus(count, (7, 5), 1 + count).control_text().encode() for count in range(17)]
    bad = [text.encode() for text in BAD_CONTROL.values()]
    lines = run_program(
        programs / "check_gpus", good + bad, str(control), PYTEST_TRITON_GPUS_FILE=str(control)
    )
    found = [tuple(map(int, line.split()[:2])) for line in lines]
    assert found[:17] == [(100, 0), *((0, count) for count in range(1, 17))]
    assert set(found[17:]) == {(3, 0)}


# ---- both in a real server --------------------------------------------------------------------


def test_real_server_under_sanitizers(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loads, places, answers and unloads with instrumented libraries: no finding.

    Leaks are looked for in the programs above: the server itself doesn't free all at its end.
    """
    for name in hook.LIBRARIES:
        hook.compile_library(name, tmp_path, SANITIZERS)
    monkeypatch.setattr(simulation, "NATIVE_DIRECTORY", tmp_path)
    # The sanitizer's library must come first.
    runtime = subprocess.run(
        [*hook.compiler(), "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    monkeypatch.setenv("LD_PRELOAD", runtime)
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0:alloc_dealloc_mismatch=0")
    repository = tmp_path / "models"
    config = """max_batch_size: 2 input { name: "x" data_type: TYPE_FP32 dims: [-1] }
                output [{ name: "y" data_type: TYPE_STRING dims: [-1] },
                        { name: "z" data_type: TYPE_FP32 dims: [-1, 2] }]"""
    for backend in ("onnxruntime", "tensorrt", "openvino"):
        write_model(repository, backend, f'backend: "{backend}" {config}')
    (write_model(repository, "bare", None) / "1" / "model.onnx").touch()
    arguments = ["--model-control-mode=explicit", "--load-model=*"]
    with bare_server(repository, SimulatedGpus(2), arguments=arguments) as server:
        assert server.placement("tensorrt") == "gpu(0) gpu(1)"
        assert server.placement("bare") == "gpu(0) gpu(1)"
        tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [0] * 6}
        for _ in range(20):
            answer = server.infer("onnxruntime", [tensor])
            assert [output["shape"] for output in answer["outputs"]] == [[2, 3], [2, 1, 2]]
        server.unload("onnxruntime")
        server.load("onnxruntime")
        server.set_gpus(SimulatedGpus(0))
        server.unload("tensorrt")
        assert "only GPU" in server.load("tensorrt")["error"]
        end_and_check(server)


def end_and_check(server: BareServer) -> None:
    """Ends the server once it has let go of all models.

    It isn't waited for: a library in the wheel (p11-kit) hangs in its own exit code when a
    sanitizer is loaded.
    """
    server.process.terminate()
    while "Found 0 live models" not in server.log and server.process.poll() is None:
        time.sleep(0.05)
    server.process.kill()
    assert "Found 0 live models" in server.log, server.log[-5000:]
    for finding in ("AddressSanitizer", "runtime error:"):
        assert finding not in server.log, server.log[-5000:]


# ---- the build hook ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["libpytest_triton_gpus.so", "libpytest_triton_backend.so"])
def test_no_warnings_and_only_libc(hook: ModuleType, tmp_path: Path, name: str) -> None:
    path = hook.compile_library(name, tmp_path, ("-Werror", "-Wshadow", "-Wpointer-arith"))
    listed = subprocess.run(
        ["readelf", "-d", str(path)], capture_output=True, text=True, check=True
    ).stdout
    needed = {line.split("[")[1].rstrip("]") for line in listed.splitlines() if "NEEDED" in line}
    assert "libc.so.6" in needed
    assert needed <= {"libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2"}


def test_up_to_date_libraries_are_not_compiled_again(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in [*NATIVE.glob("*.[ch]"), NATIVE / "build.json"]:
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(hook, "NATIVE", tmp_path)
    compiled: list[str] = []
    real = hook.compile_library

    def counting(name: str, place: Path) -> Path:
        compiled.append(name)
        return Path(real(name, place))

    monkeypatch.setattr(hook, "compile_library", counting)
    both = list(hook.LIBRARIES)
    paths = hook.compile_all()
    assert [path.name for path in paths] == both
    assert compiled == both
    hook.compile_all()
    assert compiled == both
    later = paths[0].stat().st_mtime + 10
    os.utime(tmp_path / "json.h", (later, later))
    hook.compile_all()
    assert compiled == both * 2


def test_why_nothing_can_be_compiled(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "libpytest_triton_gpus.so"
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    with pytest.raises(hook.CannotCompile, match="CC names isn't there: no-such-compiler"):
        hook.compile_library(name, tmp_path)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(hook.CannotCompile, match=r"false .* failed"):
        hook.compile_library(name, tmp_path)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(hook.CannotCompile, match="no C compiler"):
        hook.compile_library(name, tmp_path)
    monkeypatch.setattr(hook.sys, "platform", "darwin")
    with pytest.raises(hook.CannotCompile, match="runs on Linux"):
        hook.compile_library(name, tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing half-done is left"
