"""Tests that want one certain release of tritonserver."""

from __future__ import annotations

import os

import pytest

from pytest_triton.servers.process.releases import find_release, installed_release


def need(release: str) -> None:
    if installed_release(find_release(release)) is None:
        why = f"no tritonserver {release}: python -m pytest_triton install {release}"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
