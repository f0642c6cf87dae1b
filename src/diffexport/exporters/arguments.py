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
    """Return the names given to the graph inputs of tensors: ``x0``, ``x1``, …"""
    return [f"x{number}" for number in range(len(tensors_of(args)))]


def named_leaves(args: tuple[Any, ...]) -> dict[str, Any]:
    """Return every leaf that the TorchScript exporter counts as an input, by the name it is given.

    Besides tensors it counts bools, ints and floats, though neither None nor strings (torch 2.13). One that
    steers Python's control flow is baked in; one that is computed with becomes a graph input.
    """
    named: dict[str, Any] = {}

    def visit(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            named[f"x{sum(name.startswith('x') for name in named)}"] = value
        elif isinstance(value, bool | int | float):
            named[f"constant{len(named)}"] = value
        elif isinstance(value, tuple | list):
            for item in value:
                visit(item)
        elif isinstance(value, dict):
            for item in value.values():
                visit(item)

    visit(args)
    return named


def names_of_leaves(args: tuple[Any, ...]) -> list[str]:
    """Return the names of [named_leaves][], in order."""
    return list(named_leaves(args))


#: For each tensor, its dynamic axes with the name of the dimension, None where it has none.
DynamicAxes = tuple[dict[int, str | None], ...]


def every_axis(args: tuple[Any, ...]) -> DynamicAxes:
    """Return every axis of every tensor as dynamic."""
    return tuple(dict.fromkeys(range(tensor.dim())) for tensor in tensors_of(args))


def clone(value: Any) -> Any:
    """Copy the tensors in nested containers, strides, storage offset and requires_grad included."""
    if isinstance(value, torch.Tensor):
        source = value.detach()
        if source.is_contiguous():
            copied = source.clone()
        else:
            storage: Any = source.untyped_storage()
            whole = torch.empty(0, dtype=source.dtype).set_(storage.clone())
            copied = whole.as_strided(source.size(), source.stride(), source.storage_offset())
        return copied.requires_grad_(value.requires_grad)
    if isinstance(value, tuple | list):
        return type(value)(clone(item) for item in value)
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    return value
