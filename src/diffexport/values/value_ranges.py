"""What a spec says of values, behind its shape: a kind, and bounds that are numbers or follow a named dimension.

``image``, ``probability``, ``probabilities``, ``mask``, ``ids`` and ``normal(MEAN, DEVIATION)`` are kinds. Bounds are
``in LO..HI``, both ends included, or ``in LO..<HI`` without the upper end, for integers. A bound may be the size of a
named dimension of any input, with a sign and a whole number added: ``in 0..T-1``, ``in 0..<T``, ``in -T..T-1``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from diffexport.errors import UsageError, shown, suggestion

_SIZE_BOUND = re.compile(r"(?P<minus>-)?(?P<name>[A-Za-z_]\w*)(?P<plus>[+-][0-9]{1,18})?")
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
_FLOATS = ("float32", "float64", "float16", "bfloat16")
#: How many deviations from the mean a normal value is at most.
NORMAL_REACH = 4.0


@dataclass(frozen=True)
class SizeBound:
    """A bound of values that is the size of a named dimension, or minus that, and a whole number: ``T-1``, ``-T``."""

    name: str
    plus: int = 0
    negative: bool = False

    def at(self, size: int) -> int:
        """Return the bound where the dimension has this size."""
        return self.plus + (-size if self.negative else size)

    def __str__(self) -> str:
        return f"{'-' * self.negative}{self.name}{f'{self.plus:+d}' if self.plus else ''}"


#: A bound of values: a number, the size of a dimension, or none.
Bound = float | SizeBound | None


@dataclass(frozen=True)
class ValueKind:
    """What values are like, besides their bounds.

    ===================  ==================================================================================
    ``image``            pixels: multiples of 1/255 from 0 to 1, or for uint8 0 to 255
    ``probability``      0 to 1, both ends and what is near them included
    ``probabilities``    0 to 1, and along the last dimension the sum is 1, up to rounding
    ``mask``             bool, or 0 and 1: rows along the last dimension that are all true, all false, true up to
                         some place or from some place on, or mixed
    ``ids``              integers all over bounds that have to be given, the first and the last included
    ``normal(M, D)``     normally distributed with mean M and deviation D, at most [NORMAL_REACH][] deviations from M
    ===================  ==================================================================================
    """

    name: str
    numbers: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(number_text, self.numbers))})" if self.numbers else self.name

    def implied(self, dtype: str) -> tuple[float | None, float | None]:
        """Return the bounds that the kind stands for."""
        if self.name == "normal":
            mean, deviation = self.numbers
            return mean - NORMAL_REACH * deviation, mean + NORMAL_REACH * deviation
        if self.name == "image" and dtype == "uint8":
            return 0.0, 255.0
        return (None, None) if self.name == "ids" else (0.0, 1.0)


#: The kinds with the dtypes that each is for.
_KINDS = {
    "image": (*_FLOATS, "uint8"),
    "probability": _FLOATS,
    "probabilities": _FLOATS,
    "mask": ("bool", *_INTEGERS, *_FLOATS),
    "ids": _INTEGERS,
    "normal": _FLOATS,
}
_WRITTEN = tuple(name if name != "normal" else "normal(MEAN, DEVIATION)" for name in _KINDS)


def parse_kind(name: str | None, numbers: str | None, dtype: str) -> ValueKind | None:
    """Return the kind of a name and of what stands in brackets behind it; None without a name.

    Raises:
        UsageError: there is no such kind, it is none of this dtype, or the numbers are wrong.
    """
    if name is None:
        return None
    if name not in _KINDS:
        raise UsageError(f"there are no values of kind {shown(name)}{suggestion(name, _WRITTEN)}")
    if dtype not in _KINDS[name]:
        raise UsageError(f"values of kind {name!r} are of dtype {', '.join(_KINDS[name])}; this is {dtype}")
    if name != "normal":
        if numbers is not None:
            raise UsageError(f"values of kind {name!r} take no numbers in brackets")
        return ValueKind(name)
    try:
        mean, deviation = (float(part) for part in (numbers or "").split(","))
    except ValueError:
        raise UsageError("write a mean and a deviation: normal(0, 1)") from None
    if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
        raise UsageError("the mean has to be finite, and the deviation finite and more than 0: normal(0, 1)")
    return ValueKind(name, (mean, deviation))


def parse_bounds(text: str | None, dtype: str, kind: ValueKind | None) -> tuple[Bound, Bound]:
    """Return the bounds that a text and a kind stand for.

    Raises:
        UsageError: it is none, the bounds contradict each other, or they and the kind do not go together.
    """
    if text is None:
        if kind is not None and kind.name == "ids":
            raise UsageError("ids need to know how many there are; write for instance 'ids in 0..99'")
        return (None, None) if kind is None else kind.implied(dtype)
    if kind is not None and kind.name != "ids":
        raise UsageError(f"bounds {text!r}: values of kind {kind.name!r} have bounds of their own")
    low_text, dots, high_text = text.partition("..")
    open_end = high_text.startswith("<")
    try:
        low, high = _bound(low_text), _bound(high_text[open_end:])
        if open_end:
            high = _less_one(high, text, dtype)
    except ValueError:
        low = high = None
    if not dots or (low is None and high is None) or _infinite(low, high):
        raise UsageError(
            f"{text!r} are no bounds; write for instance 'in 0..1', 'in 0..', 'in -1e3..-2' or 'in 0..N-1'"
        )
    if dtype.startswith("complex"):
        raise UsageError(f"bounds {text!r}: {dtype} has no order")
    if kind is not None and (low is None or high is None):
        raise UsageError(f"bounds {text!r}: ids need a first and a last, for instance 'ids in 0..99'")
    _check_order(low, high, text)
    return low, high


def _bound(text: str) -> Bound:
    """Return a bound; raises a ValueError where it is none."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        match = _SIZE_BOUND.fullmatch(text)
        if match is None:
            raise
        return SizeBound(match["name"], int(match["plus"] or 0), match["minus"] is not None)
    if number != number:
        raise ValueError
    return number


