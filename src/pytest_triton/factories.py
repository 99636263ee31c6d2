"""Fixtures to order, for a conftest.py: see `triton_server`."""

from __future__ import annotations

from pytest_triton.plugin.factories import triton_server

__all__ = ["triton_server"]
