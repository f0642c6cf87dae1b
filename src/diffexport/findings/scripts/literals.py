"""Stored values as Python literals, exact to the last bit."""

from __future__ import annotations

import base64
import math
import textwrap
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffexport.arrays import (
    INLINE_LIMIT,
    Filling,
    array_of,
    as_parts,
    encode_number,
    found_filling,
    is_floating,
)
from diffexport.backends.exporters import indented, mapping, sequence
from diffexport.findings.regressions import StoredName, is_tensor, offset_of
from diffexport.findings.scripts.filled_values import filled_expression
from diffexport.findings.scripts.unimported import unimported
from diffexport.strategies import text_of

#: Most elements of a large tensor that are written besides its background.
_MOST_PLACED = 64


def literal(value: Any, named: Mapping[int, str] | None = None) -> str:
    """Return the expression for an argument; an array becomes a tensor.

    ``named`` has names for some of the tensors, by their id.
    """
    if named and id(value) in named:
        return named[id(value)]
    if is_tensor(value):
        grad = ".requires_grad_()" if getattr(value, "requires_grad", False) else ""
        return _tensor(array_of(value), offset_of(value)) + grad
    if isinstance(value, tuple | list):
        return sequence(value, [literal(item, named) for item in value])
    if isinstance(value, dict):
        return mapping({key: literal(item, named) for key, item in value.items()})
    if isinstance(value, float):
        return _number(value)
    plain = value is None or isinstance(value, bool | int | str | bytes | np.generic)
    return repr(value) if plain else _named(value)


def _named(value: Any) -> str:
    """Return an expression for something that has a name, which needs no import but that of torch."""
    if isinstance(value, StoredName):
        return unimported(value.text)
    text = text_of(value)
    if text is None or text.startswith(("torch.", "-torch.")):
        return text or repr(value)
    module = getattr(value, "__module__", "")
    return f"__import__('importlib').import_module({module!r}){text.removeprefix(module)}"


def _number(value: Any) -> str:
    """Return an exact literal: decimal where that is short, else hexadecimal."""
    encoded = encode_number(value)
    if isinstance(encoded, list):
        return f"complex({_number(value.real)}, {_number(value.imag)})"
    if not isinstance(encoded, str):
        return repr(encoded)
    number = float(value)
    if not math.isfinite(number):
        return f'float("{number}")'
    return repr(number) if len(repr(number)) <= 8 else f'float.fromhex("{encoded}")'


def _usual(array: Any) -> bool:
    """Return whether every value has a literal: a NaN that carries a payload has none."""
    numbers = as_parts(array)
    with np.errstate(invalid="ignore"):  # of a signalling NaN in bfloat16
        nans = numbers[np.isnan(numbers)] if is_floating(numbers.dtype) else ()
    return not any(str(encode_number(nan)).startswith("nan:") for nan in nans)


def _has_literals(filling: Filling) -> bool:
    """Return whether every number of a filling has a literal."""
    return not any("nan:" in str(number) for number in (filling.numbers, filling.placed))


def _tensor(array: Any, offset: int) -> str:
    """Return an expression for a tensor of the same dtype, shape, strides, storage offset and bits."""
    shape, dtype = array.shape, f"dtype=torch.{array.dtype.name}"
    if not array.size:
        return f"torch.empty({shape}, {dtype})"
    storage, view = array.reshape(-1), "" if array.ndim == 1 else f".reshape({shape})"
    if offset or not array.flags.c_contiguous:
        steps = tuple(stride // array.itemsize for stride in array.strides)
        extent = 1 + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
        start = f", {offset}" if offset else ""
        storage, view = np.zeros(offset + extent, array.dtype), f".as_strided({shape}, {steps}{start})"
        np.lib.stride_tricks.as_strided(storage[offset:], shape, array.strides)[...] = array
    if not array.ndim and not offset and _usual(array):
        return f"torch.tensor({_number(array[()])}, {dtype})"
    if _usual(storage) and storage.size > 8 and storage.tobytes() == storage[:1].tobytes() * storage.size:
        return f"torch.full(({storage.size},), {_number(storage[0])}, {dtype}){view}"
    filling = found_filling(array, _MOST_PLACED) if storage.size >= INLINE_LIMIT else None
    if filling is not None and not offset and array.flags.c_contiguous and _has_literals(filling):
        return filled_expression(filling, shape, _number)
    if storage.size >= INLINE_LIMIT or not _usual(storage):
        data = base64.b64encode(zlib.compress(storage.tobytes(), 9)).decode()
        lines = [f'"{data[start : start + 88]}"' for start in range(0, len(data), 88)]
        packed = indented("bytearray(zlib.decompress(base64.b64decode(", *lines) + "\n)))"
        return f"torch.frombuffer({packed}, {dtype}){view}"
    numbers = ", ".join(map(_number, storage))
    if len(numbers) > 45:
        wrapped = textwrap.fill(numbers, 92, break_long_words=False, break_on_hyphens=False)
        numbers = indented("", wrapped) + "\n"
    return f"torch.tensor([{numbers}], {dtype}){view}"
