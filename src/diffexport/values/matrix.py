"""Matrices: which modes a run covers.

``default`` is, per exporter, a pairwise covering array over every option, preceded by the exporter's defaults
(static and dynamic) and by a second covering array over the modes that can be exported *and run*. Without the
second one, a pair such as opset 9 with constant folding off might occur only in modes that refuse to export
(the masking effect), and would never be compared. ``full`` is the whole product.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diffexport.errors import InvalidModeError, suggestion
from diffexport.values.mode import (
    EXPORTERS,
    FUNCTIONS_MIN_OPSET,
    OPTIONS,
    Mode,
    ModePattern,
    Value,
    is_pattern,
)

MATRICES = ("default", "full")

#: Options whose other values make a TorchScript export of an opaque Function refuse or unloadable.
MASKING: Mapping[str, Value] = {"operator_export_type": "ONNX", "autograd_inlining": True}


def axes(exporter: str) -> dict[str, tuple[Value, ...]]:
    """Return every option ``exporter`` honours with all its values, the default first."""
    return {o.name: o.values_for(exporter) for o in OPTIONS if exporter in o.exporters}


def possible(options: Mapping[str, Any]) -> bool:
    """Return whether a full or partial assignment of options can be part of a valid mode."""
    return not (options.get("export_modules_as_functions") and options.get("opset", 99) < FUNCTIONS_MIN_OPSET)


def _pairwise(exporter: str, factors: Mapping[str, Sequence[Value]]) -> list[Mode]:
    import covertable

    constraints = []
    if "export_modules_as_functions" in factors:
        constraints.append(
            {
                "operator": "fn",
                "requires": ["export_modules_as_functions", "opset"],
                "evaluate": possible,
            }
        )
    fixed = {name: values[0] for name, values in factors.items() if len(values) == 1}
    varying = {name: list(values) for name, values in factors.items() if len(values) > 1}
    rows = covertable.make(varying, strength=2, constraints=constraints)
    return [Mode.of(exporter, {**fixed, **row}) for row in rows]


@functools.cache
def default_matrix(exporter: str | None = None) -> tuple[Mode, ...]:
    """Return the pairwise matrix of one exporter, or of all of them, defaults first, without repeats.

    The two dynamo exporters share one array in which strictness is an axis of its own.
    """
    if exporter is not None:
        _check_exporter(exporter)
        return tuple(mode for mode in default_matrix() if mode.exporter == exporter)
    modes: list[Mode] = [Mode(name, dynamic=dynamic) for name in EXPORTERS for dynamic in (False, True)]
    dynamo: dict[str, tuple[Value, ...]] = {"exporter": ("dynamo", "dynamo-strict"), **axes("dynamo")}
    modes += _dynamo_pairwise(dynamo)
    torchscript = axes("torchscript")
    runnable = {name: (MASKING[name],) if name in MASKING else values for name, values in torchscript.items()}
    modes += _pairwise("torchscript", runnable)
    modes += _pairwise("torchscript", torchscript)
    return tuple(dict.fromkeys(sorted(modes, key=lambda mode: mode.complexity)))


def _dynamo_pairwise(factors: Mapping[str, Sequence[Value]]) -> list[Mode]:
    import covertable

    rows = covertable.make({name: list(values) for name, values in factors.items()}, strength=2)
    return [Mode(**row) for row in rows]


def _check_exporter(name: str) -> None:
    if name not in EXPORTERS:
        raise InvalidModeError(f"unknown exporter {name!r}{suggestion(name, EXPORTERS)}")


@functools.cache
def full_matrix(exporter: str | None = None) -> tuple[Mode, ...]:
    """Return every valid mode of one exporter, or of all of them, simplest first."""
    if exporter is not None:
        _check_exporter(exporter)
    exporters = EXPORTERS if exporter is None else (exporter,)
    modes = []
    for name in exporters:
        factors = axes(name)
        for values in itertools.product(*factors.values()):
            options = dict(zip(factors, values, strict=True))
            if possible(options):
                modes.append(Mode.of(name, options))
    return tuple(sorted(modes, key=lambda mode: mode.complexity))


def select_modes(texts: Iterable[str], named: Mapping[str, Sequence[str]] | None = None) -> tuple[Mode, ...]:
    """Return the modes that ``texts`` stand for, in order, without repeats.

    Each text is the name of a matrix (``default``, ``full``, or one of ``named``, the configured ones), a
    mode (``dynamo,opset=25``), or a mode pattern, which stands for all of ``full`` that it matches.

    Raises:
        InvalidModeError: a text is none of these, or a pattern matches nothing.
    """
    named = named or {}
    chosen: dict[Mode, None] = {}
    for text in texts:
        chosen.update(dict.fromkeys(_select_one(text, named, ())))
    return tuple(chosen)


def _select_one(text: str, named: Mapping[str, Sequence[str]], above: tuple[str, ...]) -> tuple[Mode, ...]:
    if text in named:
        if text in above:
            raise InvalidModeError(f"the configured matrix {text!r} contains itself")
        parts = (_select_one(part, named, (*above, text)) for part in named[text])
        return tuple(itertools.chain.from_iterable(parts))
    if text == "default":
        return default_matrix()
    if text == "full":
        return full_matrix()
    if is_pattern(text):
        pattern = ModePattern.parse(text)
        modes = tuple(mode for mode in full_matrix() if pattern.matches(mode))
        if not modes:
            raise InvalidModeError(f"the mode pattern {text!r} matches no mode of the full matrix")
        return modes
    names = (*named, *MATRICES, *EXPORTERS)
    if "," not in text and "=" not in text and text not in names:
        raise InvalidModeError(f"unknown mode or matrix {text!r}{suggestion(text, names)}")
    return (Mode.parse(text),)
