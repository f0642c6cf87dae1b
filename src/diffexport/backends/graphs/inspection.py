"""Checks of an exported graph on its own: checker, shape inference, opset, node kinds, declared types."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import shape_inference

from diffexport.pytorch import path_of
from diffexport.values import Aspect, Divergence, Kind, Place, Stage

#: A declared dimension: a size, a symbol, or None where nothing is declared.
DeclaredDim = int | str | None


@dataclass(frozen=True)
class Declared:
    """The declared type of a graph input or output; ``shape`` None means that no rank is declared.

    ``single`` is False for what is no tensor but a sequence of them, or may be none.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[DeclaredDim, ...] | None
    single: bool = True


@dataclass(frozen=True)
class Graph:
    """What is looked up in an exported model, once per export.

    ``inputs`` leaves out initializers that are listed as inputs. ``nodes`` counts node kinds in the main
    graph, its subgraphs and its local functions; kinds outside the standard domain carry their domain.
    ``constants`` are the numbers in it that inputs may be compared with: thresholds, slopes, scales.
    """

    opset: int
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    nodes: Mapping[str, int]
    divergences: tuple[Divergence, ...]
    constants: tuple[float, ...] = ()


#: Kinds of nodes that saturate where ``alpha x + beta`` is 0 and 1, with the defaults of these.
_KNEES = {"HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "HardSwish": {"alpha": 1 / 6, "beta": 0.5}}
#: Most elements of a constant tensor that is looked into, and most constants of a graph.
_SMALL, _MANY = 16, 64


def inspect_graph(model: bytes, opset: int) -> Graph:
    """Check a serialised model and look up what later checks need; ``opset`` is the one asked for."""
    proto = onnx.load_model_from_string(model)
    divergences: list[Divergence] = []
    try:
        path = path_of(model)
        onnx.checker.check_model(proto if path is None else str(path), full_check=True)
    except Exception as error:  # noqa: BLE001 - the checker raises its own and protobuf's errors
        divergences.append(_rejected("onnx.checker", error))
    else:
        try:
            shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
        except Exception as error:  # noqa: BLE001
            divergences.append(_rejected("strict shape inference", error))
    got = _opset(proto)
    if got is not None and got != opset:
        divergences.append(
            Divergence(
                Stage.CONVERT,
                Kind.OPSET,
                Place.MODEL,
                Aspect.BELOW_OPSET if got < opset else Aspect.ABOVE_OPSET,
                f"opset {opset} was asked for, the model has opset {got}",
            )
        )
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return Graph(
        opset=got or 0,
        inputs=tuple(_declared(value) for value in proto.graph.input if value.name not in initializers),
        outputs=tuple(_declared(value) for value in proto.graph.output),
        nodes=_count_nodes(proto),
        divergences=tuple(divergences),
        constants=_constants(proto),
    )


def opset_of(model: bytes) -> int:
    """Return the version of the standard opset that a serialised model imports; 0 if none."""
    return _opset(onnx.load_model_from_string(model)) or 0


def declared_inputs(model: bytes) -> tuple[Declared, ...]:
    """Return the declared inputs of a serialised model, without initializers."""
    proto = onnx.load_model_from_string(model)
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return tuple(_declared(value) for value in proto.graph.input if value.name not in initializers)


def _opset(proto: Any) -> int | None:
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)


def _constants(proto: Any) -> tuple[float, ...]:
    """Return the distinct finite numbers in small constants and float attributes, in order of appearance.

    Zero and small integers of integer tensors (axes, sizes) are left out: those are generated anyway.
    """
    found: dict[float, None] = {}

    def look(tensor: Any) -> None:
        if math.prod(tensor.dims) > _SMALL or tensor.data_type == onnx.TensorProto.STRING:
            return
        try:
            array = onnx.numpy_helper.to_array(tensor)
        except Exception:  # noqa: BLE001 - external or malformed data; the checker speaks of it
            return
        if array.dtype.kind in "iu":
            array = array[np.abs(array.astype(np.float64)) > 16]
        elif array.dtype.kind not in "fV" or array.dtype.names:
            return
        found.update((number, None) for number in array.astype(np.float64).reshape(-1).tolist())

    def visit(nodes: Any) -> None:
        for node in nodes:
            if node.op_type in _KNEES:
                given = {attribute.name: attribute.f for attribute in node.attribute}
                alpha, beta = (given.get(name, value) for name, value in _KNEES[node.op_type].items())
                # float32 attributes: 1/6 is not quite that, and the knee is meant to be at 3.
                knees = (-beta / alpha, (1 - beta) / alpha) if alpha else ()
                found.update((float(f"{knee:.6g}"), None) for knee in knees)
            for attribute in node.attribute:
                found.update((float(number), None) for number in (attribute.f, *attribute.floats))
                for tensor in (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors):
                    look(tensor)
                for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    visit(inner.node)

    for tensor in proto.graph.initializer:
        look(tensor)
    visit(proto.graph.node)
    for function in proto.functions:
        visit(function.node)
    return tuple(number for number in found if math.isfinite(number) and number)[:_MANY]


