"""Send a model inferences, and have the server's metrics show where they ran."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_triton.client.metrics import NoMetrics
from pytest_triton.evidence.metrics import (
    NO_NAMES,
    Ran,
    Wrong,
    devices_that_ran,
    gpu_ids,
    inference_counts,
    labelled_gpus,
    what_is_wrong,
)
from pytest_triton.placement.instances import Placement, placed

if TYPE_CHECKING:
    from pytest_triton.placement.compare import Observed
    from pytest_triton.testing.server import TritonServer

_ROUNDS = 8  # of one request for each instance, until all of the model's devices have run some
_COUNTED = 10.0  # seconds that Triton may take to count an inference that it has answered
_STEP = 0.002  # seconds

_AT_START_ELSEWHERE = Wrong(
    "that is not proven: it was loaded when the server started",
    "Triton counts the inferences of such a model without naming a GPU, until it is loaded again. "
    "Send the server a load request for it, or let the test do so: @pytest.mark.triton("
    "changes=True), in a run with --triton-allow-changes=on.",
)
_SEVERAL = (
    "If several servers stand behind one address, each has metrics of its own: name one of them in "
    "--triton-server and --triton-metrics."
)
_AT_START = Wrong(
    "that is not proven: it was loaded when the server started",
    "Triton counts the inferences of such a model without naming a GPU. Mark the test "
    "@pytest.mark.triton(changes=True): its server may then be changed, and assert_ran_on loads "
    "the model again before it looks.",
)


@dataclass(frozen=True)
class Watched:
    """What came of watching a model run: `wrong` if it isn't as wanted, or not proven.

    `ran` is None where there was no use in sending anything.
    """

    ran: Ran | None
    wrong: Wrong | None


def watch(
    server: TritonServer, model: str, wanted: Placement, send: Callable[[], object]
) -> Watched:
    """Where inferences of a READY model run, whose instances are on the `wanted` devices.

    Requests are sent until each of the devices has run some, or there were many. Raises what
    `send` raises.
    """
    try:
        before = server.metrics_text()
    except NoMetrics as error:
        return Watched(None, Wrong(f"that is not proven: {error.what}", f"To fix it: {error.fix}"))
    gpus = server.hardware
    if (gpus.count or gpus.at_least) and not any(inference_counts(before, model)):
        if not _load_after_start(server, model):
            return Watched(None, _AT_START if _is_ours(server) else _AT_START_ELSEWHERE)
        before = server.metrics_text()
    if len(labelled_gpus(before)) < gpus.count:
        known = f"the metrics know {len(labelled_gpus(before))} of {gpus.label}"
        return Watched(None, Wrong(f"that is not proven: {known}", NO_NAMES))
    placed = server.observed(model).placement
    ran, wrong, sent = None, None, 0
    for _ in range(_ROUNDS):
        for _ in range(placed.total):
            send()
        sent += placed.total
        ran = _counted(server, before, model, sent)
        wrong = what_is_wrong(ran, sent, wanted, known_gpu_ids(server, ran.by_gpu), placed)
        if wrong is None or not wrong.may_change:
            break
    if wrong is not None and ran is not None and ran.total < sent and not _is_ours(server):
        wrong = replace(wrong, advice=f"{wrong.advice} {_SEVERAL}")
    return Watched(ran, wrong)


def active(observed: Observed) -> Placement:
    """The instances that may be asked: without those of passive groups, which never run."""
    if not observed.groups:
        return observed.placement
    groups = [group for group in observed.groups if not group.passive]
    return placed(*[each for group in groups for each in group.runs])


def known_gpu_ids(server: TritonServer, uuids: Iterable[str]) -> Mapping[str, int]:
    """The ids, as a config's `gpus` has them, of GPUs by UUID, as far as they are certain."""
    return gpu_ids(server._state.running.spec, frozenset(uuids))


def _is_ours(server: TritonServer) -> bool:
    return server._state.running.spec.host.is_ours


def _load_after_start(server: TritonServer, model: str) -> bool:
    """Have a READY model loaded later than the server was started, as it is otherwise.

    Only such models have their GPUs in the metrics. One that this test has loaded is left
    alone; else it is reloaded (and by Triton the ensembles that use it). False where nothing
    may be changed.
    """
    if not server._state.running.spec.is_changeable:
        return False
    if model not in server._state.was_ready:
        server.reload(model)
    return True


def _counted(server: TritonServer, before: str, model: str, sent: int) -> Ran:
    """Triton counts an inference after it has answered it."""
    deadline = time.monotonic() + _COUNTED
    while True:
        ran = devices_that_ran(before, server.metrics_text(), model)
        if ran.total >= sent or time.monotonic() > deadline:
            return ran
        time.sleep(_STEP)
