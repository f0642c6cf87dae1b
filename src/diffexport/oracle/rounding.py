"""The arithmetic of rounding: precision of dtypes, growth of errors with the number of terms, exact sums.

An elementwise operator is off by a few units of its dtype's precision; a sum is off by that precision times the sum
of the magnitudes of its terms, times a factor that grows with the root of their number (N. J. Higham, *Accuracy and
Stability of Numerical Algorithms*, sections 3.1 and 4.2: the bound grows with n, the probable error with its root).

Everything is computed in float64. ``eps`` is the distance of 1 to the next number of a dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array, to_array

DType = np.dtype[Any]

#: The arguments of an operator by position, and those by name.
Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]

#: Units of eps for an elementwise operator that has no rule of its own. The worst that was measured for torch's and
#: ONNX Runtime's elementary functions in float32 is 2.8.
ELEMENTARY_UNITS = 3.0


@dataclass(frozen=True)
class Precision:
    """How precise a result is.

    Attributes:
        eps: of the dtype of the result.
        inner: eps of the dtype in which it is computed: at least float32.
        smallest: the smallest number above zero of the dtype of the result.
    """

    eps: float
    inner: float
    smallest: float


@functools.cache
def precision_of(dtype: torch.dtype) -> Precision:
    """Return the precision of results of a floating or complex dtype."""
    limits = torch.finfo(dtype)
    inner = float(np.finfo(accumulator(dtype)).eps)
    return Precision(limits.eps, inner, limits.smallest_normal * limits.eps)


def accumulator(dtype: torch.dtype) -> DType:
    """Return the real dtype in which sums of this dtype are accumulated: at least float32."""
    return np.dtype("float64" if dtype in (torch.float64, torch.complex128) else "float32")


def growth(count: int) -> float:
    """Return the factor for the order of ``count`` terms: 1 for one term, half the root for many."""
    return 0.5 + 0.5 * math.sqrt(count)


def finite(array: Array) -> Array:
    """Return an array with zeros in place of NaN and infinities."""
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)


def elementary_error(exact: Array, precision: Precision) -> Array:
    """Return how far the result of an elementary function may lie from ``exact``, element by element.

    In low precision the function is computed in float32 and rounded once.
    """
    size = np.abs(exact)
    rounded: Array = size * precision.eps + precision.smallest
    return rounded + size * (precision.inner * (ELEMENTARY_UNITS - (precision.eps == precision.inner)))


def magnitudes(value: Any) -> Any:
    """Return arguments with the magnitudes of their floating tensors and of their factors in place of these."""
    if isinstance(value, Tensor):
        return value.abs() if value.is_floating_point() or value.is_complex() else value
    if isinstance(value, tuple | list):
        return type(value)([magnitudes(item) for item in value])
    return abs(value) if isinstance(value, float) else value


def fineness(value: Any) -> Any:
    """Return arguments with one over the lowest bit of each floating number in place of it, 0 for what has none.

    The same operator of these gives, for each element of a sum, at least one over the lowest bit of all its terms.
    """
    if isinstance(value, Tensor):
        if value.is_complex():
            array = to_array(value)
            return torch.from_numpy(array_fineness(array.real) + array_fineness(array.imag))
        return torch.from_numpy(array_fineness(to_array(value))) if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)([fineness(item) for item in value])
    return float(array_fineness(np.asarray(value))) if isinstance(value, float) else value


def array_fineness(array: Array) -> Array:
    """Return one over the lowest bit of each number, in float64; 0 for zeros and for what is not finite."""
    with np.errstate(all="ignore"):
        part, power = np.frexp(np.where(np.isfinite(array), array, 0.0).astype(np.float64))
        whole = np.ldexp(part, 53).astype(np.int64)
        lowest = (whole & -whole).astype(np.float64)
        return np.asarray(np.where(whole == 0, 0.0, np.ldexp(1 / np.maximum(lowest, 1.0), 53 - power)))


@dataclass(frozen=True)
class Normalised:
    """What a normalisation does to its input: it subtracts the mean and divides by the deviation.

    Attributes:
        values: the input, in a shape in which the mean is that over whole axes.
        weight: the factor of the result, a number or an array that broadcasts with ``values``.
        axes: those of ``values`` that the mean is taken over.
        epsilon: what is added to the variance.
    """

    values: Array
    weight: Any
    axes: tuple[int, ...]
    epsilon: float


def mean_error(normalised: Normalised, least: float) -> Array:
    """Return how far a normalised value moves when the mean that is subtracted is off by an eps of its terms.

    All elements move alike then, and the deviation stays as it is: no change of the arguments does that. The result
    has the shape of ``normalised.values`` and is in eps; ``least`` is the least that the mean is off by, in eps.
    """
    values, axes = normalised.values, normalised.axes
    count = math.prod(values.shape[axis] for axis in axes)
    if not count:
        return np.zeros(values.shape)
    with np.errstate(all="ignore"):
        magnitude = np.abs(values).mean(axes, keepdims=True) * growth(count) + least
        deviation = np.sqrt(values.var(axes, keepdims=True) + normalised.epsilon)
        moved = magnitude / deviation * np.abs(normalised.weight)
    return finite(np.broadcast_to(moved, values.shape))


def has_exact_mean(normalised: Normalised, dtype: torch.dtype) -> Array:
    """Return for which elements the mean that is subtracted is exact in every order of its terms.

    Args:
        normalised: what the normalisation does.
        dtype: of the result as the model computes it.

    Returns:
        Booleans of the shape of ``normalised.values``.
    """
    values, axes = normalised.values, normalised.axes
    kind = accumulator(dtype)
    with np.errstate(all="ignore"):
        mean = values.mean(axes, keepdims=True)
        few = np.abs(values).sum(axes, keepdims=True) * array_fineness(values).sum(axes, keepdims=True)
        is_exact = (few <= 2.0 ** (np.finfo(kind).nmant + 1)) & (mean.astype(kind) == mean)
    return np.broadcast_to(is_exact, values.shape)


#: Returns how many terms each element of a result has, from the arguments by position and the result.
TermCount = Callable[[Args, Array], int]


def reduced_terms(args: Args, result: Array) -> int:
    """Return how many elements of the largest argument there are for each of the result."""
    return max(_reduction(args, result), 1)


def row_terms(args: Args, result: Array) -> int:
    """Return the same, or the last extent of the first argument with dimensions, if that is more."""
    first = next((t for t in args if isinstance(t, Tensor) and t.dim()), None)
    return max(_reduction(args, result), 1 if first is None else int(first.shape[-1]), 1)


def _reduction(args: Args, result: Array) -> int:
    largest = max((t.numel() for t in args if isinstance(t, Tensor)), default=1)
    reduced: int = largest // max(result.size, 1)
    return reduced