def _rejected(by: str, error: Exception) -> Divergence:
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    plain = re.sub(r"\d+", "#", re.sub(r"\([^()]*\)", "()", first))[:80]
    return Divergence(
        Stage.CHECK, Kind.CHECKER_ERROR, Place.GRAPH, f"{by}: {plain}", f"{by} rejects the model: {text}"
    )


def _declared(value: Any) -> Declared:
    tensor = value.type.tensor_type
    dtype = None
    if tensor.elem_type:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape: tuple[DeclaredDim, ...] | None = None
    if tensor.HasField("shape"):
        shape = tuple(_dim(dim) for dim in tensor.shape.dim)
    return Declared(value.name, dtype, shape, value.type.WhichOneof("value") in ("tensor_type", None))


def _dim(dim: Any) -> DeclaredDim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return str(dim.dim_param) or None


def _count_nodes(proto: Any) -> Counter[str]:
    local = {(function.domain, function.name) for function in proto.functions}
    counts: Counter[str] = Counter()

    def count(nodes: Any) -> None:
        for node in nodes:
            if (node.domain, node.op_type) not in local:
                standard = node.domain in ("", "ai.onnx")
                counts[node.op_type if standard else f"{node.domain}::{node.op_type}"] += 1
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    count(attribute.g.node)
                for graph in attribute.graphs:
                    count(graph.node)

    count(proto.graph.node)
    for function in proto.functions:
        count(function.node)
    return counts


def missing_nodes(graph: Graph, wanted: Sequence[str]) -> list[str]:
    """Return the node kinds of ``wanted`` (a multiset) that the graph has too few of."""
    return sorted((Counter(wanted) - Counter(graph.nodes)).keys())


def foreign_nodes(graph: Graph | None) -> list[str]:
    """Return the node kinds of a graph that are of no standard domain."""
    return sorted(kind for kind in graph.nodes if "::" in kind) if graph is not None else []


def check_declared(
    graph: Graph, inputs: Mapping[str, np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]]
) -> list[Divergence]:
    """Return where the declared outputs do not admit the real ones.

    Symbols are bound by the real input shapes; an output that uses a symbol must have that size. A symbol
    that no input declares may have any one size.
    """
    bound: dict[str, int] = {}
    for declared in graph.inputs:
        array = inputs.get(declared.name)
        if (
            array is not None
            and declared.single
            and declared.shape is not None
            and len(declared.shape) == array.ndim
        ):
            for dim, size in zip(declared.shape, array.shape, strict=True):
                if isinstance(dim, str):
                    bound.setdefault(dim, size)
    found = []
    for number, (declared, array) in enumerate(zip(graph.outputs, outputs, strict=False)):
        if not declared.single:
            # How many arrays stand for it is not declared, and so not where those behind it are.
            break
        problem = _inadmissible(declared, array, bound)
        if problem:
            aspect, detail = problem
            place = Place.output(number)
            found.append(
                Divergence(
                    Stage.CHECK, Kind.DECLARED_TYPE, place, aspect, f"{place} ({declared.name}): {detail}"
                )
            )
    return found


def _inadmissible(
    declared: Declared, array: np.ndarray[Any, Any], bound: dict[str, int]
) -> tuple[Aspect, str] | None:
    if declared.dtype is not None and declared.dtype != array.dtype:
        return Aspect.DTYPE, f"declared {declared.dtype}, computed {array.dtype}"
    if declared.shape is None:
        return None
    shown = "[" + ", ".join("?" if dim is None else str(dim) for dim in declared.shape) + "]"
    if len(declared.shape) != array.ndim:
        return Aspect.RANK, f"declared shape {shown}, computed {list(array.shape)}"
    for dim, size in zip(declared.shape, array.shape, strict=True):
        expected = bound.setdefault(dim, size) if isinstance(dim, str) else dim
        if expected is not None and expected != size:
            aspect = Aspect.SYMBOLIC_DIMENSION if isinstance(dim, str) else Aspect.FIXED_DIMENSION
            return aspect, f"declared shape {shown}, computed {list(array.shape)}"
    return None
