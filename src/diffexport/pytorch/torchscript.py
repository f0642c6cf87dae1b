"""The TorchScript exporter (``torch.onnx.export(dynamo=False)``).

Private names used here, checked on torch 2.13.0:

- ``torch.jit._trace._trace_module_map``: scoped tracing sets it for the export, as PyTorch's own test does.
- ``Node.pyobj``/``Node.pyname`` of ``prim::PythonOp`` in a traced graph.
- ``torch.onnx._internal.torchscript_exporter.utils._model_to_graph`` for [first_node_kind][].
- ``torch.onnx._internal.torchscript_exporter.utils._export`` for its parameter ``fixed_batch_size``.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import io
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch

from diffexport.arrays import DynamicAxes, export_arguments, input_names, named_leaves, walk
from diffexport.errors import ExporterInternalsError
from diffexport.pytorch import symbolics
from diffexport.pytorch.written import Written, is_large, to_file
from diffexport.values import Call, Inputs, Mode, Stage, Terms, mapped


def export_with_torchscript(
    module: Any,
    call: Call,
    mode: Mode,
    dynamic: DynamicAxes | None,
    terms: Terms,
    *,
    custom_opsets: Mapping[str, int] | None = None,
) -> Written:
    """Return the serialised model; ``dynamic`` says which axes are, None that none is.

    Raises:
        Exception: whatever the exporter raises.
    """
    given = list(named_leaves(module, call, script=terms.script))
    asked = {name: terms.input_name(number) for number, name in enumerate(input_names(call))}
    names = [asked.get(name, name) for name in given]
    dynamic_axes = None if dynamic is None else _dynamic_axes(call, dynamic, terms, asked, given)
    args, kwargs = export_arguments(call)
    # Scripting leaves its own attributes behind.
    model = torch.jit.script(copy.deepcopy(module)) if terms.script else module

    def write(file: Any) -> None:
        torch.onnx.export(
            model,
            args,
            file,
            kwargs=kwargs,
            dynamo=False,
            verbose=False,
            input_names=names,
            output_names=list(terms.output_names) or None,
            opset_version=mode.opset,
            dynamic_axes=dynamic_axes,
            keep_initializers_as_inputs=mode.keep_initializers_as_inputs,
            operator_export_type=getattr(torch.onnx.OperatorExportTypes, mode.operator_export_type),
            do_constant_folding=mode.do_constant_folding,
            training=getattr(torch.onnx.TrainingMode, mode.training),
            autograd_inlining=mode.autograd_inlining,
            export_modules_as_functions=mode.export_modules_as_functions,
            custom_opsets=custom_opsets or None,
        )

    scope = scoped_tracing(module) if mode.scoped else contextlib.nullcontext()
    batch = fixed_batch_size() if terms.fixed_batch_size else contextlib.nullcontext()
    with scope, batch:
        if terms.external_data or is_large(module):
            # Data that do not fit into the file are written beside it.
            return to_file(lambda path: write(str(path)), external=True, large=is_large(module))
        # The annotation names paths only; BytesIO is accepted by this exporter and keeps the disk out.
        buffer = io.BytesIO()
        write(buffer)
        return Written(buffer.getvalue())


def _dynamic_axes(
    call: Call, dynamic: DynamicAxes, terms: Terms, asked: Mapping[str, str], given: Sequence[str]
) -> dict[str, dict[int, str]]:
    """Return the dynamic axes with a name each, by the names of the graph's inputs and outputs.

    Args:
        call: what the model is exported on.
        dynamic: for each of its tensors the dynamic axes.
        terms: may name axes of outputs.
        asked: for each tensor what it is called, by the name it has unless another is asked for.
        given: those of them that become inputs.
    """
    named = {
        asked[name]: {axis: called or f"{asked[name]}_d{axis}" for axis, called in axes.items()}
        for name, axes in zip(input_names(call), dynamic, strict=True)
        if name in given
    }
    for name in terms.output_names:
        of_output = terms.axes_of(name)
        if of_output:
            named[name] = {axis: called or f"{name}_d{axis}" for axis, called in of_output.items()}
    return named


@contextlib.contextmanager
def fixed_batch_size() -> Iterator[None]:
    """Have recurrent layers take the batch size of the example for given, as PyTorch's own tests of them can."""
    from torch.onnx._internal.torchscript_exporter import utils

    shipped = getattr(utils, "_export", None)
    if shipped is None or "fixed_batch_size" not in inspect.signature(shipped).parameters:
        raise ExporterInternalsError(
            f"torch {torch.__version__} has no torchscript_exporter.utils._export(fixed_batch_size=...); the term "
            "fixed_batch_size cannot be kept (checked on torch 2.13.0)"
        )
    utils._export = functools.partial(shipped, fixed_batch_size=True)
    try:
        yield
    finally:
        utils._export = shipped


