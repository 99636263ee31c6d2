"""Small model repositories for tests, written in one line each."""

from __future__ import annotations

from pathlib import Path

PYTHON = 'backend: "python"\n'


def model(
    root: Path,
    name: str,
    config: str | bytes | None = PYTHON,
    *,
    folders: tuple[str, ...] = ("1",),
    files: tuple[str, ...] = (),
) -> Path:
    """Write `root/name` with a config.pbtxt (None: without), folders and empty files."""
    directory = root / name
    directory.mkdir(parents=True)
    for folder in folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).touch()
    if config is not None:
        data = config if isinstance(config, bytes) else config.encode()
        (directory / "config.pbtxt").write_bytes(data)
    return directory
