"""Parts of a repository: which models belong to part K of N.

A model's name alone decides (its hash), so that a model stays in its part when others come or go.
Parts are of equal size only on average, and of a few models one may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

MOST = 1000


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "2/5". Raises ValueError with the valid form."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip(), re.ASCII)
        if match is not None and 1 <= int(match[1]) <= int(match[2]) <= MOST:
            return cls(int(match[1]), int(match[2]))
        raise ValueError(f"expected K/N, part K of N, such as 2/5 (N up to {MOST})")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, model: str) -> bool:
        digest = sha256(model.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


def needed(models: Iterable[str], steps: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """These models, and those that their ensembles are made of: what their server must have.

    `steps` are the models of each ensemble, by its name.
    """
    found: set[str] = set()
    waiting = list(models)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(steps.get(name, ()))
    return frozenset(found)
