"""For scripts/mutation, in pytest: record which test runs which line, or run listed tests only."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

if record := os.environ.get("MUTATION_RECORD"):
    import coverage

    running = coverage.Coverage(record, source=[os.environ["MUTATION_SOURCE"]], config_file=False)
    running.start()

    def pytest_runtest_logstart(nodeid: str) -> None:
        running.switch_context(nodeid)

    def pytest_unconfigure() -> None:
        running.stop()
        running.save()

else:
    seconds = int(os.environ["MUTATION_SECONDS"])  # of the CPU: a busy machine is no reason
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        wanted = set(Path(os.environ["MUTATION_TESTS"]).read_text().splitlines())
        items[:] = [item for item in items if wanted & {item.nodeid, _folder(item)}]

    def _folder(item: pytest.Item) -> str:
        return os.path.dirname(item.nodeid.partition("::")[0])
