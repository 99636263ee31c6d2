"""Bring what checks need of a repository in an object store to this machine, through fsspec.

Everything is listed; configs, code and other small files are fetched, those that have changed only
(by their ETags). Of the rest, names and sizes are enough: empty files of that size, which take no
room, stand in their places. Nothing is written outside of the store's folder in the cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_triton.errors import PytestTritonError
from pytest_triton.repository.stores import Say, Store, StoreError, location_of
from pytest_triton.text.paths import COPY_URL

_SMALL = 64 << 10  # bytes of any file that is fetched
_READ = 1 << 20  # bytes of a file that is read: configs, code
_READ_ENDINGS = (".pbtxt", ".py", ".json", ".j2", ".jinja", ".jinja2", ".template", ".tmpl", ".tpl")
_MOST_OBJECTS = 200_000
_MOST_BYTES = 512 << 20  # that are fetched
_AT_ONCE = 256  # files in a request of many
_THREADS = 32
_LONGEST = 255  # bytes of a name
_PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    **dict.fromkeys(("as", "az", "abfs", "abfss"), "adlfs"),
}
_CREDENTIALS = re.compile(
    r"(?i)(?P<name>[\w.-]*(?:signature|credential|token(?!iz)|secret|password|accesskeyid|apikey"
    r"|(?<![^\W_])sig(?![^\W_]))[\w.-]*[\"']?\s*[=:]\s*[\"']?)(?P<value>[^&\s\"',)]+)"
)
# "NoCredentialsError: Unable to locate ...", "ExpiredToken: The provided ...": names of errors.
_ERROR_NAME = re.compile(r"(?:[A-Z][a-z]+|[A-Z]+(?=[A-Z][a-z])){2,}:\s+\Z")
_PROSE = re.compile(r"[A-Z][a-z']+ [a-z]+ ")
_SECRET_VARIABLES = re.compile(r"(?i)key|secret|token|password|credential|connection_string")
_PLACES_OF_SECRETS = re.compile(r"(?i)_(?:file|path|dir)\Z|\AGOOGLE_APPLICATION_CREDENTIALS\Z")


@dataclass(frozen=True)
class _Entry:
    """An object: its key in the store, size and what changes when its content does."""

    key: str
    size: int
    tag: str

    def is_wanted(self, name: str) -> bool:
        return self.size <= (_READ if name.lower().endswith(_READ_ENDINGS) else _SMALL)


def fetch(store: Store, say: Say) -> None:
    """Make the copy of a store as the store is now. Raises StoreError."""
    try:
        system, root = _open(store)
        with _locked(store.path.parent):
            (store.path.parent / COPY_URL).write_text(store.url, "utf-8", "surrogateescape")
            entries, folders = _listed(store, system, root)
            _update(store, system, entries, folders, say)
    except PytestTritonError:
        raise
    except OSError as error:
        if _is_of_copy(store, error):
            raise StoreError(
                f"The copy of {store.url} can't be written: {error.strerror} ({error.filename})",
                fix="make room there, or name another folder in PYTEST_TRITON_CACHE",
            ) from None
        raise _failed(store, error) from None
    except Exception as error:  # whatever the store's package raises
        raise _failed(store, error) from None


def _is_of_copy(store: Store, error: OSError) -> bool:
    """Whether an error is about the copy's folder, what is in it, or a folder that it needs."""
    if not isinstance(error.filename, str) or not os.path.isabs(error.filename):
        return False
    folder, path = Path(os.path.abspath(store.path.parent)), Path(error.filename)
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def _open(store: Store) -> tuple[Any, str]:
    check_packages(store)
    from fsspec.core import url_to_fs

    where = location_of(store.url)
    options: dict[str, Any] = {}
    if store.url.startswith("s3:"):
        options["use_listings_cache"] = False
    if where.endpoint:
        options["client_kwargs"] = {"endpoint_url": where.endpoint}
    if where.account:
        options["account_name"] = where.account
    system, root = url_to_fs(where.url, skip_instance_cache=True, **options)
    return system, str(root)


