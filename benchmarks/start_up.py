"""What the commands and the plugin cost before they do anything: process time, and ratios.

    python benchmarks/start_up.py

Commands run on the example project's models. Each ratio is to `python -c pass` in the same round;
beside it stands that of google.protobuf alone, which every reading of a config needs. The plugin's
own import is measured inside of a Python that has pytest. Python keeps its bytecode, as it does for
an installed package, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15
PROJECT = Path(__file__).parent.parent / "example_project"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "google.protobuf": ["-c", "from google.protobuf import text_format"],
    "audit": ["-m", "pytest_triton", "audit", "models"],
    "predict": ["-m", "pytest_triton", "predict", "models"],
    "plan": ["-m", "pytest_triton", "plan", "models"],
}
PLUGIN = (
    "import pytest, time; start = time.process_time(); import pytest_triton.plugin.hooks; "
    "print(time.process_time() - start)"
)


def process_time(arguments: list[str]) -> float:
    """Seconds of processor time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=PROJECT, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def plugin_import() -> float:
    done = subprocess.run([sys.executable, "-c", PLUGIN], capture_output=True, check=True)
    return float(done.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        rounds = [
            {name: process_time(arguments) for name, arguments in COMMANDS.items()}
            for _ in range(ROUNDS + 1)
        ][1:]  # the first round writes the bytecode
        plugin = [plugin_import() for _ in range(ROUNDS)]
    for name in COMMANDS:
        ratio = statistics.median(one[name] / one["python -c pass"] for one in rounds)
        seconds = statistics.median(one[name] for one in rounds)
        print(f"{name:16} {1000 * seconds:6.0f} ms   x{ratio:.1f}")
    print(f"{'plugin, unused':16} {1000 * statistics.median(plugin):6.1f} ms")


if __name__ == "__main__":
    main()
