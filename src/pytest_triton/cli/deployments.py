"""The argument that names a deployment, for all commands that take one."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_triton.options.repository_paths import NoDirectories, read_deployment_text
from pytest_triton.options.values import Deployment


def read_deployment(text: str) -> Deployment:
    """Of `a` or `a:b`, absolute. Raises argparse.ArgumentTypeError."""
    try:
        return read_deployment_text(text, Path.cwd())
    except NoDirectories as error:
        if error.secret:
            raise argparse.ArgumentTypeError(str(error)) from None
        raise argparse.ArgumentTypeError(f"{text!r} names no directory: {error}") from None
