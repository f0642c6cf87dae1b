"""Mutators of shapes and of where elements stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from diffexport.tools.mutate.registry import Edit, Mutator, Sites, register
from diffexport.tools.mutate.surgery import LEAST_OPSET, Draft, Nodes, ValueType

Build = Callable[[Nodes, str, ValueType], str]


def _slice(nodes: Nodes, x: str, start: int, end: int, axis: int = -1, step: int = 1) -> str:
    numbers = [nodes.constant([number]) for number in (start, end, axis, step)]
    return nodes("Slice", x, *numbers)


_END, _START = int(np.iinfo(np.int64).max), int(np.iinfo(np.int64).min)


def _size(nodes: Nodes, x: str, axis: int) -> str:
    """Return the size of an axis, 0-d."""
    return nodes("Gather", nodes("Shape", x), nodes.constant(axis))


def _plus_one(nodes: Nodes, x: str, kind: ValueType) -> str:
    return nodes("Add", x, nodes.constant(1, kind.dtype))


def _where_size(operator: str, size: int, axis: int) -> Build:
    def build(nodes: Nodes, x: str, kind: ValueType) -> str:
        condition = nodes(operator, _size(nodes, x, axis), nodes.constant(size))
        return nodes("Where", condition, _plus_one(nodes, x, kind), x)

    return build


def _at_place(last: bool) -> Build:
    """Return what makes the first or last element along the last axis 1 larger."""

    def build(nodes: Nodes, x: str, kind: ValueType) -> str:
        size, one = _size(nodes, x, -1), nodes.constant(1)
        wanted = nodes("Sub", size, one) if last else nodes.constant(0)
        places = nodes("Range", nodes.constant(0), size, one)
        return nodes("Where", nodes("Equal", places, wanted), _plus_one(nodes, x, kind), x)

    return build


def _rolled(nodes: Nodes, x: str, _kind: ValueType) -> str:
    return nodes("Concat", _slice(nodes, x, 1, _END), _slice(nodes, x, 0, 1), axis=-1)


def _row_where_empty(nodes: Nodes, x: str, kind: ValueType) -> str:
    """Return what is one longer along the first axis where there is no element."""
    empty = nodes("Equal", nodes("Size", x), nodes.constant(0))
    more = nodes("Reshape", nodes("Cast", empty, to=7), nodes.constant([1]))
    none = nodes.constant([0])
    assert kind.rank is not None
    before = [more] + [none] * (kind.rank - 1)
    return nodes("Pad", x, nodes("Concat", *before, *[none] * kind.rank, axis=0))


_BUILDS: tuple[tuple[str, str, Build, int], ...] = (
    ("reversed", "the last axis backwards", lambda n, x, _: _slice(n, x, -1, _START, step=-1), 1),
    ("rolled", "the last axis moved on by one", _rolled, 1),
    ("last-dropped", "the last element of the last axis missing", lambda n, x, _: _slice(n, x, 0, -1), 1),
    (
        "first-dropped",
        "the first element of the first axis missing",
        lambda n, x, _: _slice(n, x, 1, _END, 0),
        1,
    ),
    ("last-wrong", "the last element of the last axis 1 too large", _at_place(True), 1),
    ("first-wrong", "the first element of the last axis 1 too large", _at_place(False), 1),
    ("wrong-at-size-1", "wrong where the last axis has size 1", _where_size("Equal", 1, -1), 1),
    ("wrong-at-first-size-1", "wrong where the first axis has size 1", _where_size("Equal", 1, 0), 1),
    ("wrong-from-size-5", "wrong where the last axis has size 5 or more", _where_size("Greater", 4, -1), 1),
    (
        "wrong-from-size-17",
        "wrong where the last axis has size 17 or more",
        _where_size("Greater", 16, -1),
        1,
    ),
    ("wrong-at-size-0", "a row too many where there is no element", _row_where_empty, 1),
    ("wrong-rank", "a dimension of size 1 too many", lambda n, x, _: n("Unsqueeze", x, n.constant([0])), 0),
    ("transposed", "the last two axes exchanged", lambda n, x, k: n("Transpose", x, perm=_last_two(k)), 2),
)


def _last_two(kind: ValueType) -> list[int]:
    assert kind.rank is not None
    return [*range(kind.rank - 2), kind.rank - 1, kind.rank - 2]


def _sites(build: Build, least_rank: int) -> Sites:
    def sites(draft: Draft) -> Iterator[tuple[str, Edit]]:
        if draft.opset < LEAST_OPSET:
            return
        for name in draft.outputs:
            kind = draft.type(name)
            if kind.rank is not None and kind.rank >= least_rank and (kind.is_float or kind.is_integer):
                yield f"output {name}", _insertion(name, build, kind)

    return sites


def _insertion(name: str, build: Build, kind: ValueType) -> Edit:
    def edit(copy: Draft) -> None:
        copy.insert(name, lambda nodes, x: build(nodes, x, kind))
        copy.forget_shapes()

    return edit


def _frozen(how: Callable[[Nodes, str, tuple[int, ...]], str]) -> Sites:
    """Return the sites of what freezes free dimensions at the sizes they had when the model was exported."""

    def sites(draft: Draft) -> Iterator[tuple[str, Edit]]:
        if draft.opset < LEAST_OPSET:
            return
        values = {value.name: value for value in (*draft.graph.input, *draft.graph.output)}
        for what, names in (("output", draft.outputs), ("input", draft.inputs)):
            for name in names:
                shape = draft.shapes.get(name)
                dims = values[name].type.tensor_type.shape.dim
                if shape and any(not dim.HasField("dim_value") for dim in dims):
                    yield f"{what} {name} at {list(shape)}", _freezing(name, how, shape)

    return sites


def _freezing(name: str, how: Callable[[Nodes, str, tuple[int, ...]], str], shape: tuple[int, ...]) -> Edit:
    def edit(copy: Draft) -> None:
        copy.insert(name, lambda nodes, x: how(nodes, x, shape))
        copy.forget_shapes()

    return edit


def _cut(nodes: Nodes, x: str, shape: tuple[int, ...]) -> str:
    return _slice(nodes, x, 0, shape[-1])


def _all_but_first(nodes: Nodes, x: str, shape: tuple[int, ...]) -> str:
    return nodes("Reshape", x, nodes.constant([-1, *shape[1:]]))


for _name, _summary, _build, _rank in _BUILDS:
    register(Mutator(_name, _summary, _sites(_build, _rank)))
register(
    Mutator(
        "frozen-reshape",
        "reshaped to the sizes of the export",
        _frozen(lambda nodes, x, shape: nodes("Reshape", x, nodes.constant(shape))),
    )
)
register(
    Mutator(
        "frozen-expand",
        "expanded to the sizes of the export",
        _frozen(lambda nodes, x, shape: nodes("Expand", x, nodes.constant(shape))),
    )
)
register(Mutator("frozen-cut", "cut off at the last size of the export", _frozen(_cut)))
register(Mutator("frozen-but-first", "all but the first dimension as in the export", _frozen(_all_but_first)))
