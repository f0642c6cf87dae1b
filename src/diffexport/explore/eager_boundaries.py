"""Where the operators of eager do something else: what they compare with what, clip, round or look up in a table.

A model is run once with every operator written down. Each of those below has *boundaries*: a tensor that it is given,
and what the elements of that are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffexport.pytorch import Handler, intercepted
from diffexport.values import leaves


@dataclass(frozen=True, eq=False)
class Boundary:
    """A tensor, and what its elements are compared with.

    Attributes:
        tensor: of numbers.
        value: a number, or a tensor that broadcasts with it.
    """

    tensor: Tensor
    value: Any

    @property
    def size(self) -> int:
        """How many elements are compared."""
        if not isinstance(self.value, Tensor):
            return self.tensor.numel()
        return int((self.tensor != self.value).numel())

    @property
    def number(self) -> float | None:
        """The number that all elements are compared with; None where that is not one."""
        value = self.value
        if isinstance(value, Tensor):
            return float(value) if value.numel() == 1 else None
        return float(value)

    def gap(self, place: int) -> float:
        """Return the difference of one element, by its flat place, and what it is compared with."""
        one, other = self.tensor, self.value
        if isinstance(other, Tensor):
            shape = (one != other).shape
            one, other = one.expand(shape), _element(other.expand(shape), place)
        return _element(one, place) - float(other)


def _element(tensor: Tensor, place: int) -> float:
    if tensor.dim() == 0:
        return float(tensor)
    index = []
    for size in reversed(tensor.shape):
        index.append(place % size)
        place //= size
    return float(tensor[tuple(reversed(index))])


#: Whole numbers and halves at which what rounds takes a step, the likeliest first.
WHOLE, HALVES = (1.0, 2.0, -1.0, 0.0, 3.0), (0.5, 1.5, -0.5, 2.5)
#: Most values of a table that are boundaries.
_TABLE = 6

_Args = Sequence[Any]
_Rule = Callable[[_Args, Mapping[str, Any]], Iterator[tuple[Any, Any]]]


def _at(*values: float) -> _Rule:
    return lambda args, _: ((args[0], value) for value in values)


def _argument(args: _Args, kwargs: Mapping[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _between(low: Any = None, high: Any = None, names: tuple[str, str] = ("min", "max")) -> _Rule:
    def rule(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
        for place, (name, default) in enumerate(zip(names, (low, high), strict=True), 1):
            limit = _argument(args, kwargs, place, name, default)
            if limit is not None:
                yield args[0], limit

    return rule


def _compared(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield args[0], _argument(args, kwargs, 1, "other")


def _shrunk(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    limit = _argument(args, kwargs, 1, "lambd", 0.5)
    yield from ((args[0], limit), (args[0], -limit))


def _soft(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    beta, limit = _argument(args, kwargs, 1, "beta", 1), _argument(args, kwargs, 2, "threshold", 20)
    if beta:
        yield args[0], limit / beta


def _multiples(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    divisor = _argument(args, kwargs, 1, "other")
    if kwargs.get("rounding_mode", "floor") is not None:
        yield from ((args[0], divisor * factor) for factor in WHOLE[:4])


def _quotient(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    if kwargs.get("rounding_mode") is not None:
        yield from _multiples(args, kwargs)
    elif isinstance(args[1], Tensor):
        yield args[1], 0.0


def _converted(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    dtype = kwargs.get("dtype")
    if dtype is not None and not dtype.is_floating_point and not dtype.is_complex:
        # Zero alone is False.
        yield from ((args[0], value) for value in ((0.0,) if dtype is torch.bool else WHOLE))


def _in_table(args: _Args, _kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    table, given = (args[1], args[0]) if isinstance(args[1], Tensor) else (args[0], args[1])
    values = table.reshape(-1)[:_TABLE].tolist()
    yield from ((given, value) for value in values if isinstance(given, Tensor))


def _searched(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from _in_table((args[1], args[0]), kwargs)


def _tied(args: _Args, kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the first two of what is ordered: an order is open where they are equal."""
    tensor = args[0]
    if not isinstance(tensor, Tensor) or tensor.dim() == 0:
        return
    given = [arg for arg in args[1:] if isinstance(arg, int | list | tuple) and not isinstance(arg, bool)]
    dim = kwargs.get("dim", given[-1] if given else None)
    dims = [dim] if isinstance(dim, int) else list(dim or [])
    rows = tensor.movedim(dims[0], -1) if dims else tensor.reshape(-1)
    if rows.shape[-1] > 1:
        yield rows[..., :-1], rows[..., 1:]


