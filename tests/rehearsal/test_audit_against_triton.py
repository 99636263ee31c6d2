"""What the rules say happens, happens: their examples, given to a real Triton.

A rehearsal: a real tritonserver with stand-in backends and simulated GPUs.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_triton.audit import rule_named
from pytest_triton.rehearsal.simulation import SimulatedGpus
from support.audit_examples import write_files
from support.bare_server import BareServer, bare_server

TENSORS = """\
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""

# rule -> GPUs -> what becomes of the failing example: instances, or part of the refusal
FAILING = {
    "TRT101": {0: "CPU x2", 2: "GPU 0, GPU 1"},
    "TRT102": {0: "CPU x2", 2: "GPU 0 x2, GPU 1 x2"},
    "TRT103": {0: "has kind KIND_CPU but specifies one or more GPUs", 1: "GPU 0"},
    "TRT104": {0: "has kind KIND_CPU but specifies", 2: "has kind KIND_CPU but specifies"},
    "TRT105": {0: "has kind KIND_MODEL but specifies", 2: "has kind KIND_MODEL but specifies"},
    "TRT106": {0: "unexpected kind", 2: "unexpected kind"},
    "TRT107": {2: "invalid or unsupported gpu id 2"},
    "TRT108": {2: "invalid or unsupported gpu id -1"},
    "TRT109": {1: "GPU 0 x2"},
    "TRT110": {0: "CPU"},
    "TRT111": {0: "CPU x2"},
    "TRT112": {0: "no GPUs are available", 1: "GPU 0, CPU"},
    "TRT113": {0: "no GPUs are available"},
    "TRT114": {0: "no GPUs are available"},
    "TRT201": {0: "supports only GPU", 2: "supports only GPU"},
    "TRT202": {2: "supports only CPU"},
    "TRT203": {0: "CPU x2", 2: "supports only CPU"},
    "TRT210": {2: "specifies profile field"},
    "TRT402": {4: "GPU 0 x4, GPU 1 x4, GPU 2 x4, GPU 3 x4"},
    "TRT520": {0: "CPU"},
}
FIXED = {
    "TRT101": {0: "no GPUs are available", 2: "GPU 0, GPU 1"},
    "TRT103": {0: "invalid or unsupported gpu id 0", 1: "GPU 0"},
    "TRT109": {1: "GPU 0 x2"},
    "TRT110": {0: "CPU"},
    "TRT111": {0: "CPU"},
    "TRT114": {0: "CPU"},
    "TRT203": {0: "CPU x2", 2: "CPU x2"},
}


def outcome(server: BareServer, model: str) -> str:
    """`GPU 0 x2, CPU`, or the reason of a refusal."""
    entry = server.read_index()[model]
    if entry.get("state") != "READY":
        return str(entry.get("reason", "not polled"))
    counts: dict[str, int] = {}
    for group in server.groups(model):
        kind = group["kind"].removeprefix("KIND_")
        for device in [f"{kind} {gpu}" for gpu in group["gpus"]] or [kind]:
            counts[device] = counts.get(device, 0) + group["count"]
    return ", ".join(name if n == 1 else f"{name} x{n}" for name, n in counts.items())


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples as one repository; the tensors that a rehearsal needs are added."""
    root = tmp_path_factory.mktemp("examples")
    for kind, table in (("failing", FAILING), ("fixed", FIXED)):
        for id in table:
            example = getattr(rule_named(id), kind)
            files = {name.replace("m/", f"{kind}_{id}/", 1): t for name, t in example.files.items()}
            write_files(root, {name: _with_tensors(name, text) for name, text in files.items()})
    return root / "models"


@pytest.fixture(scope="module")
def servers(examples: Path) -> Iterator[dict[int, BareServer]]:
    """Servers with 0, 1, 2 and 4 simulated GPUs."""
    with ExitStack() as stack:
        yield {
            gpus: stack.enter_context(bare_server(examples, SimulatedGpus(gpus)))
            for gpus in (0, 1, 2, 4)
        }


CASES = [
    (kind, id, gpus, expected)
    for kind, table in (("failing", FAILING), ("fixed", FIXED))
    for id, outcomes in table.items()
    for gpus, expected in outcomes.items()
]


@pytest.mark.parametrize(("kind", "id", "gpus", "expected"), CASES)
def test_what_becomes_of_the_examples(
    servers: dict[int, BareServer], kind: str, id: str, gpus: int, expected: str
) -> None:
    found = outcome(servers[gpus], f"{kind}_{id}")
    if expected[:3] in ("CPU", "GPU"):
        assert found == expected
    else:
        assert expected in found


@pytest.mark.parametrize("id", ["TRT301", "TRT302", "TRT303", "TRT306"])
def test_ensembles(tmp_path: Path, id: str) -> None:
    rule = rule_named(id)
    ensemble = "a" if id == "TRT303" else "chain"
    for example, ready in ((rule.failing, False), (rule.fixed, True)):
        [root] = write_files(tmp_path / str(ready), example.files)
        with bare_server(root, SimulatedGpus(2)) as server:
            assert outcome(server, ensemble) == ("" if ready else "not polled")


def test_request_to_a_model_with_passive_instances_only_ends_the_server(tmp_path: Path) -> None:
    inputs = [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]
    rule = rule_named("TRT115")
    [root] = write_files(tmp_path, {n: _with_tensors(n, t) for n, t in rule.fixed.files.items()})
    with bare_server(root, SimulatedGpus(2)) as server:
        assert server.infer("m", inputs)["outputs"]
    (root / "m" / "config.pbtxt").write_text(rule.failing.files["m/config.pbtxt"] + TENSORS)
    with bare_server(root, SimulatedGpus(2)) as server:
        assert outcome(server, "m") == "GPU 0, GPU 1"
        with pytest.raises(ConnectionError):  # closed, without an answer
            server.infer("m", inputs)
        assert server.process.wait(30) == -signal.SIGSEGV


def _with_tensors(name: str, text: str) -> str:
    return text + TENSORS if name.endswith("config.pbtxt") else text
