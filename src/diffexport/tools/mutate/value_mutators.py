"""Mutators of values: something put behind a graph input, an intermediate value or a graph output.

Most are of the form *where a condition holds, this instead*: an error at one value, in one region, of one class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import TensorProto

from diffexport.arrays import finfo, is_floating
from diffexport.tools.mutate.registry import Edit, Mutator, register
from diffexport.tools.mutate.surgery import LEAST_OPSET, Draft, Nodes, ValueType
from diffexport.values import Severity

#: Builds what replaces a value, given its type.
Build = Callable[[Nodes, str, ValueType], str]
#: Builds a condition over a value, or another value.
Part = Callable[[Nodes, str, ValueType], str]


def _number(nodes: Nodes, value: Any, kind: ValueType) -> str:
    return nodes.constant(value, kind.dtype)


def _scaled(by: float) -> Part:
    return lambda nodes, x, kind: nodes("Mul", x, _number(nodes, by, kind))


def _plus(by: float) -> Part:
    return lambda nodes, x, kind: nodes("Add", x, _number(nodes, by, kind))


def _value(value: float) -> Part:
    return lambda nodes, _x, kind: _number(nodes, value, kind)


def _largest(nodes: Nodes, _x: str, kind: ValueType) -> str:
    return _number(nodes, float(finfo(kind.dtype).max), kind)


def _unary(operator: str) -> Part:
    return lambda nodes, x, _kind: nodes(operator, x)


def _infinite(nodes: Nodes, x: str, _kind: ValueType) -> str:
    # IsInf takes float16 from opset 20 on only.
    return nodes("IsInf", nodes("Cast", x, to=TensorProto.FLOAT))


def _above(limit: float) -> Part:
    return lambda nodes, x, kind: nodes("Greater", nodes("Abs", x), _number(nodes, limit, kind))


def _below(limit: float | None) -> Part:
    def condition(nodes: Nodes, x: str, kind: ValueType) -> str:
        least = float(finfo(kind.dtype).smallest_normal) if limit is None else limit
        return nodes("Less", nodes("Abs", x), _number(nodes, least, kind))

    return condition


def _compared(operator: str, limit: float) -> Part:
    return lambda nodes, x, kind: nodes(operator, x, _number(nodes, limit, kind))


def _half(nodes: Nodes, x: str, kind: ValueType) -> str:
    return nodes("Equal", nodes("Sub", x, nodes("Floor", x)), _number(nodes, 0.5, kind))


def _where(condition: Part, instead: Part) -> Build:
    def build(nodes: Nodes, x: str, kind: ValueType) -> str:
        return nodes("Where", condition(nodes, x, kind), instead(nodes, x, kind), x)

    return build


def _through(element: int) -> Build:
    return lambda nodes, x, kind: nodes("Cast", nodes("Cast", x, to=element), to=kind.element)


def _signed_largest(nodes: Nodes, x: str, kind: ValueType) -> str:
    return nodes("Mul", nodes("Sign", x), _largest(nodes, x, kind))


#: Everywhere, in each of the three places: name, summary, what is built.
_EVERYWHERE: tuple[tuple[str, str, Build], ...] = (
    ("scaled-1e-4", "a relative error of 1e-4", _scaled(1 + 1e-4)),
    ("scaled-1e-5", "a relative error of 1e-5", _scaled(1 + 1e-5)),
    ("scaled-5e-6", "a relative error of 5e-6", _scaled(1 + 5e-6)),
    ("clipped-at-100", "what is above 100 becomes 100", _where(_compared("Greater", 100), _value(100))),
    ("infinity-lost", "infinities become the largest finite number", _where(_infinite, _signed_largest)),
    ("nan-lost", "NaN becomes 0", _where(_unary("IsNaN"), _value(0))),
    ("float16-round-trip", "rounded to float16 and back", _through(TensorProto.FLOAT16)),
    ("bfloat16-round-trip", "rounded to bfloat16 and back", _through(TensorProto.BFLOAT16)),
    ("sign-lost", "negative numbers become positive", _unary("Abs")),
)
#: At graph inputs and outputs.
_AT_ENDS: tuple[tuple[str, str, Build], ...] = (
    ("shifted-1e-3", "an absolute error of 1e-3", _plus(1e-3)),
    ("through-int", "cut off to an integer", _through(TensorProto.INT64)),
    ("rounded", "rounded to an integer", _unary("Round")),
    ("clipped-below", "what is below -100 becomes -100", _where(_compared("Less", -100), _value(-100))),
    ("infinity-is-nan", "infinities become NaN", _where(_infinite, _value(float("nan")))),
    ("nan-is-infinity", "NaN becomes infinity", _where(_unary("IsNaN"), _value(float("inf")))),
    ("negatives-lost", "negative numbers become 0", _where(_compared("Less", 0), _value(0))),
    ("negatives-off", "negative numbers are a thousandth off", _where(_compared("Less", 0), _scaled(1.001))),
    (
        "boundary",
        "numbers from 3 on are 1 larger, 3 included",
        _where(_compared("GreaterOrEqual", 3), _plus(1)),
    ),
    ("large-off", "from a million on a thousandth off", _where(_above(1e6), _scaled(1.001))),
    ("huge-off", "from 1e30 on a thousandth off", _where(_above(1e30), _scaled(1.001))),
    ("small-lost", "below a thousandth it becomes 0", _where(_below(1e-3), _value(0))),
    ("subnormal-lost", "subnormal numbers become 0", _where(_below(None), _value(0))),
    ("halves-off", "halves are rounded down", _where(_half, _unary("Floor"))),
)
#: The single values that something is wrong at, at graph inputs and outputs.
_VALUES = (0.0, 1.0, -1.0, 0.5, 2.0, 100.0, 65504.0, 2.0**24, float("inf"), float("-inf"))


def places(draft: Draft, everywhere: bool) -> Iterator[tuple[str, str]]:
    """Yield ``(what, value)`` for the ends of a graph and, with ``everywhere``, what lies between."""
    yield from (("output", name) for name in draft.outputs)
    yield from (("input", name) for name in draft.inputs)
    if everywhere:
        yield from (("value", name) for name in draft.computed)


def _sites(
    build: Build, everywhere: bool, fits: Callable[[ValueType], bool]
) -> Callable[[Draft], Iterator[tuple[str, Edit]]]:
    def sites(draft: Draft) -> Iterator[tuple[str, Edit]]:
        if draft.opset < LEAST_OPSET:
            return
        for what, name in places(draft, everywhere):
            kind = draft.type(name)
            if fits(kind):
                yield f"{what} {name}", _insertion(name, build, kind)

    return sites


def _insertion(name: str, build: Build, kind: ValueType) -> Edit:
    return lambda copy: copy.insert(name, lambda nodes, x: build(nodes, x, kind))


def _at_value_sites(value: float) -> Callable[[Draft], Iterator[tuple[str, Edit]]]:
    # What is infinite changes its sign; anything else is 1 larger, save that this is lost in large numbers.
    instead = _value(-value) if np.isinf(value) else _plus(1) if abs(value) < 1e4 else _scaled(1.5)
    return _sites(_where(_compared("Equal", value), instead), False, lambda kind: _holds(kind, value))


def _holds(kind: ValueType, value: float) -> bool:
    return kind.is_float and (np.isinf(value) or abs(value) <= float(finfo(kind.dtype).max))


def _at_constants(draft: Draft) -> Iterator[tuple[str, Edit]]:
    if draft.opset < LEAST_OPSET:
        return
    numbers = {
        float(constant.array.reshape(-1)[0])
        for constant in draft.constants()
        if constant.array.size == 1 and is_floating(constant.array.dtype)
    }
    for number in sorted(number for number in numbers if np.isfinite(number) and number not in _VALUES):
        for where, edit in _at_value_sites(number)(draft):
            yield f"{where} at {number:.9g}", edit


def _floating(kind: ValueType) -> bool:
    return kind.is_float


for _everywhere, _table in ((True, _EVERYWHERE), (False, _AT_ENDS)):
    for _name, _summary, _build in _table:
        register(Mutator(_name, _summary, _sites(_build, _everywhere, _floating)))
for _at in _VALUES:
    register(Mutator(f"wrong-at-{_at:.9g}", f"wrong at {_at:.9g} and nowhere else", _at_value_sites(_at)))
register(Mutator("wrong-at-a-constant", "wrong at a constant of the graph and nowhere else", _at_constants))
register(
    Mutator(
        "negative-zero-lost",
        "-0 becomes 0; a note, save under --strict",
        _sites(_plus(0.0), False, _floating),
        severity=Severity.NOTE,
    )
)


#: For integers, at graph inputs and outputs.
_INTEGERS: tuple[tuple[str, str, Build], ...] = (
    ("integer-plus-one", "one too large", _plus(1)),
    (
        "integer-through-float",
        "through float32, which loses what is above 2**24",
        _through(TensorProto.FLOAT),
    ),
    ("integer-through-int16", "through int16, which wraps around", _through(TensorProto.INT16)),
    ("integer-wrong-at-0", "wrong at 0 and nowhere else", _where(_compared("Equal", 0), _plus(1))),
    (
        "integer-saturated",
        "what is above 1000 becomes 1000",
        _where(_compared("Greater", 1000), _value(1000)),
    ),
)


def _integral(kind: ValueType) -> bool:
    return kind.element in (TensorProto.INT32, TensorProto.INT64)


for _name, _summary, _build in _INTEGERS:
    register(Mutator(_name, _summary, _sites(_build, False, _integral)))
register(
    Mutator(
        "negated-bool",
        "true and false exchanged",
        _sites(_unary("Not"), True, lambda kind: kind.element == TensorProto.BOOL),
    )
)
