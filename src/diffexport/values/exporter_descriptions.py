"""What can be said of an exporter without loading it: its name, options, opsets, and what it does with a model.

The built-in ones are described here; the exporter of another package brings its own description, which is looked up
through the entry point of its name in the group ``diffexport.exporters``.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffexport.errors import PlugInError, UnknownNameError
from diffexport.values.plug_ins import Registry, missing_parts

Value = str | int | bool

#: What ``torch.onnx.export`` exports at unless told otherwise.
DEFAULT_OPSET = 20

#: TorchScript turns modules into local functions only from here on (IR version 8).
FUNCTIONS_MIN_OPSET = 15


def _nearest_first(opsets: Iterable[int]) -> list[int]:
    return sorted(opsets, key=lambda opset: (abs(opset - DEFAULT_OPSET), opset))


@dataclass(frozen=True)
class Option:
    """One axis of the mode space: its default, its values, and what it is."""

    name: str
    default: Value
    values: tuple[Value, ...]
    summary: str

    @property
    def exporters(self) -> tuple[str, ...]:
        """The built-in exporters that honour it."""
        return tuple(name for name, described in BUILT_IN.items() if self in described.options)


@dataclass(frozen=True)
class ExporterDescription:
    """An exporter, as far as modes, matrices and schedules need to know it.

    Attributes:
        name: how a mode's text begins. In lower case, with hyphens.
        opsets: those of ai.onnx that it gives when asked.
        options: those it honours, as they stand in a mode's text; one of [OPTIONS][] is that very object, others are
            its own.
        order: simplest first: a failure that two exporters share is the simpler one's.
        cost: seconds for one export of a small model, roughly; what costs most is begun first, and what costs little
            is exported at more shapes.
        conversion: exporters of one conversion differ in how they capture a model: what fails in converting is one
            failure. By default its name, so that it shares its conversion with no other.
        takes_scripted: it exports ``torch.jit.script`` models.
        ignores_symbolic: it does not look at the ``symbolic`` of an autograd Function.
        drops_inputs: inputs that the model does not use are not in the graph.
        numbers_become_inputs: Python numbers among the arguments that are computed with become graph inputs.
        runnable: options whose other values make it refuse models, or make what no runtime loads.
    """

    name: str
    opsets: tuple[int, ...]
    options: tuple[Option, ...]
    order: int = 100
    cost: float = 0.2
    conversion: str = ""
    takes_scripted: bool = False
    ignores_symbolic: bool = True
    drops_inputs: bool = False
    numbers_become_inputs: bool = False
    runnable: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.conversion:
            object.__setattr__(self, "conversion", self.name)

    @property
    def is_cheap(self) -> bool:
        """Whether an export costs milliseconds, so that there may be many."""
        return self.cost < 0.05

    def option(self, name: str) -> Option | None:
        """Return the option of a name; None if it is not honoured."""
        return next((option for option in self.options if option.name == name), None)

    def values_of(self, option: Option) -> tuple[Value, ...]:
        """Return the values that an option may have, the default first, opsets by their distance from it."""
        values: Sequence[Value] = _nearest_first(self.opsets) if option is OPSET else option.values
        return (option.default, *(value for value in values if value != option.default))


OPSET = Option("opset", DEFAULT_OPSET, tuple(range(7, 26)), "opset_version: the ai.onnx opset asked for")
DYNAMIC = Option("dynamic", False, (False, True), "every axis that the inputs' specs leave free is dynamic")
KEEP_INITIALIZERS = Option(
    "keep_initializers_as_inputs", False, (False, True), "weights are graph inputs as well"
)
OPTIONS: tuple[Option, ...] = (
    OPSET,
    DYNAMIC,
    KEEP_INITIALIZERS,
    Option("optimize", True, (True, False), "onnxscript's graph optimiser runs after conversion"),
    Option(
        "operator_export_type",
        "ONNX",
        ("ONNX", "ONNX_ATEN_FALLBACK", "ONNX_FALLTHROUGH", "ONNX_ATEN"),
        "torch.onnx.OperatorExportTypes",
    ),
    Option("do_constant_folding", True, (True, False), "constants are folded at export"),
    Option("training", "EVAL", ("EVAL", "PRESERVE", "TRAINING"), "torch.onnx.TrainingMode"),
    Option("autograd_inlining", True, (True, False), "autograd.Functions are inlined"),
    Option(
        "export_modules_as_functions",
        False,
        (False, True),
        f"modules become local functions (opset ≥ {FUNCTIONS_MIN_OPSET})",
    ),
    Option(
        "scoped",
        False,
        (False, True),
        "the tracer's module map is set for the export (scoped tracing)",
    ),
)
OPTIONS_BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}

# Opsets as measured on torch 2.13; torch documents 7–20 for TorchScript and up to 23 for the others.
_TORCH_EXPORT_OPTIONS = (*OPTIONS[:3], OPTIONS_BY_NAME["optimize"])
#: The built-in exporters, simplest (the default of ``torch.onnx.export``) first.
BUILT_IN: Mapping[str, ExporterDescription] = {
    described.name: described
    for described in (
        ExporterDescription(
            "dynamo", tuple(range(13, 26)), _TORCH_EXPORT_OPTIONS, order=0, cost=0.2, conversion="dynamo"
        ),
        ExporterDescription(
            "dynamo-strict",
            tuple(range(13, 26)),
            _TORCH_EXPORT_OPTIONS,
            order=1,
            cost=0.4,
            conversion="dynamo",
        ),
        ExporterDescription(
            "torchscript",
            tuple(range(7, 21)),
            tuple(option for option in OPTIONS if option.name != "optimize"),
            order=2,
            cost=0.005,
            takes_scripted=True,
            ignores_symbolic=False,
            drops_inputs=True,
            numbers_become_inputs=True,
            # Other values make an export of an opaque Function refuse, or leave nodes that no runtime knows.
            runnable={"operator_export_type": "ONNX", "autograd_inlining": True},
        ),
    )
}
#: Names of the built-in exporters: what the matrices and patterns stand for.
EXPORTERS = tuple(BUILT_IN)

_ROOM = "diffexport.backends.exporters"


def _problem(name: str, loaded: Any) -> str:
    """Return how an object breaks the protocol of an exporter; empty if it keeps to it."""
    methods = {"export": None, "stage_of": None, "program": None, "script": None}
    problem = missing_parts(loaded, {"description": ExporterDescription, **methods})
    if problem:
        return problem
    described: ExporterDescription = loaded.description
    if described.name != name:
        return f"its description is of {described.name!r}"
    if DEFAULT_OPSET not in described.opsets and described.option("opset") is not None:
        return f"its opsets {described.opsets} lack {DEFAULT_OPSET}, which is what is asked for by default"
    options: Any = described.options
    for option in options:
        if not isinstance(option, Option):
            return f"{option!r} is no Option"
        if option.name in OPTIONS_BY_NAME and option is not OPTIONS_BY_NAME[option.name]:
            return f"its option {option.name!r} is not the one of that name that diffexport has"
        if option.name == "exporter" or option.default not in option.values:
            return f"its option {option.name!r} cannot be one: {option}"
    return ""


#: Every exporter as [Exporter][diffexport.backends.exporters.Exporter]. A new one is a row here, a description above
#: and a module there.
EXPORTER_REGISTRY: Registry[Any] = Registry(
    "diffexport.exporters",
    "exporter",
    {
        "dynamo": f"{_ROOM}.torch_export:DYNAMO",
        "dynamo-strict": f"{_ROOM}.torch_export:DYNAMO_STRICT",
        "torchscript": f"{_ROOM}.torch_script:TORCHSCRIPT",
    },
    _problem,
)


def describe(exporter: str) -> ExporterDescription:
    """Return what is known of an exporter; that of another package is imported.

    Raises:
        UnknownNameError: there is none of that name.
        PlugInError: the package that has it raises when imported, or does not keep to the protocol.
    """
    described = BUILT_IN.get(exporter)
    if described is None:
        described = EXPORTER_REGISTRY.get(exporter).description
    return described


def exporter_names() -> tuple[str, ...]:
    """Return the name of every exporter, those of other packages after the built-in ones; nothing is imported."""
    return EXPORTER_REGISTRY.names()


def exporters_matching(pattern: str) -> tuple[str, ...]:
    """Return the exporters that a glob stands for: the built-in ones it matches, or if there are none, the others.

    What a pattern stands for does not depend on which packages are installed, unless it is about theirs alone.
    """
    return tuple(fnmatch.filter(EXPORTERS, pattern) or fnmatch.filter(exporter_names(), pattern))


def in_order(exporters: Iterable[str]) -> tuple[str, ...]:
    """Return names of exporters, simplest first, without repeats; those that cannot be used come last."""

    def key(name: str) -> tuple[int, str]:
        try:
            return describe(name).order, name
        except (PlugInError, UnknownNameError):
            return 1_000_000, name

    return tuple(sorted(set(exporters), key=key))
