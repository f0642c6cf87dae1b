"""Which axes of a case's inputs are dynamic."""

from __future__ import annotations

from diffexport.arrays import DynamicAxes, as_call, tensors_of
from diffexport.subjects.cases.case import Case
from diffexport.values import Dim, Inputs, TensorSpec


def dynamic_axes(case: Case, inputs: Inputs) -> DynamicAxes | None:
    """Return the axes that the case's terms name or its specs leave free, by name; None without either."""
    call = as_call(inputs)
    if case.terms.dynamic_axes is not None:
        names = [case.terms.input_name(number) for number, _ in enumerate(tensors_of(call))]
        return tuple(case.terms.axes_of(name) for name in names)
    entries, values = list(case.inputs), list(call.args)
    if len(case.specs) == len(entries) == len(tensors_of(call)):
        # One spec for each tensor, wherever it stands.
        values = list(tensors_of(call))
    elif not case.specs or not case.speaks_of(call):
        return None
    else:
        values = list(case.values_of(call))
    axes: list[dict[int, str | None]] = []
    for entry, value in zip(entries, values, strict=True):
        for tensor in tensors_of((value,)):
            # A call that the specs do not admit may still be asked for.
            spoken = isinstance(entry, TensorSpec) and entry.admits(tuple(tensor.shape))
            dims = entry.dims_for(tensor.dim()) if spoken else (Dim(),) * tensor.dim()
            axes.append(
                {axis: None if dim.one else dim.name for axis, dim in enumerate(dims) if dim.low != dim.high}
            )
    return tuple(axes)
