"""What tests hand to servers and assertions, as kinds of arguments."""

from __future__ import annotations

from typing import get_args

from pytest_triton.arguments.kinds import (
    ANYTHING,
    BYTES,
    NAME,
    PATH,
    TEXT,
    ArgumentKind,
    a,
    either,
    mapping,
    one_of,
    optional,
)
from pytest_triton.placement.instances import Placement
from pytest_triton.placement.refusal import Reason, reason_in_a_cell
from pytest_triton.repository import Model

MODEL = ArgumentKind(
    "a model: its name, or a Model", lambda value: NAME.fits(value) or isinstance(value, Model)
)
SERVER = ArgumentKind(
    "a TritonServer, such as the fixture triton_server gives",
    lambda value: callable(getattr(value, "observed", None)),
)
PLACEMENT = a("a placement, made of gpu(), cpu() and on_model()", Placement)
REASON = optional(
    one_of(get_args(Reason), ((reason_in_a_cell(one), one) for one in get_args(Reason)))
)
CONFIG = optional(
    either(
        TEXT,
        mapping(TEXT, ANYTHING, "its JSON form (a dict)"),
    )
)
GROUPS = optional(TEXT)
DIRECTORY = optional(PATH)
FILES = optional(mapping(TEXT, BYTES, "bytes by path in the model's directory"))
