"""Where two arrays of one shape and dtype do not agree, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffexport.arrays import Array, is_complex, is_floating
from diffexport.oracle.tolerance import TOLERANCES, tight


def is_float(dtype: np.dtype[Any]) -> bool:
    """Return whether a dtype is real floating or complex."""
    return is_floating(dtype) or is_complex(dtype)


def differs(eager: Array, got: Array) -> Array:
    """Return where two arrays of one shape and dtype do not agree.

    That is by class, by more than the tight tolerance, or in the sign of a zero.
    """
    if is_complex(eager.dtype):
        return differs(eager.real, got.real) | differs(eager.imag, got.imag)
    if not is_floating(eager.dtype):
        unlike: Array = eager != got
        return unlike
    with np.errstate(all="ignore"):
        one, other = eager.astype(np.float64), got.astype(np.float64)
        close = (np.abs(one - other) <= tight(one, eager.dtype)) & np.isfinite(one) | (one == other)
        close &= ~((one == 0) & (other == 0) & (np.signbit(one) != np.signbit(other)))
        apart_: Array = ~(close | (np.isnan(one) & np.isnan(other)))
        return apart_


def infinite(array: Array) -> Array:
    """Return where an array is infinite; nowhere if it is not real floating."""
    if not is_floating(array.dtype):
        return np.zeros(array.shape, bool)
    result: Array = np.isinf(array.astype(np.float64))
    return result


def near_once(once: Array, got: Array) -> Array:
    """Return where ``got`` is within the tight tolerance of finite values of the same dtype, zeros with their sign."""
    one, other = once.astype(np.float64), got.astype(np.float64)
    near = np.isfinite(one) & (np.abs(one - other) <= tight(one, got.dtype))
    # The sign of a zero is no matter of accuracy.
    same_sign: Array = (other != 0) | (np.signbit(one) == np.signbit(other))
    return near & same_sign


def within_fixed(one: Array, other: Array) -> Array:
    """Return which finite values are within the fixed tolerance."""
    if not is_float(one.dtype):
        return np.zeros(one.shape, bool)
    rtol, atol = TOLERANCES[one.dtype.name]
    with np.errstate(all="ignore"):
        kind = np.complex128 if is_complex(one.dtype) else np.float64
        mine, theirs = one.astype(kind), other.astype(kind)
        within: Array = np.abs(theirs - mine) <= atol + rtol * np.abs(mine)
        return within & np.isfinite(mine) & np.isfinite(theirs)