def check_packages(store: Store) -> None:
    """Raises StoreError if a package that reads a store isn't installed."""
    try:
        import fsspec
    except ImportError:
        raise _package_missing(store, "fsspec") from None
    try:
        fsspec.get_filesystem_class(location_of(store.url).url.partition("://")[0])
    except (ImportError, ValueError):
        raise _package_missing(store, _PACKAGES[store.url.partition("://")[0]]) from None


def _package_missing(store: Store, package: str) -> StoreError:
    return StoreError(
        f"{store.url} is read through fsspec, and {package} isn't installed.",
        fix="pip install 'pytest-triton[remote]'"
        + (f" {package}" if package not in ("fsspec", "s3fs") else ""),
    )


def _listed(
    store: Store, system: Any, root: str
) -> tuple[Mapping[PurePosixPath, _Entry], frozenset[PurePosixPath]]:
    """All objects below the repository, and its folders; names that no file can have left out."""
    found: Mapping[str, Mapping[str, Any]] = system.find(root, detail=True, withdirs=True)
    if len(found) > _MOST_OBJECTS:
        raise StoreError(
            f"{store.url} has {len(found):,} objects; up to {_MOST_OBJECTS:,} are looked at",
            fix="name the folder of the models itself",
        )
    if root in found and not str(found[root].get("type")).startswith("dir") and len(found) == 1:
        raise StoreError(
            f"{store.url} is a file",
            fix="correct the URL: it names the folder that holds the models' folders",
        )
    entries: dict[PurePosixPath, _Entry] = {}
    folders: set[PurePosixPath] = set()
    prefix = root.rstrip("/") + "/"
    for key, info in found.items():
        is_folder = info.get("type") == "directory" or key.endswith("/")
        relative = _safe(key[len(prefix) :]) if key.startswith(prefix) else None
        if relative is None:
            continue
        folders.update(one for one in relative.parents if one.name)
        if is_folder:
            folders.add(relative)
        else:
            entries[relative] = _Entry(key, int(info.get("size") or 0), _tag(info))
    if not entries and not folders:
        raise StoreError(
            f"There is nothing at {store.url}",
            fix="correct the URL: it names the folder that holds the models' folders",
        )
    return {at: one for at, one in entries.items() if at not in folders}, frozenset(folders)


def _safe(key: str) -> PurePosixPath | None:
    """A key as a relative path; None if no file of a folder can be called so."""
    parts = key.rstrip("/").split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or len(os.fsencode(part)) > _LONGEST:
            return None
    return PurePosixPath(*parts)


def _tag(info: Mapping[str, Any]) -> str:
    for name in ("ETag", "etag", "blob_id", "md5Hash", "content_md5", "generation"):
        if info.get(name):
            return str(info[name])
    return f"{info.get('LastModified') or info.get('last_modified') or info.get('mtime') or ''}"


def _update(
    store: Store,
    system: Any,
    entries: Mapping[PurePosixPath, _Entry],
    folders: Iterable[PurePosixPath],
    say: Say,
) -> None:
    """Fetch what has changed, and remove what is gone."""
    index = store.path.parent / "index.json"
    known = _read_index(index)
    store.path.mkdir(parents=True, exist_ok=True)
    _remove_gone(
        store.path, {store.path / one for one in entries}, {store.path / f for f in folders}
    )
    for folder in sorted(folders):
        (store.path / folder).mkdir(parents=True, exist_ok=True)
    wanted = {at: one for at, one in entries.items() if one.is_wanted(at.name)}
    changed = {
        at: one
        for at, one in wanted.items()
        if not one.tag or known.get(str(at)) != one.tag or not _has_size(store.path / at, one.size)
    }
    for at, one in entries.items():
        if at not in wanted and not _has_size(store.path / at, one.size):
            _write(store.path / at, b"", one.size)
    size = sum(one.size for one in changed.values())
    if size > _MOST_BYTES:
        raise StoreError(
            f"{store.url} has {size:,} bytes in small files; up to {_MOST_BYTES:,} are fetched",
            fix="name the folder of the models itself",
        )
    if changed:
        say(f"{store.url}: fetching {len(changed):,} of {len(entries):,} files ({_bytes(size)})")
    done = 0
    tags = {str(at): one.tag for at, one in wanted.items() if at not in changed}
    for part in _parts([*changed.items()], _AT_ONCE):
        for (at, one), data in zip(part, _contents(system, [e for _, e in part]), strict=True):
            if len(data) != one.size:
                raise StoreError(f"{store.url}: {at} has changed while it was fetched; try again")
            _write(store.path / at, data)
            tags[str(at)] = one.tag
        done += len(part)
        if done < len(changed):
            say(f"{store.url}: {done:,} of {len(changed):,} files")
    if changed or known != tags:
        _write(index, json.dumps({"url": store.url, "tags": tags}, ensure_ascii=True).encode())


