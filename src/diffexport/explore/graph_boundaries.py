"""Where the nodes of an exported graph do something else: what they compare, clip, round or look up.

The tensors that are compared become outputs of the graph, so that a runtime gives them for any inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from diffexport.arrays import Array
from diffexport.backends.runtimes import LoadError, RunError, Session, load
from diffexport.explore.eager_boundaries import HALVES, WHOLE, MetBoundary
from diffexport.processes import STEPS

#: What runs the graph.
_RUNTIME = "ort-disabled"
#: Most tensors of a graph that become outputs.
_OUTPUTS = 32


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: the name of a tensor in the graph, or a constant array."""

    name: str = ""
    constant: Array | None = None


_Pairs = list[tuple[_Side, _Side]]
_Floats = Mapping[str, float]


def _number(value: float) -> _Side:
    return _Side(constant=np.array(value, np.float64))


def _at(*values: float) -> Callable[[Sequence[_Side], _Floats], _Pairs]:
    return lambda sides, _: [(sides[0], _number(value)) for value in values]


def _two(sides: Sequence[_Side], _: _Floats) -> _Pairs:
    return [(sides[0], sides[1])] if len(sides) > 1 else []


def _limits(sides: Sequence[_Side], given: _Floats) -> _Pairs:
    old = [_number(given[name]) for name in ("min", "max") if name in given]
    return [(sides[0], side) for side in (*sides[1:], *old) if side.name or side.constant is not None]


def _hard(alpha: float, beta: float) -> Callable[[Sequence[_Side], _Floats], _Pairs]:
    def rule(sides: Sequence[_Side], given: _Floats) -> _Pairs:
        slope, start = given.get("alpha", alpha), given.get("beta", beta)
        # The attributes are float32: 1/6 is not quite that, and the knee is meant to be at 3.
        knees = [float(f"{(edge - start) / slope:.6g}") for edge in (0.0, 1.0)] if slope else []
        return [(sides[0], _number(knee)) for knee in knees]

    return rule


def _over(sides: Sequence[_Side], given: _Floats) -> _Pairs:
    return [(sides[0], _number(given.get("alpha", 1.0)))]


