"""Values of a kind that a spec names: the table of each, and what has to hold of whole rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffexport.arrays import Array, is_floating
from diffexport.values import ORDINARY_LEAST, ORDINARY_MOST, TensorSpec, ValueKind

#: A multiple of it, modulo 1, is the next number of a low-discrepancy sequence.
_GOLDEN = 0.6180339887498949
#: Codes of an element that choose how a row of a mask is arranged; those below leave it mixed.
_ARRANGED_FROM = 64
_CODES = 256


def spread(k: int) -> float:
    """Return the k-th number of a low-discrepancy sequence in [0, 1): multiples of the golden ratio."""
    return (k * _GOLDEN) % 1.0


def kind_values(kind: ValueKind, variant: int, low: float | None, high: float | None) -> list[Any] | None:
    """Return the 256 values of a kind in order of code, simplest first; None where those of the bounds will do.

    Args:
        kind: what they are like.
        variant: which of the tables.
        low, high: bounds of the values, both included.
    """
    start = _CODES * variant
    if kind.name == "mask":
        return [code % 2 == 0 for code in range(_CODES)]
    if kind.name == "normal":
        normal = statistics.NormalDist(*kind.numbers)
        assert low is not None
        assert high is not None
        drawn = [normal.inv_cdf(spread(start + code)) for code in range(1, _CODES)]
        return [kind.numbers[0], *(min(max(value, low), high) for value in drawn)]
    if kind.name == "image":
        steps, unit = 255, 1.0 if high == 255 else 1 / 255
        shades = [0, steps, 128, *(int((steps + 1) * spread(start + code)) for code in range(3, _CODES))]
        return [1.0 if shade * unit > 1.0 and unit < 1 else shade * unit for shade in shades]
    if kind.name == "ids":
        assert low is not None
        assert high is not None
        first, last = math.ceil(low), math.floor(high)
        count = last - first + 1
        if count <= _CODES // 2:
            return [first + code % count for code in range(_CODES)]
        return [first, last, *(first + int(count * spread(start + code)) for code in range(2, _CODES))]
    return None


def is_ordinary(values: Array) -> Array:
    """Return which values are finite and of ordinary magnitude; -0 is not."""
    if values.dtype == np.bool_:
        return np.ones(values.shape, dtype=bool)
    with np.errstate(all="ignore"):
        wide = values.astype(np.float64)
    size = np.abs(wide)
    ordinary: Array = (size <= ORDINARY_MOST) & ((size >= ORDINARY_LEAST) | ((size == 0) & ~np.signbit(wide)))
    return ordinary


def ordinary_values(values: Array) -> Array:
    """Return values with those that are not ordinary replaced by others among them, in turn.

    Where none is ordinary, those that are finite and not subnormal take their place; without any of these all stay.
    """
    with np.errstate(all="ignore"):
        usable = is_ordinary(values)
        if not usable.any() and is_floating(values.dtype):
            wide = values.astype(np.float64)
            usable = np.isfinite(wide) & (np.abs(wide) >= ORDINARY_LEAST)
    if usable.all() or not usable.any():
        return values
    return np.where(usable, values, np.resize(values[usable], values.shape)).astype(values.dtype)


def arranged_rows(values: Array, spec: TensorSpec, codes: Array | None = None) -> Array:
    """Return values with what a kind asks of the rows along the last dimension.

    Args:
        values: any number of samples, the last dimension that of the tensor.
        spec: whose kind it is.
        codes: of the elements, of the same shape; they choose how a row of a mask is arranged.
    """
    if spec.kind is None or not values.size or values.ndim < 1:
        return values
    if spec.kind.name == "probabilities":
        return _summing_to_one(values)
    if spec.kind.name == "mask" and codes is not None:
        return _masked(values, codes)
    return values


def _summing_to_one(values: Array) -> Array:
    with np.errstate(all="ignore"):
        weights = np.abs(values.astype(np.float64))
        totals = weights.sum(axis=-1, keepdims=True)
        # Of a row that is all zeros the first takes everything.
        weights[..., :1] = np.where(totals == 0, 1.0, weights[..., :1])
        return (weights / np.where(totals == 0, 1.0, totals)).astype(values.dtype)


def _masked(values: Array, codes: Array) -> Array:
    """Return rows mixed as they are, all false, all true, or true up to some place or from some place on."""
    count = values.shape[-1]
    # The last element of a row has the first of its bytes; see [diffexport.strategies.block][]. Rows may be longer than
    # a byte counts.
    chosen = codes[..., -1:].astype(np.intp)
    pattern = np.where(chosen < _ARRANGED_FROM, 0, 1 + chosen % 7)
    length, place = 1 + chosen // 7 % count, np.arange(count)
    wanted: Sequence[tuple[int, Any]] = (
        (1, False),
        (2, True),
        (3, place < length),
        (4, place < length),
        (5, place >= count - length),
        (6, place >= count - length),
    )
    for number, true in wanted:
        values = np.where(pattern == number, np.asarray(true), values)
    return values
