"""What no container is ever shown of this machine, whoever names it.

Sockets, devices and FIFOs lead to what is behind them: the container engine's socket to all of
this machine. The kernel's and the system's run folders are full of such. And secrets in home
directories are nothing that a model needs.
"""

from __future__ import annotations

import os
import pwd
import stat
from functools import lru_cache
from pathlib import Path

KERNEL = tuple(map(Path, ("/dev", "/proc", "/run", "/sys", "/var/run")))

# In any home directory. Folders count with all that they hold.
_SECRETS = frozenset(
    (
        ".aws",
        ".azure",
        ".bash_history",
        ".boto",
        ".config",
        ".databrickscfg",
        ".docker",
        ".git-credentials",
        ".gnupg",
        ".kube",
        ".mozilla",
        ".my.cnf",
        ".netrc",
        ".ngc",
        ".npmrc",
        ".password-store",
        ".pgpass",
        ".pypirc",
        ".python_history",
        ".s3cfg",
        ".ssh",
        ".terraform.d",
        ".vault-token",
        ".zsh_history",
    )
)
_DEEPER = (".cache/huggingface/token", ".huggingface/token", ".local/share/keyrings")
_NAMES = _SECRETS.union(path.rpartition("/")[2] for path in _DEEPER)
_ABOVE_HOMES = frozenset(map(Path, ("/home", "/Users")))


def special_kind(mode: int) -> str:
    """`a socket`, `a FIFO` or `a device`; "" for files, folders and links."""
    if stat.S_ISSOCK(mode):
        return "a socket"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a device" if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) else ""


def why_never(path: Path) -> str:
    """Why this path, or a folder that it lies in, is never shown: "" if it may be.

    Give it the path as it is named, and the one that the kernel resolves it to.
    """
    for folder in KERNEL:
        if path.is_relative_to(folder):
            return f"in {folder}"
    return next(filter(None, map(why_secret, (path, *path.parents))), "")


def why_secret(path: Path) -> str:
    """Why this very path is a secret: `private: .ssh of a home directory`; "" if it isn't."""
    if path.name in _SECRETS and _is_home(path.parent):
        return f"private: {path.name} of a home directory"
    if path.name in _NAMES:
        for deeper in _DEEPER:
            levels = deeper.count("/")
            if str(path).endswith("/" + deeper) and _is_home(path.parents[levels]):
                return f"private: {deeper} of a home directory"
    if str(path) in _linked_secrets(os.environ.get("HOME", "")):
        return "private: a home directory's link leads to it"
    return ""


def why_whole(folder: Path) -> str:
    """Why the whole of a folder would show secrets; "" if it isn't a home directory with such."""
    held = _is_home(folder) and any(os.path.lexists(folder / name) for name in _SECRETS)
    return "a home directory with private files" if held else ""


def _is_home(folder: Path) -> bool:
    return folder.parent in _ABOVE_HOMES or str(folder) in _homes(os.environ.get("HOME", ""))


@lru_cache(maxsize=4)
def _homes(own: str) -> frozenset[str]:
    homes = {own, "/root", *(user.pw_dir for user in pwd.getpwall())} - {"", "/"}
    return frozenset(homes.union(map(os.path.realpath, homes)))


@lru_cache(maxsize=4)
def _linked_secrets(own: str) -> frozenset[str]:
    """Where secrets of the user's own home really are, if that is elsewhere."""
    paths = [os.path.join(own, name) for name in (*_SECRETS, *_DEEPER)] if own else []
    return frozenset(real for path in paths if (real := os.path.realpath(path)) != path)
