"""The checks that Triton's core makes on implicit state when it makes a sequence scheduler.

Source: core's `SequenceBatchScheduler::Create` and `GenerateInitialStateData`
(sequence_batch_scheduler.cc); they run after the instances are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.data_types import BYTE_SIZES, STRING
from pytest_triton.placement.named_files import INITIAL_STATE, NamedFiles, missing_file_flaw
from pytest_triton.placement.tensors import element_count

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


def state_flaws(config: ModelConfig, files: NamedFiles | None = None) -> Iterator[Diagnostic]:
    """What is refused in the states of a sequence model, in core's order."""
    if config.WhichOneof("scheduling_choice") != "sequence_batching":
        return
    seen: set[str] = set()
    for index, state in enumerate(config.sequence_batching.state):
        place = f"sequence_batching.state[{index}]"
        count = len(state.initial_state)
        if count > 1:
            yield Diagnostic(
                "config",
                f"initial_state field for state input '{state.input_name}' must contain exactly "
                f"one or zero element. Found '{count}' elements.",
                f"{place}.initial_state[1]",
                f"state `{state.input_name}` has {count} initial_state",
                "Keep one of them.",
            )
        elif count:
            yield from _initial_flaws(state, state.initial_state[0], place, seen, files)
            seen.add(state.input_name)


def _initial_flaws(
    state: Any, initial: Any, place: str, seen: set[str], files: NamedFiles | None
) -> Iterator[Diagnostic]:
    name, place = state.input_name, f"{place}.initial_state[0]"
    if initial.data_type != state.data_type:
        yield Diagnostic(
            "config",
            f"The data type used for 'initial_state' field of state '{name}' does not match the "
            "state data type.",
            f"{place}.data_type",
            f"the initial_state of `{name}` has another data_type than the state",
            "Write the same in both.",
        )
    if not initial.name:
        yield Diagnostic(
            "config",
            f"Field 'name' must be set when using initial_state for state input '{name}'.",
            place,
            f"the initial_state of `{name}` has no name",
            'Write name: "..." into it.',
        )
    if name in seen:
        yield Diagnostic(
            "config",
            f"State input name '{name}' specified more than once.",
            f"{place.removesuffix('.initial_state[0]')}.input_name",
            f"two states have the input_name `{name}`",
            "Give each state an input_name of its own.",
        )
    if len(initial.dims) != len(state.dims):
        yield Diagnostic(
            "config",
            "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions "
            f"for state input '{name}'. {len(initial.dims)} != {len(state.dims)}",
            f"{place}.dims",
            f"the initial_state of `{name}` has {len(initial.dims)} dims, the state "
            f"{len(state.dims)}",
            f"Write {len(state.dims)} dims, without the batch dimension.",
        )
        return
    for number, (mine, its) in enumerate(zip(initial.dims, state.dims, strict=True)):
        if mine == -1:
            yield Diagnostic(
                "config",
                f"'initial_state' field for state input name '{name}' contains variable "
                "dimensions.",
                f"{place}.dims[{number}]",
                f"the initial_state of `{name}` has a dimension of -1",
                "Write the size that the first state has.",
            )
        elif its not in (-1, mine):
            yield Diagnostic(
                "config",
                f"'initial_state' dim for input name '{name}' doesn't match 'state' dim "
                f"description. {mine} != {its}",
                f"{place}.dims[{number}]",
                f"the initial_state of `{name}` has a dimension of {mine}, the state {its}",
                f"Write {its}.",
            )
    yield from _data_flaws(name, initial, place, files)


def _data_flaws(
    name: str, initial: Any, place: str, files: NamedFiles | None
) -> Iterator[Diagnostic]:
    given = initial.WhichOneof("state_data")
    if given is None:
        yield Diagnostic(
            "config",
            f"initial_state setting expects state'{name}' to have state_data set",
            place,
            f"the initial_state of `{name}` has neither zero_data nor data_file",
            "Write zero_data: true, or data_file with a file in initial_state/.",
        )
    if given != "data_file":
        return
    relative = f"{INITIAL_STATE}/{initial.data_file}"
    missing = missing_file_flaw(
        files,
        relative,
        f"{place}.data_file",
        f"the data file of state `{name}`",
        INITIAL_STATE,
    )
    if missing is not None:
        yield missing
        return
    found = files.get(relative) if files is not None else None
    wanted = element_count(initial.dims) * (BYTE_SIZES.get(initial.data_type) or 4)
    if found is None or found.size is None or initial.data_type == STRING:
        return
    if wanted > found.size:
        yield Diagnostic(
            "config",
            f"initial_state setting expects {wanted} bytes, but the data provided from "
            f"{initial.data_file}only has {found.size} bytes.",
            f"{place}.data_file",
            f"the data file of state `{name}` has {found.size} bytes, and its dims need {wanted}",
            "Write the file anew, or correct dims and data_type.",
        )
