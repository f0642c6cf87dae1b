"""Terms: what a case asks of the export and of the comparison, besides the mode.

Names of inputs and outputs, which axes are dynamic, a tolerance in place of the oracle, and so on. Terms hold in
every mode of the case; what a mode says (opset, folding, training, …) is not repeated here. Whatever departs from the
defaults is shown with every finding and stored with it, so that nothing is let through unseen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from diffexport.errors import UsageError, suggestion


class TermOptions(TypedDict, total=False):
    """The keyword arguments that make [Terms][]; fields as there."""

    rtol: float | None
    atol: float | None
    mismatched: float
    check_shape: bool
    check_dtype: bool
    ignore_none: bool | None
    input_names: Sequence[str]
    output_names: Sequence[str]
    dynamic_axes: Mapping[str, Sequence[int] | Mapping[int, str]] | None
    remaining_inputs: Sequence[int] | None
    external_data: bool
    script: bool
    fixed_batch_size: bool


#: An axis and what it is called; None: as the exporter likes.
Axes = tuple[tuple[int, str | None], ...]


@dataclass(frozen=True)
class Terms:
    """What holds for every mode of a case. Made by [Terms.of][], which validates.

    Attributes:
        rtol, atol: judge finite values by ``|got - eager| ≤ atol + rtol |eager|`` in place of the oracle; of two,
            one that is not given is 0. NaN and infinities have to be where eager has them all the same.
        mismatched: the share of an output's elements, 0 to 1, that may differ.
        check_shape: False lets outputs of other shapes agree that broadcast with eager's.
        check_dtype: False compares outputs of other dtypes in the wider of the two.
        ignore_none: whether a None that eager returns is left out, as tracing does; False asks for an output that is
            None, too. By default, True unless ``script``.
        input_names, output_names: of the tensors in the order in which they are flattened; the exported model must
            have them. Fewer than there are leaves the others as they are.
        dynamic_axes: input or output name (``x0``, ``x1``, … without ``input_names``) to axes, or axes with names: in
            modes with dynamic=true exactly these are dynamic. None: every axis that the inputs' specs leave free.
        remaining_inputs: the numbers of the tensors that must be left as inputs of the exported model, by the
            TorchScript exporter, which drops what is not used; None: any.
        external_data: the model is written to a file, weights beside it, and the runtimes load that.
        script: the model goes through ``torch.jit.script`` first; TorchScript exporter only. List arguments become
            sequences, and code that depends on data stays code.
        fixed_batch_size: recurrent layers take the batch size of the example for given; TorchScript exporter only.
    """

    rtol: float | None = None
    atol: float | None = None
    mismatched: float = 0.0
    check_shape: bool = True
    check_dtype: bool = True
    ignore_none: bool | None = None
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    dynamic_axes: tuple[tuple[str, Axes], ...] | None = None
    remaining_inputs: tuple[int, ...] | None = None
    external_data: bool = False
    script: bool = False
    fixed_batch_size: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Terms:
        """Make terms from keyword arguments, or from what [document][] returned.

        Raises:
            UsageError: an unknown name, or a value that a term cannot have; the message names it.
        """
        known = [one.name for one in fields(cls)]
        for name in options:
            if name not in known:
                hint = ELSEWHERE.get(name)
                raise UsageError(
                    f"unknown option {name!r}: {hint}"
                    if hint
                    else f"unknown option {name!r}{suggestion(name, [*known, *ELSEWHERE])}"
                )
        values = {name: _CHECKS[name](name, value) for name, value in options.items()}
        terms = cls(**values)
        clash = {name for name, _ in terms.dynamic_axes or () if name in terms.output_names}
        if clash & set(terms.input_names):
            raise UsageError(f"input_names and output_names both have {', '.join(sorted(clash))}")
        return terms

    @property
    def keeps_none(self) -> bool:
        """Whether a None that eager returns counts as an output."""
        return self.script if self.ignore_none is None else not self.ignore_none

    @property
    def judged_fixed(self) -> bool:
        """Whether a tolerance stands in place of the oracle."""
        return self.rtol is not None or self.atol is not None

    @property
    def lenient(self) -> bool:
        """Whether anything is let through that the oracle would not."""
        return self.judged_fixed or self.mismatched > 0 or not self.check_shape or not self.check_dtype

    def input_name(self, number: int) -> str:
        """Return what the tensor of that number is called in the exported model."""
        return self.input_names[number] if number < len(self.input_names) else f"x{number}"

    def axes_of(self, name: str) -> dict[int, str | None]:
        """Return the dynamic axes of an input or output, with their names; empty if it has none."""
        return dict(dict(self.dynamic_axes or ()).get(name, ()))

    def document(self) -> dict[str, Any]:
        """Return the terms off their defaults as plain data for JSON; [of][] takes it back."""
        document: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value == one.default:
                continue
            if one.name == "dynamic_axes":
                value = {name: {str(axis): called for axis, called in axes} for name, axes in value}
            document[one.name] = list(value) if isinstance(value, tuple) else value
        return document

    def __str__(self) -> str:
        return ", ".join(f"{name}={_shown(value)}" for name, value in self.document().items())


#: Where else the options of PyTorch's ``run_model_test`` and ``torch.onnx.export`` are said.
ELSEWHERE: Mapping[str, str] = {
    "opset_version": "the opset is part of a mode; write modes='torchscript,opset=13'",
    "keep_initializers_as_inputs": "it is part of a mode; write modes='torchscript,keep_initializers_as_inputs=true'",
    "do_constant_folding": "it is part of a mode; write modes='torchscript,do_constant_folding=false'",
    "training": "it is part of a mode; write modes='torchscript,training=TRAINING'",
    "operator_export_type": "it is part of a mode; write modes='torchscript,operator_export_type=ONNX_FALLTHROUGH'",
    "dynamo": "the exporter begins a mode; write modes='dynamo' or modes='torchscript'",
    "flatten": "nested inputs and outputs are always flattened; with script=True lists stay sequences",
    "remained_onnx_input_idx": "inputs that the export drops are not fed; to ask for some, remaining_inputs=[0]",
    "acceptable_error_percentage": "write mismatched=0.05 for one element in twenty",
    "additional_test_inputs": "write extra_inputs=[(x,), (y,)]",
    "input_args": "write inputs=['float32[N, 3]'] for what they are like, or extra_inputs=[(x,)] for themselves",
    "use_external_data": "write external_data=True",
    "backend": "write runtimes=['ort'] or runtimes=['reference']",
    "onnx_shape_inference": "the exporters always do that; there is no option for it",
}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise UsageError(f"{name}={value!r} must be True or False")
    return value


def _flag_or_none(name: str, value: Any) -> bool | None:
    return None if value is None else _flag(name, value)


def _tolerance(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise UsageError(f"{name}={value!r} must be a finite number, 0 or more")
    return float(value)


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{name}={value!r} must be from 0 to 1: the share of elements that may differ")
    return float(value)


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(f"{name}={value!r} must be a list of names")
    for one in value:
        if not isinstance(one, str) or not one:
            raise UsageError(f"{name}: {one!r} is no name; write a text that is not empty")
    if len(set(value)) < len(value):
        raise UsageError(f"{name}={list(value)!r} has a name twice")
    return tuple(value)


def _numbers(name: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UsageError(f"{name}={value!r} must be a list of numbers, the first input being 0")
    for one in value:
        if type(one) is not int or one < 0:
            raise UsageError(f"{name}: {one!r} is no number of an input; the first is 0")
    return tuple(sorted(set(value)))


def _dynamic(name: str, value: Any) -> tuple[tuple[str, Axes], ...] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise UsageError(f"{name}={value!r} must be like {{'x0': [0]}} or {{'x0': {{0: 'batch'}}}}")
    read_axes = []
    for place, axes in value.items():
        if not isinstance(place, str):
            raise UsageError(f"{name}: {place!r} is no name of an input or output")
        if isinstance(axes, str) or not isinstance(axes, Mapping | Sequence):
            raise UsageError(
                f"{name}[{place!r}]={axes!r} must be axes, or axes with names: [0] or {{0: 'batch'}}"
            )
        pairs = list(axes.items()) if isinstance(axes, Mapping) else [(axis, None) for axis in axes]
        read_axes.append((place, tuple(_axis(f"{name}[{place!r}]", *pair) for pair in pairs)))
    return tuple(read_axes)


def _axis(place: str, axis: Any, called: Any) -> tuple[int, str | None]:
    if isinstance(axis, str) and axis.isdecimal():
        axis = int(axis)
    if type(axis) is not int or axis < 0:
        raise UsageError(f"{place}: {axis!r} is no axis; the first is 0")
    if called is not None and (not isinstance(called, str) or not called.isidentifier()):
        raise UsageError(f"{place}: axis {axis} cannot be called {called!r}; a name is like a Python name")
    return axis, called


_CHECKS: Mapping[str, Any] = {
    "rtol": _tolerance,
    "atol": _tolerance,
    "mismatched": _share,
    "check_shape": _flag,
    "check_dtype": _flag,
    "ignore_none": _flag_or_none,
    "input_names": _names,
    "output_names": _names,
    "dynamic_axes": _dynamic,
    "remaining_inputs": _numbers,
    "external_data": _flag,
    "script": _flag,
    "fixed_batch_size": _flag,
}

#: The terms of a case that says nothing.
DEFAULT_TERMS = Terms()
