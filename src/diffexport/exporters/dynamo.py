"""The exporter built on ``torch.export`` (``torch.onnx.export(dynamo=True)``), non-strict and strict.

As shipped, ``torch.onnx.export`` tries a non-strict capture and falls back to a strict one in silence. A mode
says which of the two it means, so the list of strategies is narrowed to one for the length of the export.
See [diffexport.exporters.reuse][] for what is kept between exports.

Private names used here, checked on torch 2.13.0:

- ``torch.onnx._internal.exporter._capture_strategies.CAPTURE_STRATEGIES`` and its two strategy classes.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import torch

from diffexport.errors import ExporterInternalsError
from diffexport.exporters.arguments import DynamicAxes, input_names
from diffexport.exporters.reuse import reused_tables
from diffexport.mode import Mode
from diffexport.verdict import Stage

_STRATEGIES = {"dynamo": "TorchExportNonStrictStrategy", "dynamo-strict": "TorchExportStrictStrategy"}


def export(module: Any, args: tuple[Any, ...], mode: Mode, dynamic: DynamicAxes | None) -> bytes:
    """Return the serialised model, saved the way a user saves it; ``dynamic`` says which axes are.

    Raises:
        Exception: whatever the exporter raises.
    """
    dynamic_shapes = None if dynamic is None else _dynamic_shapes(module, args, dynamic)
    # keep_initializers_as_inputs takes effect only when the exporter itself writes the file.
    descriptor, path = tempfile.mkstemp(suffix=".onnx")
    os.close(descriptor)
    try:
        with only_strategy(mode.exporter), reused_tables():
            torch.onnx.export(
                module,
                args,
                path,
                dynamo=True,
                verbose=False,
                input_names=input_names(args),
                opset_version=mode.opset,
                dynamic_shapes=dynamic_shapes,
                keep_initializers_as_inputs=mode.keep_initializers_as_inputs,
                optimize=mode.optimize,
                external_data=False,
            )
        with open(path, "rb") as file:
            return file.read()
    finally:
        os.unlink(path)


def _dynamic_shapes(module: Any, args: tuple[Any, ...], dynamic: DynamicAxes) -> tuple[Any, ...]:
    """Return the tree of dynamic shapes in the structure of the arguments, as ``torch.export`` wants it."""
    axes = iter(dynamic)

    def tree(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return dict.fromkeys(next(axes), torch.export.Dim.DYNAMIC)
        if isinstance(value, tuple | list):
            return type(value)(tree(item) for item in value)
        if isinstance(value, dict):
            return {key: tree(item) for key, item in value.items()}
        return None

    shapes = tuple(tree(argument) for argument in args)
    # What goes into *args is one parameter, whose shapes are a tuple of their own.
    parameters = inspect.signature(module.forward).parameters.values()
    fixed = next((n for n, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL), None)
    return shapes if fixed is None or len(shapes) < fixed else (*shapes[:fixed], shapes[fixed:])


@contextlib.contextmanager
def only_strategy(exporter: str) -> Iterator[None]:
    """Narrow the capture strategies that ``torch.onnx.export`` tries to the one the mode names."""
    from torch.onnx._internal.exporter import _capture_strategies as strategies

    name = _STRATEGIES[exporter]
    shipped = getattr(strategies, "CAPTURE_STRATEGIES", None)
    if shipped is None or not hasattr(strategies, name):
        raise ExporterInternalsError(
            f"torch {torch.__version__} has no _capture_strategies.{name}; the exporter {exporter!r} cannot be "
            "pinned to one capture strategy (checked on torch 2.13.0)"
        )
    strategies.CAPTURE_STRATEGIES = (getattr(strategies, name),)
    try:
        yield
    finally:
        strategies.CAPTURE_STRATEGIES = shipped


def stage_of(error: BaseException) -> Stage:
    """Return CAPTURE if ``torch.export`` failed, else CONVERT."""
    return Stage.CAPTURE if type(error).__name__ == "TorchExportError" else Stage.CONVERT
