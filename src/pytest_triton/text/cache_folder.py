"""Where this package keeps what it has fetched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache folder of this package (it need not exist)."""
    if named := environ.get("PYTEST_TRITON_CACHE"):
        return Path(os.path.abspath(os.path.expanduser(named)))
    base = environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path there is to be ignored.
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "pytest-triton"