def _contents(system: Any, entries: Sequence[_Entry]) -> Sequence[bytes]:
    """The contents of some small objects, asked for side by side."""

    def content(one: _Entry) -> bytes:
        # With a range s3fs doesn't ask for the size first, and no more than that can come.
        return bytes(system.cat_file(one.key, start=0, end=one.size)) if one.size else b""

    with ThreadPoolExecutor(_THREADS) as threads:
        return [*threads.map(content, entries)]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


# The copy on this machine


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_index(path: Path) -> Mapping[str, str]:
    try:
        tags = json.loads(path.read_bytes())["tags"]
        return {str(name): str(tag) for name, tag in tags.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remove_gone(root: Path, files: set[Path], folders: set[Path]) -> None:
    for place, directories, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(place, name)
            if path not in files or path.is_symlink():
                path.unlink()
        for name in directories:
            path = Path(place, name)
            if path.is_symlink():
                path.unlink()
            elif path not in folders:
                path.rmdir()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def _write(path: Path, data: bytes, size: int = 0) -> None:
    new = path.with_name(f".{path.name[:200]}.new")
    with new.open("wb") as file:
        file.write(data)
        file.truncate(max(size, len(data)))
    new.replace(path)


def _bytes(size: int) -> str:
    return f"{size / 1000:,.1f} kB" if size < 10**6 else f"{size / 10**6:,.1f} MB"


# Errors


def _failed(store: Store, error: Exception) -> StoreError:
    text = f"{type(error).__name__}: {error}"
    fix = "check the URL, the network, and that your tools for the store can list it"
    if isinstance(error, PermissionError) or re.search(
        r"(?i)credential|access ?denied|40[13]", text
    ):
        fix = (
            "give this process credentials as your tools for the store have them (environment, "
            "configuration files, roles), with rights to list and read"
        )
    elif isinstance(error, FileNotFoundError):
        fix = "correct the URL: there is no such bucket or folder"
    return StoreError(f"{store.url} can't be read: {hidden(text)[:500]}", fix=fix)


def hidden(text: str) -> str:
    """A text without what may be a credential of this process."""
    for name, value in os.environ.items():
        if len(value) < 6 or not _SECRET_VARIABLES.search(name) or _PLACES_OF_SECRETS.search(name):
            continue
        exact = re.escape(value)
        if value.isalpha() and len(value) < 16:  # which may be a part of an ordinary word
            exact = rf"(?<![^\W\d_]){exact}(?![^\W\d_])"
        text = re.sub(exact, "***", text)
    return _CREDENTIALS.sub(_without_value, text)


def _without_value(found: re.Match[str]) -> str:
    rest = found.string[found.start("value") :]
    name = found["name"]
    if (_ERROR_NAME.search(name) and _PROSE.match(rest)) or (
        re.fullmatch(r"(?i)credentials?:\s+", name) and re.fullmatch("[A-Z]?[a-z]+", found["value"])
    ):
        return found[0]
    return f"{found['name']}***"
