"""Tensors as text that a person can read and a machine reads back to the last bit.

A tensor is a JSON object: ``dtype``, ``shape``, ``strides`` (in elements), ``values`` in row-major order and,
for people only, ``reads``. Floats are C99 hexadecimal (``0x1.8p+1``), ``inf``, ``-inf`` or ``nan``; the bits of
a NaN other than the usual one are kept as ``nan:7fc00001``. A complex number is a list of its real and its
imaginary part. Integers and bools are themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffexport.arrays.array_readings import reads
from diffexport.arrays.array_types import Array
from diffexport.arrays.dtypes import BFLOAT16
from diffexport.arrays.number_texts import encode_number, store_number
from diffexport.errors import RegressionFileError

#: From this many elements on, values belong into a side file.
INLINE_LIMIT = 256
#: Most elements that the storage behind a strided tensor may span; wider strides are stored as contiguous.
MAX_EXTENT = 1 << 20

_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_DTYPES = (*_FLOATS, "complex64", "complex128", *_INTEGERS, "bool")


def encode_array(array: Array, *, with_values: bool = True) -> dict[str, Any]:
    """Return the JSON object of an array; without values when those go into a side file."""
    item = max(array.itemsize, 1)
    document: dict[str, Any] = {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "strides": list(_strides(array, item)),
        "reads": reads(array),
    }
    if with_values:
        document["values"] = [encode_number(value) for value in array.reshape(-1)]
    return document


def _strides(array: Array, item: int) -> tuple[int, ...]:
    """Return strides in elements; contiguous ones where the real ones could not be laid out again."""
    if not array.size:
        # numpy has zeros for some of these; as torch has them.
        sizes = [max(size, 1) for size in array.shape]
        return tuple(math.prod(sizes[place + 1 :]) for place in range(array.ndim))
    steps = tuple(stride // item for stride in array.strides)
    if any(step < 0 for step in steps) or _extent(array.shape, steps) > MAX_EXTENT:
        return tuple(stride // item for stride in np.empty(array.shape, array.dtype).strides)
    return steps


def _extent(shape: Sequence[int], steps: Sequence[int]) -> int:
    return 1 + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))


def decode_array(document: Mapping[str, Any], *, values: Array | None = None) -> Array:
    """Return the array of a JSON object, with the stated strides.

    Raises:
        RegressionFileError: a field is missing or does not fit the others.
    """
    dtype, shape, strides = check_layout(document)
    if values is None:
        raw = document.get("values")
        if not isinstance(raw, list):
            raise RegressionFileError("a tensor needs its values, as a list")
        if len(raw) != math.prod(shape):
            raise RegressionFileError(
                f"shape {list(shape)} needs {math.prod(shape)} values, there are {len(raw)}"
            )
        values = np.empty(len(raw), dtype=dtype)
        for index, item in enumerate(raw):
            try:
                store_number(values, index, item)
            except (ValueError, OverflowError) as error:
                shown = repr(item) if len(repr(item)) <= 200 else f"{repr(item)[:200]}…"
                raise RegressionFileError(f"value {index} is {shown}: {error}") from None
    if values.size != math.prod(shape) or values.dtype != dtype:
        raise RegressionFileError(f"expected {dtype}{list(shape)}, found {values.dtype}{list(values.shape)}")
    return with_strides(values.reshape(shape), strides)


def check_layout(document: Mapping[str, Any]) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
    """Return dtype, shape and strides (in elements) of a JSON object.

    Raises:
        RegressionFileError: one is missing, is none or does not fit the others.
    """
    name = document.get("dtype")
    if name not in _DTYPES:
        raise RegressionFileError(f"unknown dtype {name!r} (known: {', '.join(_DTYPES)})")
    try:
        shape = tuple(int(size) for size in document["shape"])
        strides = tuple(int(step) for step in document["strides"])
    except (KeyError, TypeError, ValueError) as error:
        raise RegressionFileError(f"a tensor needs dtype, shape and strides: {error!r}") from None
    if len(strides) != len(shape):
        raise RegressionFileError(f"shape {list(shape)} and strides {list(strides)} do not go together")
    if any(not 0 <= size < 2**40 for size in shape):
        raise RegressionFileError(f"shape {list(shape)} is no shape of a tensor that was stored")
    return np.dtype(name), shape, strides


def with_strides(array: Array, strides: Sequence[int]) -> Array:
    """Return the same values laid out with the given strides (in elements; 0 for an expanded axis).

    Raises:
        RegressionFileError: the strides are negative, or contradict the values.
    """
    item = array.itemsize
    if any(not 0 <= step < 2**40 for step in strides):
        raise RegressionFileError(f"strides {list(strides)} are negative or too large")
    if tuple(stride // item for stride in array.strides) == tuple(strides) or not array.size:
        return array
    extent = _extent(array.shape, strides)
    if extent > MAX_EXTENT:
        raise RegressionFileError(f"strides {list(strides)} span {extent} elements for {array.size} values")
    storage = np.zeros(extent, dtype=array.dtype)
    view = np.lib.stride_tricks.as_strided(storage, array.shape, [step * item for step in strides])
    view[...] = array
    if view.tobytes() != array.tobytes():
        raise RegressionFileError(f"strides {list(strides)} make elements share storage that differ in value")
    return view


def to_side_file(array: Array) -> Array:
    """Return the array as a ``.npy`` file can hold it: one of bfloat16 as its bits."""
    contiguous = np.ascontiguousarray(array)
    return contiguous.view(np.uint16) if array.dtype == BFLOAT16 else contiguous


def from_side_file(array: Array, dtype: str) -> Array:
    """Return the array that [to_side_file][] made ``array`` of, if that was of the given dtype."""
    return array.view(BFLOAT16) if dtype == BFLOAT16.name and array.dtype == np.uint16 else array
