"""Public functions check their arguments where they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast

from pytest_triton.arguments.kinds import ArgumentKind
from pytest_triton.errors import OptionError, says_all

__tracebackhide__ = says_all

SHOWN = 100  # characters of a value, in an error

Function = TypeVar("Function", bound=Callable[..., Any])


def checked(**kinds: ArgumentKind) -> Callable[[Function], Function]:
    """Decorate a function: a call with an argument that isn't of its kind raises OptionError.

    Each parameter has a kind (but self and cls); that of `*names` holds for each of them.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        parameters = signature.parameters.values()
        names = [one.name for one in parameters]
        missing = {*names} - {"self", "cls"} ^ {*kinds}
        if missing:
            raise TypeError(f"{function.__qualname__}: no kind, or no argument: {sorted(missing)}")
        by_place = [one for one in parameters if one.kind is not one.KEYWORD_ONLY]
        rest = next((one.name for one in by_place if one.kind is one.VAR_POSITIONAL), None)
        in_order = [one.name for one in by_place if one.name != rest]
        public = function.__name__
        if public in ("__init__", "__call__"):
            public = function.__qualname__.split(".")[-2]

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise _wrong_call(public, signature, args, kwargs, str(error)) from None
            for name, value in zip(in_order, args, strict=False):
                if name in kinds:
                    check(public, name, value, kinds[name])
            if rest is not None:
                for value in args[len(in_order) :]:
                    check(public, rest, value, kinds[rest])
            for name, value in kwargs.items():
                if name in kinds:
                    check(public, name, value, kinds[name])
            return function(*args, **kwargs)

        return cast("Function", call)

    return decorate


def _wrong_call(
    function: str,
    signature: inspect.Signature,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    problem: str,
) -> OptionError:
    """What a call with the wrong arguments raises: with the call, and what it takes."""
    known = [one for name, one in signature.parameters.items() if name not in ("self", "cls")]
    args = args[len(signature.parameters) - len(known) :]
    given = [shown_value(one) for one in args]
    given += [f"{name}={shown_value(one)}" for name, one in kwargs.items()]
    by_place = [
        one for one in known if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if problem == "too many positional arguments":
        most = len(by_place) or "no"
        problem = f"takes {most} positional argument{'s' * (most != 1)}, {len(args)} given"
    close = [
        match
        for name in kwargs
        if name not in signature.parameters
        for match in get_close_matches(name, [one.name for one in known], n=1)
    ]
    meant = f" Did you mean {close[0]}?" if close else ""
    bare = [one.replace(annotation=one.empty) for one in known]
    return OptionError(
        f"{function}({', '.join(given)}): {problem}.{meant}",
        fix=f"call it as {function}{inspect.Signature(bare)}",
    )


def check_fields(value: object, kinds: Mapping[str, ArgumentKind]) -> None:
    """For `__post_init__` of a dataclass: raise OptionError for a field of another kind."""
    for name, kind in kinds.items():
        check(type(value).__name__, name, getattr(value, name), kind)


def check(function: str, name: str, value: object, kind: ArgumentKind) -> None:
    """Raise OptionError if a value isn't of its kind."""
    if kind.fits(value):
        return
    close = kind.meant_by(value) if isinstance(value, str) else ""
    meant = f" Did you mean {close!r}?" if close else ""
    raise OptionError(f"{function}({name}={shown_value(value)}): expected {kind.expected}.{meant}")


def shown_value(value: object) -> str:
    """A value as an error shows it: its repr, which is short; else its type."""
    try:
        text = repr(value)
    except Exception:  # a class of the user's
        text = object.__repr__(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 10]}..."
