"""Mutators of what a graph is called with and gives back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from onnx import TensorProto

from diffexport.tools.mutate.registry import Edit, bug
from diffexport.tools.mutate.surgery import Draft

_OTHER: Mapping[int, tuple[int, ...]] = {
    TensorProto.FLOAT: (TensorProto.DOUBLE, TensorProto.FLOAT16),
    TensorProto.DOUBLE: (TensorProto.FLOAT,),
    TensorProto.FLOAT16: (TensorProto.FLOAT,),
    TensorProto.BFLOAT16: (TensorProto.FLOAT,),
    TensorProto.INT64: (TensorProto.INT32, TensorProto.FLOAT),
    TensorProto.INT32: (TensorProto.INT64,),
    TensorProto.BOOL: (TensorProto.INT64, TensorProto.FLOAT),
}


@bug("swapped-outputs", "two outputs of the graph exchanged")
def _swapped(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for one, other in itertools.combinations(range(len(draft.outputs)), 2):

        def edit(copy: Draft, one: int = one, other: int = other) -> None:
            first = copy.graph.output[one].SerializeToString()
            copy.graph.output[one].CopyFrom(copy.graph.output[other])
            copy.graph.output[other].ParseFromString(first)

        yield f"outputs {one} and {other}", edit


@bug("doubled-output", "an output that is a copy of another one")
def _doubled(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for one, other in itertools.permutations(draft.outputs, 2):
        if draft.type(one).element == draft.type(other).element:

            def edit(copy: Draft, one: str = one, other: str = other) -> None:
                for number, node in enumerate(copy.graph.node):
                    if one in node.output:
                        node.output[list(node.output).index(one)] = hidden = copy.fresh("hidden")
                        for user in copy.graph.node[number + 1 :]:
                            for place, name in enumerate(user.input):
                                if name == one:
                                    user.input[place] = hidden
                copied = copy.graph.node.add()
                copied.op_type, copied.name = "Identity", copy.fresh("planted")
                copied.input.append(other)
                copied.output.append(one)
                copy.forget_shapes()

            yield f"{other} as {one}", edit


@bug("missing-output", "the last output missing")
def _missing(draft: Draft) -> Iterator[tuple[str, Edit]]:
    if len(draft.outputs) > 1:
        yield draft.outputs[-1], lambda copy: copy.graph.output.pop() and None


@bug("swapped-inputs", "two inputs of the graph exchanged")
def _inputs(draft: Draft) -> Iterator[tuple[str, Edit]]:
    for one, other in itertools.combinations(draft.inputs, 2):
        if draft.type(one) == draft.type(other):

            def edit(copy: Draft, one: str = one, other: str = other) -> None:
                for node in copy.graph.node:
                    for place, name in enumerate(node.input):
                        node.input[place] = {one: other, other: one}.get(name, name)

            yield f"{one} and {other}", edit


@bug("wrong-dtype", "an output of another dtype, declared so", types=True)
def _dtype(draft: Draft) -> Iterator[tuple[str, Edit]]:
    yield from _dtypes(draft, declared=True)


@bug("undeclared-dtype", "an output of another dtype than is declared", types=True)
def _undeclared(draft: Draft) -> Iterator[tuple[str, Edit]]:
    yield from _dtypes(draft, declared=False)


def _dtypes(draft: Draft, *, declared: bool) -> Iterator[tuple[str, Edit]]:
    for number, name in enumerate(draft.outputs):
        for element in _OTHER.get(draft.type(name).element, ()):

            def edit(copy: Draft, number: int = number, name: str = name, element: int = element) -> None:
                copy.insert(name, lambda nodes, x: nodes("Cast", x, to=element))
                if declared:
                    copy.graph.output[number].type.tensor_type.elem_type = element
                del copy.graph.value_info[:]

            yield f"output {name} to {TensorProto.DataType.Name(element).lower()}", edit
