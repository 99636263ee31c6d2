"""What reading all models' configs in one go saves a rehearsal, against one question after another.

    python benchmarks/model_configs.py [MODELS]

Ratios of one run count; machines are noisy. Prints seconds for one server; a rehearsal has two.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from pytest_triton.client.batch import model_configs
from pytest_triton.client.http import HttpApi
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.spec import ServerSpec
from rehearsal import run_pytest, write_repository

ROUNDS = 7


def one_by_one(address: str, names: list[str]) -> float:
    start = time.perf_counter()
    with HttpApi(address) as api:
        for name in names:
            api.model_config(name)
    return time.perf_counter() - start


def in_one_go(address: str, names: list[str]) -> float:
    start = time.perf_counter()
    for _ in model_configs(address, names):
        pass
    return time.perf_counter() - start


def main(models: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(folder / "models", models)
        (folder / "pytest.ini").write_text("[pytest]\ntriton_allow_fallback = *\n")
        hardware = HardwareRequest.parse("sim:2")
        server = launch(ServerSpec((folder / "models",), hardware, stand_ins=OFFICIAL_BACKENDS))
        try:
            server.wait_until_live()
            with HttpApi(server.http) as api:
                names = [entry["name"] for entry in api.index()]
            rows = [
                (in_one_go(server.http, names), one_by_one(server.http, names))
                for _ in range(ROUNDS)
            ]
        finally:
            server.stop()
        checked = ("--triton-repo=models", "models")
        rehearsal = min(run_pytest(folder, *checked)[0] for _ in range(3))
    together, single = (statistics.median(row) for row in zip(*rows, strict=True))
    print(f"{len(names)} configs of one server: in one go {together:.3f}, one by one {single:.3f}")
    print(f"rehearsal {rehearsal:.2f}, of which it saves {2 * (single - together) / rehearsal:.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
