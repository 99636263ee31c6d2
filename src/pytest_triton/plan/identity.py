"""What decides where a model runs, in one short text: equal for what is equal, whatever its layout.

A proof is for one identity of a model. It changes with the model's config, with what Triton makes
of its directory (versions, backend), with its python code, and with the identity of each model that
an ensemble is made of. Weights don't count: they are often fetched only where they are needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.plan.sharding import needed
from pytest_triton.text.store_urls import places_in, url_at_start

if TYPE_CHECKING:
    from pytest_triton.placement.declared import Declared
    from pytest_triton.repository import Model

_MOST_ENTRIES = 2000  # of a model's directory; code lies before that
_MOST_BYTES = 1 << 20  # of a python file


def config_hash(model: Model) -> str:
    """sha256 of all that the model's config says, as hexadecimal digits.

    Comments, layout and the order of fields don't matter, nor whether `name` is written. A
    config that can't be read has its text hashed, under a name that no readable one gets.
    """
    file = model.config_file
    if file is not None and file.config is None:
        return "unreadable-" + sha256(file.text.encode("utf-8", "replace")).hexdigest()
    return sha256(model.config.SerializeToString(deterministic=True)).hexdigest()


def identities(models: Sequence[Model], declared: Mapping[str, Declared]) -> Mapping[str, str]:
    """The identity of each model that one server gets, by name.

    `declared` has what those with a readable config declare.
    """
    own: dict[str, list[str]] = {}
    for model in models:  # a name may stand in several repositories
        own.setdefault(model.name, []).append(_own(model, declared.get(model.name)))
    steps = {name: one.steps for name, one in declared.items()}
    found = {}
    for name in own:
        parts = [[each, own.get(each, ["missing"])] for each in sorted(needed([name], steps))]
        found[name] = sha256(json.dumps(parts).encode()).hexdigest()
    return found


def _own(model: Model, declared: Declared | None) -> str:
    """What decides about one model alone."""
    facts: list[object] = [config_hash(model), model.versions, *_code(model.directory)]
    if declared is not None:
        flaws = (
            *declared.flaws,
            *declared.io_flaws,
            *declared.instance_flaws,
            *declared.scheduler_flaws,
        )
        facts += [declared.backend, declared.platform, declared.versions]
        facts += [flaw.reason for flaw in flaws]  # their texts name places on this machine
    return sha256(json.dumps(facts).encode()).hexdigest()


def _code(directory: Path) -> Iterator[tuple[str, str]]:
    """The python files of a model, with what they hold."""
    seen: set[tuple[int, int]] = set()
    count = 0
    for folder, folders, files in os.walk(directory, followlinks=True):
        folders.sort()
        status = os.stat(folder)
        itself = (status.st_dev, status.st_ino)
        count += len(folders) + len(files)
        if itself in seen or count > _MOST_ENTRIES:
            folders.clear()
            continue
        seen.add(itself)
        for name in sorted(files):
            path = os.path.join(folder, name)
            if name.endswith(".py") and os.path.isfile(path):
                yield os.path.relpath(path, directory), _content(path)


def _content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return sha256(file.read(_MOST_BYTES)).hexdigest()
    except OSError:
        return "unreadable"


def deployment_name(text: str) -> str:
    """What a deployment is called in ledgers and plans: as --triton-repo named it, tidied.

    `./models/` and `models` are the same deployment.
    """
    return os.pathsep.join(
        part.rstrip("/") if url_at_start(part) else os.path.normpath(part)
        for part in places_in(text)
    )
