"""How soon a server is seen to be live, against the times in its own log; and how soon it is gone.

    python benchmarks/server_start.py [stand-in|real]

Milliseconds, median of 7, for the example project's models without a GPU.
"""

from __future__ import annotations

import datetime
import re
import statistics
import sys
import time
from pathlib import Path

from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS
from pytest_triton.servers.process.server import launch
from pytest_triton.servers.spec import ServerSpec

MODELS = Path(__file__).parent.parent / "example_project" / "models"


def main(backends: str) -> None:
    rows = []
    for _ in range(7):
        stand_ins = OFFICIAL_BACKENDS if backends == "stand-in" else ()
        spec = ServerSpec((MODELS,), HardwareRequest.parse("none"), stand_ins=stand_ins)
        start = time.time()
        server = launch(spec)
        launched = time.time()
        server.wait_until_live()
        live = time.time()
        log = server.log.since()
        up = re.search(r'I(\d{4}) (\S+) \d+ http_server.cc:\d+\] "?Started HTTPService', log)
        assert up is not None
        clock = datetime.datetime.strptime(
            f"{datetime.datetime.now(datetime.timezone.utc).year}{up[1]} {up[2]}+0000",
            "%Y%m%d %H:%M:%S.%f%z",
        ).timestamp()
        stopping = time.time()
        server.stop()
        rows.append((launched - start, clock - start, live - clock, time.time() - stopping))
    names = ("launched", "HTTP up by the log", "seen live after that", "stopped")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:22} {statistics.median(column) * 1000:7.1f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "stand-in")
