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

from pytest_triton.checks.result import (
    CheckResult,
    ConfigFacts,
    Declaration,
    Evidence,
    HardwareFacts,
    Outcome,
    ServerFacts,
)
from pytest_triton.ledger import Entry, Job, Ledger, write_ledger
from pytest_triton.placement.declared import DeclaredGroup
from pytest_triton.placement.instances import gpu
from pytest_triton.placement.predict import ResolvedGroup
from pytest_triton.plan.plan_file import Need, Plan, plan_json

TWO_GPUS = HardwareFacts("2", "2 GPUs", 2)
SERVER = ServerFacts("tritonserver 2.51.0", "2.51.0")
DECLARED = Declaration("groups", (DeclaredGroup(kind="GPU", kind_number=1),))
SEEN = Outcome(tuple(gpu(0) + gpu(1)), groups=(ResolvedGroup("m_0", "GPU", 1, (0, 1)),))


def entry(number: int, job: Job) -> Entry:
    result = CheckResult(
        deployment="models",
        model=f"model_{number:05}",
        test="test_placement",
        config=ConfigFacts(f"models/model_{number:05}/config.pbtxt", f"{number:064}", 3),
        declared=DECLARED,
        identity=f"{number:064}",
        run="real run",
        hardware=TWO_GPUS,
        predicted=SEEN,
        observed=SEEN,
        headline="runs on GPU 0 · GPU 1, as predicted",
        proof="proven",
        evidence=(Evidence("repository index"), Evidence("resolved config", "GPU 0 · GPU 1")),
        server=SERVER,
    )
    return Entry(result, "proven", job, result.headline)


def main(ledgers: int, models: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(ledgers):
            job = Job(f"job-{number}", "c", "2026-01-31T12:00:00Z", "0.1.0", id=str(number))
            entries = tuple(entry(one, job) for one in range(models))
            write_ledger(folder / f"ledgers/{number}.json", Ledger((job,), entries))
        needs = tuple(
            Need(
                "models",
                f"model_{n:05}",
                1,
                "GPU",
                "GPU 0",
                "runs on GPUs",
                f"{n:064}",
                tuple(gpu(0)),
            )
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
