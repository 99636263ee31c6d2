"""Repositories in object stores, by their URLs: where they come from, and their copies here.

Fetching is in store_fetch.py, which alone needs fsspec.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.cache_folder import cache_dir
from pytest_triton.text.paths import STORES
from pytest_triton.text.store_urls import has_password

Say = Callable[[str], None]


class StoreError(PytestTritonError):
    """A repository in an object store can't be read.

    `secret`: the URL may hold a credential, so that nothing repeats it.
    """

    exit_code = 2  # as where a repository on disk can't be read

    def __init__(
        self, what: str, *, tried: tuple[str, ...] = (), fix: str = "", secret: bool = False
    ) -> None:
        super().__init__(what, tried=tried, fix=fix)
        self.secret = secret


@dataclass(frozen=True)
class Store:
    """A repository in an object store; `path` is its copy here, which need not be there yet."""

    url: str
    path: Path

    @classmethod
    def of(cls, url: str) -> Store:
        """Raises StoreError for a URL with credentials, or without a bucket."""
        scheme, _, rest = url.partition("://")
        if has_password(url) or "?" in rest or "#" in rest:
            raise StoreError(
                f"a {scheme}:// URL with credentials or a query in it",
                fix="leave them out: credentials are taken from where your tools for the store "
                "have them (environment, configuration files, roles). With an endpoint in it, "
                "a URL has no @: name the endpoint in AWS_ENDPOINT_URL instead",
                secret=True,
            )
        rest = rest.strip("/")
        if not rest:
            raise StoreError(f"{url} names no bucket: {scheme.lower()}://BUCKET/PATH")
        url = f"{scheme.lower()}://{rest}"
        key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        name = re.sub(r"[^\w.-]", "_", rest.rsplit("/", 1)[-1]).strip(".") or "models"
        return cls(url, cache_dir() / STORES / key / name[:100])


RepositoryPlace = Path | Store
"""Where a repository is: a directory of this machine, or an object store."""


def to_standard_error(line: str) -> None:
    """Say what is fetched, where no one has a better place for it."""
    print(line, file=sys.stderr)


def fetch_all(stores: Iterable[Store], say: Say) -> None:
    """Make the copies of stores as they are now. Raises StoreError."""
    from pytest_triton.repository.store_fetch import fetch

    for store in dict.fromkeys(stores):
        fetch(store, say)


@dataclass(frozen=True)
class Location:
    """How fsspec opens a store: the URL that it takes, and options beside it."""

    url: str
    endpoint: str = ""
    account: str = ""


def location_of(url: str) -> Location:
    """Of Triton's own forms as well: s3://host:port/bucket, s3://https://host/bucket, as://."""
    scheme, _, rest = url.partition("://")
    if scheme == "s3":
        found = re.fullmatch(r"(?:(https?)://)?([^/@]+)/(.+)", rest, re.DOTALL)
        if found is not None and (found[1] or re.search(r":\d+\Z", found[2])):
            return Location(f"s3://{found[3]}", f"{found[1] or 'http'}://{found[2]}")
    if scheme == "as":
        account, _, rest = rest.partition("/")
        return Location(f"az://{rest}", account=account)
    return Location(url)


def download_command(store: Store) -> str:
    """What copies a repository to this machine with the store's own tool; "" if none is known."""
    where = location_of(store.url)
    source, name = shlex.quote(where.url), shlex.quote(store.path.name)
    scheme = where.url.partition("://")[0]
    if scheme == "s3":
        endpoint = f" --endpoint-url {shlex.quote(where.endpoint)}" if where.endpoint else ""
        return f"aws s3 sync{endpoint} {source} {name}"
    if scheme in ("gs", "gcs"):
        return f"gcloud storage rsync -r {shlex.quote('gs' + where.url[len(scheme) :])} {name}"
    return ""
