"""The exporter built on ``torch.export`` (``torch.onnx.export(dynamo=True)``), non-strict and strict."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diffexport.arrays import DynamicAxes, input_names, tensors_of
from diffexport.backends.exporters.code_layout import call, indented, mapping, names, sequence
from diffexport.backends.exporters.exporter_protocol import Exporter, ExportRequest, ScriptRequest
from diffexport.backends.exporters.script_arguments import (
    definition_of_export,
    keywords,
    option_arguments,
    positional,
)
from diffexport.pytorch import SIZE_OBLIVIOUS, Written, dynamo_program, dynamo_stage_of, export_with_dynamo
from diffexport.values import Call, ExporterDescription, Stage, describe, mapped


@dataclass(frozen=True)
class TorchExportExporter(Exporter):
    """Captures by ``torch.export`` in one of its two ways."""

    description: ExporterDescription
    strict: bool

    def export(self, request: ExportRequest) -> Written:
        """Return the serialised model, see [Exporter][diffexport.backends.exporters.Exporter]."""
        return export_with_dynamo(
            request.module, request.call, request.mode, request.dynamic, request.terms, strict=self.strict
        )

    def stage_of(self, error: BaseException) -> Stage:
        """Return CAPTURE if ``torch.export`` failed, else CONVERT."""
        return dynamo_stage_of(error)

    def program(self, request: ExportRequest) -> Callable[[Call], Any] | None:
        """Return the program of ``torch.export``."""
        return dynamo_program(request.module, request.call, request.dynamic, strict=self.strict)

    def script(self, request: ScriptRequest) -> str | None:
        """Return the definition of ``export`` for a script."""
        return _script(request, self.strict)


def _script(request: ScriptRequest, strict: bool) -> str:
    """Return the definition of ``export`` for a script.

    By itself ``torch.onnx.export`` captures non-strictly and, if that fails, strictly. A mode means one of
    the two, so where it matters the capture is a step of its own.
    """
    given, axes, module = request.call, request.dynamic, request.module
    shapes = [] if axes is None else [f"dynamic_shapes={_dynamic_shapes(given, axes, module)}"]
    lines, model = [], "model"
    if strict or request.capture_apart:
        deferred = ["prefer_deferred_runtime_asserts_over_guards=True"] if shapes else []
        capture = call(
            "torch.export.export", "model", "args", *keywords(given), f"strict={strict}", *shapes, *deferred
        )
        lines, model = [f"captured = {capture}"], "captured"
        pairs = zip(axes, tensors_of(given), strict=True) if axes is not None else ()
        if any(size < 2 for own, tensor in pairs for axis, size in enumerate(tensor.shape) if axis in own):
            comment = "# As torch.onnx.export does it: a dynamic axis may have the size 0 or 1."
            lines = [comment, indented(SIZE_OBLIVIOUS, *lines)]
        shapes = []
    named = [f"input_names={names(input_names(given))}", *option_arguments(request.mode)]
    options = ["dynamo=True", "verbose=False", *named, *shapes, "external_data=False"]
    saved = indented(
        "with tempfile.TemporaryDirectory() as folder:",
        'path = os.path.join(folder, "model.onnx")',
        call("torch.onnx.export", model, positional(given), "path", *keywords(given), *options),
        indented('with open(path, "rb") as file:', "return file.read()"),
    )
    return indented(definition_of_export(given), *lines, saved)


def _dynamic_shapes(given: Call, dynamic: DynamicAxes, module: Any) -> str:
    """Return the dynamic axes in the structure of the arguments, as ``torch.export`` wants them."""
    axes = {id(tensor): own for tensor, own in zip(tensors_of(given), dynamic, strict=True)}
    call = mapped(given, lambda leaf: _Axes(list(axes[id(leaf)])) if id(leaf) in axes else None)
    if call.kwargs:
        return _shape(dict(inspect.signature(module.forward).bind(*call.args, **call.kwargs).arguments))
    shapes = [_shape(argument) for argument in call.args]
    # What goes into *args is one parameter, whose shapes are a tuple of their own.
    fixed = _fixed(module)
    if fixed is not None and len(shapes) >= fixed:
        shapes[fixed:] = [sequence((), shapes[fixed:])]
    return sequence((), shapes)


def _fixed(module: Any) -> int | None:
    """Return how many parameters stand before ``*args``; None where there is none or it is not known."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (AttributeError, TypeError, ValueError):
        return None
    return next((n for n, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL), None)


@dataclass(frozen=True)
class _Axes:
    """The dynamic axes of one tensor, in place of it."""

    of: list[int]


def _shape(value: Any) -> str:
    if isinstance(value, _Axes):
        if len(value.of) > 1:
            return f"dict.fromkeys({value.of}, torch.export.Dim.DYNAMIC)"
        return f"{{{''.join(f'{axis}: torch.export.Dim.DYNAMIC' for axis in value.of)}}}"
    if isinstance(value, tuple | list):
        return sequence(value, [_shape(item) for item in value])
    if isinstance(value, dict):
        return mapping({key: _shape(item) for key, item in value.items()})
    return "None"


DYNAMO = TorchExportExporter(describe("dynamo"), strict=False)
DYNAMO_STRICT = TorchExportExporter(describe("dynamo-strict"), strict=True)
