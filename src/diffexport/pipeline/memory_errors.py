"""Errors that say that memory ran out: they say nothing about the model."""

from __future__ import annotations

#: What torch, numpy, onnx, ONNX Runtime and C++ write when there is no memory left.
_TEXTS = (
    "MemoryError",
    "bad_alloc",
    "bad allocation",
    "allocate memory",
    "Failed to allocate",
    "Unable to allocate",
    "not enough memory",
    "out of memory",
)


def ran_out_of_memory(error: BaseException | str) -> bool:
    """Return whether an error, or the text of one, says that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return any(part in text for part in _TEXTS)
