"""Tables of values: one byte an element, simpler values having smaller codes.

A string of random bytes is the cheapest thing Hypothesis can draw, and it shrinks by dropping bytes and by lowering
each. So every element is one byte that a table of 256 values turns into a number. Codes below [PLAIN][] are
plain: 0 to 15, then negative, halves, short decimals, ordinary magnitudes, the constants of the model. Above come
the odd ones, from merely large to NaN and subnormal. Hypothesis lowers a number by clearing its high bits, among
other things; so the low four bits of a plain code are about the magnitude, and the fifth is the sign, of its value.

A byte alone would be too coarse, so that a table has [VARIANTS][]: the simple codes are the same in all, what is odd
or ordinary differs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis.errors import InvalidArgument

from diffexport.arrays import Array, finfo, is_floating, part_dtype
from diffexport.errors import suggestion
from diffexport.strategies.value_kinds import kind_values, ordinary_values
from diffexport.strategies.value_kinds import spread as _spread
from diffexport.values import DTYPES, ValueKind

#: The k-th value of a class in a variant.
Value = Callable[[int, int], Any]

#: Codes below this one are plain: finite, and in floats of magnitude at most 16 unless a constant is larger.
PLAIN = 144
#: Codes from this one on separate the samples of a block; where one is read as an element it is 0.
SEPARATORS = 224
#: How many tables there are for each dtype.
VARIANTS = 64
#: Codes for the constants of the model and their neighbours.
CONSTANTS = 16


@functools.lru_cache(maxsize=4096)
def table(
    dtype: str,
    *,
    variant: int = 0,
    constants: tuple[float, ...] = (),
    low: float | None = None,
    high: float | None = None,
    kind: ValueKind | None = None,
    ordinary: bool = False,
) -> Array:
    """Return the 256 values of ``dtype`` in order of code; a complex dtype has the table of its parts.

    Args:
        dtype: one of [DTYPES][diffexport.values.DTYPES].
        variant: which of the tables; 0 is the simplest.
        constants: numbers that matter to the model; they and their neighbours get codes of their own.
        low, high: bounds of the values, inclusive. With a bound there is no NaN; without one on its side, no limit.
        kind: what the values are like within the bounds.
        ordinary: finite ordinary values only, see [InputScope][diffexport.values.InputScope].

    Raises:
        InvalidArgument: an unknown dtype or variant, or bounds that no value of the dtype lies between.
    """
    if dtype not in DTYPES:
        raise InvalidArgument(
            f"dtype={dtype!r} has no table of values (known: {', '.join(DTYPES)}){suggestion(dtype, DTYPES)}"
        )
    if not 0 <= variant < VARIANTS:
        raise InvalidArgument(f"variant={variant} must be from 0 to {VARIANTS - 1}")
    part = part_dtype(np.dtype(dtype))
    values: Array
    of_kind = None if kind is None else kind_values(kind, variant, low, high)
    if of_kind is not None:
        values = np.array(of_kind).astype(part)
    elif dtype == "bool":
        values = np.arange(256) % 2 == 1
    else:
        values = np.empty(256, dtype=part)
        # In low precision what is out of range becomes infinite, and what is too small becomes 0: both are welcome.
        with np.errstate(all="ignore"):
            for code, value in enumerate(_values(part, variant, constants)):
                values[code] = value
    if of_kind is None and (low is not None or high is not None):
        values = _bounded(values, dtype, low, high)
    if ordinary:
        values = ordinary_values(values)
    values.setflags(write=False)
    return values


@functools.cache
def classes(dtype: str) -> dict[str, range]:
    """Return the codes of each class of values, by name; empty for bool."""
    if dtype == "bool":
        return {}
    ranges = {}
    start = 0
    for name, width, _ in _classes(part_dtype(np.dtype(dtype))):
        ranges[name] = range(start, start + width)
        start += width
    return ranges


def _values(part: np.dtype[Any], variant: int, constants: tuple[float, ...]) -> Iterator[Any]:
    neighbours = _neighbourhood(constants, part, variant)
    for name, width, value in _classes(part):
        for k in range(width):
            yield neighbours[k] if name == "constant" and neighbours else value(k, variant)
    yield from itertools.repeat(0, 256 - SEPARATORS)


def _classes(part: np.dtype[Any]) -> Sequence[tuple[str, int, Value]]:
    classes = _float_classes(part) if is_floating(part) else _int_classes(part)
    assert sum(width for _, width, _ in classes) == SEPARATORS, part
    return classes


def limits(dtype: np.dtype[Any]) -> Any:
    """Return the limits (``min``, ``max``) of a real dtype other than bool."""
    return finfo(dtype) if is_floating(dtype) else np.iinfo(dtype)


_DECIMALS = (0.25, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.75, -0.25, -0.1, -0.2, -0.75, 0.9, 1.1, 0.01, 0.001)


def _ordinary(k: int, v: int) -> float:
    """Return a number whose magnitude rounds up to ``k % 16``, of few decimals in the simplest variant."""
    digits = 1 if v == 0 else 4
    magnitude = max(k % 16 - 1, 0) + round(0.1 + 0.8 * _spread(k + 64 * v), digits)
    return -magnitude if k // 16 % 2 else magnitude


def _around_borders(dtype: np.dtype[Any], largest: float) -> list[float]:
    """Return the powers of 2 at which integers stop being exact or stop fitting, with their neighbours."""
    around: list[float] = []
    for border in (float(2**k) for k in (8, 11, 16, 24, 31, 32, 53, 63) if 2**k < largest):
        near = np.asarray(border, dtype=dtype)
        below, above = np.nextafter(near, dtype.type(0)), np.nextafter(near, dtype.type(np.inf))
        around += [border, border - 1, border + 1, float(below), float(above)]
    return around


def _float_classes(dtype: np.dtype[Any]) -> Sequence[tuple[str, int, Value]]:
    info = finfo(dtype)
    largest, normal, tiny = float(info.max), float(info.smallest_normal), float(info.smallest_subnormal)
    ulp = float(info.eps)
    top, bottom = int(np.log2(largest)), int(np.log2(normal))
    exponents = sorted((e for e in range(bottom, top + 1) if not 0 <= e <= 3), key=lambda e: (abs(e), e < 0))
    decades = max(1, min(8, int(-np.log10(normal)) - 2))
    around = _around_borders(dtype, largest)

    def signed(n: int, value: float) -> float:
        return -value if n % 2 else value

    def near_one(k: int, v: int) -> float:
        n = k + 6 * v
        steps = 1 + n // 4 % 8
        return signed(n // 2, 1.0 - steps * ulp / 2 if n % 2 else 1.0 + steps * ulp)

    def wide(k: int, v: int) -> float:
        n = k + 8 * v
        return signed(n, float(2.0 ** (bottom + (top - bottom) * _spread(n))))

    def large(k: int, v: int) -> float:
        n = k + 8 * v
        return signed(n // len(around), around[n % len(around)])

    def power(k: int, v: int) -> float:
        n = k + 12 * v
        return signed(n // len(exponents), float(2.0 ** exponents[n % len(exponents)]))

    def subnormal(k: int, v: int) -> float:
        n = k + 3 * v
        return signed(n // 9, normal / 2 if n % 9 == 8 else tiny * (1 + n % 9))

    return (
        ("integer", 16, lambda k, _v: k),
        ("negative-integer", 16, lambda k, _v: -1 - k),
        ("half", 16, lambda k, _v: k - 0.5 if k < 8 else 7.5 - k),
        ("decimal", 16, lambda k, _v: _DECIMALS[k]),
        ("ordinary", 64, _ordinary),
        ("constant", CONSTANTS, lambda k, v: _ordinary(64 + k, v)),
        ("saturating", 10, lambda k, v: signed(k, 16 + round(94 * _spread(k + 10 * v), 2))),
        ("power-of-two", 12, power),
        (
            "near-zero",
            8,
            lambda k, v: signed(k, 10.0 ** -(2 + (k + 8 * v) % decades) * (1 + _spread(k + 8 * v))),
        ),
        ("near-one", 6, near_one),
        ("large-integer", 8, large),
        ("wide", 8, wide),
        ("inf", 5, lambda _k, _v: math.inf),
        ("-inf", 4, lambda _k, _v: -math.inf),
        ("nan", 8, lambda _k, _v: math.nan),
        ("-0", 4, lambda _k, _v: -0.0),
        ("largest", 2, lambda k, _v: signed(k, largest)),
        ("smallest-normal", 2, lambda k, _v: signed(k, normal)),
        ("subnormal", 3, subnormal),
    )


def _int_classes(dtype: np.dtype[Any]) -> Sequence[tuple[str, int, Value]]:
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    powers = [2**k + d for k in range(4, info.bits - (low < 0)) for d in (0, -1, 1)]

    def clamp(value: int) -> int:
        return max(low, min(high, value))

    def near_power(k: int, v: int) -> int:
        n = k + 40 * v
        return clamp(powers[n % len(powers)] * (-1 if n // len(powers) % 2 and low < 0 else 1))

    return (
        ("integer", 16, lambda k, _v: k),
        ("negative-integer", 16, lambda k, _v: -1 - k if low < 0 else 16 + k),
        ("ordinary", 96, lambda k, v: clamp(int((101 if k % 32 < 16 else -101) * _spread(k + 96 * v)))),
        ("constant", CONSTANTS, lambda k, _v: clamp(24 + k)),
        ("near-power-of-two", 40, near_power),
        ("wide", 20, lambda k, v: clamp(low + int((high - low) * _spread(k + 20 * v + 1)))),
        ("extreme", 20, lambda k, _v: (high, low, high - 1, low + 1)[k % 4]),
    )


def _neighbourhood(constants: tuple[float, ...], dtype: np.dtype[Any], variant: int) -> list[Any]:
    """Return [CONSTANTS][] values: constants, what stands directly beside each, then what is near it."""
    integral = np.issubdtype(dtype, np.integer)
    info = limits(dtype)
    kept = [c for c in constants if math.isfinite(c) and float(info.min) <= c <= float(info.max)]
    if integral:
        kept = [c for c in kept if c == int(c)]
    if not kept:
        return []
    at_once = CONSTANTS // 3
    start = variant * at_once % len(kept) if len(kept) > at_once else 0
    chosen = [*kept[start:], *kept[:start]][:at_once]
    neighbours: list[Any] = []
    for constant in chosen:
        if integral:
            neighbours += [int(constant), int(constant) + 1, int(constant) - 1]
        else:
            here = dtype.type(constant)
            neighbours += [
                here,
                np.nextafter(here, dtype.type(np.inf)),
                np.nextafter(here, dtype.type(-np.inf)),
            ]
    near: list[Any] = []
    for constant in chosen:
        near += [
            -constant,
            constant + 0.5,
            constant - 0.5,
            constant * 2,
            constant / 2,
            constant + 1,
            constant - 1,
        ]
    if integral:
        neighbours = [min(max(value, info.min), info.max) for value in neighbours]
        near = [min(max(int(value), info.min), info.max) for value in near]
    return (neighbours + near * CONSTANTS)[:CONSTANTS]


def _bounded(values: Array, dtype: str, low: float | None, high: float | None) -> Array:
    """Return a table of the values between the bounds, those of the full table first, then evenly spread ones."""
    kind: Any = values.dtype.type
    real = dtype != "bool" and is_floating(values.dtype)
    least, most = 0, 1
    if dtype != "bool" and not real:
        # Not as floats: the largest int64 would become one more than it is.
        least, most = int(limits(values.dtype).min), int(limits(values.dtype).max)
    bottom = (-math.inf if real else least) if low is None else low
    top = (math.inf if real else most) if high is None else high
    if low is not None and high is not None and not low <= high:
        raise InvalidArgument(f"low={low} is more than high={high}: no value lies between")
    if not real:
        first, last = math.ceil(max(bottom, least)), math.floor(min(top, most))
        if first > last:
            raise InvalidArgument(f"low={low}, high={high}: no {dtype} lies between")
        spread: list[Any] = sorted(
            {first, last, *(first + int((last - first) * _spread(k)) for k in range(32))}, key=abs
        )
    else:
        simplest = min(max(0.0, bottom), top)
        spread = [simplest, bottom, top, *(bottom + (top - bottom) * _spread(k) for k in range(1, 30))]
        if low is None or high is None:
            spread = [simplest, top if low is None else bottom]
    with np.errstate(all="ignore"):
        within = [value for value in values if bottom <= value <= top]
        candidates = [kind(value) for value in spread]
        within += [value for value in candidates if bottom <= value <= top]
    if not within:
        raise InvalidArgument(f"low={low}, high={high}: no {dtype} lies between")
    return np.resize(np.array(within, dtype=values.dtype), 256)
