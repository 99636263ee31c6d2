"""Model repositories to test on: this project's own (`tests/corpus`), and more where there are any.

More ones lie in `$PYTEST_TRITON_CORPUS`, else in a folder `shared/corpus` beside or above this
checkout; each directory that holds models there is a repository of its own. They are an extra:
tests add them to what they look at, and nothing is skipped without them.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "corpus"
OWN_BACKENDS = ("lookup",)  # of tests/corpus: the user's, beside those of Triton


def outside_corpus() -> Path | None:
    """The corpus outside this checkout, or None if there is none."""
    named = os.environ.get("PYTEST_TRITON_CORPUS")
    if named:
        if not Path(named).is_dir():
            raise NotADirectoryError(f"PYTEST_TRITON_CORPUS={named} is not a directory")
        return Path(named)
    places = (up / "shared" / "corpus" for up in (ROOT, *ROOT.parents))
    return next((place for place in places if place.is_dir()), None)


def repositories_in(directory: Path) -> list[Path]:
    """The model repositories anywhere below a directory, sorted."""
    return sorted({config.parent.parent for config in directory.rglob("config.pbtxt")})


def all_repositories() -> list[Path]:
    """The model repositories of both corpora."""
    outside = outside_corpus()
    return repositories_in(OWN) + (repositories_in(outside) if outside else [])
