"""Messages between processes as bytes.

numpy would pickle an array of odd strides as a contiguous one; and to load a message must not import a user's module.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

import numpy as np

from diffexport.arrays import Array


def dumps(message: Any) -> bytes:
    """Return what ``pickle.loads`` makes the message of, the strides of its arrays included."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


#: Packages besides the standard library of which modules may be imported to load a message.
_PACKAGES = frozenset({"diffexport", "numpy", "torch", "onnx", "ml_dtypes"}) | sys.stdlib_module_names


def loads(data: bytes) -> Any:
    """Return the message that [dumps][] made bytes of.

    Raises:
        UnpicklingError: something in it is from a module that is not imported here, and is not to be.
        Exception: something in it does not load here.
    """
    return _Unpickler(io.BytesIO(data)).load()


def imports_nothing(module: str) -> bool:
    """Return whether what is of a module can be loaded in any process without importing a user's module."""
    return module.partition(".")[0] in _PACKAGES


def loads_anywhere(value: Any) -> bool:
    """Return whether a value can be sent to any process, and loaded there without importing a user's module."""
    try:
        _Elsewhere(io.BytesIO(dumps(value))).load()
    except Exception:  # noqa: BLE001 - whatever pickling it raises
        return False
    return True


class _Elsewhere(pickle.Unpickler):
    """Loads as a process does that has imported nothing but what belongs to diffexport."""

    def find_class(self, module: str, name: str) -> Any:
        if not imports_nothing(module):
            raise pickle.UnpicklingError(module)
        return super().find_class(module, name)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules and not imports_nothing(module):
            raise pickle.UnpicklingError(f"{name} is from {module}, which is not imported here")
        return super().find_class(module, name)


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
