"""A server crashed on its models: which ones, found by giving servers parts of them.

A crash may be by chance, as in core's race when it refuses models: then the same models live at
another try. Else the models are tried in halves. Each start counts, and there is a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

SAME_AGAIN = 5  # tries of the same models, before they are halved
MOST_STARTS = 48

Lives = Callable[[frozenset[str], int], bool]
"""Whether a server lives that is given these models only, at this try."""


@dataclass(frozen=True)
class Culprits:
    """What was found: groups of models that end a server, one model each where that is certain.

    `starts` is the number of servers that it took. `certain`: the limit left nothing undecided.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    starts: int = 0
    certain: bool = True

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for group in self.groups for name in group)


@dataclass
class _Search:
    lives: Lives
    starts: int = 0
    certain: bool = True
    groups: list[tuple[str, ...]] = field(default_factory=list)

    def live(self, names: Collection[str], tries: int = 1) -> bool:
        """Whether a server lives with these, at one of several tries."""
        for number in range(tries):
            if self.starts >= MOST_STARTS:
                self.certain = False
                return False
            self.starts += 1
            if self.lives(frozenset(names), number):
                return True
        return False

    def search(self, names: Sequence[str]) -> None:
        """Find the culprits among models that a server crashed on."""
        if len(names) == 1 or self.starts >= MOST_STARTS:
            if self.starts >= MOST_STARTS and len(names) > 1:
                self.certain = False
            elif self.live(names, SAME_AGAIN - 1):
                return  # it was chance
            self.groups.append(tuple(names))
            return
        middle = len(names) // 2
        halves = names[:middle], names[middle:]
        dying = [half for half in halves if not self.live(half)]
        for half in dying:
            self.search(half)
        if not dying and not self.live(names, SAME_AGAIN - 1):
            self.groups.append(tuple(names))  # together only


def find_culprits(names: Sequence[str], lives: Lives) -> Culprits:
    """The models that a server crashed on once, when it was given all of these.

    None are found where it lives at another try.
    """
    search = _Search(lives)
    if search.live(names, SAME_AGAIN):
        return Culprits((), search.starts)
    search.search(names)
    return Culprits(tuple(search.groups), search.starts, search.certain)
