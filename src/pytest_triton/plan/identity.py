"""What a config says, in one short text: equal for equal configs, whatever their layout."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_triton.repository import Model


def config_hash(model: Model) -> str:
    """sha256 of all that the model's config says, as hexadecimal digits.

    Comments, layout and the order of fields don't matter, nor whether `name` is written. A
    config that can't be read has its text hashed, under a name that no readable one gets.
    """
    if not model.readable:
        text = model.config_file.text if model.config_file is not None else ""
        return "unreadable-" + sha256(text.encode("utf-8", "replace")).hexdigest()
    return sha256(model.config.SerializeToString(deterministic=True)).hexdigest()


def deployment_name(text: str) -> str:
    """What a deployment is called in ledgers and plans: as --triton-repo named it, tidied.

    `./models/` and `models` are the same deployment.
    """
    return os.pathsep.join(os.path.normpath(part) for part in text.split(os.pathsep))
