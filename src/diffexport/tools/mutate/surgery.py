"""Drafts: copies of a model that are being changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from diffexport.arrays import Array

#: Element types whose values are floating-point numbers.
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
INTEGERS = (
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
)
#: The opset that what is inserted is written for; older models get fewer mutants.
LEAST_OPSET = 13


@dataclass(frozen=True)
class ValueType:
    """The inferred type of a value: ONNX element type (0 if unknown) and rank (None if unknown)."""

    element: int
    rank: int | None

    @property
    def is_float(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return self.element in FLOATS

    @property
    def is_integer(self) -> bool:
        """Whether its elements are integers."""
        return self.element in INTEGERS

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of its elements."""
        return helper.tensor_dtype_to_np_dtype(self.element)


@dataclass(frozen=True)
class Constant:
    """A constant of the graph: an initializer, or the output of a Constant node (``node`` is its number)."""

    name: str
    array: Array
    node: int | None


class Nodes:
    """Makes nodes that will be put together at one place of a draft."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.made: list[Any] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Make a node with one output; return the name of that."""
        output = self._draft.fresh(operator.lower())
        name = self._draft.fresh("planted")
        self.made.append(helper.make_node(operator, list(inputs), [output], name=name, **attributes))
        return output

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Make a Constant node; initializers would have to be graph inputs, too, in older models."""
        with np.errstate(all="ignore"):
            tensor = numpy_helper.from_array(np.asarray(value, dtype=dtype))
        return self("Constant", value=tensor)


#: Puts something between a value and whoever uses it: gets the name of the value, returns that of what replaces it.
Insertion = Callable[[Nodes, str], str]


class Draft:
    """A model that is being changed.

    Args:
        model: the serialised model; it is copied.
        shapes: the shapes that graph inputs and outputs had when the model was exported, as far as known.
    """

    def __init__(self, model: bytes, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self.bytes, self.shapes = model, dict(shapes or {})
        self.proto = onnx.load_model_from_string(model)
        self._names: set[str] | None = None
        self._types: dict[str, ValueType] | None = None

    @property
    def graph(self) -> Any:
        """The main graph."""
        return self.proto.graph

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        versions = (entry.version for entry in self.proto.opset_import if entry.domain in ("", "ai.onnx"))
        return int(next(versions, 0))

    def changed(self, edit: Callable[[Draft], None]) -> bytes:
        """Return the model as it is after ``edit`` of a copy."""
        copy = Draft(self.bytes, self.shapes)
        copy._types = dict(self.types)
        edit(copy)
        return bytes(copy.proto.SerializeToString())

    def fresh(self, stem: str) -> str:
        """Return a name that nothing has yet."""
        if self._names is None:
            self._names = {
                name for node in self.graph.node for name in (node.name, *node.input, *node.output)
            }
            self._names |= {value.name for value in (*self.graph.input, *self.graph.output)}
            self._names |= {tensor.name for tensor in self.graph.initializer}
        number = 0
        while f"{stem}_{number}" in self._names:
            number += 1
        self._names.add(f"{stem}_{number}")
        return f"{stem}_{number}"

    @property
    def inputs(self) -> list[str]:
        """The graph inputs, without initializers."""
        initializers = {tensor.name for tensor in self.graph.initializer}
        return [value.name for value in self.graph.input if value.name not in initializers]

    @property
    def outputs(self) -> list[str]:
        """The graph outputs."""
        return [value.name for value in self.graph.output]

    @property
    def computed(self) -> list[str]:
        """What nodes compute that is neither a graph output nor a constant."""
        outputs = set(self.outputs)
        return [
            name
            for node in self.graph.node
            if node.op_type != "Constant"
            for name in node.output
            if name and name not in outputs
        ]

    @property
    def types(self) -> Mapping[str, ValueType]:
        """The types of all values, as inferred before anything was changed."""
        if self._types is None:
            try:
                inferred = shape_inference.infer_shapes(self.proto, data_prop=True)
            except Exception:  # noqa: BLE001 - a model that is at odds with itself; what it declares is known
                inferred = self.proto
            types = {}
            for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
                tensor = value.type.tensor_type
                rank = len(tensor.shape.dim) if tensor.HasField("shape") else None
                types[value.name] = ValueType(tensor.elem_type, rank)
            for tensor in inferred.graph.initializer:
                types[tensor.name] = ValueType(tensor.data_type, len(tensor.dims))
            self._types = types
        return self._types

    def type(self, name: str) -> ValueType:
        """Return the type of a value; one of unknown parts if nothing is known."""
        return self.types.get(name, ValueType(0, None))

    def insert(self, value: str, insertion: Insertion) -> None:
        """Put something behind a value: whoever used it, and the graph's output, get what ``insertion`` returns."""
        nodes = Nodes(self)
        for number, node in enumerate(self.graph.node):
            if value in node.output:
                raw = self.fresh(f"{value}_raw")
                node.output[list(node.output).index(value)] = raw
                result = insertion(nodes, raw)
                self._rename(nodes.made, result, value)
                self._put(number + 1, nodes.made)
                return
        result = insertion(nodes, value)
        for node in self.graph.node:
            for place, name in enumerate(node.input):
                if name == value:
                    node.input[place] = result
        self._put(0, nodes.made)

    def replace(self, number: int, nodes: Sequence[Any]) -> None:
        """Put nodes in place of one node."""
        del self.graph.node[number]
        self._put(number, nodes)

    def _put(self, place: int, nodes: Sequence[Any]) -> None:
        for offset, node in enumerate(nodes):
            self.graph.node.insert(place + offset, node)

    @staticmethod
    def _rename(nodes: Sequence[Any], old: str, new: str) -> None:
        for node in nodes:
            for names in (node.output, node.input):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = new

    def rename(self, old: str, new: str) -> None:
        """Rename a value everywhere in the main graph."""
        self._rename(self.graph.node, old, new)
        for value in (*self.graph.input, *self.graph.output, *self.graph.value_info):
            if value.name == old:
                value.name = new
        for tensor in self.graph.initializer:
            if tensor.name == old:
                tensor.name = new

    def constants(self) -> Iterator[Constant]:
        """Yield the constants that somebody uses, initializers first."""
        used = {name for node in self.graph.node for name in node.input}
        for tensor in self.graph.initializer:
            if tensor.name in used and tensor.data_type != TensorProto.STRING:
                yield Constant(tensor.name, numpy_helper.to_array(tensor), None)
        for number, node in enumerate(self.graph.node):
            given = {attribute.name: attribute for attribute in node.attribute}
            if node.op_type == "Constant" and "value" in given and node.output[0] in used:
                yield Constant(node.output[0], numpy_helper.to_array(given["value"].t), number)

    def set_constant(self, constant: Constant, array: Array) -> None:
        """Give a constant another value."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), constant.name)
        if constant.node is not None:
            for attribute in self.graph.node[constant.node].attribute:
                if attribute.name == "value":
                    attribute.t.CopyFrom(tensor)
            return
        for initializer in self.graph.initializer:
            if initializer.name == constant.name:
                initializer.CopyFrom(tensor)

    def forget_shapes(self) -> None:
        """Say of intermediate values nothing, of the shapes of outputs what can be inferred: they may be others now.

        Where nothing can be, the rank is kept, since the checker wants one.
        """
        del self.graph.value_info[:]
        ranks = [len(value.type.tensor_type.shape.dim) for value in self.graph.output]
        for value in self.graph.output:
            value.type.tensor_type.ClearField("shape")
        try:
            inferred = list(shape_inference.infer_shapes(self.proto).graph.output)
        except Exception:  # noqa: BLE001 - what the model is now may have no types at all
            inferred = list(self.graph.output)
        for value, known, rank in zip(self.graph.output, inferred, ranks, strict=True):
            if known.type.tensor_type.HasField("shape"):
                value.type.tensor_type.shape.CopyFrom(known.type.tensor_type.shape)
            else:
                self._free(value, rank)

    def free_sizes(self) -> None:
        """Say of outputs how many dimensions they have and not of which size; of intermediate values nothing."""
        del self.graph.value_info[:]
        for value in self.graph.output:
            self._free(value, len(value.type.tensor_type.shape.dim))

    @staticmethod
    def _free(value: Any, rank: int) -> None:
        value.type.tensor_type.ClearField("shape")
        value.type.tensor_type.shape.SetInParent()
        for _ in range(rank):
            value.type.tensor_type.shape.dim.add()
