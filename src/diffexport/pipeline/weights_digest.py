"""A digest of the weights of a model: they are too large to be stored with what was found, and it depends on them."""

from __future__ import annotations

import hashlib

import torch


def weights_digest(module: torch.nn.Module) -> str:
    """Return 16 hexadecimal digits that tell parameters and buffers from others; empty where there are none."""
    state = hashlib.sha256()
    named = [*module.named_parameters(), *module.named_buffers()]
    for name, tensor in named:
        state.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        state.update(_bytes(tensor))
    return state.hexdigest()[:16] if named else ""


def _bytes(tensor: torch.Tensor) -> memoryview | bytes:
    """Return the values of a tensor, in row-major order; what says which they are where they cannot be had."""
    try:
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        return plain.view(torch.uint8).numpy().data
    except (RuntimeError, TypeError, NotImplementedError):
        # Quantised, sparse, or not there yet.
        return repr(tensor).encode()
