"""How far a legal rounding may bring the result of one operator from its exact value.

Three classes need no table: what only moves or selects values is exact; an elementwise operator is off by a few
units of its dtype's precision; a sum is off by that precision times the sum of the magnitudes of its terms, times a
factor that grows with the root of their number (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*,
sections 3.1 and 4.2: the bound grows with n, the probable error with its root). What is left are activations that
subtract nearly equal numbers inside.

Everything is computed in float64. ``eps`` is the distance of 1 to the next number of a dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array, to_array

DType = np.dtype[Any]

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]

#: Operators that move, select or compare values, or round them to what a dtype or an integer can hold: IEEE 754
#: leaves no choice. Views are exact as well, and so is any result that equals its recomputation in float64.
_EXACT = """
_reshape_alias _to_copy _unsafe_view abs alias amax amin aminmax any all arange argmax argmin argsort
as_strided bitwise_and bitwise_not bitwise_or bitwise_xor cat ceil clamp clamp_max clamp_min clone complex
constant_pad_nd contiguous copy copysign cummax cummin detach diag diag_embed embedding empty empty_like
empty_strided eq equal expand_copy fill flip floor fmax fmin full full_like gather ge gt hardtanh heaviside
index index_fill index_select isfinite isinf isnan item kthvalue le lift_fresh lift_fresh_copy logical_and
logical_not logical_or logical_xor lt masked_fill masked_scatter masked_select max max_pool2d_with_indices
max_pool3d_with_indices maximum median min minimum mode nan_to_num nanmedian ne neg new_empty new_full
new_ones new_zeros nonzero ones ones_like pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d
reflection_pad3d relu relu6 repeat replication_pad1d replication_pad2d replication_pad3d resize roll
scalar_tensor scatter select_scatter set sgn sign signbit slice_scatter sort stack take threshold topk tril
triu trunc unfold upsample_nearest1d upsample_nearest2d upsample_nearest3d where zero zeros zeros_like
_local_scalar_dense
"""
EXACT = frozenset(_EXACT.split())

#: Operators that round to an integer on the way: their value is eager's or the exact one, never anything between.
CHOICE = frozenset(("floor_divide", "remainder", "fmod", "fake_quantize_per_tensor_affine_cachemask"))

#: Operators that IEEE 754 wants correctly rounded: one unit covers them and what an optimiser makes of a few.
BASIC = frozenset(("add", "sub", "rsub", "mul", "div", "sqrt", "reciprocal", "square", "leaky_relu"))

#: Units of eps for the basic operators and for every other elementwise one. The worst that was measured for torch's and
#: ONNX Runtime's elementary functions in float32 is 2.8.
BASIC_UNITS, ELEMENTARY_UNITS = 1.0, 3.0

#: Operators that are sums of products: the same operator of the magnitudes gives the sum of the terms' magnitudes.
_SUMS = """
    sum mean nansum cumsum trace mm bmm addmm baddbmm addbmm addmv mv dot vdot linear matmul convolution addcmul addcdiv
    avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d index_add scatter_add
    """
SUMS = frozenset(_SUMS.split())

#: Those that divide the sum by the number of its terms.
AVERAGES = frozenset(
    ("mean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
)

#: Sums with coefficients that are roots of unity, which an implementation may round even where they are 1 or -1: never
#: exact, and every element may be off by as much as the largest sum of magnitudes allows.
TRANSFORMS = frozenset(("_fft_r2c", "_fft_c2r", "_fft_c2c"))

#: Elementwise operators which lose relative accuracy where they nearly cancel or saturate: the magnitude, as a function
#: of the argument, that eps refers to as well.
MAGNITUDES: dict[str, Callable[[Array], Array]] = {
    "sigmoid": np.ones_like,
    "hardsigmoid": np.ones_like,
    "elu": lambda x: 2.0 * (x < 0),
    "celu": lambda x: 2.0 * (x < 0),
    "selu": lambda x: 2.0 * (x < 0),
    "gelu": np.abs,
    "silu": np.abs,
    "mish": np.abs,
    "hardswish": np.abs,
    "log_sigmoid_forward": lambda x: 1.0 + np.abs(x),
}

#: What is more than one rounding of one exact value.
SPECIAL = CHOICE | SUMS | TRANSFORMS | MAGNITUDES.keys()


@functools.cache
def _limits(dtype: torch.dtype) -> tuple[float, float, float]:
    """Return the precision of a dtype, that of its accumulator, and its smallest number."""
    limits = torch.finfo(dtype)
    inner = float(np.finfo(accumulator(dtype)).eps)
    return limits.eps, inner, limits.smallest_normal * limits.eps


def accumulator(dtype: torch.dtype) -> DType:
    """Return the real dtype in which sums of this dtype are accumulated: at least float32."""
    return np.dtype("float64" if dtype in (torch.float64, torch.complex128) else "float32")


def is_choice(base: str, kwargs: Kwargs) -> bool:
    """Return whether an operator rounds to an integer on the way."""
    return base in CHOICE or (base == "div" and kwargs.get("rounding_mode") is not None)


def is_sum(base: str, kwargs: Kwargs) -> bool:
    """Return whether an operator is a sum of products."""
    return (
        base in SUMS
        or base in TRANSFORMS
        or (base in ("add", "sub", "rsub") and kwargs.get("alpha", 1) not in (1, -1))
    )


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
            return torch.from_numpy(_fineness(array.real) + _fineness(array.imag))
        return torch.from_numpy(_fineness(to_array(value))) if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)([fineness(item) for item in value])
    return float(_fineness(np.asarray(value))) if isinstance(value, float) else value


def _fineness(array: Array) -> Array:
    with np.errstate(all="ignore"):
        part, power = np.frexp(np.where(np.isfinite(array), array, 0.0).astype(np.float64))
        whole = np.ldexp(part, 53).astype(np.int64)
        lowest = (whole & -whole).astype(np.float64)
        return np.asarray(np.where(whole == 0, 0.0, np.ldexp(1 / np.maximum(lowest, 1.0), 53 - power)))


def is_exact_sum(base: str, args: Args, total: Array, fine: Array, dtype: torch.dtype) -> Array:
    """Return which sums are exact in every order of their terms.

    Every partial sum is a multiple of the terms' lowest bit and no larger than ``total``, the sum of the magnitudes:
    no rounding is needed where that is at most 2^24 times that bit (for float32, of 24 bits).

    Args:
        base: the operator.
        args: in float64.
        total: the operator of the magnitudes.
        fine: the operator of [fineness][].
        dtype: of the result as the model computes it.
    """
    bits = np.finfo(accumulator(dtype)).nmant + 1
    # Of an average, magnitudes and lowest bits are averages as well, and the sums are meant.
    count = terms(base, args, total) if base in AVERAGES else 1
    with np.errstate(all="ignore"):
        few: Array = np.abs(total) * np.abs(fine) * float(count) ** 2 <= 2.0**bits
        return few


def terms(base: str, args: Args, result: Array) -> int:
    """Return how many terms a sum has, or any reduction."""
    if base in ("mm", "bmm", "mv", "dot", "vdot", "matmul", "linear"):
        return _last(args[0])
    if base in ("addmm", "baddbmm", "addbmm", "addmv"):
        inner = _last(args[1])
        return inner * int(args[1].shape[0]) if base == "addbmm" else inner
    if base == "convolution":
        return int(max(args[1].numel() // max(args[1].shape[0], 1), 1))
    if base in ("addcmul", "addcdiv", "add", "sub", "rsub"):
        return 2
    if base in ("index_add", "scatter_add"):
        return max(int(args[0].numel()), 1)
    if base == "cumsum":
        return int(args[0].shape[args[1]]) if args[0].dim() else 1
    largest = max((t.numel() for t in args if isinstance(t, Tensor)), default=1)
    reduced: int = largest // max(result.size, 1)
    if base in SUMS:
        return max(reduced, 1)
    first = next((t for t in args if isinstance(t, Tensor) and t.dim()), None)
    return max(reduced, 1 if first is None else int(first.shape[-1]), 1)


def _last(tensor: Tensor) -> int:
    return max(int(tensor.shape[-1]), 1) if tensor.dim() else 1


def growth(count: int) -> float:
    """Return the factor for the order of ``count`` terms: 1 for one term, half the root for many."""
    return 0.5 + 0.5 * math.sqrt(count)


def amplitude(base: str, pointwise: bool, args: Args, exact: Array, dtype: torch.dtype) -> Array:
    """Return how far a rounded result of ``dtype`` may lie from ``exact``, element by element.

    Args:
        base: the operator; sums are for [sum_amplitude][].
        pointwise: whether it is elementwise.
        args: in float64.
        exact: the result in float64 (its magnitude counts, if complex).
        dtype: of the result as the model computes it.
    """
    unit, inner, smallest = _limits(dtype)
    size = np.abs(exact)
    rounded: Array = size * unit + smallest
    if base in BASIC:
        return rounded * BASIC_UNITS
    if pointwise and base not in MAGNITUDES:
        # In low precision the function is computed in float32 and rounded once.
        return rounded + size * (inner * (ELEMENTARY_UNITS - (unit == inner)))
    first = args[0] if args and isinstance(args[0], Tensor) and args[0].numel() else None
    if base in ("_softmax", "_safe_softmax", "_log_softmax") and first is not None:
        x, axis = to_array(first), args[1]
        count = growth(x.shape[axis] if x.ndim else 1)
        if base == "_log_softmax":
            return rounded + inner * (count + size + _finite(np.abs(x)))
        below = _finite(np.abs(x - x.max(axis, keepdims=True))) if x.ndim else 0.0
        # What is below the smallest normal number is flushed to zero by some kernels.
        return rounded + size * inner * (ELEMENTARY_UNITS + below + count) + smallest / unit
    if base in MAGNITUDES and first is not None and first.shape == exact.shape:
        return rounded + inner * 1.5 * (_finite(MAGNITUDES[base](to_array(first))) + size)
    general: Array = rounded + size * inner * (1.0 + growth(terms(base, args, exact)))
    if base in NORMALISATIONS and first is not None and first.shape == exact.shape:
        general = general + inner * _shift(base, args, smallest / inner)
    return general


def _shift(base: str, args: Args, least: float) -> Array:
    """Return how far a normalised value moves when the mean that is subtracted is off by an eps of its terms.

    All elements move alike then, and the deviation stays as it is: no change of the arguments does that. ``least`` is
    the least that it is off by, in eps.
    """
    x, weight, axes, eps = NORMALISATIONS[base](args)
    count = math.prod(x.shape[axis] for axis in axes)
    if not count:
        return np.zeros(args[0].shape)
    with np.errstate(all="ignore"):
        magnitude = np.abs(x).mean(axes, keepdims=True) * growth(count) + least
        moved = magnitude / np.sqrt(x.var(axes, keepdims=True) + eps) * np.abs(weight)
    return _finite(np.broadcast_to(moved, x.shape)).reshape(args[0].shape)


def has_exact_mean(base: str, args: Args, dtype: torch.dtype) -> Array:
    """Return for which elements the mean that a normalisation subtracts is exact in every order of its terms."""
    x, _, axes, _ = NORMALISATIONS[base](args)
    kind = accumulator(dtype)
    with np.errstate(all="ignore"):
        mean = x.mean(axes, keepdims=True)
        few = np.abs(x).sum(axes, keepdims=True) * _fineness(x).sum(axes, keepdims=True)
        is_exact = (few <= 2.0 ** (np.finfo(kind).nmant + 1)) & (mean.astype(kind) == mean)
    return np.broadcast_to(is_exact, x.shape).reshape(args[0].shape)


def _layer(args: Args) -> tuple[Array, Any, tuple[int, ...], float]:
    x, over = to_array(args[0]), len(args[1])
    return x, _factor(args[2]), tuple(range(x.ndim - over, x.ndim)), args[4]


def _group(args: Args) -> tuple[Array, Any, tuple[int, ...], float]:
    _, weight, _, samples, channels, _, groups, eps = args
    x = to_array(args[0]).reshape(samples, groups, channels // groups, -1)
    return x, _factor(weight, (1, groups, channels // groups, 1)), (2, 3), eps


def _factor(weight: Tensor | None, shape: tuple[int, ...] | None = None) -> Any:
    if weight is None:
        return 1.0
    return to_array(weight) if shape is None else to_array(weight).reshape(shape)


#: Operators that subtract a mean: from their arguments, the input, the factor of the result, the axes and epsilon.
NORMALISATIONS: dict[str, Callable[[Args], tuple[Array, Any, tuple[int, ...], float]]] = {
    "native_layer_norm": _layer,
    "native_group_norm": _group,
}


def _finite(array: Array) -> Array:
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)


def sum_amplitude(base: str, args: Args, exact: Array, total: Array, dtype: torch.dtype) -> Array:
    """Return the same for a sum, of which ``total`` is the sum of the magnitudes of the terms."""
    unit, inner, smallest = _limits(dtype)
    if base in TRANSFORMS:
        total = np.broadcast_to(np.abs(total).max(initial=0.0), exact.shape)
    size: Array = np.abs(exact) * unit + smallest + np.abs(total) * (inner * growth(terms(base, args, exact)))
    return size


def overflow_limit(base: str, args: Args, dtype: torch.dtype, result: Array) -> float:
    """Return above which sum of magnitudes the partial sums of some order overflow."""
    limit = float(np.finfo(accumulator(dtype)).max)
    return limit / terms(base, args, result) if base == "mean" else limit
