"""What a container can reach of this machine: what was named, and what links in that lead to.

Links go on to work within what was named: the repositories, and what `--triton-mount` adds. A
link that leads out is refused: else whoever may write into a repository could hand any file of
this machine to a container. Links are resolved as the kernel does it, here and, step by step
beside it, in the container, where only the named paths exist. What is shown is looked at before
the container starts: who changes files meanwhile can still make this wrong.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import PytestTritonError, says_all
from pytest_triton.servers.container.never_shown import (
    KERNEL,
    special_kind,
    why_never,
    why_secret,
    why_whole,
)
from pytest_triton.text.paths import without_dots

__tracebackhide__ = says_all

_MOST_MOUNTS = 100
_MOST_STEPS = 1000  # of one link; the kernel stops after 40 links
_MOST_PAIRS = 1000
_MOST_LISTED = 20
_UNREADABLE = "you may not read it"
_NO_WAY = "by a way that a container can't follow"

# Links to these mean the container's own.
_SYSTEM = tuple(map(Path, ("/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr")))
# Containers need their own of these.
_TAKEN = frozenset(
    map(Path, ("/", "/home", "/opt", "/opt/tritonserver", "/root", "/tmp", "/var"))
).union(_SYSTEM, KERNEL)


class InTheWay(PytestTritonError):
    """A path that can't be shown in a container, since the container needs its own there."""


class NeverShown(PytestTritonError):
    """A path that was named and that no container is shown."""


class LinksLeadOut(PytestTritonError):
    """A repository has links, or files, whose targets a container is not shown."""


@dataclass(frozen=True)
class Shown:
    """What a container is to see: (the path here, the path in the container) pairs.

    The paths here are real ones, without links. `needs_rights`: root without any capability
    could not read it all.
    """

    paths: tuple[tuple[Path, Path], ...]
    needs_rights: bool = False

    @property
    def mountable(self) -> bool:
        return len(self.paths) <= _MOST_MOUNTS


@dataclass(frozen=True)
class _Refused:
    """A link (or a file that isn't one) that can't be shown. `named`: naming the target helps."""

    path: Path
    target: Path | None
    reason: str
    named: bool = False

    def __str__(self) -> str:
        leads = f" -> {self.target}" if self.target is not None else ""
        return f"{self.path}{leads}{f' ({self.reason})' if self.reason else ''}"


def shown(
    paths: Iterable[Path], *, own: Iterable[Path] = (), left_out: Iterable[Path] = ()
) -> Shown:
    """Everything that must be shown for these files and folders, so that their links work.

    `own` are paths of this plugin's making, which no rule is about. Links in what is `left_out`
    are never followed. Missing paths are left out: Triton says best what it lacks. Raises
    InTheWay, NeverShown or LinksLeadOut.
    """
    reach = _Reach(left_out)
    named = sorted(map(without_dots, paths), key=lambda path: len(path.parts))
    for path in named:
        _check_named(path)
    for path in [*named, *map(without_dots, own)]:
        reach.add(path)
    reach.follow_links(silent=frozenset(map(without_dots, own)))
    if reach.refused:
        raise _links_lead_out(reach.refused)
    return Shown(tuple(reach.pairs), reach.needs_rights)


def check_sent(directory: Path, named: Iterable[Path]) -> None:
    """Raise LinksLeadOut if files that are read here, to be sent to a server, lie elsewhere.

    They may lie in the directory, and in what is `named` besides.
    """
    reach = _Reach(())
    for path in (directory, *named):
        reach.add(without_dots(path))
    for entry, inside in walk(without_dots(directory), directory):
        if entry.is_symlink() and entry.is_file():
            problem = reach.problem_of_link(entry, inside)
            if problem is not None:
                reach.refused.append(problem)
    if reach.refused:
        raise _links_lead_out(reach.refused)


