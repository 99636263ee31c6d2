"""The image in which this machine's rehearsals run without further options, if there is one.

`pytest-triton image` names it, where no tritonserver can run as a process, in a file of the cache.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_triton.text.cache_folder import cache_dir


def rehearsal_image(environ: Mapping[str, str] = os.environ) -> str | None:
    """Its name; None: rehearsals are processes of this machine."""
    try:
        found = json.loads(_file(environ).read_text("utf-8"))["image"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def set_rehearsal_image(name: str | None, environ: Mapping[str, str] = os.environ) -> None:
    file = _file(environ)
    if name is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"image": name}) + "\n", "utf-8")


def _file(environ: Mapping[str, str]) -> Path:
    """A file for each kind of system: those that share a home directory may differ."""
    libc = "-".join(platform.libc_ver()) if sys.platform == "linux" else ""
    kind = "-".join(filter(None, (sys.platform, platform.machine(), libc)))
    return cache_dir(environ) / "rehearsal-image" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', kind)}.json"
