"""Errors that users see: each says what happened, what was tried and what to do.

Every error this package raises on purpose is a `PytestTritonError`. One subclass stands for
one cause, so that callers can distinguish causes without reading texts. Classes that only one
module raises live in that module; those that a project may meet can be imported from here:

    from pytest_triton.errors import ServerExited

`docs/errors.md` has the tree, with the fields of each.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_triton.text.shown_text import shown

if TYPE_CHECKING:
    import pytest

    from pytest_triton.client.metrics import NoMetrics as NoMetrics
    from pytest_triton.client.native import NoSuchEndpoint as NoSuchEndpoint
    from pytest_triton.client.tls import BadCredentials as BadCredentials
    from pytest_triton.evidence.metrics import MetricsUnreadable as MetricsUnreadable
    from pytest_triton.inference.arrays import NumpyMissing as NumpyMissing
    from pytest_triton.inference.arrays import WrongData as WrongData
    from pytest_triton.inference.data_files import DataBroken as DataBroken
    from pytest_triton.inference.errors import InferenceFailed as InferenceFailed
    from pytest_triton.inference.golden import GoldenBroken as GoldenBroken
    from pytest_triton.inference.golden import GoldenMismatch as GoldenMismatch
    from pytest_triton.inference.infer import UnhealthyAfterInference as UnhealthyAfterInference
    from pytest_triton.inference.signature import UnknownInput as UnknownInput
    from pytest_triton.options.server_arguments import ArgumentRefused as ArgumentRefused
    from pytest_triton.repository.models import RepositoryEmpty as RepositoryEmpty
    from pytest_triton.repository.models import RepositoryError as RepositoryError
    from pytest_triton.repository.models import RepositoryNotFound as RepositoryNotFound
    from pytest_triton.repository.models import RepositoryUnreadable as RepositoryUnreadable
    from pytest_triton.repository.schema import SchemaUnavailable as SchemaUnavailable
    from pytest_triton.servers.container.engine import ContainerRefused as ContainerRefused
    from pytest_triton.servers.container.engine import NoDocker as NoDocker
    from pytest_triton.servers.container.image import ImageUnavailable as ImageUnavailable
    from pytest_triton.servers.container.reach import LinksLeadOut as LinksLeadOut
    from pytest_triton.servers.gpus_in_log import GpusMissing as GpusMissing
    from pytest_triton.servers.server_errors import ServerExited as ServerExited
    from pytest_triton.servers.server_errors import ServerNotLive as ServerNotLive
    from pytest_triton.servers.server_errors import ServerTimeout as ServerTimeout
    from pytest_triton.testing.server_errors import ModelNotPlaced as ModelNotPlaced
    from pytest_triton.testing.server_errors import ModelRefused as ModelRefused
    from pytest_triton.testing.server_errors import NotExplicit as NotExplicit
    from pytest_triton.testing.server_errors import ServerNotYours as ServerNotYours
    from pytest_triton.testing.server_errors import UnknownModel as UnknownModel

_HOMES = {
    "client.metrics": ("NoMetrics",),
    "client.native": ("NoSuchEndpoint",),
    "client.tls": ("BadCredentials",),
    "servers.gpus_in_log": ("GpusMissing",),
    "evidence.metrics": ("MetricsUnreadable",),
    "inference.arrays": ("NumpyMissing", "WrongData"),
    "inference.data_files": ("DataBroken",),
    "inference.errors": ("InferenceFailed",),
    "inference.golden": ("GoldenBroken", "GoldenMismatch"),
    "inference.infer": ("UnhealthyAfterInference",),
    "inference.signature": ("UnknownInput",),
    "options.server_arguments": ("ArgumentRefused",),
    "repository.models": (
        "RepositoryEmpty",
        "RepositoryError",
        "RepositoryNotFound",
        "RepositoryUnreadable",
    ),
    "repository.schema": ("SchemaUnavailable",),
    "servers.container.engine": ("ContainerRefused", "NoDocker"),
    "servers.container.image": ("ImageUnavailable",),
    "servers.container.reach": ("LinksLeadOut",),
    "servers.server_errors": ("ServerExited", "ServerNotLive", "ServerTimeout"),
    "testing.server_errors": (
        "ModelNotPlaced",
        "ModelRefused",
        "NotExplicit",
        "ServerNotYours",
        "UnknownModel",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
PUBLIC = ("OptionError", "PytestTritonError", *sorted(_HOME_OF))
"""The names of all errors that a project may meet."""


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"pytest_triton.{home}"), name)


class PytestTritonError(Exception):
    """Something went wrong, for the person who has to fix it.

    `what` is one sentence on what happened, `tried` the steps that were taken (in order),
    `fix` what to do now. `str(error)` shows all three, over several lines. `exit_code` is that of a
    command which ends with it: 2 for wrong usage, 1 for all else.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, tried: Sequence[str] = (), fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.tried = tuple(tried)
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.tried:
            lines.append("Tried:")
            lines += [f"  - {step}" for step in self.tried]
        if self.fix:
            lines.append(f"What to do: {self.fix}")
        return shown("\n".join(lines))


class OptionError(PytestTritonError):
    """A value that an option or argument can't take; the text lists what it can.

    `secret`: the value may be a credential, so that nothing repeats it.
    """

    exit_code = 2

    def __init__(self, what: str, *, fix: str = "", secret: bool = False) -> None:
        super().__init__(what, fix=fix)
        self.secret = secret


def says_all(excinfo: pytest.ExceptionInfo[Any]) -> bool:
    """Whether a traceback needs no frames of ours: the error's text says what there is to say.

    Modules that users call set `__tracebackhide__` to this.
    """
    return excinfo.errisinstance((PytestTritonError, AssertionError))
