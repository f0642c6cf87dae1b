"""What numpy cannot say about dtypes: ``bfloat16`` comes from ml_dtypes, and complex numbers have two parts.

Importing this module makes ``np.dtype("bfloat16")`` known. Whoever asks whether a dtype is a floating one, or
for its limits, asks here: ``np.issubdtype(bfloat16, np.floating)`` is false and ``np.finfo(bfloat16)`` raises.
"""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np

from diffexport.arrays.array_types import Array

DType = np.dtype[Any]

BFLOAT16: DType = np.dtype(ml_dtypes.bfloat16)


@functools.cache
def is_floating(dtype: DType) -> bool:
    """Return whether the dtype is one of real floating-point numbers."""
    return dtype == BFLOAT16 or np.issubdtype(dtype, np.floating)


@functools.cache
def is_complex(dtype: DType) -> bool:
    """Return whether the dtype is one of complex numbers."""
    return np.issubdtype(dtype, np.complexfloating)


def finfo(dtype: DType) -> Any:
    """Return the limits of a floating dtype, as ``np.finfo`` does."""
    limits: Any = ml_dtypes.finfo  # it has no types
    return limits(dtype)


def part_dtype(dtype: DType) -> DType:
    """Return the dtype of the real and imaginary parts of a complex dtype; any other is its own."""
    return np.dtype(f"f{dtype.itemsize // 2}") if is_complex(dtype) else dtype


def as_parts(array: Array) -> Array:
    """Return a complex array with its real and imaginary parts in one more dimension, to the last bit.

    This is ``torch.view_as_real``, and how the exporters built on ``torch.export`` declare complex tensors. An
    array of another dtype is returned as it is.
    """
    if not is_complex(array.dtype):
        return array
    return np.ascontiguousarray(array).reshape(*array.shape, 1).view(part_dtype(array.dtype))


def join_parts(array: Array, dtype: DType) -> Array:
    """Return the complex array of which ``array`` holds the parts in its last dimension, of size 2."""
    return np.ascontiguousarray(array).view(dtype).reshape(array.shape[:-1])


def holds_parts(array: Array, dtype: DType, rank: int) -> bool:
    """Return whether ``array`` has the form of the parts of a complex tensor of this dtype and rank."""
    if not is_complex(dtype) or array.dtype != part_dtype(dtype):
        return False
    return array.ndim == rank + 1 and array.shape[-1] == 2
