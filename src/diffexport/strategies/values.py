"""Values: two bytes an element, mapped through a table in which simpler values have smaller codes.

A block of random bytes is the cheapest thing Hypothesis can draw, and it shrinks towards zero bytes. So the
high byte of each code chooses a *class* of values, classes being ordered from simple to odd with widths that
are their frequencies, and the low byte chooses within the class, again simple first. Code 0 is 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffexport.dtypes import finfo, is_complex, is_floating, joined, part
from diffexport.errors import UsageError, suggestion
from diffexport.spec import DTYPES, Shape

Array = np.ndarray[Any, Any]

#: Elements with a code of their own in one sample; a larger tensor repeats them.
CODED = 32
#: Bytes of one sample: two that choose its pattern, two for each coded element.
SAMPLE_BYTES = 2 + 2 * CODED


@functools.cache
def table(dtype: str) -> tuple[Array, dict[str, range]]:
    """Return the 65,536 values of ``dtype`` in order of code, and the high bytes of each class.

    For a complex dtype they are those of its parts: an element has two codes, the real part's first.

    Raises:
        UsageError: there is no table for the dtype.
    """
    if dtype not in DTYPES:
        raise UsageError(f"no table of values for dtype {dtype!r}{suggestion(dtype, DTYPES)}")
    own = part(np.dtype(dtype))
    if dtype == "bool":
        classes: Sequence[tuple[str, int, Callable[[int], Any]]] = (
            ("false", 128, lambda _: False),
            ("true", 128, lambda _: True),
        )
    elif is_floating(own):
        classes = _float_classes(own)
    else:
        classes = _int_classes(own)
    values = np.empty(65536, dtype=own)
    ranges: dict[str, range] = {}
    high = 0
    with np.errstate(over="ignore"):
        for name, width, value in classes:
            ranges[name] = range(high, high + width)
            count = width * 256
            # Within a class, code k: the low byte alone for narrow classes, all bits for wide ones.
            values[high * 256 : high * 256 + count] = [value(k) for k in range(count)]
            high += width
    assert high == 256, (dtype, high)
    values.setflags(write=False)
    return values, ranges


def _spread(k: int) -> float:
    """Return the k-th number of a low-discrepancy sequence in [0, 1): multiples of the golden ratio."""
    return (k * 0.6180339887498949) % 1.0


def _float_classes(dtype: np.dtype[Any]) -> Sequence[tuple[str, int, Callable[[int], Any]]]:
    info = finfo(dtype)
    largest, normal, tiny = float(info.max), float(info.smallest_normal), float(info.smallest_subnormal)
    ulp = float(info.eps)
    top, bottom = int(np.log2(largest)), int(np.log2(normal))
    decimals = (0.25, 0.75, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.25, 1.1, 2.25, 3.14, 0.01, 0.001)
    exponents = sorted(range(bottom, top + 1), key=lambda e: (abs(e), e < 0))
    decades = max(1, min(8, int(-np.log10(normal)) - 2))
    borders = [float(2**k) for k in (8, 11, 16, 24, 31, 32, 53, 63) if 2**k < largest]
    around: list[float] = []
    for border in borders:
        near = np.asarray(border, dtype=dtype)
        below, above = float(np.nextafter(near, dtype.type(0))), float(np.nextafter(near, dtype.type(np.inf)))
        around += [border, border - 1, border + 1, below, above]

    def sign(k: int) -> float:
        return -1.0 if k >> 4 & 1 else 1.0

    def power(k: int) -> float:
        return (-1.0 if k >> 8 & 1 else 1.0) * float(2.0 ** exponents[k % 256 % len(exponents)])

    def near_one(k: int) -> float:
        steps = k % 16
        distance = -(steps + 1) // 2 * ulp / 2 if steps % 2 else steps // 2 * ulp
        return sign(k) * (1.0 + distance)

    def wide(k: int) -> float:
        exponent = bottom + (top - bottom) * _spread(k)
        return (-1.0 if k & 1 else 1.0) * float(2.0**exponent)

    return (
        ("integer", 40, lambda k: float(k % 16)),
        ("negative-integer", 16, lambda k: -1.0 - k % 16),
        ("half", 12, lambda k: sign(k) * (k % 16 + 0.5)),
        ("decimal", 12, lambda k: sign(k) * decimals[k % 16]),
        ("ordinary", 66, lambda k: round(20 * _spread(k + 1) - 10, 4)),
        ("saturating", 12, lambda k: sign(k) * (16 + round(94 * _spread(k), 2))),
        ("power-of-two", 14, power),
        ("near-zero", 12, lambda k: sign(k) * float(10.0 ** -(2 + k % decades)) * (1 + _spread(k))),
        ("near-one", 8, near_one),
        ("large-integer", 8, lambda k: (-1.0 if k >> 8 & 1 else 1.0) * around[k % 256 % len(around)]),
        ("wide", 18, wide),
        ("inf", 8, lambda _: float("inf")),
        ("-inf", 6, lambda _: float("-inf")),
        ("nan", 10, lambda _: float("nan")),
        ("-0", 6, lambda _: -0.0),
        ("largest", 3, lambda k: sign(k) * largest),
        ("smallest-normal", 2, lambda k: sign(k) * normal),
        ("subnormal", 3, lambda k: sign(k) * (normal / 2 if k % 9 == 8 else tiny * (1 + k % 9))),
    )


def _int_classes(dtype: np.dtype[Any]) -> Sequence[tuple[str, int, Callable[[int], Any]]]:
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    bits = info.bits - (low < 0)
    powers = [2**k + d for k in range(4, bits) for d in (0, -1, 1)]

    def clamp(value: int) -> int:
        return max(low, min(high, value))

    return (
        ("integer", 110, lambda k: k % 16),
        ("negative-integer", 60, lambda k: clamp(-1 - k % 16) if low < 0 else 16 + k % 16),
        (
            "near-power-of-two",
            40,
            lambda k: clamp(powers[k % len(powers)] * (-1 if k >> 8 & 1 and low < 0 else 1)),
        ),
        ("wide", 30, lambda k: clamp(low + int((high - low) * _spread(k + 1)))),
        ("extreme", 16, lambda k: (high, low, high - 1, low + 1)[k % 4]),
    )


#: Patterns of a sample: name, and how many of the 256 values of its first byte choose it.
PATTERNS = (("literal", 112), ("plain", 64), ("one-special", 40), ("tied", 24), ("sorted", 16))
_PATTERN_OF = tuple(name for name, width in PATTERNS for _ in range(width))
#: High bytes below this one choose plain values only: no special, none outside [-16, 16].
_PLAIN_FLOAT = 40 + 16 + 12 + 12 + 66
_PLAIN_INT = 110 + 60


def decode(sample: bytes, shapes: Sequence[Shape], dtypes: Sequence[str]) -> tuple[Array, ...]:
    """Turn the bytes of one sample into one array for each shape and dtype.

    The first byte chooses the pattern of the sample (every element its own code; plain values only; plain
    values and one special one at the place the second byte gives; few distinct values; sorted rows), so that
    a NaN does not have to be everywhere to be somewhere.
    """
    pattern = _PATTERN_OF[sample[0]]
    codes = np.frombuffer(sample, dtype=">u2", offset=2).astype(np.intp)
    arrays = []
    start = 0
    for shape, dtype in zip(shapes, dtypes, strict=True):
        values, _ = table(dtype)
        # Two codes an element where it has two parts.
        count = int(np.prod(shape, dtype=np.int64)) * (1 + is_complex(np.dtype(dtype)))
        own = np.resize(np.roll(codes, -start), count) if count else codes[:0]
        start += count
        arrays.append(_arrange(pattern, sample[1], own, values).view(dtype).reshape(shape))
    return tuple(arrays)


def _arrange(pattern: str, place: int, codes: Array, values: Array) -> Any:
    if pattern == "literal" or not codes.size or values.dtype == np.bool_:
        return values[codes]
    plain_widths = _PLAIN_FLOAT if is_floating(values.dtype) else _PLAIN_INT
    plain = codes % (plain_widths * 256)
    if pattern == "plain":
        return values[plain]
    if pattern == "one-special":
        # The first code says what is special, so that it stays with the sample when the shape shrinks.
        special = int(codes[0])
        first_special = plain_widths * 256
        if special < first_special:
            special = first_special + special % (65536 - first_special)
        plain = np.roll(plain, -1)
        plain[place % codes.size] = special
        return values[plain]
    if pattern == "tied":
        return values[plain[np.arange(codes.size) % (1 + place % 3)]]
    return np.sort(values[plain])


@functools.cache
def _ordinary_values(dtype: str) -> Array:
    if dtype == "bool":
        return np.array([True, False, True, True, False])
    if is_complex(np.dtype(dtype)):
        reals = _ordinary_values(part(np.dtype(dtype)).name)
        return joined(np.stack([reals, np.roll(reals, -1)], axis=-1), np.dtype(dtype))
    if is_floating(np.dtype(dtype)):
        return np.array([0.5, 1.25, -0.75, 2.0, -1.5, 0.125, 3.0, -0.25, 1.75, -2.5, 0.375], dtype=dtype)
    return np.array([1, 2, 0, 3, 5, 4, 7, 6, 9, 8, 11], dtype=dtype)


def ordinary(shapes: Sequence[Shape], dtypes: Sequence[str]) -> tuple[Array, ...]:
    """Return ordinary, distinct-looking example inputs of the given shapes: what a model is exported with."""
    arrays = []
    for number, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True)):
        values = np.roll(_ordinary_values(dtype), -3 * number)
        arrays.append(np.resize(values, shape) if np.prod(shape, dtype=np.int64) else np.empty(shape, dtype))
    return tuple(arrays)
