"""The placement of a model that isn't loaded, as a value."""

from __future__ import annotations

from typing import Any

from pytest_triton.placement.compare import Observed
from pytest_triton.placement.instances import Placement
from pytest_triton.placement.refusal import Refusal


class RefusedPlacement(Placement):
    """The placement of a model that isn't loaded: it equals no placement, and prints why."""

    __slots__ = ("_observed",)
    _observed: Observed

    def __init__(self, observed: Observed) -> None:
        super().__init__()
        object.__setattr__(self, "_observed", observed)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return False

    @property
    def refusal(self) -> Refusal | None:
        """Why it isn't loaded; None if it just isn't (unloaded, for instance)."""
        return self._observed.refusal

    def __str__(self) -> str:
        return str(self._observed)

    def __repr__(self) -> str:
        refusal = self._observed.refusal
        return f"<{self._observed}{': ' + refusal.text if refusal else ''}>"

    def __reduce__(self) -> Any:
        return RefusedPlacement, (self._observed,)
