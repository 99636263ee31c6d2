"""Real model repositories to test on: public ones, unchanged.

They lie in `$PYTEST_TRITON_CORPUS`, else in a folder `shared/corpus` beside or above this
checkout; each directory that holds models there is a repository of its own. Without a corpus the
tests that need it are skipped, except in CI (environment variable CI), where they fail.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def corpus_directory() -> Path | None:
    """The corpus, or None if there is none."""
    named = os.environ.get("PYTEST_TRITON_CORPUS")
    places = [Path(named)] if named else [up / "shared" / "corpus" for up in (ROOT, *ROOT.parents)]
    return next((place for place in places if place.is_dir()), None)


def corpus_repositories() -> list[Path]:
    """The corpus's model repositories, sorted; without a corpus the test is skipped."""
    directory = corpus_directory()
    if directory is None:
        why = "no corpus: name its directory in PYTEST_TRITON_CORPUS"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return sorted({config.parent.parent for config in directory.rglob("config.pbtxt")})
