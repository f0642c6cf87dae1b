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
from diffexport.values.exporter_descriptions import (
    EXPORTERS,
    FUNCTIONS_MIN_OPSET,
    ExporterDescription,
    Value,
    describe,
    exporter_names,
    exporters_matching,
)
from diffexport.values.mode import Mode, ModePattern, is_pattern

MATRICES = ("default", "full")
#: How deep configured matrices may be made of each other.
_DEEPEST = 50


def axes(exporter: str) -> dict[str, tuple[Value, ...]]:
    """Return every option ``exporter`` honours with all its values, the default first."""
    described = describe(exporter)
    return {option.name: described.values_of(option) for option in described.options}


def possible(options: Mapping[str, Any]) -> bool:
    """Return whether a full or partial assignment of options can be part of a valid mode."""
    return not (options.get("export_modules_as_functions") and options.get("opset", 99) < FUNCTIONS_MIN_OPSET)


def _pairwise(factors: Mapping[str, Sequence[Value]]) -> list[Mode]:
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
    if len(varying) < 2:
        rows = [{name: value} for name, values in varying.items() for value in values] or [{}]
    else:
        rows = covertable.make(varying, strength=2, constraints=constraints)
    modes = []
    for row in rows:
        options: dict[str, Any] = {**fixed, **row}
        modes.append(Mode.of(options.pop("exporter"), options))
    return modes


@functools.cache
def default_matrix(exporter: str | None = None) -> tuple[Mode, ...]:
    """Return the pairwise matrix of one exporter, or of all built-in ones, defaults first, without repeats.

    Built-in exporters that share their conversion share one array in which the exporter is an axis of its own.

    Raises:
        InvalidModeError: there is no such exporter.
    """
    if exporter in EXPORTERS:
        return tuple(mode for mode in default_matrix() if mode.exporter == exporter)
    if exporter is not None:
        described = Mode(exporter).description
        return _simplest_first((Mode(exporter), *_array((described,))))
    groups: dict[str, list[ExporterDescription]] = {}
    for described in map(describe, EXPORTERS):
        groups.setdefault(described.conversion, []).append(described)
    modes: list[Mode] = [Mode(name, dynamic=dynamic) for name in EXPORTERS for dynamic in (False, True)]
    return _simplest_first((*modes, *(mode for group in groups.values() for mode in _array(group))))


def _simplest_first(modes: Iterable[Mode]) -> tuple[Mode, ...]:
    return tuple(dict.fromkeys(sorted(modes, key=lambda mode: mode.complexity)))


def _array(group: Sequence[ExporterDescription]) -> list[Mode]:
    """Return pairwise modes of exporters that have the same options, and again among those that can be run."""
    factors = axes(group[0].name)
    if len(group) > 1:
        return _pairwise({"exporter": tuple(described.name for described in group), **factors})
    factors = {"exporter": (group[0].name,), **factors}
    if not group[0].runnable:
        return _pairwise(factors)
    fixed = {name: (value,) for name, value in group[0].runnable.items()}
    return [*_pairwise({**factors, **fixed}), *_pairwise(factors)]


@functools.cache
def full_matrix(exporter: str | None = None) -> tuple[Mode, ...]:
    """Return every valid mode of one exporter, or of all built-in ones, simplest first.

    Raises:
        InvalidModeError: there is no such exporter.
    """
    if exporter is None:
        return tuple(mode for name in EXPORTERS for mode in full_matrix(name))
    factors = axes(Mode(exporter).exporter)
    modes = []
    for values in itertools.product(*factors.values()):
        options = dict(zip(factors, values, strict=True))
        if possible(options):
            modes.append(Mode.of(exporter, options))
    return tuple(sorted(modes, key=lambda mode: mode.complexity))


def select_modes(texts: Iterable[str], named: Mapping[str, Sequence[str]] | None = None) -> tuple[Mode, ...]:
    """Return the modes that ``texts`` stand for, in order, without repeats.

    Each text is the name of a matrix (``default``, ``full``, or one of ``named``, the configured ones), a
    mode (``dynamo,opset=25``), or a mode pattern, which stands for all of ``full`` that it matches; one that matches
    no built-in exporter, for all modes of the exporters of other packages that it matches.

    Raises:
        InvalidModeError: a text is none of these, or a pattern matches nothing.
    """
    chosen: dict[Mode, None] = {}
    taken: set[str] = set()
    for text in texts:
        chosen.update(dict.fromkeys(_select_one(text, named or {}, (), taken)))
    return tuple(chosen)


def named_modes(
    texts: Iterable[str], named: Mapping[str, Sequence[str]] | None = None
) -> tuple[Mode, ...] | None:
    """Return the modes that ``texts`` stand for, where each is a mode, a pattern or a configured matrix.

    None where ``default`` or ``full`` is among them: these stand for every way of exporting, and a finding may be told
    in any.

    Raises:
        InvalidModeError: see [select_modes][].
    """
    given = tuple(texts)
    return None if set(given) & set(MATRICES) else select_modes(given, named)


def _select_one(
    text: str, named: Mapping[str, Sequence[str]], above: tuple[str, ...], taken: set[str]
) -> Iterable[Mode]:
    """Return the modes that a text stands for; those of a matrix that is among ``taken`` are there already."""
    if text in named:
        if text in above:
            raise InvalidModeError(f"the configured matrix {text!r} contains itself")
        if len(above) > _DEEPEST:
            raise InvalidModeError(
                f"the configured matrix {above[0]!r} is made of more than {_DEEPEST} others"
            )
        if text in taken:
            return ()
        within = [mode for part in named[text] for mode in _select_one(part, named, (*above, text), taken)]
        taken.add(text)
        return within
    if text == "default":
        return default_matrix()
    if text == "full":
        return full_matrix()
    if is_pattern(text):
        pattern = ModePattern.parse(text)
        modes = tuple(
            mode
            for name in exporters_matching(pattern.exporter)
            for mode in full_matrix(name)
            if pattern.matches(mode)
        )
        if not modes:
            raise InvalidModeError(f"the mode pattern {text!r} matches no mode of the full matrix")
        return modes
    names = (*named, *MATRICES, *exporter_names())
    if "," not in text and "=" not in text and text not in names:
        raise InvalidModeError(f"unknown mode or matrix {text!r}{suggestion(text, names)}")
    return (Mode.parse(text),)