@contextlib.contextmanager
def scoped_tracing(module: torch.nn.Module) -> Iterator[None]:
    """Have the tracer record module scopes, the way PyTorch's test_inline_with_scoped_tracing does."""
    trace = torch.jit._trace
    if not hasattr(trace, "_trace_module_map"):
        raise ExporterInternalsError(
            f"torch {torch.__version__} has no torch.jit._trace._trace_module_map; modes with scoped=true "
            "cannot be exported (checked on torch 2.13.0)"
        )
    trace._trace_module_map = {child: torch.typename(type(child)) for child in module.modules()}
    try:
        yield
    finally:
        trace._trace_module_map = None


def torchscript_stage_of(error: BaseException) -> Stage:
    """Return CAPTURE if the error came out of tracing, else CONVERT."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.endswith("torch/jit/_trace.py"):
            return Stage.CAPTURE
    return Stage.CONVERT


def first_node_kind(module: torch.nn.Module, args: tuple[Any, ...], operator_export_type: str) -> str:
    """Return the kind of the first node of the converted graph, before it becomes an ONNX model.

    This is how PyTorch's test_aten_unsupported looks at FALLTHROUGH and ATEN_FALLBACK.

    Raises:
        ExporterInternalsError: ``_model_to_graph`` is gone (checked on torch 2.13.0).
    """
    from torch.onnx._internal.torchscript_exporter import utils

    if not hasattr(utils, "_model_to_graph"):
        raise ExporterInternalsError(
            f"torch {torch.__version__} has no torchscript_exporter.utils._model_to_graph (checked on 2.13.0)"
        )
    export_type = getattr(torch.onnx.OperatorExportTypes, operator_export_type)
    before = symbolics.registered()
    try:
        graph, _, _ = utils._model_to_graph(module, args, operator_export_type=export_type)
    finally:
        symbolics.restore(before)
    return str(next(iter(graph.nodes())).kind())


def _flat(module: Any, call: Call) -> torch.nn.Module:
    """Return the module as one from tensors to tensors, which is what can be traced."""

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            traced = {id(given): tensor for given, tensor in zip(walk(call), tensors, strict=True)}
            own = mapped(call, lambda leaf: traced.get(id(leaf), leaf))
            return tuple(walk(self.module(*own.args, **own.kwargs)))

    return Flat()


def _traced(module: Any, call: Call) -> Any:
    """Return the traced program, which takes the tensors of a call.

    Raises:
        Exception: whatever tracing raises.
    """
    # What is traced is as good as what was given: no second run is needed to check the trace.
    trace = cast(Any, torch.jit.trace)
    return trace(_flat(module, call), tuple(walk(call)), check_trace=False, strict=False)


def _graph(module: Any, call: Call) -> Any:
    """Return the graph of a trace; None if the model cannot be traced, which the export itself reports.

    Nodes do not keep their graph alive: whoever walks through them holds it.
    """
    try:
        return _traced(module, call).inlined_graph
    except Exception:  # noqa: BLE001 - whatever tracing a model raises
        return None


def _function_of(node: Any) -> Any:
    """Return the autograd Function that a ``prim::PythonOp`` applies."""
    return getattr(node.pyobj(), "__self__", None)


def traced_traits(module: Any, inputs: Inputs) -> frozenset[str]:
    """Return the traits found in a trace of ``module``; empty if it cannot be traced.

    A symbolic that is registered for Python operators is one of every Function that has none of its own.
    """
    traits: set[str] = set()
    registered = symbolics.is_registered("prim::PythonOp")
    graph = _graph(module, Call.of(inputs))
    for node in graph.nodes() if graph is not None else ():
        kind = node.kind()
        if kind == "prim::PythonOp":
            own_symbolic = callable(getattr(_function_of(node), "symbolic", None))
            traits.add("symbolic-function" if own_symbolic or registered else "opaque-function")
        elif kind.startswith("aten::"):
            traits.add("aten-ops")
    return frozenset(traits)


def torchscript_program(module: Any, call: Call) -> Callable[[Call], Any]:
    """Return the traced program as something that takes a call; it is traced on ``call``.

    Raises:
        Exception: whatever tracing raises.
    """
    traced = _traced(module, call)
    return lambda given: traced(*walk(given))


@contextlib.contextmanager
def symbolics_removed(module: Any, call: Call) -> Iterator[tuple[str, ...]]:
    """Take ``symbolic`` away from the Functions that a trace of ``module`` meets; yields their names."""
    hidden: list[tuple[type, Any]] = []
    try:
        graph = _graph(module, call)
        nodes = graph.nodes() if graph is not None else ()
        applied = [_function_of(node) for node in nodes if node.kind() == "prim::PythonOp"]
        for function in (one for one in applied if isinstance(one, type)):
            owner = next((base for base in function.__mro__ if "symbolic" in base.__dict__), None)
            if owner is not None:
                hidden.append((owner, owner.__dict__["symbolic"]))
                delattr(owner, "symbolic")
        yield tuple(dict.fromkeys(owner.__qualname__ for owner, _ in hidden))
    finally:
        for owner, symbolic in hidden:
            setattr(owner, "symbolic", symbolic)  # noqa: B010 - the type does not declare it
