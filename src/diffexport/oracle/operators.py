"""The table of operators: a row for each whose rounding is not that of its kind.

Names are those of ATen without namespace, overload and the underscore of operators that write into an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from diffexport.arrays import Array, to_array
from diffexport.oracle.operator_rules import (
    Keyword,
    OperatorRule,
    Sums,
    Units,
    first_of_shape,
    general_error,
)
from diffexport.oracle.rounding import (
    ELEMENTARY_UNITS,
    Args,
    Normalised,
    Precision,
    finite,
    growth,
    row_terms,
)

# How many terms a sum has.


def _last(tensor: Tensor) -> int:
    return max(int(tensor.shape[-1]), 1) if tensor.dim() else 1


def _row_of_first(args: Args, result: Array) -> int:  # noqa: ARG001
    return _last(args[0])


def _row_of_second(args: Args, result: Array) -> int:  # noqa: ARG001
    return _last(args[1])


def _rows_of_batch(args: Args, result: Array) -> int:  # noqa: ARG001
    return _last(args[1]) * int(args[1].shape[0])


def _weights_of_channel(args: Args, result: Array) -> int:  # noqa: ARG001
    return int(max(args[1].numel() // max(args[1].shape[0], 1), 1))


def _two(args: Args, result: Array) -> int:  # noqa: ARG001
    return 2


def _all_of_first(args: Args, result: Array) -> int:  # noqa: ARG001
    return max(int(args[0].numel()), 1)


def _along_dimension(args: Args, result: Array) -> int:  # noqa: ARG001
    return int(args[0].shape[args[1]]) if args[0].dim() else 1


# Activations that subtract nearly equal numbers inside, or saturate.


class LosesAccuracy:
    """The amplitude of an elementwise operator that loses relative accuracy where it nearly cancels or saturates.

    Args:
        magnitude: as a function of the argument, what eps refers to as well.
    """

    def __init__(self, magnitude: Callable[[Array], Array]) -> None:
        self._magnitude = magnitude

    def __call__(self, rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:
        """Return the error of the result and of what is subtracted."""
        first = first_of_shape(args, exact)
        if first is None:
            return general_error(rule, args, exact, precision)
        size = np.abs(exact)
        rounded: Array = size * precision.eps + precision.smallest
        return rounded + precision.inner * 1.5 * (finite(self._magnitude(to_array(first))) + size)


def _below_zero(x: Array) -> Array:
    return 2.0 * (x < 0)


def _one_and_more(x: Array) -> Array:
    return 1.0 + np.abs(x)


def _softmax_error(rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:
    """Return the error of exponentials of the distance to the largest argument, over their sum."""
    if not (isinstance(args[0], Tensor) and args[0].numel()):
        return general_error(rule, args, exact, precision)
    x, axis = to_array(args[0]), args[1]
    size = np.abs(exact)
    rounded: Array = size * precision.eps + precision.smallest
    count = growth(x.shape[axis] if x.ndim else 1)
    below = finite(np.abs(x - x.max(axis, keepdims=True))) if x.ndim else 0.0
    # What is below the smallest normal number is flushed to zero by some kernels.
    flushed = precision.smallest / precision.eps
    return rounded + size * precision.inner * (ELEMENTARY_UNITS + below + count) + flushed


def _log_softmax_error(rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:
    """Return the error of the argument less the logarithm of a sum of exponentials."""
    if not (isinstance(args[0], Tensor) and args[0].numel()):
        return general_error(rule, args, exact, precision)
    x, axis = to_array(args[0]), args[1]
    size = np.abs(exact)
    rounded: Array = size * precision.eps + precision.smallest
    count = growth(x.shape[axis] if x.ndim else 1)
    return rounded + precision.inner * (count + size + finite(np.abs(x)))


# Normalisations.


def _layer_norm(args: Args) -> Normalised:
    x, over = to_array(args[0]), len(args[1])
    return Normalised(x, _factor(args[2]), tuple(range(x.ndim - over, x.ndim)), args[4])


def _group_norm(args: Args) -> Normalised:
    _, weight, _, samples, channels, _, groups, eps = args
    x = to_array(args[0]).reshape(samples, groups, channels // groups, -1)
    return Normalised(x, _factor(weight, (1, groups, channels // groups, 1)), (2, 3), eps)


def _factor(weight: Tensor | None, shape: tuple[int, ...] | None = None) -> Any:
    if weight is None:
        return 1.0
    return to_array(weight) if shape is None else to_array(weight).reshape(shape)


# Conditions.


def _scales(alpha: Any) -> bool:
    return alpha not in (1, -1)


def _is_given(argument: Any) -> bool:
    return argument is not None


def _exact_ones() -> dict[str, OperatorRule]:
    return {
        **dict.fromkeys(_EXACT.split(), OperatorRule(exact=True)),
        # Views, and what hands on its argument in another way.
        **dict.fromkeys(
            ("alias", "detach", "expand", "lift_fresh", "view"), OperatorRule(exact=True, hands_on=True)
        ),
        "_to_copy": OperatorRule(exact=True, converts=True),
    }


def _arithmetic() -> dict[str, OperatorRule]:
    # IEEE 754 wants them correctly rounded: one unit covers them and what an optimiser makes of a few.
    basic = OperatorRule(amplitude=Units(1.0))
    scaled = OperatorRule(amplitude=Units(1.0), sums=Sums(_two, when=Keyword("alpha", _scales)))
    choice = OperatorRule(choice=True)
    return {
        "add": scaled,
        "sub": scaled,
        "rsub": scaled,
        "mul": basic,
        "div": OperatorRule(amplitude=Units(1.0), choice=Keyword("rounding_mode", _is_given)),
        "sqrt": basic,
        "reciprocal": basic,
        "square": basic,
        "leaky_relu": basic,
        # In eval mode; in training mode it is random.
        "rrelu_with_noise": basic,
        "rrelu_with_noise_functional": basic,
        "addcmul": OperatorRule(sums=Sums(_two)),
        # Quotients are no multiples of a lowest bit.
        "addcdiv": OperatorRule(sums=Sums(_two, exact_if_short=False)),
        # Rounding to an integer on the way.
        "floor_divide": choice,
        "remainder": choice,
        "fmod": choice,
        "fake_quantize_per_tensor_affine_cachemask": choice,
    }


def _sums() -> dict[str, OperatorRule]:
    total = OperatorRule(sums=Sums())
    pool = OperatorRule(sums=Sums(average=True))
    scattered = OperatorRule(sums=Sums(_all_of_first))
    return {
        "sum": total,
        "nansum": total,
        "trace": total,
        "mean": OperatorRule(sums=Sums(average=True, limited_by_terms=True)),
        "cumsum": OperatorRule(sums=Sums(_along_dimension)),
        "index_add": scattered,
        "scatter_add": scattered,
        "avg_pool1d": pool,
        "avg_pool2d": pool,
        "avg_pool3d": pool,
        "_adaptive_avg_pool2d": pool,
        "_adaptive_avg_pool3d": pool,
    }


def _products_and_transforms() -> dict[str, OperatorRule]:
    row_of_first = OperatorRule(sums=Sums(_row_of_first))
    row_of_second = OperatorRule(sums=Sums(_row_of_second))
    transform = OperatorRule(sums=Sums(row_terms, transform=True))
    return {
        # Products of matrices.
        "mm": row_of_first,
        "bmm": row_of_first,
        "mv": row_of_first,
        "dot": row_of_first,
        "vdot": row_of_first,
        "matmul": row_of_first,
        "linear": row_of_first,
        "addmm": row_of_second,
        "baddbmm": row_of_second,
        "addmv": row_of_second,
        "addbmm": OperatorRule(sums=Sums(_rows_of_batch)),
        "convolution": OperatorRule(sums=Sums(_weights_of_channel)),
        # Fourier transforms.
        "_fft_r2c": transform,
        "_fft_c2r": transform,
        "_fft_c2c": transform,
    }


def _activations_and_normalisations() -> dict[str, OperatorRule]:
    saturates = OperatorRule(amplitude=LosesAccuracy(np.ones_like))
    exponential = OperatorRule(amplitude=LosesAccuracy(_below_zero))
    gated = OperatorRule(amplitude=LosesAccuracy(np.abs))
    softmax = OperatorRule(amplitude=_softmax_error)
    return {
        "sigmoid": saturates,
        "hardsigmoid": saturates,
        "elu": exponential,
        "celu": exponential,
        "selu": exponential,
        "gelu": gated,
        "silu": gated,
        "mish": gated,
        "hardswish": gated,
        "log_sigmoid_forward": OperatorRule(amplitude=LosesAccuracy(_one_and_more)),
        "_softmax": softmax,
        "_safe_softmax": softmax,
        "_log_softmax": OperatorRule(amplitude=_log_softmax_error),
        # Normalisations.
        "native_layer_norm": OperatorRule(normalises=_layer_norm),
        "native_group_norm": OperatorRule(normalises=_group_norm),
    }


#: Operators that move, select or compare values, or round them to what a dtype or an integer can hold.
_EXACT = """
_reshape_alias _unique _unique2 _unsafe_view abs amax amin aminmax any all arange argmax argmin argsort
as_strided bitwise_and bitwise_not bitwise_or bitwise_xor cat ceil clamp clamp_max clamp_min clone complex
constant_pad_nd contiguous copy copysign cummax cummin diag diag_embed embedding empty empty_like
empty_strided eq equal expand_copy fill flip floor fmax fmin full full_like gather ge gt hardtanh heaviside
index index_fill index_select isfinite isinf isnan item kthvalue le lift_fresh_copy logical_and
logical_not logical_or logical_xor lt masked_fill masked_scatter masked_select max max_pool2d_with_indices
max_pool3d_with_indices maximum median min minimum mode nan_to_num nanmedian ne neg new_empty new_full
new_ones new_zeros nonzero ones ones_like pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d
reflection_pad3d relu relu6 repeat replication_pad1d replication_pad2d replication_pad3d resize roll
scalar_tensor scatter select_scatter set sgn sign signbit slice_scatter sort stack take threshold topk tril
triu trunc unfold unique_consecutive unique_dim upsample_nearest1d upsample_nearest2d upsample_nearest3d where
zero zeros zeros_like _local_scalar_dense
"""

#: The row of each operator, by name.
OPERATORS: Mapping[str, OperatorRule] = MappingProxyType(
    {
        **_exact_ones(),
        **_arithmetic(),
        **_sums(),
        **_products_and_transforms(),
        **_activations_and_normalisations(),
    }
)
