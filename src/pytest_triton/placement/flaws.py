"""What is wrong with a config whatever the hardware, as a value: Triton's words, and ours.

The rules that find flaws are in the order of the server's life in completion.py, polling.py,
ensembles.py and tensors.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_triton.placement.refusal import Reason

Version = tuple[int, int, int]
NEVER: Version = (9999, 0, 0)


@dataclass(frozen=True)
class Flaw:
    """What Triton says of a config, in its words, from release `since` on and before `until`.

    `field` is where to look, such as `input[0].name` ("" where that is no one field), `message`
    and `cure` are for people: what is wrong, in our words, and what to do.
    """

    reason: Reason
    text: str
    field: str = ""
    message: str = ""
    cure: str = ""
    since: Version = (0, 0, 0)
    until: Version = NEVER

    @property
    def lasting(self) -> bool:
        """Whether newer releases refuse it too."""
        return self.until == NEVER
