"""An exported graph with its intermediate values as outputs, and what a runtime gives for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnx.inliner

from diffexport.backends import runtimes

#: Most bytes of a model, and most intermediate values.
MOST_BYTES, MOST_VALUES = 64 << 20, 4000
#: Nodes whose results are no tensors.
_NO_TENSORS = ("Sequence", "Optional", "SplitToSequence")


class ExposedGraph:
    """A model with its functions written out, any of whose values can be asked for.

    Args:
        model: serialised, with all data in it.

    Attributes:
        values: the names of the values of the main graph, in the order in which they are computed.

    Raises:
        ValueError: it is too large.
    """

    def __init__(self, model: bytes) -> None:
        if len(model) > MOST_BYTES:
            raise ValueError("too large")
        proto = onnx.load_model_from_string(model)
        if proto.functions:
            proto = onnx.inliner.inline_local_functions(proto)
        self._model = proto
        self.outputs = [value.name for value in proto.graph.output]
        self.values: list[str] = []
        #: The node that each value comes from.
        self._node: dict[str, int] = {}
        for number, node in enumerate(proto.graph.node):
            for name in node.output:
                if name and not node.op_type.startswith(_NO_TENSORS):
                    self.values.append(name)
                    self._node[name] = number
        self._shapes = {
            value.name: [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
            for value in (*proto.graph.value_info, *proto.graph.output)
            if (tensor := value.type.tensor_type).HasField("shape")
        }
        if len(self.values) > MOST_VALUES:
            raise ValueError("too many values")

    def run(
        self, runtime: str, feeds: Sequence[Mapping[str, Any]], names: Sequence[str], *, only: bool = False
    ) -> list[dict[str, Any]]:
        """Return the values of some names, and of the outputs, for each of some feeds.

        Args:
            runtime: its name.
            feeds: arrays by the names of the inputs.
            names: the values that are asked for.
            only: leave the outputs out, so that what only they need is not computed.

        Raises:
            LoadError, RunError: the runtime raises.
            ValueError: it gives something else than one array for each name.
        """
        wanted = list(dict.fromkeys([*([] if only else self.outputs), *names]))
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        declared = {value.name: value for value in self._model.graph.output}
        del model.graph.output[:]
        model.graph.output.extend(declared.get(name) or onnx.ValueInfoProto(name=name) for name in wanted)
        session = runtimes.runtime_of(runtime).load(model.SerializeToString())
        ran = []
        for feed in feeds:
            got = session.run({name: feed[name] for name in session.inputs if name in feed})
            if len(got) != len(wanted):
                raise ValueError("not one array for each value")
            ran.append(dict(zip(wanted, got, strict=True)))
        return ran

    def admits(self, name: str, shape: Sequence[int]) -> bool:
        """Return whether the fixed dimensions that are declared of a value admit a shape."""
        declared = self._shapes.get(name)
        if declared is None:
            return True
        return len(declared) == len(shape) and all(
            size in (None, real) for size, real in zip(declared, shape, strict=True)
        )

    def computed(self, runtime: str, feed: Mapping[str, Any], names: Sequence[str]) -> list[str]:
        """Return as many of some values, in the order of the graph, as can be computed before something is raised."""
        names = sorted(names, key=lambda name: self._node[name])
        low, high = 0, len(names)
        while low < high:
            middle = (low + high + 1) // 2
            try:
                self.run(runtime, [feed], names[:middle], only=True)
                low = middle
            except (runtimes.LoadError, runtimes.RunError):
                high = middle - 1
        return list(names[:low])
