"""What an inference can be asked with, through `triton_server.infer`."""

from __future__ import annotations

import pytest

from support.builders import RepositoryBuilder

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("folders_left")]

OPTIONAL = """
backend: "onnxruntime"
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] optional: true },
        { name: "w" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] },
         { name: "z" data_type: TYPE_FP32 dims: [ 2 ] } ]
"""
SEQUENCE = """
backend: "onnxruntime"
max_batch_size: 2
sequence_batching { control_input [
  { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } } ] }
input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
"""


def test_inference_with_each_argument_sends_it(pytester: pytest.Pytester) -> None:
    repository = RepositoryBuilder(pytester.path / "models")
    repository.add_config("optional", OPTIONAL)
    repository.add_config("sequence", SEQUENCE)
    pytester.makeini("[pytest]\ntriton_repo = models\n")
    pytester.makepyfile(
        test_own="""
import pytest
from pytest_triton import PytestTritonError

def test_optional_inputs_are_left_out(triton_server):
    assert set(triton_server.infer("optional").inputs) == {"x", "w"}
    assert set(triton_server.infer("optional", optional=False).inputs) == {"w"}

def test_outputs_are_chosen(triton_server):
    assert list(triton_server.infer("optional")) == ["y", "z"]
    assert list(triton_server.infer("optional", outputs=["z"])) == ["z"]

def test_parameters_are_sent(triton_server):
    sent = {"priority_name": "high", "tries": 3, "fast": True}
    assert triton_server.infer("optional", parameters=sent)["y"].shape == (2,)
    with pytest.raises(PytestTritonError, match="sequence_id"):
        triton_server.infer("optional", parameters={"sequence_id": 5})

def test_sequences_begin_go_on_and_end(triton_server):
    assert triton_server.infer("sequence", sequence_id=7, sequence_start=True)
    assert triton_server.infer("sequence", sequence_id=7)
    assert triton_server.infer("sequence", sequence_id=7, sequence_end=True)
    with pytest.raises(PytestTritonError, match="START flag"):
        triton_server.infer("sequence", sequence_id=7)
"""
    )
    pytester.runpytest_subprocess("test_own.py").assert_outcomes(passed=4)