_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("gt", "lt", "ge", "le", "eq", "ne", "maximum", "minimum", "fmax", "fmin"), _compared),
    "clamp": _between(),
    "clip": _between(),
    "clamp_min": _between(names=("min", "")),
    "clamp_max": _between(names=("max", "")),
    "hardtanh": _between(-1.0, 1.0, ("min_val", "max_val")),
    **dict.fromkeys(
        ("relu", "leaky_relu", "elu", "_prelu_kernel", "abs", "sign", "sgn", "heaviside", "celu", "signbit"),
        _at(0.0),
    ),
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "nonzero", "logical_not"), _at(0.0)),
    "log1p": _at(-1.0),
    **dict.fromkeys(("asin", "acos", "atanh"), _at(1.0, -1.0)),
    "relu6": _at(0.0, 6.0),
    "threshold": _compared,
    **dict.fromkeys(("hardswish", "hardsigmoid"), _at(3.0, -3.0)),
    **dict.fromkeys(("hardshrink", "softshrink"), _shrunk),
    "softplus": _soft,
    **dict.fromkeys(("floor", "ceil", "trunc", "frac"), _at(*WHOLE)),
    "round": _at(*HALVES),
    **dict.fromkeys(("fmod", "remainder", "floor_divide"), _multiples),
    "div": _quotient,
    "_to_copy": _converted,
    "bucketize": _in_table,
    "searchsorted": _searched,
    **dict.fromkeys(("argmax", "argmin", "amax", "amin", "max", "min", "topk", "sort", "argsort"), _tied),
}  # fmt: skip


#: The operators whose results only bend at their boundaries.
_BENT = frozenset(
    {
        "maximum", "minimum", "fmax", "fmin", "clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "relu",
        "leaky_relu", "elu", "celu", "_prelu_kernel", "abs", "relu6", "hardswish", "hardsigmoid", "softshrink",
        "softplus", "amax", "amin", "max", "min", "sort"
    }
)  # fmt: skip


def boundaries_of(base: str, args: _Args, kwargs: Mapping[str, Any]) -> list[Boundary]:
    """Return the boundaries of one operator.

    Args:
        base: what it computes, ``clamp`` for ``aten::clamp_.default``.
        args, kwargs: what it is given.
    """
    rule = _RULES.get(base)
    if rule is None or not args:
        return []
    return [
        Boundary(_plain(tensor), _plain(value))
        for tensor, value in rule(args, kwargs)
        if _is_real(tensor) and (isinstance(value, int | float) or _is_real(value))
    ]


def _is_real(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.numel() > 0
        and not value.is_complex()
        and value.dtype is not torch.bool
    )


def _plain(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


class _Reached(BaseException):
    """The operator was reached whose boundary is asked for. Not an Exception: a model may catch those."""


@dataclass(frozen=True)
class BoundaryPlace:
    """Which boundary of a run it is: of which operator, counted from the first, and which of that operator's."""

    operator: int
    base: str
    part: int


@dataclass(frozen=True)
class MetBoundary:
    """A boundary that was met in a run.

    Attributes:
        place: which it is.
        size: how many elements are compared.
        number: what all of them are compared with; None where that is not one number.
        jumps: whether the result may jump there, and not only bend.
    """

    place: Any
    size: int
    number: float | None
    jumps: bool = True


class TracedModel:
    """Runs a model and tells the boundaries of its operators.

    Args:
        run: runs it.
    """

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self._run = run
        #: How many operators the last whole run had, and elements in all that they were given and gave.
        self.operators = self.elements = 0

    def boundaries(self, call: Any) -> list[MetBoundary]:
        """Return every boundary that is met on some inputs."""
        met: list[MetBoundary] = []
        count = elements = 0

        def handle(op: Any, args: _Args, kwargs: Mapping[str, Any]) -> Any:
            nonlocal count, elements
            for part, boundary in enumerate(boundaries_of(op.base, args, kwargs)):
                place = BoundaryPlace(count, op.base, part)
                met.append(MetBoundary(place, boundary.size, boundary.number, op.base not in _BENT))
            count += 1
            result = op.run(*args, **kwargs)
            if not op.is_view:
                elements += sum(leaf.numel() for leaf in leaves((args, result)) if isinstance(leaf, Tensor))
            return result

        self._run_with(handle, call)
        self.operators, self.elements = count, elements
        return met

    def gap(self, place: BoundaryPlace, element: int, call: Any) -> float:
        """Return the gap of one element at a boundary on some inputs; NaN where they do not lead there."""
        count = 0
        found = float("nan")

        def handle(op: Any, args: _Args, kwargs: Mapping[str, Any]) -> Any:
            nonlocal count, found
            if count == place.operator:
                boundaries = boundaries_of(op.base, args, kwargs) if op.base == place.base else []
                if place.part < len(boundaries) and element < boundaries[place.part].size:
                    found = boundaries[place.part].gap(element)
                raise _Reached
            count += 1
            return op.run(*args, **kwargs)

        self._run_with(handle, call)
        return found

    def _run_with(self, handler: Handler, call: Any) -> None:
        try:
            with torch.no_grad(), intercepted(handler):
                self._run(call)
        except _Reached:
            pass
        except Exception:  # noqa: BLE001 - a model may reject inputs with whatever it likes
            return
