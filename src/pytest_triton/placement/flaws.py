"""What is wrong with a config whatever the hardware, as a value: Triton's words, and ours.

The rules that find flaws are in the order of the server's life in fields.py, completion.py,
polling.py, ensembles.py, tensors.py, warm_up.py, states.py and data_flow.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pytest_triton.placement.refusal import Reason

Version = tuple[int, int, int]
NEVER: Version = (9999, 0, 0)


@dataclass(frozen=True)
class Flaw:
    """What Triton says of a config, in its words, from release `since` on and before `until`.

    `field` is where to look, such as `input[0].name` ("" where that is no one field), `message`
    and `cure` are for people: what is wrong, in our words, and what to do. `also` are fields of
    other models that it contradicts, as (model, field). `code` stands before the text where the
    model is refused while it loads.
    """

    reason: Reason
    text: str
    field: str = ""
    message: str = ""
    cure: str = ""
    since: Version = (0, 0, 0)
    until: Version = NEVER
    also: tuple[tuple[str, str], ...] = ()
    code: str = "Invalid argument"

    def holds(self, version: Version) -> bool:
        """Whether this release says so."""
        return self.since <= version < self.until

    @property
    def lasting(self) -> bool:
        """Whether newer releases refuse it too."""
        return self.until == NEVER


def entry_of(field: str, key: str) -> str:
    """The field of a map's entry: `input_map["X"]`."""
    return f"{field}[{json.dumps(key, ensure_ascii=False)}]"
