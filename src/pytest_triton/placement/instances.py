"""Placement as a value: which instances of a model run where.

    gpu(0) + gpu(1, count=2) + cpu(count=2)

A placement is frozen, hashable and normalised: equal instances are merged, GPUs stand in the
order of their ids, then the CPU, then KIND_MODEL. `gpu(0) + gpu(0) == gpu(0, count=2)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pytest_triton.arguments.checked import check, checked
from pytest_triton.arguments.kinds import COUNT, ZERO_OR_MORE, ArgumentKind, a, several

Kind = Literal["GPU", "CPU", "MODEL"]

_ORDER: dict[str, int] = {"GPU": 0, "CPU": 1, "MODEL": 2}
_FACTORY: dict[str, str] = {"CPU": "cpu", "MODEL": "on_model"}


@dataclass(frozen=True, slots=True)
class Instances:
    """`count` equal instances: on GPU number `device`, on the CPU or of KIND_MODEL."""

    kind: Kind
    device: int | None
    count: int

    def __str__(self) -> str:
        where = f"GPU {self.device}" if self.kind == "GPU" else self.kind
        return where if self.count == 1 else f"{where} x{self.count}"

    def __repr__(self) -> str:
        arguments = [str(self.device)] if self.kind == "GPU" else []
        if self.count != 1:
            arguments.append(f"count={self.count}")
        return f"{_FACTORY.get(self.kind, 'gpu')}({', '.join(arguments)})"


class Placement:
    """The instances of one model; add, compare, hash, print and iterate over it.

    Make one with `gpu()`, `cpu()` and `on_model()`. `NOTHING` is the empty placement (an
    ensemble has it: it has no instances of its own).
    """

    __slots__ = ("_instances",)
    _instances: tuple[Instances, ...]

    def __init__(self, instances: Iterable[Instances] = ()) -> None:
        instances = tuple(instances) if isinstance(instances, Iterable) else instances
        check("Placement", "instances", instances, _INSTANCES)
        merged: dict[tuple[Kind, int | None], Instances] = {}
        for new in instances:
            where = new.kind, new.device
            old = merged.get(where)
            merged[where] = new if old is None else Instances(*where, old.count + new.count)
        object.__setattr__(self, "_instances", tuple(sorted(merged.values(), key=_sort_key)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Placement can't be changed (tried to set {name!r}); add to it")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Placement can't be changed (tried to delete {name!r})")

    def __add__(self, other: object) -> Placement:
        if not isinstance(other, Placement):
            return NotImplemented
        return Placement((*self._instances, *other._instances))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Placement):
            return NotImplemented
        return self._instances == other._instances

    def __hash__(self) -> int:
        return hash(self._instances)

    def __bool__(self) -> bool:
        return bool(self._instances)

    def __iter__(self) -> Iterator[Instances]:
        return iter(self._instances)

    def __str__(self) -> str:
        return " · ".join(map(str, self._instances)) or "nothing"

    def __repr__(self) -> str:
        return " + ".join(map(repr, self._instances)) or "NOTHING"

    def __reduce__(self) -> tuple[type[Placement], tuple[tuple[Instances, ...]]]:
        return Placement, (self._instances,)

    @property
    def devices(self) -> tuple[int, ...]:
        """The ids of the GPUs in use, ascending, each once."""
        return tuple(i.device for i in self._instances if i.device is not None)

    @property
    def total(self) -> int:
        """The number of instances, on all devices together."""
        return sum(i.count for i in self._instances)


@lru_cache(maxsize=4096)
def placed(*instances: tuple[Kind, int | None, int]) -> Placement:
    """The placement of instances given as (kind, device, count).

    Equal ones are one object: thousands of models share a few placements.
    """
    return Placement([Instances(*each) for each in instances])


def _sort_key(instances: Instances) -> tuple[int, int]:
    return _ORDER[instances.kind], instances.device or 0


_INSTANCES = several(a("instances", Instances), "instances: make a placement with gpu(0) + cpu()")
_ID = ArgumentKind("the id of a GPU, 0 or more, as in gpu(1)", ZERO_OR_MORE.fits)
_COUNT = ArgumentKind(
    "a number of instances, 1 or more (no instances at all is NOTHING; a refused model has no "
    "placement)",
    COUNT.fits,
)


@checked(id=_ID, count=_COUNT)
def gpu(id: int = 0, *, count: int = 1) -> Placement:
    """`count` instances on the GPU with this id (as the server numbers its GPUs, from 0)."""
    return Placement((Instances("GPU", id, count),))


@checked(count=_COUNT)
def cpu(*, count: int = 1) -> Placement:
    """`count` instances on the CPU."""
    return Placement((Instances("CPU", None, count),))


@checked(count=_COUNT)
def on_model(*, count: int = 1) -> Placement:
    """`count` instances of KIND_MODEL: the model or its backend decides where they run."""
    return Placement((Instances("MODEL", None, count),))


NOTHING = Placement()