_RULES: Mapping[str, Callable[[Sequence[_Side], _Floats], _Pairs]] = {
    **dict.fromkeys(
        ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Max", "Min"),
        _two,
    ),
    "Clip": _limits,
    **dict.fromkeys(
        ("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "PRelu", "Sign", "Abs", "Log", "Sqrt", "Reciprocal", "NonZero"),
        _at(0.0),
    ),
    **dict.fromkeys(("Floor", "Ceil"), _at(*WHOLE)),
    "Round": _at(*HALVES),
    "HardSigmoid": _hard(0.2, 0.5),
    "HardSwish": _hard(1 / 6, 0.5),
    "ThresholdedRelu": _over,
}  # fmt: skip


#: The nodes whose results only bend at their boundaries.
_BENT = frozenset(
    {
        "Max", "Min", "Clip", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "PRelu", "Abs", "HardSigmoid",
        "HardSwish"
    }
)  # fmt: skip


class TracedGraph:
    """Runs a graph and tells the boundaries of its nodes.

    Args:
        model: the serialised graph.
        wanted: whether a boundary with this number, None for none, is of interest.
    """

    def __init__(self, model: bytes, wanted: Callable[[float | None], bool]) -> None:
        proto = onnx.load_model_from_string(model)
        self._constants = dict(_constants(proto.graph))
        self._inputs = {value.name for value in proto.graph.input}
        every = [each for each in self._all_pairs(proto.graph) if wanted(_number_of(each[0]))]
        self._pairs = [pair for pair, _ in every]
        names = dict.fromkeys(side.name for pair in self._pairs for side in pair if side.name)
        self._names = [name for name in names if name not in self._inputs][:_OUTPUTS]
        known = {*self._names, *self._inputs, ""}
        every = [each for each in every if all(side.name in known for side in each[0])]
        self._pairs, self._jumps = [pair for pair, _ in every], [jumps for _, jumps in every]
        self._session: Session | None = None
        if self._pairs:
            declared = {value.name for value in proto.graph.output}
            proto.graph.output.extend(
                onnx.ValueInfoProto(name=name) for name in self._names if name not in declared
            )
            STEPS.begin("load", runtime=_RUNTIME)
            try:
                self._session = load(_RUNTIME, proto.SerializeToString())
            except (LoadError, RunError):
                self._session = None
            STEPS.begin("draw")
        self._last: tuple[Any, Mapping[str, Array] | None] = (None, None)

    def _all_pairs(self, graph: Any) -> Iterator[tuple[tuple[_Side, _Side], bool]]:
        """Yield what is compared with what, and whether the result may jump there."""
        for node in graph.node:
            rule = _RULES.get(node.op_type)
            if node.op_type == "Cast":
                rule = _at(*WHOLE) if _is_integral(node) else None
            if rule is None or node.domain not in ("", "ai.onnx"):
                continue
            sides = [
                _Side(constant=self._constants[name]) if name in self._constants else _Side(name)
                for name in node.input
            ]
            floats = {each.name: each.f for each in node.attribute if each.type == onnx.AttributeProto.FLOAT}
            for one, other in rule(sides, floats):
                if one.constant is not None:
                    one, other = other, one
                if one.constant is None:
                    yield (one, other), node.op_type not in _BENT

    def boundaries(self, feeds: Mapping[str, Any]) -> list[MetBoundary]:
        """Return every boundary, with the sizes that it has on some inputs."""
        met = []
        for number, pair in enumerate(self._pairs):
            both = self._sides(pair, feeds)
            if both is not None:
                met.append(MetBoundary(number, both[0].size, _number_of(pair), self._jumps[number]))
        return met

    def gap(self, place: int, element: int, feeds: Mapping[str, Any]) -> float:
        """Return the gap of one element at a boundary on some inputs; NaN where there is none."""
        both = self._sides(self._pairs[place], feeds)
        if both is None or element >= both[0].size:
            return float("nan")
        one, other = both
        return float(one.reshape(-1)[element]) - float(other.reshape(-1)[element])

    def _sides(self, pair: tuple[_Side, _Side], feeds: Mapping[str, Any]) -> tuple[Array, Array] | None:
        """Return both sides of a comparison, broadcast; None where the graph does not run or holds no such numbers."""
        given = self._run(feeds)
        if given is None:
            return None
        found = [side.constant if side.constant is not None else given.get(side.name) for side in pair]
        arrays = [array for array in found if array is not None and array.dtype.kind in "fiuV"]
        if len(arrays) < len(pair) or any(array.dtype.names for array in arrays):
            return None
        try:
            one, other = np.broadcast_arrays(*arrays)
        except ValueError:
            return None
        return (one, other) if one.size else None

    def _run(self, feeds: Mapping[str, Any]) -> Mapping[str, Array] | None:
        if self._session is None:
            return None
        if self._last[0] is not feeds:
            wanted = {name: feeds[name] for name in self._session.inputs if name in feeds}
            STEPS.begin("run", runtime=_RUNTIME)
            try:
                outputs = self._session.run(wanted)
            except RunError:
                self._last = feeds, None
            else:
                given = dict(zip(self._session.outputs, outputs, strict=False))
                self._last = feeds, {**feeds, **given}
            STEPS.begin("draw")
        return self._last[1]


def _number_of(pair: tuple[_Side, _Side]) -> float | None:
    constant = pair[1].constant
    return float(constant.reshape(-1)[0]) if constant is not None and constant.size == 1 else None


def _is_integral(node: Any) -> bool:
    to = next((each.i for each in node.attribute if each.name == "to"), 0)
    return to in (
        onnx.TensorProto.INT64,
        onnx.TensorProto.INT32,
        onnx.TensorProto.INT16,
        onnx.TensorProto.INT8,
        onnx.TensorProto.UINT8,
    )


def _constants(graph: Any) -> Iterator[tuple[str, Array]]:
    """Yield the constants of a graph by name, those that are numbers."""
    for tensor in graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            yield from _named(tensor.name, tensor)
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        for each in node.attribute:
            if each.name == "value":
                yield from _named(node.output[0], each.t)
            elif each.name in ("value_float", "value_int"):
                value = each.f if each.name == "value_float" else each.i
                yield node.output[0], np.asarray(value)


def _named(name: str, tensor: onnx.TensorProto) -> Iterator[tuple[str, Array]]:
    """Yield a constant with its name; nothing for what is no tensor, as in a graph that onnx.checker rejects."""
    try:
        yield name, onnx.numpy_helper.to_array(tensor)
    except (TypeError, ValueError):
        return
