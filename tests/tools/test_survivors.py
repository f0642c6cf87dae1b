"""The judge of survivors: evidence where a mutant differs, and only if the check reports it."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from diffexport.tools.mutate.survivors import _MOST_UNREPORTED, MutantComparer
from diffexport.values import parse_specs


def times(factor):
    x, y = (make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy")
    constants = [numpy_helper.from_array(np.float32(factor), "c")]
    graph = make_graph([make_node("Mul", ["x", "c"], ["y"])], "g", [x], [y], constants)
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def judge():
    return MutantComparer(times(3), ["x"], parse_specs(["float32[N]"]))


def test_a_small_input_is_shown(judge):
    found = judge.evidence(times(3.001))
    (shown,) = found.inputs
    assert shown.size <= 8
    assert "the original" in found.message
    assert "the mutant" in found.message


def test_what_does_not_differ_is_no_evidence(judge):
    assert judge.evidence(times(3)) is None


def test_what_the_check_does_not_report_is_no_evidence(judge):
    asked = []
    assert judge.evidence(times(3.001), confirm=asked.append) is None
    assert len(asked) == _MOST_UNREPORTED


def test_what_it_does_report_is_found_among_the_rest(judge):
    asked = []

    def reported(inputs):
        asked.append(inputs)
        return len(asked) == 5

    assert judge.evidence(times(3.001), confirm=reported) is not None
    assert len(asked) == 5
