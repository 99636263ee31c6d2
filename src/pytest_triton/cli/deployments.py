"""The argument that names a deployment, for all commands that take one."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_triton.options.values import Deployment


def read_deployment(text: str) -> Deployment:
    """Of `a` or `a:b`, absolute. Raises argparse.ArgumentTypeError."""
    parts = text.split(os.pathsep)
    if not all(parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} names no directory; several that one server gets are joined by "
            f"{os.pathsep!r}"
        )
    return Deployment(text, tuple(Path(os.path.abspath(Path(p).expanduser())) for p in parts))
