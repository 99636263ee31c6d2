"""The bundled checks: each model of a checked repository gets these tests.

A failure is a text for the person who has to fix the model, without a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_triton.errors import PytestTritonError
from pytest_triton.text.shown_text import shown

if TYPE_CHECKING:
    from pytest_triton.checks.model_check import Answer, ModelCheck
    from pytest_triton.placement.hardware import HardwareRequest


pytestmark = pytest.mark.triton_checks


def test_config(triton_check: ModelCheck, triton_values: str) -> None:
    """The config parses, Triton accepts it, and some hardware exists that the model loads on."""
    _expect_nothing(triton_check.config_failure())


def test_explicit_placement(triton_check: ModelCheck, triton_values: str) -> None:
    """The model can't fall back to the CPU, or is allowed to, and declares what is expected."""
    _expect_nothing(triton_check.explicit_placement_failure())


def test_audit(triton_check: ModelCheck, triton_values: str) -> None:
    """Nothing else is wrong that the config shows; warnings and notes pass."""
    _expect_nothing(triton_check.audit_failure())


def test_placement(
    triton_check: ModelCheck, triton_values: str, triton_hardware: HardwareRequest
) -> None:
    """A real server places the model as Triton's rules say, or refuses it for that reason."""
    try:
        answer = triton_check.placement_failure(triton_hardware)
    except PytestTritonError as error:
        answer = triton_check.no_answer(error)
    _expect_nothing(answer)


def test_deployed_config(triton_check: ModelCheck, triton_values: str) -> None:
    """A running server has this config deployed, and these versions (attached servers only)."""
    _expect_nothing(triton_check.deployed_config_failure())


def _expect_nothing(answer: Answer) -> None:
    if not isinstance(answer, str):
        pytest.skip(answer.reason)
    if answer:
        pytest.fail(shown(answer), pytrace=False)
