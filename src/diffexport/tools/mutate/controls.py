"""Controls: changes that mean nothing, to the last bit, NaN, infinities and -0 included.

To report one is a false alarm. Choosing a value by a condition that always holds is not among them: ONNX Runtime adds
up what its Where chooses from both sides, and -0 becomes 0 (1.31).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from diffexport.arrays import is_floating
from diffexport.tools.mutate.registry import Edit, Mutator, control, register
from diffexport.tools.mutate.surgery import LEAST_OPSET, Constant, Draft, Nodes, ValueType
from diffexport.tools.mutate.value_mutators import places

Build = Callable[[Nodes, str, ValueType], str]


def _number(nodes: Nodes, value: float, kind: ValueType) -> str:
    return nodes.constant(value, kind.dtype)


def _cast_and_back(nodes: Nodes, x: str, kind: ValueType) -> str:
    return nodes("Cast", nodes("Cast", x, to=TensorProto.DOUBLE), to=kind.element)


def _flattened(nodes: Nodes, x: str, _kind: ValueType) -> str:
    return nodes("Reshape", nodes("Reshape", x, nodes.constant([-1])), nodes("Shape", x), allowzero=1)


def _squeezed(nodes: Nodes, x: str, _kind: ValueType) -> str:
    axes = nodes.constant([0])
    return nodes("Squeeze", nodes("Unsqueeze", x, axes), axes)


def _transposed(nodes: Nodes, x: str, kind: ValueType) -> str:
    assert kind.rank is not None
    back = list(reversed(range(kind.rank)))
    return nodes("Transpose", nodes("Transpose", x, perm=back), perm=back)


def _halves(nodes: Nodes, x: str, _kind: ValueType) -> str:
    """Return a tensor cut in two along its first axis and put together again."""
    zero, one, end = nodes.constant([0]), nodes.constant([1]), nodes.constant([np.iinfo(np.int64).max])
    return nodes("Concat", nodes("Slice", x, zero, one, zero), nodes("Slice", x, one, end, zero), axis=0)


_BUILDS: tuple[tuple[str, str, int, Build], ...] = (
    ("double-negation", "negated twice", 0, lambda n, x, _: n("Neg", n("Neg", x))),
    ("times-one", "multiplied by 1", 0, lambda n, x, k: n("Mul", x, _number(n, 1, k))),
    ("over-one", "divided by 1", 0, lambda n, x, k: n("Div", x, _number(n, 1, k))),
    (
        "plus-negative-zero",
        "-0 added, which keeps even -0",
        0,
        lambda n, x, k: n("Add", x, _number(n, -0.0, k)),
    ),
    ("minus-zero", "0 subtracted, which keeps even -0", 0, lambda n, x, k: n("Sub", x, _number(n, 0, k))),
    ("identity", "an Identity node", 0, lambda n, x, _: n("Identity", x)),
    ("double-and-back", "cast to float64 and back", 0, _cast_and_back),
    ("flattened-and-back", "reshaped to one dimension and back", 0, _flattened),
    ("unsqueezed-and-back", "a dimension of size 1 put in front and taken away", 0, _squeezed),
    ("transposed-twice", "axes reversed twice", 2, _transposed),
    ("cut-and-joined", "cut in two and joined", 1, _halves),
)


def _sites(build: Build, least_rank: int) -> Callable[[Draft], Iterator[tuple[str, Edit]]]:
    def sites(draft: Draft) -> Iterator[tuple[str, Edit]]:
        # Reshape has allowzero, which empty tensors need, from opset 14 on.
        if draft.opset < max(LEAST_OPSET, 14):
            return
        for what, name in places(draft, False):
            kind = draft.type(name)
            if kind.is_float and (kind.rank or 0) >= least_rank:
                yield f"{what} {name}", _insertion(name, build, kind)

    return sites


def _insertion(name: str, build: Build, kind: ValueType) -> Edit:
    return lambda copy: copy.insert(name, lambda nodes, x: build(nodes, x, kind))


for _name, _summary, _rank, _build in _BUILDS:
    register(Mutator(_name, _summary, _sites(_build, _rank), control=True))


@control("renamed", "inputs, outputs and all other values under other names")
def _renamed(draft: Draft) -> Iterator[tuple[str, Edit]]:
    values = [*draft.inputs, *draft.computed, *draft.outputs]

    def edit(copy: Draft) -> None:
        for number, name in enumerate(values):
            copy.rename(name, f"renamed.{number}/of it")

    yield f"{len(values)} values", edit


@control("undeclared-sizes", "nothing said of the sizes of outputs and intermediate values")
def _undeclared(draft: Draft) -> Iterator[tuple[str, Edit]]:
    yield f"outputs {', '.join(draft.outputs)}", lambda copy: copy.free_sizes()


@control("dead-node", "a node whose output nobody uses")
def _dead(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for name in draft.inputs:

        def edit(copy: Draft, name: str = name) -> None:
            copy.graph.node.append(helper.make_node("Identity", [name], [copy.fresh("dead")]))

        yield f"of input {name}", edit


@control("commuted", "the operands of an addition or multiplication exchanged")
def _commuted(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        if node.op_type in ("Add", "Mul", "And", "Or", "Xor", "Equal") and node.input[0] != node.input[1]:

            def edit(copy: Draft, number: int = number) -> None:
                inputs = copy.graph.node[number].input
                inputs[0], inputs[1] = inputs[1], inputs[0]

            yield f"node {number} ({node.op_type})", edit


@control("subtraction-as-sum", "a - b as a + (-b)")
def _sum(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        if node.op_type == "Sub" and draft.type(node.output[0]).is_float:

            def edit(copy: Draft, number: int = number) -> None:
                old = copy.graph.node[number]
                negated = copy.fresh("negated")
                nodes = [
                    helper.make_node("Neg", [old.input[1]], [negated]),
                    helper.make_node("Add", [old.input[0], negated], list(old.output), name=old.name),
                ]
                copy.replace(number, nodes)

            yield f"node {number}", edit


@control("split-constant", "a constant as the sum of its halves")
def _split(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for constant in draft.constants():
        array = constant.array
        if not is_floating(array.dtype) or draft.opset < LEAST_OPSET:
            continue
        with np.errstate(all="ignore"):
            half = (array / 2).astype(array.dtype)
            exact = bool(np.all((half + half).astype(array.dtype) == array) and np.all(array != 0))
        if exact:

            def edit(copy: Draft, constant: Constant = constant) -> None:
                half = (constant.array / 2).astype(constant.array.dtype)
                first, second, nodes = copy.fresh("half"), copy.fresh("half"), copy.graph.node
                pieces = [
                    helper.make_node("Constant", [], [first], value=numpy_helper.from_array(half)),
                    helper.make_node("Constant", [], [second], value=numpy_helper.from_array(half)),
                    helper.make_node("Add", [first, second], [whole := copy.fresh("whole")]),
                ]
                for node in nodes:
                    for place, name in enumerate(node.input):
                        if name == constant.name:
                            node.input[place] = whole
                for offset, node in enumerate(pieces):
                    nodes.insert(offset, node)

            yield f"constant {constant.name}", edit


@control("reordered", "nodes that do not depend on each other in another order")
def _reordered(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number in range(len(draft.graph.node) - 1):
        one, other = draft.graph.node[number], draft.graph.node[number + 1]
        if not set(one.output) & set(other.input):

            def edit(copy: Draft, number: int = number) -> None:
                nodes = copy.graph.node
                first = nodes[number].SerializeToString()
                nodes[number].CopyFrom(nodes[number + 1])
                nodes[number + 1].ParseFromString(first)

            yield f"nodes {number} and {number + 1}", edit
