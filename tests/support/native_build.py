"""Loads the build hook `hatch_build.py` as a module, and compiles with it for tests."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "src" / "pytest_triton" / "rehearsal" / "native"


def build_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def device_prop_offsets() -> dict[str, tuple[int | None, int | None]]:
    """Field of cudaDeviceProp -> its offset in CUDA 12 and 13, as our header has them."""
    text = (NATIVE / "cuda_interface.h").read_text()
    table = text.partition("#define DEVICE_PROP_FIELDS(X)")[2]
    rows = re.findall(r"X\((\w+), [^,]+, (\w+), (\w+)\)", table)
    return {
        name: (
            None if cuda12 == "ABSENT" else int(cuda12),
            None if cuda13 == "ABSENT" else int(cuda13),
        )
        for name, cuda12, cuda13 in rows
    }
