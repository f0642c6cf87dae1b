"""Example inputs: what a model is exported with.

An exporter traces or captures the model on example values. That they are ordinary is the usual case; that they are
zeros, ones, negative or extreme must not make a difference to what is exported.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis.errors import InvalidArgument

from diffexport.arrays import Array, Filling, as_number, fill, part_dtype, tensors_of, to_tensor
from diffexport.errors import suggestion
from diffexport.strategies.large_tensors import LARGE_SAMPLE
from diffexport.strategies.tables import limits
from diffexport.strategies.value_kinds import arranged_rows
from diffexport.values import DTYPES, Call, Shape, TensorSpec, bounded_at, mapped

#: What example values may be like, the usual first.
FLAVOURS = ("ordinary", "zeros", "ones", "negative", "extreme")
#: What ordinary ones repeat.
_INTEGERS = (1, 2, 0, 3, 5, 4, 7, 6, 9, 8, 11)
_FLOATS = (0.5, 1.25, -0.75, 2.0, -1.5, 0.125, 3.0, -0.25, 1.75, -2.5, 0.375)


@functools.cache
def _cycle(dtype: str, flavour: str) -> Array:
    """Return the values that an example of the dtype repeats."""
    part = part_dtype(np.dtype(dtype))
    if dtype == "bool":
        return np.array({"zeros": [False], "ones": [True]}.get(flavour, [True, False, True, True, False]))
    integral = np.issubdtype(part, np.integer)
    if flavour in ("zeros", "ones"):
        values: list[Any] = [flavour == "ones"]
    elif flavour == "extreme":
        info = limits(part)
        values = [info.max, info.min, 0]
        if not integral:
            values = [np.nan, np.inf, -np.inf, float(info.max), -0.0, 1]
    else:
        values = list(_INTEGERS if integral else _FLOATS)
        if flavour == "negative" and not (integral and np.iinfo(part).min == 0):
            values = [-abs(value) - integral for value in values]
    return np.array([part.type(value) for value in values])


def examples(
    shapes: Sequence[Shape], specs: Sequence[TensorSpec], flavour: str = "ordinary"
) -> tuple[Array, ...]:
    """Return example inputs of the given shapes and specs; the ordinary ones look distinct from each other.

    Raises:
        InvalidArgument: no such flavour.
    """
    if flavour not in FLAVOURS:
        raise InvalidArgument(f"flavour={flavour!r} is not an example{suggestion(flavour, FLAVOURS)}")
    arrays: list[Array] = []
    for number, (shape, spec) in enumerate(zip(shapes, bounded_at(specs, shapes), strict=True)):
        among = "ordinary" if flavour == "extreme" and spec.scope.ordinary else flavour
        values = np.roll(_cycle(spec.dtype, among), -3 * number)
        if spec.is_bounded:
            low, high = spec.range_at()
            # Ordinary numbers in bounds that they do not know: clipped, with NaN (an extreme) becoming the lowest.
            values = np.clip(np.nan_to_num(values, nan=low or 0.0), low, high).astype(values.dtype)
        if math.prod(shape) > LARGE_SAMPLE and not spec.dtype.startswith("complex") and spec.kind is None:
            arrays.append(
                fill(Filling(spec.dtype, shape, "repeated", tuple(as_number(value) for value in values)))
            )
            continue
        parts = (*shape, 2) if spec.dtype.startswith("complex") else shape
        array = np.resize(values, parts) if np.prod(parts, dtype=np.int64) else np.empty(parts, values.dtype)
        array = array.view(spec.dtype).reshape(shape) if parts is not shape else array
        arrays.append(array if spec.kind is None or not array.size else _of_kind(array, spec, flavour))
    return tuple(arrays)


def _of_kind(array: Array, spec: TensorSpec, flavour: str) -> Array:
    """Return an example as its kind asks for: rows of probabilities, and masks that leave out the end of some rows."""
    if (
        spec.kind is not None
        and spec.kind.name == "mask"
        and array.ndim
        and flavour in ("ordinary", "negative")
    ):
        mask = np.ones(array.shape, dtype=array.dtype)
        if mask.shape[-1] > 1:
            mask.reshape(-1, mask.shape[-1])[1::2, -1] = 0
        return mask
    return arranged_rows(array, spec)


def ordinary(shapes: Sequence[Shape], dtypes: Sequence[str]) -> tuple[Array, ...]:
    """Return ordinary example inputs of the given shapes and dtypes, without bounds."""
    assert set(dtypes) <= set(DTYPES), dtypes
    return examples(shapes, [TensorSpec(dtype) for dtype in dtypes])


def ordinary_like(call: Call) -> Call:
    """Return ordinary example values with the shapes and dtypes of ``call``; other values are kept."""
    tensors = tensors_of(call)
    if any(str(t.dtype).removeprefix("torch.") not in DTYPES for t in tensors):
        return call
    arrays = ordinary(
        [tuple(t.shape) for t in tensors], [str(t.dtype).removeprefix("torch.") for t in tensors]
    )
    replacements = {
        id(tensor): to_tensor(array.copy()).requires_grad_(tensor.requires_grad)
        for tensor, array in zip(tensors, arrays, strict=True)
    }
    filled: Call = mapped(call, lambda leaf: replacements.get(id(leaf), leaf))
    return filled
