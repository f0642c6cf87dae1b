"""Models made with libraries, for those whose Functions mean nothing by themselves."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from diffexport.subjects.targets.importing import Importer


def _given() -> onnx.ModelProto:
    """Return a model of operators that onnx2torch exports by its Functions: PRelu, Gather and Expand."""
    constants = [
        numpy_helper.from_array(np.array([0.25], np.float32), "slope"),
        numpy_helper.from_array(np.array([2, 0], np.int64), "rows"),
        numpy_helper.from_array(np.array([4, 2, 1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("PRelu", ["x", "slope"], ["leaky"]),
        helper.make_node("Gather", ["leaky", "rows"], ["picked"], axis=0),
        helper.make_node("Expand", ["picked", "shape"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "given",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, "N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 2, "N"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


class RoundTrip(torch.nn.Module):
    """An ONNX model as onnx2torch makes it of PyTorch, to be exported again."""

    def __init__(self):
        super().__init__()
        # It imports torchvision, which it needs for other operators.
        Importer().load("onnx2torch")
        import onnx2torch

        self.converted = onnx2torch.convert(_given())

    def forward(self, x):
        return self.converted(x)
