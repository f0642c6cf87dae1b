"""The arguments of a model: which of them become graph inputs, and what those are called.

Measured on torch 2.13 (tests/arrays/test_arguments.py): the exporters built on ``torch.export`` flatten a call as it
is written, keyword arguments in the order given, and bake in what is no tensor. The TorchScript exporter first
puts all of it into the order of the signature and fills in defaults, see [slots][].
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Protocol

import torch

from diffexport.values import DEFAULT_TERMS, Call, Inputs, Path, Terms, leaves, mapped, paths


def walk(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested containers, in the order exporters flatten them."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, torch.Tensor))


def tensors_of(inputs: Inputs) -> list[torch.Tensor]:
    """Return the tensors among the arguments, flattened."""
    return list(walk(inputs))


def input_names(inputs: Inputs) -> list[str]:
    """Return the names given to the graph inputs of tensors: ``x0``, ``x1``, …"""
    return [f"x{number}" for number in range(len(tensors_of(inputs)))]


def slots(module: Any, call: Call) -> Iterator[tuple[Path, Any]]:
    """Yield the arguments as the TorchScript exporter hands them to the model, all of them positional.

    What the call leaves out gets its default, and so do parameters that are for keywords only (which the model
    then refuses). What goes into ``**kwargs`` is dropped (torch 2.13).
    """
    yield from ((("args", number), value) for number, value in enumerate(call.args))
    try:
        parameters = inspect.signature(module.forward).parameters
    except (AttributeError, TypeError, ValueError):
        return
    for name, parameter in list(parameters.items())[len(call.args) :]:
        if name in call.kwargs:
            yield ("kwargs", name), call.kwargs[name]
        elif parameter.default is not inspect.Parameter.empty:
            yield ("default", name), parameter.default


def named_leaves(module: Any, inputs: Inputs, *, script: bool = False) -> dict[str, tuple[Path, Any]]:
    """Return every leaf that the TorchScript exporter counts as an input, by the name it is given, in its order.

    Besides tensors it counts bools, ints and floats, though neither None nor strings (torch 2.13). One that
    steers Python's control flow is baked in; one that is computed with becomes a graph input. Of a scripted model
    (``script``) a list of tensors is one input, a sequence that has the name of its first tensor.
    """
    call = Call.of(inputs)
    numbers = {path: number for number, path in enumerate(_tensor_paths(call))}
    named: dict[str, tuple[Path, Any]] = {}
    for start, value in slots(module, call):
        if script and _is_sequence(value):
            named[f"x{numbers[(*start, 0)]}"] = start, value
            continue
        for path, leaf in paths(value, start):
            if path in numbers:
                named[f"x{numbers[path]}"] = path, leaf
            elif isinstance(leaf, torch.Tensor):
                named[f"default{len(named)}"] = path, leaf
            elif isinstance(leaf, bool | int | float):
                named[f"constant{len(named)}"] = path, leaf
    return named


def _is_sequence(value: Any) -> bool:
    return type(value) is list and bool(value) and all(isinstance(item, torch.Tensor) for item in value)


def _tensor_paths(call: Call) -> list[Path]:
    return [path for path, leaf in paths(_parts(call)) if isinstance(leaf, torch.Tensor)]


def _parts(call: Call) -> dict[str, Any]:
    return {"args": call.args, "kwargs": call.kwargs}


class Feeds(Protocol):
    """Turns a call into what an exported model is fed with."""

    #: The names, where tensors one behind the other is all there is, as nearly always; else empty.
    flat: tuple[str, ...]

    def feeds(self, inputs: Call) -> dict[str, Any]:
        """Return what the model may be fed with for ``inputs``, by name."""


class Feeder:
    """Feeds a model that was exported on ``example``; what that takes is looked up once.

    An argument is recognised by where it stands, so keywords may come in another order than in the example.
    ``terms`` say what the tensors are called, if otherwise than ``x0``, ``x1``, …, and whether it was scripted.
    """

    def __init__(self, module: Any, example: Call, terms: Terms = DEFAULT_TERMS) -> None:
        asked = {f"x{number}": terms.input_name(number) for number, _ in enumerate(_tensor_paths(example))}
        self._names = {path: asked[f"x{number}"] for number, path in enumerate(_tensor_paths(example))}
        self._defaults: dict[Path, Any] = {}
        self._sequences: list[tuple[str, int, str]] = []
        for name, (path, leaf) in named_leaves(module, example, script=terms.script).items():
            if terms.script and path[0] in ("args", "kwargs") and _is_sequence(leaf):
                self._sequences.append((path[0], path[1], asked[name]))
                self._names = {
                    at: kept_name for at, kept_name in self._names.items() if at[: len(path)] != path
                }
                continue
            self._names[path] = asked.get(name, name)
            if path[0] == "default":
                self._defaults[path] = leaf
        in_turn = [("args", number) for number in range(len(example.args))]
        self.flat = tuple(self._names.values()) if list(self._names) == in_turn else ()

    def feeds(self, inputs: Call) -> dict[str, Any]:
        """Return what the model may be fed with for ``inputs``, by name."""
        tensors = inputs.args if all(isinstance(value, torch.Tensor) for value in inputs.args) else ()
        if tensors and len(tensors) == len(self.flat) and not inputs.kwargs:
            return dict(zip(self.flat, tensors, strict=True))
        values = {**dict(paths(_parts(inputs))), **self._defaults}
        given = {name: values[path] for path, name in self._names.items() if path in values}
        parts = _parts(inputs)
        return given | {name: parts[kind][key] for kind, key, name in self._sequences}


def feeds_of(module: Any, example: Call, inputs: Call) -> dict[str, Any]:
    """Return what a model that was exported on ``example`` may be fed with for ``inputs``; see [Feeder][]."""
    return Feeder(module, example).feeds(inputs)


def names_in(example: Call, inputs: Call) -> list[str]:
    """Return, for each tensor of ``inputs``, the name its place has in ``example``; empty where it has none."""
    names = {path: f"x{number}" for number, path in enumerate(_tensor_paths(example))}
    return [names.get(path, "") for path in _tensor_paths(inputs)]


def export_arguments(call: Call) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
    """Return ``args`` and ``kwargs`` for ``torch.onnx.export``.

    It takes a dict at the end of ``args`` for keyword arguments, unless another one stands behind it.
    """
    if not call.kwargs and call.args and isinstance(call.args[-1], dict):
        return (*call.args, {}), None
    return call.args, call.kwargs or None


#: For each tensor, its dynamic axes with the name of the dimension, None where it has none.
DynamicAxes = tuple[dict[int, str | None], ...]


def every_axis(inputs: Inputs) -> DynamicAxes:
    """Return every axis of every tensor as dynamic."""
    return tuple(dict.fromkeys(range(tensor.dim())) for tensor in tensors_of(inputs))


def clone(value: Any) -> Any:
    """Copy the tensors in nested containers: strides, storage offset and requires_grad included.

    The same tensor in two places stays one tensor.
    """
    if (
        type(value) is Call
        and len(value.args) == 1
        and not value.kwargs
        and isinstance(value.args[0], torch.Tensor)
    ):
        return Call((_copied(value.args[0]),))
    return mapped(value, _copied)


def _copied(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    source = leaf.detach()
    if source.is_contiguous() and not source.storage_offset():
        copied = source.clone()
    else:
        # All of its memory, since a model may read past its elements.
        extent = source.untyped_storage().nbytes() // source.element_size()
        copied = source.as_strided((extent,), (1,), 0).clone()
        copied = copied.as_strided(source.size(), source.stride(), source.storage_offset())
    return copied.requires_grad_(leaf.requires_grad)
