"""Whether values are among those that rounding noise gives.

For each element there are the results of several runs under noise, eager's own among them, and the value of the
exported model. A value is *explained* if

- a run gave it, to within the tight tolerance of its dtype; or
- it lies between the runs' values, or just beyond them, no further from the nearest than one and a half times what the
  next four on that side of it span. Two heaps of equal values therefore explain nothing between them;
- for NaN and infinities: a run gave the same; for integers and bools: a run gave that very value; for a zero of the
  other sign: a run gave such a zero, or a number of that sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diffexport.arrays import Array, is_complex, is_floating
from diffexport.oracle.tolerance import tight

#: The runs that measure how far apart the values next to one are, and how many times that far a value may lie away.
NEIGHBOURS, REACH = 4, 1.5
#: From how many runs on what never changed is taken not to; with fewer, values that repeat are heaps.
ENOUGH = 32


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
        result = np.where(np.isnan(value), np.isnan(wide).any(axis=0), result)
        result = np.where(np.isinf(value), (wide == value).any(axis=0), result)
        negative = np.signbit(wide) & ~np.isnan(wide)
        positive = ~np.signbit(wide) & ~np.isnan(wide)
        signs = np.where(np.signbit(value), negative.any(axis=0), positive.any(axis=0))
        return np.where(value == 0, result & signs, result)


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
