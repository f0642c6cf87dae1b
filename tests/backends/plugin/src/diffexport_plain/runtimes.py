"""A runtime that knows a few operators, each as one expression of numpy."""

import numpy as np
import onnx
import onnx.numpy_helper

from diffexport.backends.runtimes import LoadError, RunError, Runtime, RuntimeScript

OPERATORS = {
    "Add": lambda a, b: a + b,
    "Exp": np.exp,
    "Identity": lambda a: a,
    "Log": np.log,
    "Mul": lambda a, b: a * b,
    "Sub": lambda a, b: a - b,
}


class PlainSession:
    def __init__(self, graph, operators):
        self._graph, self._operators = graph, operators
        self._weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.inputs = tuple(value.name for value in graph.input if value.name not in self._weights)
        self.outputs = tuple(value.name for value in graph.output)

    def run(self, feeds):
        if feeds.keys() != set(self.inputs):
            raise RunError(f"wants {self.inputs}, is given {tuple(feeds)}")
        values = {**self._weights, **feeds}
        with np.errstate(all="ignore"):
            for node in self._graph.node:
                if node.op_type == "Constant":
                    values[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
                    continue
                values[node.output[0]] = self._operators[node.op_type](*(values[name] for name in node.input))
        return [np.asarray(values[name]) for name in self.outputs]


class PlainRuntime(Runtime):
    title = "numpy"
    family = "numpy"
    is_plain = True

    def __init__(self, name, order, operators):
        self.name, self.order, self._operators = name, order, operators
        attribute = "WRONG" if operators is WRONG_OPERATORS else "PLAIN"
        self.script = RuntimeScript(
            load=f"def load(exported):\n    return diffexport_plain.runtimes.{attribute}.load(exported)",
            input_names="session.inputs",
            run="session.run(feeds)",
            imports=("import diffexport_plain.runtimes",),
        )

    def load(self, model):
        proto = onnx.load(model) if isinstance(model, str) else onnx.load_model_from_string(model)
        unknown = {node.op_type for node in proto.graph.node} - {"Constant", *self._operators}
        if unknown:
            raise LoadError(f"unknown operators: {', '.join(sorted(unknown))}")
        return PlainSession(proto.graph, self._operators)


WRONG_OPERATORS = {**OPERATORS, "Exp": lambda a: np.exp(a) * 2}
PLAIN = PlainRuntime("numpy-plain", 50, OPERATORS)
WRONG = PlainRuntime("numpy-wrong", 51, WRONG_OPERATORS)
