"""Mutators of nodes: another operator, other operands, other attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onnx import AttributeProto, helper

from diffexport.tools.mutate.registry import Edit, bug
from diffexport.tools.mutate.surgery import Draft

#: Operators that take each other's inputs and are taken for each other, or compute something close.
SIBLINGS: Mapping[str, tuple[str, ...]] = {
    "Add": ("Sub", "Mul"),
    "Sub": ("Add", "Mul"),
    "Mul": ("Div", "Add"),
    "Div": ("Mul", "Sub"),
    "Pow": ("Mul",),
    "Mod": ("Div",),
    "Max": ("Min", "Sum"),
    "Min": ("Max", "Sum"),
    "Sum": ("Mean", "Max"),
    "Mean": ("Sum",),
    "Exp": ("Softplus", "Sinh", "Cosh", "Sigmoid"),
    "Log": ("Sqrt", "Softplus"),
    "Sqrt": ("Log", "Reciprocal"),
    "Reciprocal": ("Neg", "Sqrt"),
    "Sin": ("Cos", "Tan"),
    "Cos": ("Sin",),
    "Tan": ("Sin", "Atan"),
    "Atan": ("Tanh",),
    "Asin": ("Acos",),
    "Acos": ("Asin",),
    "Sinh": ("Cosh",),
    "Cosh": ("Sinh",),
    "Tanh": ("Sigmoid", "Erf", "Softsign"),
    "Sigmoid": ("HardSigmoid", "Tanh"),
    "HardSigmoid": ("Sigmoid",),
    "Erf": ("Tanh", "Sigmoid"),
    "Gelu": ("Relu", "Mish"),
    "Floor": ("Ceil", "Round"),
    "Ceil": ("Floor", "Round"),
    "Round": ("Floor", "Ceil"),
    "Abs": ("Relu", "Neg"),
    "Neg": ("Abs",),
    "Sign": ("Neg",),
    "Relu": ("Abs", "LeakyRelu", "Elu", "Softplus"),
    "LeakyRelu": ("Relu", "Elu"),
    "Elu": ("Selu", "Relu"),
    "Selu": ("Elu",),
    "Softplus": ("Relu", "Exp"),
    "HardSwish": ("HardSigmoid", "Relu"),
    "Softmax": ("LogSoftmax",),
    "LogSoftmax": ("Softmax",),
    "Greater": ("GreaterOrEqual", "Less"),
    "GreaterOrEqual": ("Greater",),
    "Less": ("LessOrEqual", "Greater"),
    "LessOrEqual": ("Less",),
    "Equal": ("GreaterOrEqual", "LessOrEqual"),
    "And": ("Or", "Xor"),
    "Or": ("And", "Xor"),
    "Xor": ("Or",),
    "IsNaN": ("IsInf",),
    "IsInf": ("IsNaN",),
    "ReduceSum": ("ReduceMean", "ReduceMax", "ReduceL1"),
    "ReduceMean": ("ReduceSum", "ReduceMax"),
    "ReduceMax": ("ReduceMin", "ReduceMean"),
    "ReduceMin": ("ReduceMax",),
    "ReduceProd": ("ReduceSum",),
    "ReduceL1": ("ReduceL2", "ReduceSum"),
    "ReduceL2": ("ReduceL1", "ReduceSumSquare"),
    "ReduceLogSumExp": ("ReduceLogSum",),
    "ArgMax": ("ArgMin",),
    "ArgMin": ("ArgMax",),
    "MaxPool": ("AveragePool",),
    "AveragePool": ("MaxPool",),
    "GlobalMaxPool": ("GlobalAveragePool",),
    "GlobalAveragePool": ("GlobalMaxPool",),
}
#: Operators whose operands cannot be exchanged; for Where the two branches are.
_ORDERED = ("Sub", "Div", "Pow", "Mod", "MatMul", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "PRelu")
#: Attributes that are true or false.
_FLAGS = ("keepdims", "largest", "sorted", "transA", "transB", "exclusive", "reverse", "fmod", "allowzero")


def name_of(draft: Draft, number: int) -> str:
    """Return what a node is called in reports."""
    return f"node {number} ({draft.graph.node[number].op_type})"


@bug("sibling-operator", "another operator that takes the same inputs")
def _siblings(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        for sibling in SIBLINGS.get(node.op_type, ()):

            def edit(copy: Draft, number: int = number, sibling: str = sibling) -> None:
                copy.graph.node[number].op_type = sibling

            yield f"{name_of(draft, number)} → {sibling}", edit


@bug("swapped-operands", "the operands of a non-commutative operator exchanged")
def _operands(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        first = 1 if node.op_type == "Where" else 0
        if node.op_type in (*_ORDERED, "Where") and node.input[first] != node.input[first + 1]:

            def edit(copy: Draft, number: int = number, first: int = first) -> None:
                inputs = copy.graph.node[number].input
                inputs[first], inputs[first + 1] = inputs[first + 1], inputs[first]
                copy.forget_shapes()

            yield name_of(draft, number), edit


@bug("dropped-node", "a node left out: its input is its output")
def _dropped(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        if node.op_type == "Identity" or len([output for output in node.output if output]) != 1:
            continue
        for place, name in enumerate(node.input[:2]):
            if name and draft.type(name).element == draft.type(node.output[0]).element:

                def edit(copy: Draft, number: int = number, place: int = place) -> None:
                    old = copy.graph.node[number]
                    identity = helper.make_node(
                        "Identity", [old.input[place]], list(old.output), name=old.name
                    )
                    copy.replace(number, [identity])
                    copy.forget_shapes()

                yield f"{name_of(draft, number)} by its input {place}", edit


@bug(
    "wrong-attribute", "a flag turned, a number a thousandth off, an axis or count off by one, axes reordered"
)
def _attributes(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        for place, attribute in enumerate(node.attribute):
            # onnx aborts the process over a Split of another number of outputs than it has (1.23).
            if node.op_type == "Constant" or attribute.name in ("to", "num_outputs"):
                continue
            for value in _others(attribute):

                def edit(copy: Draft, number: int = number, place: int = place, value: Any = value) -> None:
                    copied = copy.graph.node[number].attribute[place]
                    copied.CopyFrom(helper.make_attribute(copied.name, value))
                    copy.forget_shapes()

                yield f"{name_of(draft, number)} {attribute.name}={value}", edit


def _others(attribute: Any) -> Iterator[Any]:
    if attribute.type == AttributeProto.FLOAT:
        yield attribute.f * 1.001 if attribute.f else 1e-3
    elif attribute.type == AttributeProto.INT and attribute.name in _FLAGS:
        yield 1 - attribute.i
    elif attribute.type == AttributeProto.INT:
        yield attribute.i + 1
        yield attribute.i - 1
    elif attribute.type == AttributeProto.INTS and attribute.name == "perm":
        yield list(reversed(attribute.ints))
        yield sorted(attribute.ints)
    elif attribute.type == AttributeProto.INTS:
        for place in range(min(len(attribute.ints), 2)):
            changed = list(attribute.ints)
            changed[place] += 1
            yield changed


@bug("implicit-flag", "a flag that is at its default turned: keepdims, largest, sorted")
def _implicit(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        given = {attribute.name for attribute in node.attribute}
        flags: tuple[str, ...] = ("keepdims",) if node.op_type.startswith(("Reduce", "Arg")) else ()
        flags = ("largest", "sorted") if node.op_type == "TopK" else flags
        for flag in flags:
            if flag not in given:

                def edit(copy: Draft, number: int = number, flag: str = flag) -> None:
                    copy.graph.node[number].attribute.append(helper.make_attribute(flag, 0))
                    copy.forget_shapes()

                yield f"{name_of(draft, number)} {flag}=0", edit


@bug("swapped-node-outputs", "two outputs of one node exchanged")
def _node_outputs(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for number, node in enumerate(draft.graph.node):
        for later in range(1, len(node.output)):
            one, other = node.output[0], node.output[later]
            if one and other and draft.type(one).element == draft.type(other).element:

                def edit(copy: Draft, number: int = number, later: int = later) -> None:
                    outputs = copy.graph.node[number].output
                    outputs[0], outputs[later] = outputs[later], outputs[0]

                yield f"{name_of(draft, number)} outputs 0 and {later}", edit
