"""The TorchScript exporter (``torch.onnx.export(dynamo=False)``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffexport.arrays import input_names, named_leaves
from diffexport.backends.exporters.code_layout import call, enclosed, indented, names, quoted
from diffexport.backends.exporters.exporter_protocol import Exporter, ExportRequest, ScriptRequest
from diffexport.backends.exporters.script_arguments import (
    definition_of_export,
    keywords,
    option_arguments,
    positional,
)
from diffexport.pytorch import (
    SCOPE_RESET,
    SCOPE_SET,
    Written,
    export_with_torchscript,
    torchscript_program,
    torchscript_stage_of,
)
from diffexport.values import Call, ExporterDescription, Stage, describe


class TorchScriptExporter(Exporter):
    """Traces the module, or exports it scripted."""

    description: ExporterDescription = describe("torchscript")

    def export(self, request: ExportRequest) -> Written:
        """Return the serialised model, see [Exporter][diffexport.backends.exporters.Exporter]."""
        return export_with_torchscript(
            request.module,
            request.call,
            request.mode,
            request.dynamic,
            request.terms,
            custom_opsets=request.custom_opsets,
        )

    def stage_of(self, error: BaseException) -> Stage:
        """Return CAPTURE if the error came out of tracing, else CONVERT."""
        return torchscript_stage_of(error)

    def program(self, request: ExportRequest) -> Callable[[Call], Any] | None:
        """Return the traced program."""
        return torchscript_program(request.module, request.call)

    def script(self, request: ScriptRequest) -> str | None:
        """Return the definition of ``export`` for a script."""
        mode, given, terms = request.mode, request.call, request.terms
        named = named_leaves(request.module, given, script=terms.script)
        options = [f"input_names={names(named)}", *option_arguments(mode)]
        if request.custom_opsets:
            options.append(f"custom_opsets={dict(request.custom_opsets)}")
        if request.dynamic is not None:
            entries = [
                entry for entry in zip(input_names(given), request.dynamic, strict=True) if entry[0] in named
            ]
            options.append(f"dynamic_axes={enclosed('{', [_named_axes(*entry) for entry in entries], '}')}")
        model = "torch.jit.script(copy.deepcopy(model))" if terms.script else "model"
        arguments = (model, positional(given), "buffer", *keywords(given), "dynamo=False", *options)
        return indented(
            definition_of_export(given),
            "buffer = io.BytesIO()",
            *([SCOPE_SET] if mode.scoped else []),
            call("torch.onnx.export", *arguments),
            *([SCOPE_RESET] if mode.scoped else []),
            "return buffer.getvalue()",
        )


def _named_axes(name: str, axes: dict[int, str | None]) -> str:
    items = [f"{axis}: {quoted(called or f'{name}_d{axis}')}" for axis, called in axes.items()]
    return f"{quoted(name)}: {enclosed('{', items, '}')}"


TORCHSCRIPT = TorchScriptExporter()
