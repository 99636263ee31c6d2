"""What a checkout lacks because nobody fetched it: submodules, sparse checkouts, DVC, git-annex.

Only files are read: `.gitmodules`, `.git/config`, `.git/info/sparse-checkout`; git isn't needed.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.repository.assumed import DVC
from pytest_triton.text.paths import shown_path, url_of_copy
from pytest_triton.text.shown_text import printable

_MOST_BYTES = 1 << 20
_SUBMODULE_PATH = re.compile(r'^\s*path\s*=\s*"?(.*?)"?\s*$', re.MULTILINE)
_GIT_DIRECTORY = re.compile(r"gitdir: *(.+)")
_SPARSE = re.compile(r"^\s*sparseCheckout\s*=\s*(true|yes|on|1)\s*$", re.IGNORECASE | re.MULTILINE)
_ANNEX = "/annex/objects/"


@dataclass(frozen=True)
class NotFetched:
    """What stands for something that isn't here, and the command that fetches it."""

    what: str
    command: str
    in_store: bool = False  # an object store, where no such command works

    @property
    def fix(self) -> str:
        if self.in_store:
            return f"Fetch it where the repository is uploaded from ({self.command}), and upload it"
        return f"Fetch it: {self.command}"


def not_fetched(path: Path) -> NotFetched | None:
    """Why something may be missing, or empty, at this path; None if nothing says so."""
    path = Path(os.path.abspath(path))
    in_store = bool(url_of_copy(str(path)))
    top, git = (None, None) if in_store else _checkout(path)
    is_there = os.path.lexists(path)
    at = str(path)
    while not is_there and at != os.path.dirname(at):
        if os.path.isfile(at + DVC) and not os.path.lexists(at):
            pointer = Path(at + DVC)
            if in_store:
                what = f"is kept by DVC, and only its pointer {shown_path(pointer)} is there"
                return NotFetched(what, "dvc pull", in_store=True)
            return NotFetched(
                f"is kept by DVC, and only its pointer {shown_path(pointer)} is here",
                f"dvc pull {_quoted(pointer)}",
            )
        if top is not None and at == str(top):
            break
        at = os.path.dirname(at)
    if top is None or git is None:
        return None
    for submodule in _submodules(top):
        place = top / submodule
        if (path == place or place in path.parents) and _is_empty(place):
            return NotFetched(
                f"is in the git submodule `{printable(submodule)}`, which isn't fetched",
                f"git{_at(top)} submodule update --init {shlex.quote(printable(submodule))}",
            )
    if not is_there and _is_left_out(path.relative_to(top), git):
        relative = shlex.quote(printable(str(path.relative_to(top))))
        return NotFetched(
            "may be left out by the checkout, which is sparse",
            f"git{_at(top)} sparse-checkout add {relative}",
        )
    return None


def annexed(target: str) -> bool:
    """Whether a link's target is a file that git-annex keeps."""
    return _ANNEX in f"/{target}"


def _at(top: Path) -> str:
    """The option that has git work in this checkout."""
    return "" if top == Path.cwd() else f" -C {_quoted(top)}"


def _quoted(path: Path) -> str:
    return shlex.quote(shown_path(path))


def _checkout(path: Path) -> tuple[Path | None, Path | None]:
    """The root of the checkout that a path is in, and its git directory."""
    place = str(path)
    while True:
        git = os.path.join(place, ".git")
        if os.path.isdir(git):
            return Path(place), Path(git)
        if os.path.isfile(git):  # of a submodule, or a worktree
            named = _GIT_DIRECTORY.match(_text(Path(git)))
            return Path(place), Path(place) / named[1].strip() if named is not None else None
        if place == os.path.dirname(place):
            return None, None
        place = os.path.dirname(place)


def _submodules(top: Path) -> Iterator[str]:
    for match in _SUBMODULE_PATH.finditer(_text(top / ".gitmodules")):
        if match[1] and not match[1].startswith("/"):
            yield match[1].rstrip("/")


def _is_empty(directory: Path) -> bool:
    try:
        return not os.listdir(directory)
    except OSError:
        return not os.path.lexists(directory)


def _is_left_out(relative: Path, git: Path) -> bool:
    """Whether a checkout is sparse, and doesn't have this path by name."""
    common = git / (_text(git / "commondir").strip() or ".")
    configs = (git / "config.worktree", common / "config")
    if not any(_SPARSE.search(_text(config)) for config in configs):
        return False
    patterns = _text(git / "info" / "sparse-checkout").splitlines()
    whole = (one[1:-1] for one in patterns if _is_whole(one, patterns))
    return not any(relative == Path(one) or Path(one) in relative.parents for one in whole)


def _is_whole(pattern: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern of the cone mode takes a directory with all that is in it."""
    is_directory = pattern.startswith("/") and pattern.endswith("/") and len(pattern) > 2
    return is_directory and f"!{pattern}*/" not in patterns


def _text(path: Path) -> str:
    """A small file's text; "" if there is none."""
    try:
        if not os.path.isfile(path):
            return ""
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