def walk(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """All that a folder holds, links not followed: (the path here, the path inside)."""
    waiting = _entries(source, target)
    while waiting:
        pair = waiting.pop()
        yield pair
        waiting += _entries(*pair)


def _entries(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Of one folder, last name first."""
    try:
        if source.is_symlink() or not source.is_dir():
            return []
        names = sorted(os.listdir(source), reverse=True)
    except OSError:
        return []  # Triton says so too
    return [(source / name, target / name) for name in names]


class _Reach:
    """What is shown so far. `pairs` only grow by parts of what was named."""

    def __init__(self, left_out: Iterable[Path]) -> None:
        self.pairs: list[tuple[Path, Path]] = []
        self.refused: list[_Refused] = []
        self.needs_rights = False
        self._named: set[Path] = set()  # real paths
        self._left_out = frozenset(map(without_dots, left_out))

    def add(self, path: Path) -> None:
        """Add what was named, under its own path and, if a link stands there, its real one."""
        source = Path(os.path.realpath(path))
        if not os.path.lexists(source):
            return
        if self._at(path) is None:
            self.pairs.append((source, path))
        elif not self._may_show(source):
            self.pairs.append((source, source))
        self._named.add(source)

    def follow_links(self, silent: frozenset[Path]) -> None:
        """Look at all that is shown. What links need besides is added, and looked at as well."""
        for source, target in self.pairs:  # grows meanwhile
            ours = target in silent
            for entry, inside in [(source, target), *walk(source, target)]:
                problem = None
                try:
                    status = entry.lstat()
                except OSError:
                    continue  # it went meanwhile
                if stat.S_ISLNK(status.st_mode):
                    problem = None if self._is_left_out(inside) else self._follow(entry, inside)
                elif not ours:
                    problem = _problem_of(entry, inside, status)
                    self.needs_rights |= not _readable_by_bare_root(status)
                if problem is not None and not ours:
                    self.refused.append(problem)

    def _follow(self, entry: Path, inside: Path) -> _Refused | None:
        """Show what a link needs to lead to the same file in the container."""
        real = Path(os.path.realpath(entry))
        if not self._may_show(real) and any(real.is_relative_to(folder) for folder in _SYSTEM):
            return None
        problem = self.problem_of_link(entry, inside)
        if problem is None and os.path.exists(entry) and not self._lead(inside, entry, real):
            return _Refused(inside, real, _NO_WAY)
        return problem

    def problem_of_link(self, entry: Path, inside: Path) -> _Refused | None:
        """Why what a link leads to can't be shown. None as well if it leads nowhere."""
        real = Path(os.path.realpath(entry))
        try:
            status = entry.stat()
        except PermissionError:
            return _Refused(inside, real, _UNREADABLE)
        except OSError:
            return None  # it leads nowhere, or in circles
        reason = special_kind(status.st_mode) or why_never(real) or why_whole(real)
        if not reason and not self._may_show(real):
            reason = "the container has its own" if real in _TAKEN else ""
            return _Refused(inside, real, reason, named=not reason)
        return _Refused(inside, real, reason) if reason else None

    def _lead(self, inside: Path, entry: Path, real: Path) -> bool:
        """Go a link's way in the container and here side by side; whether both end the same."""
        way = deque([entry.name])
        there, here = inside.parent, entry.parent
        for _ in range(_MOST_STEPS):
            if not way:
                break
            part = way.popleft()
            if part == "..":
                if not self._exists_inside(there):
                    return False
                there, here = there.parent, here.parent
                continue
            there, here = there / part, here / part
            shown_here = self._at(there)
            if shown_here is not None and shown_here != here:
                here = Path(os.path.realpath(here))
                if shown_here != here:
                    return False  # the container has something else there
            if not here.is_symlink():
                continue
            if shown_here is None:  # a link outside: what it leads to is shown in its place
                here = Path(os.path.realpath(here))
                if self._may_show(here) and not self._add_alias(here, there):
                    return False
                continue
            text = os.readlink(here)
            there, here = (Path("/"), Path("/")) if text[:1] == "/" else (there.parent, here.parent)
            way.extendleft(reversed([part for part in text.split("/") if part not in ("", ".")]))
        if self._at(there) is None and not self._add_alias(here, there):
            return False
        found = self._at(there)
        return not way and found is not None and os.path.realpath(found) == str(real)

    def _add_alias(self, source: Path, target: Path) -> bool:
        """Show a part of what is shown anyway in a second place."""
        if not self._may_show(source) or target in _TAKEN or why_never(target):
            return False
        if source == target:  # all that was named with it, for the links that follow
            whole = next(path for path in (source, *source.parents) if path in self._named)
            if source != whole and self._add_alias(whole, whole):
                return True
        if len(self.pairs) >= _MOST_PAIRS:
            return False
        if any(target in other.parents for _, other in self.pairs):
            return False  # one mount would hide another
        self.pairs.append((source, target))
        return True

    def _may_show(self, real: Path) -> bool:
        return any(path in self._named for path in (real, *real.parents))

    def _at(self, inside: Path) -> Path | None:
        """The path here of what the container has there; None if it has nothing of ours."""
        found = None
        for source, target in self.pairs:
            if inside.is_relative_to(target):
                found = source / inside.relative_to(target)
        return found

    def _exists_inside(self, folder: Path) -> bool:
        return (
            folder in _TAKEN
            or self._at(folder) is not None
            or any(folder in target.parents for _, target in self.pairs)
        )

    def _is_left_out(self, inside: Path) -> bool:
        return any(path in self._left_out for path in (inside, *inside.parents))


def _check_named(path: Path) -> None:
    if path in _TAKEN:
        raise InTheWay(
            f"{path} can't be shown in a container: the container needs its own {path}",
            fix="move the model repository into a folder of its own",
        )
    real = Path(os.path.realpath(path))
    reason = why_never(path) or why_never(real)
    if reason:
        raise NeverShown(
            f"{path} is never shown to a container: it is {reason}",
            tried=[f"it leads to {real}"] if real != path else [],
            fix="copy what the models need into the repository, or into a folder elsewhere, and "
            "name that",
        )


def _problem_of(entry: Path, inside: Path, status: os.stat_result) -> _Refused | None:
    """What keeps a file or folder itself, no link, from being shown."""
    reason = special_kind(status.st_mode) or why_secret(entry)
    if not reason and stat.S_ISDIR(status.st_mode) and not os.access(entry, os.R_OK | os.X_OK):
        reason = _UNREADABLE
    return _Refused(inside, None, reason) if reason else None


def _links_lead_out(refused: list[_Refused]) -> LinksLeadOut:
    """One error for all of them, with what helps."""
    listed = [str(one) for one in refused[:_MOST_LISTED]]
    if len(refused) > len(listed):
        listed.append(f"... and {len(refused) - len(listed)} more")
    return LinksLeadOut(
        "A container is shown the model repository and what is named besides, nothing else. "
        f"These can't be shown to it ({len(refused)}):\n  " + "\n  ".join(listed),
        fix="; ".join(_what_helps(refused)),
    )


def _what_helps(refused: list[_Refused]) -> Iterator[str]:
    if targets := _worth_naming([one.target for one in refused if one.named and one.target]):
        options = " ".join(f"--triton-mount={shlex.quote(str(path))}" for path in targets)
        yield (
            f"if the models need what these links lead to, name it: {options} "
            "(for TritonContainer: ContainerOptions(mount=...))"
        )
    reasons = {one.reason for one in refused if not one.named}
    if _UNREADABLE in reasons:
        yield "make readable what you may not read, or remove it"
    if _NO_WAY in reasons:
        yield "let links that leave the repository and come back lead there directly"
    if reasons - {_UNREADABLE, _NO_WAY}:
        yield (
            "remove the links and files with other reasons, or copy what the models need into "
            "the repository: sockets, devices, FIFOs, the system's folders and secrets of home "
            "directories are never shown to a container"
        )


def _worth_naming(targets: list[Path]) -> list[Path]:
    """These paths, or the folders that they lie in if there are too many of them."""
    paths = sorted(set(targets))
    if len(paths) > 3:
        paths = sorted({_folder_of(path) for path in paths})
    return [path for path in paths if not any(other in path.parents for other in paths)]


def _folder_of(path: Path) -> Path:
    folder = path.parent
    return path if folder in _TAKEN or why_never(folder) else folder


def _readable_by_bare_root(status: os.stat_result) -> bool:
    """Whether user 0 in group 0 may read it (and enter it, if a folder) without any capability."""
    wanted = 0o5 if stat.S_ISDIR(status.st_mode) else 0o4
    shift = 6 if status.st_uid == 0 else 3 if status.st_gid == 0 else 0
    return (status.st_mode >> shift) & wanted == wanted
