"""The argument that names a deployment, for all commands that take one."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_triton.options.repository_paths import NoDirectories, repository_paths
from pytest_triton.options.values import Deployment


def read_deployment(text: str) -> Deployment:
    """Of `a` or `a:b`, absolute. Raises argparse.ArgumentTypeError."""
    try:
        return Deployment(text, repository_paths(text, Path.cwd()))
    except NoDirectories as error:
        raise argparse.ArgumentTypeError(f"{text!r} names no directory: {error}") from None
