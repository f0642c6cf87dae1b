"""Positional arguments of a model: which of them become graph inputs, and what those are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def walk(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested tuples, lists and dicts, in the order exporters flatten them."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from walk(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from walk(item)


def tensors_of(args: tuple[Any, ...]) -> list[torch.Tensor]:
    """Return the tensors among the arguments, flattened."""
    return list(walk(args))


def input_names(args: tuple[Any, ...]) -> list[str]:
    """Return the names given to the graph inputs: ``x0``, ``x1``, …"""
    return [f"x{number}" for number in range(len(tensors_of(args)))]
