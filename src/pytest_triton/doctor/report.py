"""What the doctor finds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "warning", "missing"]
"""ok: it is there. warning: it is there, and something about it will be noticed. missing: what
needs it can't run here."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fix` is "" for what is ok; `facts` are for programs."""

    name: str
    status: Status
    text: str
    fix: str = ""
    facts: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def usable(self) -> bool:
        return self.status != "missing"


@dataclass(frozen=True)
class Ability:
    """A way to run Triton. `lacks` names the findings that stand in its way, `limits` those with
    a warning; it is possible without any of the former."""

    name: str
    what: str
    lacks: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def possible(self) -> bool:
        return not self.lacks


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and what follows from them. `gpus` are the usable GPUs of this machine."""

    findings: tuple[Finding, ...]
    abilities: tuple[Ability, ...]
    gpus: int

    def ability(self, name: str) -> Ability:
        return next(one for one in self.abilities if one.name == name)
