"""Whether values are among those that rounding noise gives.

For each element there are the results of several runs under noise, eager's own among them, and the value of the
exported model. A value is *explained* if

- a run gave it, to within the tight tolerance of its dtype; or
- it lies between the runs' values, or just beyond them, no further from the nearest than one and a half times what the
  next four on that side of it span. Two heaps of equal values therefore explain nothing between them;
- many elements of one output differ, it is no further from the runs' values than one and a half times what those of the
  median element span, and the runs' values for it span at least a quarter of that: few runs say little of how far apart
  they may be for one element, and much for all of them together;
- for NaN and infinities: a run gave the same; for integers and bools: a run gave that very value; for a zero of the
  other sign than eager's zero: a run gave such a zero, or a number of that sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diffexport.arrays import Array, finfo, is_complex, is_floating
from diffexport.oracle.tolerance import tight

#: The runs that measure how far apart the values next to one are, and how many times that far a value may lie away.
NEIGHBOURS, REACH = 4, 1.5
#: From how many runs on what never changed is taken not to; with fewer, values that repeat are heaps.
ENOUGH = 32


#: Which of eager's errors is typical, how many times that the exported model's may be, and how many units in the last
#: place of the largest value it may be to be called rounding.
_TYPICAL, _TIMES_TYPICAL, _MOST_UNITS = 0.75, 8.0, 4096.0
#: About how many elements of a large output eager's errors are taken from.
_SAMPLED = 1 << 16
#: From how many elements on they say of each other how far apart their values may be.
MANY = 128
#: Of what the values of the median element span, those of one that it speaks for span at least so much.
_SHARE = 0.25


def explained(runs: Array, eager: Array, got: Array) -> Array:
    """Return which of the elements of ``got`` are explained.

    Args:
        runs: of shape (runs, elements); eager and got are of shape (elements,), all of one dtype.
    """
    if is_complex(eager.dtype):
        return explained(runs.real, eager.real, got.real) & explained(runs.imag, eager.imag, got.imag)
    everything = np.concatenate([runs, eager[None]])
    if not is_floating(eager.dtype):
        same: Array = (everything == got).any(axis=0)
        return same
    with np.errstate(all="ignore"):
        wide, value = everything.astype(np.float64), got.astype(np.float64)
        result = _among(wide, value, eager.dtype)
        if len(value) >= MANY:
            result |= _among_many(wide, value)
        result = np.where(np.isnan(value), np.isnan(wide).any(axis=0), result)
        result = np.where(np.isinf(value), (wide == value).any(axis=0), result)
        negative = np.signbit(wide) & ~np.isnan(wide)
        positive = ~np.signbit(wide) & ~np.isnan(wide)
        signs = np.where(np.signbit(value), negative.any(axis=0), positive.any(axis=0))
        # The sign of a zero is judged beside eager's zeros alone.
        return np.where((value == 0) & (wide[-1] == 0), result & signs, result)


def explained_between(unrounded: Array, eager: Array, got: Array) -> Array:
    """Return which finite elements of ``got`` are among runs in float64 that are rounded to no dtype.

    Args:
        unrounded: of shape (runs, elements), in float64.
        eager, got: of shape (elements,), of one real floating dtype.
    """
    with np.errstate(all="ignore"):
        everything = np.concatenate([unrounded, eager[None].astype(np.float64)])
        value = got.astype(np.float64)
        negative = np.signbit(everything)
        signs = np.where(np.signbit(value), negative.any(axis=0), ~negative.all(axis=0))
        is_zero = (value == 0) & (everything[-1] == 0)
        among: Array = _among(everything, value, eager.dtype) & (signs | ~is_zero)
        return among


def _among(wide: Array, value: Array, dtype: np.dtype[Any]) -> Array:
    """Return which finite values lie among the finite ones of the runs."""
    # Sorted, with what is not finite at the end as NaN.
    ordered = np.sort(np.where(np.isfinite(wide), wide, np.nan), axis=0)
    total, elements = ordered.shape
    columns = np.arange(elements)
    finite = np.isfinite(ordered).sum(axis=0)
    below = (ordered <= value).sum(axis=0)
    has_left, has_right = below > 0, below < finite
    left_at, right_at = np.maximum(below - 1, 0), np.minimum(below, total - 1)
    left, right = ordered[left_at, columns], ordered[right_at, columns]
    to_left = np.where(has_left, value - left, np.inf)
    to_right = np.where(has_right, right - value, np.inf)
    near = (to_left <= tight(left, dtype)) | (to_right <= tight(right, dtype))
    # Heaps: where a step to the next value is no rounding of that value.
    steps = np.diff(ordered, axis=0) > tight(ordered[:-1], dtype)
    heaps = 1 + steps.sum(axis=0)
    few = heaps * 4 <= finite if total > ENOUGH else heaps < finite
    rows = np.arange(total)[:, None]
    start = np.maximum.accumulate(
        np.concatenate([np.zeros((1, elements), int), np.where(steps, rows[1:], 0)])
    )
    ends = np.concatenate([np.where(steps, rows[:-1], total), np.full((1, elements), total)])
    end = np.minimum.accumulate(ends[::-1])[::-1]
    first = np.maximum(left_at - NEIGHBOURS, np.where(few, start[left_at, columns], 0))
    last = np.minimum(right_at + NEIGHBOURS, np.where(few, end[right_at, columns], total))
    last = np.minimum(last, np.maximum(finite - 1, 0))
    apart_left = np.where(has_left, left - ordered[first, columns], 0.0)
    apart_right = np.where(has_right, ordered[last, columns] - right, 0.0)
    inside: Array = near | (to_left <= REACH * apart_left) | (to_right <= REACH * apart_right)
    return inside & np.isfinite(value)


def _among_many(wide: Array, value: Array) -> Array:
    """Return which values are near those of the runs, as measured by what the runs of all elements span."""
    highest, lowest = wide.max(axis=0), wide.min(axis=0)
    spans = highest - lowest
    known = np.isfinite(spans) & (spans > 0)
    if known.sum() < MANY:
        return np.zeros(value.shape, bool)
    typical = float(np.median(spans[known]))
    away = np.maximum(np.maximum(value - highest, lowest - value), 0)
    near: Array = known & (spans >= _SHARE * typical) & (away <= REACH * typical)
    return near


def as_exact(eager: Array, got: Array, reference: Array, places: Array) -> Array:
    """Return which values are about as near to float64 as eager's are; none where that cannot be told from many.

    An error is measured by those of eager in the elements of the output that are of the same magnitude, or of the same
    and smaller ones, so that large values excuse no small ones. Where eager itself is far from float64, it is no
    rounding of the last operations, and nothing is said.

    Args:
        eager, got: of shape (elements,), of one real floating dtype.
        reference: the same in float64, of shape (elements,).
        places: the elements that are asked about.
    """
    with np.errstate(all="ignore"):
        sample = slice(None, None, max(len(eager) // _SAMPLED, 1))
        magnitude = np.abs(reference[sample])
        errors = np.abs(eager[sample].astype(np.float64) - reference[sample])
        finite = np.isfinite(errors) & np.isfinite(magnitude)
        if finite.sum() < MANY:
            return np.zeros(places.shape, bool)
        order = np.argsort(magnitude[finite], kind="stable")
        edges, limits = _limits(
            magnitude[finite][order], errors[finite][order], float(finfo(eager.dtype).eps)
        )
        size = np.abs(reference[places])
        off = np.abs(got[places].astype(np.float64) - reference[places])
        which = np.minimum(np.searchsorted(edges, size), len(edges) - 1)
        near: Array = np.isfinite(size) & (off <= limits[which]) & (size <= 2 * edges[-1])
        return near


def _limits(magnitude: Array, errors: Array, unit: float) -> tuple[Array, Array]:
    """Return how large an error may be, for magnitudes up to each of several; both are sorted by magnitude."""
    edges, limits = [], []
    start = 0
    while start < len(magnitude):
        # Those up to twice as large as the smallest that is left.
        end = int(np.searchsorted(magnitude, 2 * magnitude[start], side="right"))
        end = max(end, min(start + MANY, len(magnitude)))
        typical = float(np.quantile(errors[:end], _TYPICAL)) if end >= MANY else 0.0
        if end - start >= MANY:
            typical = max(typical, float(np.quantile(errors[start:end], _TYPICAL)))
        largest = float(magnitude[end - 1])
        edges.append(largest)
        limits.append(_TIMES_TYPICAL * typical if typical <= _MOST_UNITS * unit * largest else 0.0)
        start = end
    return np.array(edges), np.array(limits)


def hopeless(runs: Array, eager: Array, got: Array) -> Array:
    """Return for which elements more runs would not help: far outside, or of a class that no run comes near."""
    if is_complex(eager.dtype):
        return hopeless(runs.real, eager.real, got.real) | hopeless(runs.imag, eager.imag, got.imag)
    everything = np.concatenate([runs, eager[None]])
    enough = len(runs) >= ENOUGH
    if not is_floating(eager.dtype):
        single: Array = (everything == everything[0]).all(axis=0)
        return single & enough
    with np.errstate(all="ignore"):
        wide, value = everything.astype(np.float64), got.astype(np.float64)
        all_finite = np.isfinite(wide).all(axis=0)
        highest, lowest = wide.max(axis=0), wide.min(axis=0)
        spread = highest - lowest
        away = np.maximum(value - highest, lowest - value)
        # No spread at all says nothing of a step that few runs take.
        far = (
            all_finite
            & (spread > 0)
            & np.isfinite(value)
            & (away > 8 * spread + tight(wide[-1], eager.dtype))
        )
        still = all_finite & (spread == 0)
        other_class = all_finite & ~np.isfinite(value)
        nans = np.isnan(wide).all(axis=0) | (np.isinf(wide) & (wide == wide[0])).all(axis=0)
        lost: Array = far | ((still | other_class | nans) & enough)
        return lost
