"""A regression as a standalone script for a bug report: it needs torch, onnx, onnxruntime and numpy alone.

Below the header it has the model ([diffexport.regressions.source][]), the export call, and a ``main`` that judges
the divergence ([diffexport.regressions.judgements][]) on the stored values ([diffexport.regressions.literals][]).
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from string import Template
from typing import Any

import numpy as np
import torch

from diffexport.case import Case
from diffexport.check import as_args, dynamic_axes
from diffexport.dtypes import BFLOAT16, is_complex
from diffexport.errors import UnknownNameError
from diffexport.exporters.arguments import DynamicAxes, every_axis, input_names, names_of_leaves, tensors_of
from diffexport.mode import OPTIONS_BY_NAME, Mode
from diffexport.regressions import judgements
from diffexport.regressions.format import Regression
from diffexport.regressions.judgements import END, judgement, wanted, watched
from diffexport.regressions.literals import call, enclosed, indented, literal, names, quoted, sequence
from diffexport.regressions.source import IMPORTS, model_source, root_of
from diffexport.runtimes import RUNTIMES
from diffexport.verdict import Kind, Stage


def standalone_script(regression: Regression, case: Case) -> str:
    """Return a Python script that shows a stored divergence without diffexport.

    It exits 1 and prints ``DIVERGES: …`` when the divergence shows, and exits 0 and prints ``agrees`` when it
    does not.

    Args:
        regression: what was stored.
        case: the case it is about, as [case_of][diffexport.regressions.replay.case_of] returns it.

    Raises:
        UnknownNameError: the divergence needs a runtime, and there is none of the stored name.
    """
    model = model_source(regression, case)
    main = _main(regression, case, model.made)
    parts = [*model.definitions, _export(regression, case, model.module)]
    parts += [_arrays(regression)] if "arrays(" in main else []
    parts += [_load(regression.runtime)] if "load(" in main else []
    parts += [judgements.RUN_BFLOAT16] if "run_in_values(" in main else []
    parts += [judgements.TENSOR_BFLOAT16] if "as_bfloat16(" in main else []
    code = "\n\n\n".join((*parts, main, END % regression.kind.meaning))
    own = {line for name, line in IMPORTS.items() if re.search(rf"(?<![\w.]){re.escape(name)}\.", code)}
    return f"{_header(regression, model.imports)}\n{_sorted(own.union(model.imports))}\n\n\n{code}\n"


def _header(regression: Regression, imports: Iterable[str]) -> str:
    message = regression.message.splitlines()
    versions = ", ".join(f"{name} {v}" for name, v in regression.versions.items() if name != "hypothesis")
    ran = f", run on {regression.runtime}" if regression.identity.runtime else ""
    libraries = {root_of(line) for line in imports} - {"numpy", "onnx", "onnxruntime", "torch"}
    libraries -= sys.stdlib_module_names
    fatal = regression.kind in (Kind.CRASH, Kind.TIMEOUT)
    paragraphs = [
        f"{regression.case}: {regression.kind} ({regression.kind.meaning})",
        *(message if len(message) <= 12 else [*message[:12], "..."]),
        "",
        f"Exported as {regression.mode}{ran}",
        *([f"Seen with {versions}"] if versions else []),
        *([f"Needs {', '.join(sorted(libraries))} as well"] if libraries else []),
        'Exits 1 and prints "DIVERGES: ..." when the divergence shows, exits 0 and prints "agrees" when it '
        + ("does not; if it dies or hangs, that is it." if fatal else "does not; a traceback says neither."),
    ]
    clean = [re.sub(r"\x1b\[\d*m|[\x00-\x1f\x7f-\x9f]", "", text) for text in paragraphs]
    lines = [line for text in clean for line in textwrap.wrap(text, 98, break_on_hyphens=False) or [""]]
    return "\n".join(f"# {line}".rstrip() for line in lines) + "\n"


def _sorted(imports: Iterable[str]) -> str:
    groups: list[list[str]] = [[], [], []]
    for line in sorted(imports, key=lambda line: (line.startswith("from"), line)):
        root = root_of(line)
        groups[0 if root == "__future__" else 1 if root in sys.stdlib_module_names else 2].append(line)
    return "\n\n".join("\n".join(group) for group in groups if group)


# The export and the runtime.

_ENUMS = {"operator_export_type": "torch.onnx.OperatorExportTypes.", "training": "torch.onnx.TrainingMode."}
_SCOPE = """\
# Scoped tracing, as in PyTorch's test_inline_with_scoped_tracing.
torch.jit._trace._trace_module_map = {part: torch.typename(type(part)) for part in model.modules()}"""


def _export(regression: Regression, case: Case, module: Any) -> str:
    """Return the function that exports with exactly the options of the mode."""
    mode, args = regression.mode, as_args(regression.export_inputs)
    axes = None
    if mode.dynamic:
        declared = dynamic_axes(case, args)
        axes = every_axis(args) if declared is None else declared
    if not mode.is_torchscript:
        return _export_dynamo(mode, regression.stage, args, axes, module)
    options = [f"input_names={names(names_of_leaves(args))}", *_options(mode)]
    if axes is not None:
        entries = zip(input_names(args), axes, strict=True)
        options.append(f"dynamic_axes={enclosed('{', [_named_axes(*entry) for entry in entries], '}')}")
    return indented(
        "def export(model, args):",
        "buffer = io.BytesIO()",
        *([_SCOPE] if mode.scoped else []),
        call("torch.onnx.export", "model", "args", "buffer", "dynamo=False", *options),
        *(["torch.jit._trace._trace_module_map = None"] if mode.scoped else []),
        "return buffer.getvalue()",
    )


def _options(mode: Mode) -> list[str]:
    options = [f"opset_version={mode.opset}"]
    for name, value in mode.options().items():
        if name not in ("opset", "dynamic", "scoped") and value != OPTIONS_BY_NAME[name].default:
            options.append(f"{name}={_ENUMS.get(name, '')}{value}")
    return options


def _named_axes(name: str, axes: dict[int, str | None]) -> str:
    items = [f"{axis}: {quoted(called or f'{name}_d{axis}')}" for axis, called in axes.items()]
    return f"{quoted(name)}: {enclosed('{', items, '}')}"


def _export_dynamo(
    mode: Mode, stage: Stage, args: tuple[Any, ...], axes: DynamicAxes | None, module: Any
) -> str:
    """Return the same for the exporters built on ``torch.export``.

    By itself ``torch.onnx.export`` captures non-strictly and, if that fails, strictly. A mode means one of
    the two, so where it matters the capture is a step of its own.
    """
    shapes = [] if axes is None else [f"dynamic_shapes={_dynamic_shapes(args, axes, module)}"]
    strict = mode.exporter == "dynamo-strict"
    lines, model = [], "model"
    if strict or stage is Stage.CAPTURE:
        deferred = ["prefer_deferred_runtime_asserts_over_guards=True"] if shapes else []
        capture = call("torch.export.export", "model", "args", f"strict={strict}", *shapes, *deferred)
        lines, model = [f"captured = {capture}"], "captured"
        pairs = zip(axes, tensors_of(args), strict=True) if axes is not None else ()
        if any(size < 2 for own, tensor in pairs for axis, size in enumerate(tensor.shape) if axis in own):
            comment = "# As torch.onnx.export does it: a dynamic axis may have the size 0 or 1."
            patch = "with torch.fx.experimental._config.patch(backed_size_oblivious=True):"
            lines = [comment, indented(patch, *lines)]
        shapes = []
    named = [f"input_names={names(input_names(args))}", *_options(mode)]
    options = ["dynamo=True", "verbose=False", *named, *shapes, "external_data=False"]
    saved = indented(
        "with tempfile.TemporaryDirectory() as folder:",
        'path = os.path.join(folder, "model.onnx")',
        call("torch.onnx.export", model, "args", "path", *options),
        indented('with open(path, "rb") as file:', "return file.read()"),
    )
    return indented("def export(model, args):", *lines, saved)


def _dynamic_shapes(args: tuple[Any, ...], dynamic: DynamicAxes, module: Any) -> str:
    """Return the dynamic axes in the structure of the arguments, as ``torch.export`` wants them."""
    remaining = iter(dynamic)
    shapes = [_dynamic(argument, remaining) for argument in args]
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


def _dynamic(value: Any, remaining: Iterator[dict[int, str | None]]) -> str:
    if isinstance(value, torch.Tensor):
        axes = list(next(remaining))
        if len(axes) > 1:
            return f"dict.fromkeys({axes}, torch.export.Dim.DYNAMIC)"
        return f"{{{''.join(f'{axis}: torch.export.Dim.DYNAMIC' for axis in axes)}}}"
    if isinstance(value, tuple | list):
        return sequence(value, [_dynamic(item, remaining) for item in value])
    return "None"


def _met(regression: Regression) -> set[torch.dtype]:
    """Return the dtypes of what goes into the model and comes out of it."""
    met = (regression.inputs, regression.export_inputs, regression.eager, regression.got)
    return {tensor.dtype for values in met for tensor in tensors_of(as_args(values))}


def _arrays(regression: Regression) -> str:
    """Return the function that makes arrays of tensors, with what it needs for dtypes that numpy lacks."""
    met = _met(regression)
    special = judgements.BFLOAT16 if torch.bfloat16 in met else ""
    special += judgements.COMPLEX if any(dtype.is_complex for dtype in met) else ""
    return Template(judgements.ARRAYS).substitute(special=special)


def _load(runtime: str) -> str:
    if runtime not in RUNTIMES:
        raise UnknownNameError("runtime", runtime, RUNTIMES)
    if runtime == "reference":
        line = "return onnx.reference.ReferenceEvaluator(onnx.load_model_from_string(exported))"
        return indented("def load(exported):", line)
    level = runtime.removeprefix("ort-").upper()
    level = "DISABLE_ALL" if level == "DISABLED" else f"ENABLE_{level}"
    return indented(
        "def load(exported):",
        "options = onnxruntime.SessionOptions()",
        f"options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_{level}",
        "options.intra_op_num_threads = 1",
        "options.log_severity_level = 3",
        'return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])',
    )


def _main(regression: Regression, case: Case, made: str) -> str:
    """Return the function that says whether the divergence shows."""
    where = re.fullmatch(r"output(\[\d+\])(\.real|\.imag)?", regression.where)
    training = regression.mode.training if regression.mode.is_torchscript else ""
    template = judgement(regression)
    # Of the output that the divergence is at; a file that was written by hand may lack it.
    outputs = regression.eager[int(where[1][1:-1]) :] if where else ()
    dtype = outputs[0].dtype if outputs and isinstance(outputs[0], np.ndarray) else np.dtype(np.float32)
    in_values = torch.bfloat16 in _met(regression) and regression.runtime != "reference"
    example = literal(regression.export_inputs)
    inputs = literal(regression.inputs) if "feeds" in template else example
    reference = regression.runtime == "reference"
    judged = Template(template).substitute(
        mode={"EVAL": ".eval()", "TRAINING": ".train()"}.get(training, ""),
        example="inputs" if example == inputs else "example",
        names=names(input_names(as_args(regression.inputs))),
        used="session.input_names" if reference else "[value.name for value in session.get_inputs()]",
        output=where[1] if where else "[0]",
        part={".real": "[..., 0]", ".imag": "[..., 1]"}.get(where[2] or "", "") if where else "",
        parts=" or one.ndim != other.ndim" if is_complex(dtype) else "",
        run="run_in_values(session, feeds)" if in_values else "session.run(None, feeds)",
        tensor="as_bfloat16" if dtype == BFLOAT16 else "torch.tensor",
        opset=regression.mode.opset,
        wanted=wanted(regression, case),
        watched=watched(regression.signature),
    )
    return indented(
        "def main():",
        'warnings.simplefilter("ignore")',
        f"model = {made}",
        f"inputs = {inputs}",
        *(["# What it is exported with:", f"example = {example}"] if example != inputs else []),
        judged,
    )
