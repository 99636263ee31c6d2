"""The argument `load` of a test's server, against the models that the server is given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches

from pytest_triton.checks.checked_deployment import CheckedDeployment
from pytest_triton.testing.server_errors import UnknownModel

_MOST_NAMES = 20  # of models, in an error


def check_load(load: Sequence[str], checked: CheckedDeployment) -> None:
    """Raise UnknownModel for a name that no model of any of the repositories has.

    The plugin's servers start where models are missing, so nothing else would report it.
    """
    names = sorted({model.name for model in checked.repository.models})
    for name in load:
        # A test may have made the directory after the repository was read.
        if name in names or name == "*" or _is_there(name, checked):
            continue
        close = get_close_matches(name, names, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        listed = ", ".join(names[:_MOST_NAMES]) or "none"
        raise UnknownModel(
            f"load={list(load)!r}: no model is called {name!r} in {checked.deployment.text}."
            f"{meant}",
            model=name,
            tried=[f"the models that there are: {listed}"],
            fix="correct the name; models from outside the repository are loaded by the test: "
            "triton_server.load(name, directory=...)",
        )


def _is_there(name: str, checked: CheckedDeployment) -> bool:
    return "/" not in name and any(os.path.isdir(path / name) for path in checked.deployment.paths)
