"""Inputs as the pipeline takes them: arrays into tensors and back, example inputs, dynamic axes, digests."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch

from diffexport.arrays.arguments import clone, tensors_of
from diffexport.arrays.array_types import Array
from diffexport.arrays.bridge import to_array, to_tensor
from diffexport.arrays.fillings import fill, filling_of
from diffexport.arrays.found_fillings import found_filling
from diffexport.values import Call, Inputs, mapped

#: Elements from which on an array is looked at for what it is filled with, and how many may be otherwise.
_MANY, _FEW = 4096, 64


def as_call(inputs: Inputs) -> Call:
    """Return the call with every numpy array turned into a tensor of the same strides.

    Raises:
        UsageError: ``inputs`` is a single tensor or array instead of a sequence of arguments.
    """
    if type(inputs) is tuple:
        # As nearly always: nothing nested, nothing twice.
        kinds = set(map(type, inputs))
        if len(kinds) == 1 and (len(inputs) == 1 or len(set(map(id, inputs))) == len(inputs)):
            if np.ndarray in kinds:
                return Call([_tensor(value) for value in inputs])
            if torch.Tensor in kinds:
                return Call(inputs)
    call: Call = mapped(Call.of(inputs), _tensor)
    return call


def as_plain(inputs: Inputs) -> tuple[Any, ...] | Call:
    """Return copies as they are kept in findings: arrays, and tensors where an array could not say it all.

    That is a tensor that requires a gradient, or that starts inside its storage.
    """

    def kept(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor) and not leaf.requires_grad and not leaf.storage_offset():
            return in_few_bytes(to_array(clone(leaf)))
        return in_few_bytes(leaf) if isinstance(leaf, np.ndarray) else clone(leaf)

    call: Call = mapped(Call.of(inputs), kept)
    return call.plain()


def in_few_bytes(array: Array) -> Array:
    """Return a large array as one that is sent in a few bytes, if it is a background with few other elements."""
    if array.size < _MANY or not array.flags.c_contiguous or filling_of(array) is not None:
        return array
    filling = found_filling(array, _FEW)
    return array if filling is None else fill(filling)


def array_of(value: Any) -> Any:
    """Return the array with the values and strides of a tensor; anything else as it is."""
    return to_array(value) if isinstance(value, torch.Tensor) else value


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if not value.flags.c_contiguous and value.size:
        steps = [stride // value.itemsize for stride in value.strides]
        extent = 1 + sum((size - 1) * step for size, step in zip(value.shape, steps, strict=True))
        storage = np.zeros(extent, dtype=value.dtype)
        np.lib.stride_tricks.as_strided(storage, value.shape, value.strides)[...] = value
        return to_tensor(storage).as_strided(value.shape, steps)
    return to_tensor(value.copy())


def digest(call: Call) -> bytes:
    """Return a hash of everything that exports of ``call`` may depend on: values, types, memory, what is one tensor."""
    state = hashlib.sha256()
    numbers: dict[int, int] = {}
    for tensor in tensors_of(call):
        laid_out = (tensor.stride(), tensor.storage_offset(), tensor.requires_grad)
        same_as = numbers.setdefault(id(tensor), len(numbers))
        state.update(repr((str(tensor.dtype), tuple(tensor.shape), laid_out, same_as)).encode())
        state.update(to_array(tensor).tobytes())
    state.update(repr(mapped(call, lambda leaf: "T" if isinstance(leaf, torch.Tensor) else leaf)).encode())
    return state.digest()


def arrays_of(inputs: Inputs) -> list[Any]:
    """Return the tensors among arguments as numpy arrays."""
    if type(inputs) is tuple and all(type(value) is np.ndarray for value in inputs):
        return list(inputs)
    return [array_of(tensor) for tensor in tensors_of(as_call(inputs))]