def _less_one(high: Bound, text: str, dtype: str) -> Bound:
    if dtype not in _INTEGERS:
        raise UsageError(
            f"bounds {text!r}: an end that is left out ('..<') is for integers, and this is {dtype}"
        )
    if isinstance(high, SizeBound):
        return SizeBound(high.name, high.plus - 1, high.negative)
    if high is None or not math.isfinite(high) or high != int(high):
        raise ValueError
    return high - 1


def _check_order(low: Bound, high: Bound, text: str) -> None:
    if isinstance(low, SizeBound) and isinstance(high, SizeBound) and low.name != high.name:
        raise UsageError(f"bounds {text!r} name two dimensions; one of them may be larger than the other")
    if least_size(low, high) is None:
        sized = isinstance(low, SizeBound) or isinstance(high, SizeBound)
        where = " where the dimension is large" if sized else ""
        raise UsageError(
            f"bounds {text!r} allow no value{where}: {bound_text(low)} is more than {bound_text(high)}"
        )


def least_size(low: Bound, high: Bound) -> int | None:
    """Return the least size of the dimension they name at which bounds allow a value.

    It is 0 where they name none. None where they allow one at no size, or not at every larger size.
    """
    if low is None or high is None:
        return 0
    times = _times(high) - _times(low)
    gap = _plus(low) - _plus(high)
    if times == 0:
        return 0 if gap <= 0 else None
    return max(0, math.ceil(gap / times)) if times > 0 else None


def _times(bound: float | SizeBound) -> int:
    return (-1 if bound.negative else 1) if isinstance(bound, SizeBound) else 0


def _plus(bound: float | SizeBound) -> float:
    return bound.plus if isinstance(bound, SizeBound) else bound


def _infinite(low: Bound, high: Bound) -> bool:
    """Return whether only an infinity is within the bounds."""
    return low == math.inf or high == -math.inf


def number_text(value: float) -> str:
    """Return the shortest text of a number."""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(value)


def bound_text(bound: Bound) -> str:
    """Return the text of a bound; empty for none."""
    if bound is None:
        return ""
    return str(bound) if isinstance(bound, SizeBound) else number_text(bound)
