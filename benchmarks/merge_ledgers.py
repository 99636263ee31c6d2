"""What merging costs: the ledgers of many jobs, each of many models, against a plan.

    python benchmarks/merge_ledgers.py [LEDGERS] [MODELS]

Prints the seconds of the whole command and its peak memory in MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_triton.ledger import (
    ConfigFacts,
    Entry,
    Group,
    HardwareFacts,
    Job,
    Ledger,
    Outcome,
    ServerFacts,
    Witness,
    write_ledger,
)
from pytest_triton.plan.plan_file import Need, Plan, plan_json

TWO_GPUS = HardwareFacts("2", "2 GPUs", 2)
SERVER = ServerFacts("tritonserver 2.51.0", "2.51.0", "real run")
SEEN = Outcome("GPU 0 · GPU 1", "GPU 0 · GPU 1", groups=(Group("m_0", "GPU 0 · GPU 1"),))


def entry(number: int, job: Job) -> Entry:
    return Entry(
        deployment="models",
        model=f"model_{number:05}",
        hardware=TWO_GPUS,
        verdict="proven",
        headline="runs on GPU 0 · GPU 1, as predicted",
        declared="GPU",
        groups=(Group("", "GPU"),),
        config=ConfigFacts(f"models/model_{number:05}/config.pbtxt", 3, f"{number:064}"),
        job=job,
        predicted=SEEN,
        observed=SEEN,
        witnesses=(Witness("repository index"), Witness("resolved config", "GPU 0 · GPU 1")),
        server=SERVER,
    )


def main(ledgers: int, models: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(ledgers):
            job = Job(f"job-{number}", "c", "2026-01-31T12:00:00Z", "0.1.0")
            entries = tuple(entry(one, job) for one in range(models))
            write_ledger(folder / f"ledgers/{number}.json", Ledger((job,), entries))
        needs = tuple(
            Need("models", f"model_{n:05}", 1, "GPU", "GPU 0", "runs on GPUs", f"{n:064}")
            for n in range(models)
        )
        (folder / "plan.json").write_text(json.dumps(plan_json(Plan(needs))))
        command = ["-m", "pytest_triton", "merge", "ledgers", "--plan", "plan.json"]
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command, "--output", "all.json"], cwd=folder, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        last = process.stdout.read().decode().splitlines()[-1]
        _, _, usage = os.wait4(process.pid, 0)
        print(
            f"{ledgers} ledgers of {models} models: {time.perf_counter() - start:.2f} s "
            f"(CPU {usage.ru_utime + usage.ru_stime:.2f} s), {usage.ru_maxrss / 1024:.0f} MB, "
            f"merged file {(folder / 'all.json').stat().st_size / 1e6:.1f} MB ({last})"
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*(given + [20, 1000][len(given) :]))
