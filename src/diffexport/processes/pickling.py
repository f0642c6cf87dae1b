"""Messages between processes as bytes; numpy would pickle an array of odd strides as a contiguous one."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from diffexport.arrays import Array


def dumps(message: Any) -> bytes:
    """Return what ``pickle.loads`` makes the message of, the strides of its arrays included."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if (
            type(value) is not np.ndarray
            or value.flags.c_contiguous
            or value.dtype.hasobject
            or min(value.strides) < 0
        ):
            return NotImplemented
        return _strided, (np.ascontiguousarray(value), value.strides)


def _strided(values: Array, strides: tuple[int, ...]) -> Array:
    """Return an array of these values with these strides, in bytes."""
    extent = sum((size - 1) * stride for size, stride in zip(values.shape, strides, strict=True))
    memory = np.zeros(extent + values.itemsize, np.uint8)
    array: Array = np.ndarray(values.shape, values.dtype, memory, strides=strides)
    array[...] = values
    return array
