"""What the scripts of both of torch's exporters have in common."""

from __future__ import annotations

from diffexport.arrays import export_arguments
from diffexport.values import OPTIONS_BY_NAME, Call, Mode

_ENUMS = {"operator_export_type": "torch.onnx.OperatorExportTypes.", "training": "torch.onnx.TrainingMode."}


def definition_of_export(given: Call) -> str:
    """Return the first line of the function."""
    return f"def export(model, args{', kwargs' if given.kwargs else ''}):"


def positional(given: Call) -> str:
    """Return the positional arguments for ``torch.onnx.export``, which would take a last dict for keywords."""
    return "args" if len(export_arguments(given)[0]) == len(given.args) else "(*args, {})"


def keywords(given: Call) -> list[str]:
    """Return the argument for ``torch.onnx.export`` that hands on keywords, if there are any."""
    return ["kwargs=kwargs"] if given.kwargs else []


def option_arguments(mode: Mode) -> list[str]:
    """Return the options of a mode as arguments for ``torch.onnx.export``, as far as they are off their default."""
    options = [f"opset_version={mode.opset}"]
    for name, value in mode.options().items():
        if name not in ("opset", "dynamic", "scoped") and value != OPTIONS_BY_NAME[name].default:
            options.append(f"{name}={_ENUMS.get(name, '')}{value}")
    return options
