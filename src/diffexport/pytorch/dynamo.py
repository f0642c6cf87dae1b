"""The exporter built on ``torch.export`` (``torch.onnx.export(dynamo=True)``), non-strict and strict.

As shipped, ``torch.onnx.export`` tries a non-strict capture and falls back to a strict one in silence. A mode
says which of the two it means, so the list of strategies is narrowed to one for the length of the export.
See [diffexport.pytorch.reuse][] for what is kept between exports.

Private names used here, checked on torch 2.13.0:

- ``torch.onnx._internal.exporter._capture_strategies.CAPTURE_STRATEGIES`` and its two strategy classes, whose
  instances take (module, args, kwargs, dynamic shapes) and give a result with ``exported_program``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from diffexport.arrays import DynamicAxes, export_arguments, input_names, walk
from diffexport.errors import ExporterInternalsError
from diffexport.pytorch.reuse import reused_tables
from diffexport.pytorch.written import Written, is_large, to_file
from diffexport.values import Call, Mode, Stage, Terms, mapped

_STRATEGIES = {False: "TorchExportNonStrictStrategy", True: "TorchExportStrictStrategy"}


def export_with_dynamo(
    module: Any, call: Call, mode: Mode, dynamic: DynamicAxes | None, terms: Terms, *, strict: bool
) -> Written:
    """Return the serialised model, saved the way a user saves it; ``dynamic`` says which axes are.

    Args:
        module: what to export.
        call: what it is captured on.
        mode: opset, ``keep_initializers_as_inputs`` and ``optimize`` are looked at.
        dynamic: for each tensor its dynamic axes; None where all are static.
        terms: names and external data.
        strict: which of the two ways of capture.

    Raises:
        Exception: whatever the exporter raises.
    """
    dynamic_shapes = None if dynamic is None else _dynamic_shapes(module, call, dynamic)
    args, kwargs = export_arguments(call)
    large = is_large(module)

    def write(path: Path) -> None:
        torch.onnx.export(
            module,
            args,
            str(path),
            kwargs=kwargs,
            dynamo=True,
            verbose=False,
            input_names=[terms.input_name(number) for number in range(len(input_names(call)))],
            output_names=list(terms.output_names) or None,
            opset_version=mode.opset,
            dynamic_shapes=dynamic_shapes,
            keep_initializers_as_inputs=mode.keep_initializers_as_inputs,
            optimize=mode.optimize,
            external_data=terms.external_data or large,
        )

    # keep_initializers_as_inputs takes effect only when the exporter itself writes the file.
    with only_strategy(strict), reused_tables():
        return to_file(write, external=terms.external_data, large=large)


def _dynamic_shapes(module: Any, call: Call, dynamic: DynamicAxes) -> Any:
    """Return the tree of dynamic shapes in the structure of the arguments, as ``torch.export`` wants it.

    With keywords that is a dict of all parameters in the order of the signature.
    """
    axes = {id(tensor): own for tensor, own in zip(walk(call), dynamic, strict=True)}

    def shape(leaf: Any) -> Any:
        own = axes.get(id(leaf))
        return None if own is None else dict.fromkeys(own, torch.export.Dim.DYNAMIC)

    shapes = mapped(Call(_listed(call.args), _listed(call.kwargs)), shape)
    if shapes.kwargs:
        return dict(inspect.signature(module.forward).bind(*shapes.args, **shapes.kwargs).arguments)
    # What goes into *args is one parameter, whose shapes are a tuple of their own.
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (AttributeError, TypeError, ValueError):
        parameters = []  # of what is written in another language, or scripted
    fixed = next((n for n, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL), None)
    given = shapes.args
    return given if fixed is None or len(given) < fixed else (*given[:fixed], given[fixed:])


def _listed(value: Any) -> Any:
    """Return the arguments with dataclasses as lists, which is how ``torch.export`` wants their shapes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_listed(getattr(value, own.name)) for own in dataclasses.fields(value)]
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [_listed(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


@contextlib.contextmanager
def only_strategy(strict: bool) -> Iterator[None]:
    """Narrow the capture strategies that ``torch.onnx.export`` tries to one."""
    from torch.onnx._internal.exporter import _capture_strategies as strategies

    name = _STRATEGIES[strict]
    shipped = getattr(strategies, "CAPTURE_STRATEGIES", None)
    if shipped is None or not hasattr(strategies, name):
        raise ExporterInternalsError(
            f"torch {torch.__version__} has no _capture_strategies.{name}; torch.onnx.export cannot be pinned to "
            "one capture strategy (checked on torch 2.13.0)"
        )
    strategies.CAPTURE_STRATEGIES = (getattr(strategies, name),)
    try:
        yield
    finally:
        strategies.CAPTURE_STRATEGIES = shipped


def dynamo_stage_of(error: BaseException) -> Stage:
    """Return CAPTURE if ``torch.export`` failed, else CONVERT."""
    return Stage.CAPTURE if type(error).__name__ == "TorchExportError" else Stage.CONVERT


def dynamo_program(
    module: Any, call: Call, dynamic: DynamicAxes | None, *, strict: bool
) -> Callable[[Call], Any]:
    """Return the program of ``torch.export`` as something that takes a call; it is captured on ``call``.

    Raises:
        Exception: whatever ``torch.export`` raises.
    """
    from torch.onnx._internal.exporter import _capture_strategies as strategies

    with only_strategy(strict):
        capture = strategies.CAPTURE_STRATEGIES[0]()
        shapes = None if dynamic is None else _dynamic_shapes(module, call, dynamic)
        result = capture(module, call.args, call.kwargs, shapes)
    if result.exported_program is None:
        raise result.exception or RuntimeError("nothing was captured")
    run = result.exported_program.module()
    return lambda given: run(*given.args, **given.kwargs)
