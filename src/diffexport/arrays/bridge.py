"""Torch tensors as numpy arrays and back, with bits and strides kept; numpy has no bfloat16 that torch knows."""

from __future__ import annotations

import numpy as np
import torch

from diffexport.arrays.array_types import Array
from diffexport.arrays.dtypes import BFLOAT16


def to_array(tensor: torch.Tensor) -> Array:
    """Return the values of a tensor; they share its storage where its bits are the values.

    Raises:
        TypeError: numpy has no such dtype.
    """
    if tensor.dtype is torch.float32 and not tensor.requires_grad:
        # As nearly always; what that refuses is seen to, or refused with a better reason, below.
        try:
            return tensor.numpy()
        except RuntimeError:
            pass
    plain = tensor.detach().resolve_conj().resolve_neg()
    if plain.dtype is torch.bfloat16:
        array: Array = plain.view(torch.int16).numpy().view(BFLOAT16)
        return array
    return plain.numpy()


def to_tensor(array: Array) -> torch.Tensor:
    """Return a tensor that shares the storage of an array.

    Raises:
        TypeError: torch has no such dtype.
    """
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def float_dtypes(module: torch.nn.Module) -> tuple[str, ...]:
    """Return the names of the floating dtypes of a module's parameters, or of its buffers where it has none."""
    tensors: list[torch.Tensor] = [*module.parameters()] or [*module.buffers()]
    names = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors if tensor.is_floating_point()]
    return tuple(dict.fromkeys(names))
