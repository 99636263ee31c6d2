"""Apply the safe edits of findings to config files: comments and layout stay as they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_triton.diagnostics.diagnostic import Diagnostic, Edit


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """`text` with all edits that don't overlap an earlier one."""
    done = len(text) + 1
    for edit in sorted(set(edits), key=lambda one: (one.start, one.end), reverse=True):
        if edit.end <= done:
            text = text[: edit.start] + edit.text + text[edit.end :]
            done = edit.start
    return text


def fixed_texts(
    findings: Iterable[Diagnostic], texts: Mapping[Path, str]
) -> dict[Path, tuple[str, list[Diagnostic]]]:
    """The new text of each file that has fixes, with the findings that they fix.

    `texts` are the files as they were read. Files whose new text would be the old one are left out.
    """
    by_path: dict[Path, list[Diagnostic]] = {}
    for finding in findings:
        if finding.edits and finding.path in texts:
            by_path.setdefault(finding.path, []).append(finding)
    changed = {}
    for path, found in by_path.items():
        edits = [edit for one in found for edit in one.edits]
        new = apply_edits(texts[path], edits)
        if new != texts[path]:
            changed[path] = (new, found)
    return changed


def write_text(path: Path, old: str, new: str) -> bool:
    """Put `new` in a file that still holds `old`, at once; False if it has changed meanwhile.

    Raises OSError.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    data = path.read_bytes()
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    if data[len(mark) :].decode("utf-8", "replace") != old:
        return False
    mode = path.stat().st_mode
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".pytest-triton-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(mark + new.encode())
        os.chmod(name, mode & 0o7777)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return True
