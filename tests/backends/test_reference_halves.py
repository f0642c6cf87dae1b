"""The reference evaluator adds halves up in float32, as PyTorch and ONNX Runtime do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from diffexport.arrays import BFLOAT16
from diffexport.backends.runtimes.reference import REFERENCE


def session(kind, *, through_function=False):
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    value = [helper.make_tensor_value_info("x", kind, ["N"])], [helper.make_tensor_value_info("y", kind, [])]
    opsets = [helper.make_opsetid("", 18)]
    if not through_function:
        return REFERENCE.load(
            helper.make_model(
                helper.make_graph([node], "g", *value), opset_imports=opsets
            ).SerializeToString()
        )
    function = helper.make_function("own", "Total", ["x"], ["y"], [node], opsets)
    call = helper.make_node("Total", ["x"], ["y"], domain="own")
    graph = helper.make_graph([call], "g", *value)
    opsets.append(helper.make_opsetid("own", 1))
    model = helper.make_model(graph, opset_imports=opsets, functions=[function])
    return REFERENCE.load(model.SerializeToString())


@pytest.mark.parametrize("through_function", [False, True])
@pytest.mark.parametrize(
    ("kind", "dtype", "count"),
    [(TensorProto.FLOAT16, np.dtype(np.float16), 4096), (TensorProto.BFLOAT16, BFLOAT16, 512)],
)
def test_many_halves_are_rounded_once(kind, dtype, count, through_function):
    # One by one in half precision, the sum would stand still from 2048, or 256, on.
    terms = np.cumsum(np.ones(count)) * 0 + 1
    (total,) = session(kind, through_function=through_function).run({"x": terms.astype(dtype)})
    assert total.dtype == dtype
    assert float(total) == count


def test_floats_are_left_alone():
    (total,) = session(TensorProto.FLOAT).run({"x": np.ones(3, np.float32)})
    assert (total.dtype, float(total)) == (np.float32, 3.0)
    assert onnx.__version__


def test_a_node_that_holds_its_own_evaluator_is_loaded():
    # Gelu is a function that depends on its context: its node holds the evaluator that it is part of.
    value = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"])] for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Gelu", ["x"], ["y"])], "g", *value)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    (found,) = REFERENCE.load(model.SerializeToString()).run({"x": np.float32([0, 100])})
    assert found.tolist() == [0, 100]
