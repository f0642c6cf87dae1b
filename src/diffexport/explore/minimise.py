"""After Hypothesis has shrunk an input: the simplest mode, runtime and tensor that still show the failure.

Hypothesis shrinks what it drew, one mode at a time. What it cannot know is that an option may go back to its
default, that a lower optimisation level or another exporter does the same, or that an element may be moved
because the case's specs say any value will do. Each step here is kept only if the failure stays the same
failure: kind, place and signature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from diffexport.arrays import array_of, is_complex, is_floating, to_array
from diffexport.backends.runtimes import available, family
from diffexport.errors import InvalidModeError
from diffexport.oracle import same_bits
from diffexport.pipeline import Pipeline
from diffexport.strategies import examples
from diffexport.subjects.cases import Case, excluding
from diffexport.values import (
    DEFAULT_OPSET,
    DYNAMO,
    EXPORTERS,
    OPTIONS,
    OPTIONS_BY_NAME,
    Divergence,
    Mode,
    Stage,
    TensorSpec,
    Verdict,
    admits_all,
    leaves,
    mapped,
    paths,
)

Array = np.ndarray[Any, Any]

#: Most checks spent on one finding.
BUDGET = 600


@dataclass(frozen=True, eq=False)
class Point:
    """A place where the failure shows; inputs as in [Trial][diffexport.strategies.Trial]."""

    mode: Mode
    runtime: str
    inputs: Any
    export_inputs: Any


@dataclass(frozen=True, eq=False)
class Seen:
    """The failure as it showed at a point."""

    point: Point
    verdict: Verdict
    divergence: Divergence


class Minimiser:
    """Searches for the simplest point of one failure."""

    def __init__(self, road: Pipeline, case: Case, strict: bool, budget: int = BUDGET) -> None:
        self._road, self._case, self._strict = road, case, strict
        self._left = budget
        self._exclusions = case.exclusions

    def run(self, start: Point, wanted: Divergence) -> Seen | None:
        """Return the failure at the simplest point found, or None if it does not show at ``start``."""
        best = self.look(start, wanted)
        if best is None:
            return None
        best = self._plain_layout(best)
        best = self._simplest_exporter(self._simplest_mode(best))
        for _ in range(4):
            before = best
            best = self._smaller_inputs(best)
            best = self._simplest_mode(best)
            if best is before or self._left <= 0:
                break
        best = self._simplest_exporter(best)
        return self._plain_export_inputs(best)

    def look(self, point: Point, wanted: Divergence) -> Seen | None:
        """Check one point; return the failure if it is there. A mode that the case excludes is not looked at."""
        if excluding(point.mode, self._case.name, self._exclusions) is not None:
            return None
        self._left -= 1
        verdict = self._road.check(
            self._case,
            point.mode,
            point.runtime,
            point.inputs,
            export_inputs=point.export_inputs,
            strict=self._strict,
        )
        for divergence in (*verdict.divergences, *verdict.notes):
            if _same(divergence, wanted):
                return Seen(point, verdict, divergence)
        return None

    def _try(self, best: Seen, point: Point) -> Seen | None:
        return self.look(point, best.divergence) if self._left > 0 else None

    def _simplest_mode(self, best: Seen) -> Seen:
        # A model that is given is the same in every mode.
        for option in () if self._road.same_in_every_mode else OPTIONS:
            mode = best.point.mode
            value = getattr(mode, option.name)
            if mode.exporter not in option.exporters or value == option.default:
                continue
            for candidate in self._simpler(mode, option.name):
                point = replace(best.point, mode=candidate)
                if option.name == "dynamic":
                    point = replace(point, export_inputs=self._like(point.inputs))
                seen = self._try(best, point)
                if seen is not None:
                    best = seen
                    break
        return self._simplest_runtime(best)

    def _simplest_runtime(self, best: Seen) -> Seen:
        """Blame the lowest optimisation level, or another family that gives the same wrong outputs."""
        own = family(best.point.runtime)
        for name in available():
            if name == best.point.runtime:
                break
            seen = self._try(best, replace(best.point, runtime=name))
            if seen is not None and (family(name) == own or same_bits(seen.verdict.got, best.verdict.got)):
                return seen
        return best

    def _simpler(self, mode: Mode, name: str) -> Iterator[Mode]:
        values: Sequence[Any] = (OPTIONS_BY_NAME[name].default,)
        if name == "opset":
            values = range(DEFAULT_OPSET, mode.opset, 1 if mode.opset > DEFAULT_OPSET else -1)
        for value in values:
            try:
                yield Mode.of(mode.exporter, {**mode.options(), name: value})
            except InvalidModeError:
                continue

    def _simplest_exporter(self, best: Seen) -> Seen:
        """Blame the simplest exporter that fails in the same way, with the same wrong values."""
        if self._road.same_in_every_mode:
            return best
        for exporter in EXPORTERS[: EXPORTERS.index(best.point.mode.exporter)]:
            for mode in _counterparts(best.point.mode, exporter):
                seen = self._try(best, replace(best.point, mode=mode))
                if seen is not None and _same_failure(seen, best):
                    return seen
        return best

    def exporters(self, best: Seen) -> tuple[str, ...]:
        """Return the exporters that fail in the same way at this point, with the same wrong values."""
        found = {best.point.mode.exporter}
        for exporter in () if self._road.same_in_every_mode else EXPORTERS:
            if exporter not in found:
                for mode in _counterparts(best.point.mode, exporter):
                    seen = self.look(replace(best.point, mode=mode), best.divergence)
                    if seen is not None and _same_failure(seen, best):
                        found.add(exporter)
        return tuple(name for name in EXPORTERS if name in found)

    def _plain_layout(self, best: Seen) -> Seen:
        """Replace tensors of odd layout by contiguous arrays, where the failure does not need the layout."""
        # What a strategy gives is as simple as Hypothesis could make it.
        for name in ("inputs", "export_inputs") if self._case.specs else ():
            plain = as_arrays(getattr(best.point, name))
            if plain is not None:
                best = self._try(best, replace(best.point, **{name: plain})) or best
        return best

    def _plain_export_inputs(self, best: Seen) -> Seen:
        plain = self._like(best.point.inputs)
        if _equal(plain, best.point.export_inputs):
            return best
        return self._try(best, replace(best.point, export_inputs=plain)) or best

    def _like(self, inputs: Any) -> Any:
        """Return ordinary example inputs of the same shapes; what no spec speaks of is kept."""
        if not self._case.specs:
            return inputs
        pairs = list(zip(self._case.inputs, inputs, strict=True))
        shapes = [tuple(value.shape) for entry, value in pairs if isinstance(entry, TensorSpec)]
        made = iter(examples(shapes, self._case.specs))
        return tuple(next(made) if isinstance(entry, TensorSpec) else value for entry, value in pairs)

    def _tensors(self, inputs: tuple[Any, ...]) -> list[int]:
        """Return which arguments may be changed: arrays that a spec speaks of."""
        return [
            number
            for number, (entry, value) in enumerate(zip(self._case.inputs, inputs, strict=True))
            if isinstance(entry, TensorSpec) and isinstance(value, np.ndarray)
        ]

    def _fair(self, inputs: tuple[Any, ...]) -> bool:
        pairs = zip(self._case.inputs, inputs, strict=True)
        shapes = [value.shape for entry, value in pairs if isinstance(entry, TensorSpec)]
        return admits_all(self._case.specs, shapes)

    # Inputs: only for cases whose inputs are given by specs, where every tensor that the specs admit is fair.

    def _smaller_inputs(self, best: Seen) -> Seen:
        if not self._case.specs:
            return best
        improved = True
        while improved and self._left > 0:
            improved = False
            for candidate in self._smaller_shapes(best.point.inputs):
                seen = self._try_inputs(best, candidate)
                if seen is not None:
                    best, improved = seen, True
                    break
        return self._simpler_values(best)

    def _try_inputs(self, best: Seen, inputs: tuple[Any, ...]) -> Seen | None:
        point = replace(best.point, inputs=inputs)
        shapes, before = [np.shape(x) for x in inputs], [np.shape(x) for x in best.point.inputs]
        own_axes = self._case.terms.dynamic_axes is not None
        if not best.point.mode.dynamic or own_axes or shapes == before:
            export_inputs = best.point.export_inputs if shapes == before else self._like(inputs)
            return self._try(best, replace(point, export_inputs=export_inputs))
        ranks = [len(shape) for shape in shapes]
        if ranks != [np.ndim(x) for x in best.point.export_inputs]:
            point = replace(point, export_inputs=self._like(inputs))
        return self._try(best, point)

    def _smaller_shapes(self, inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        leads: dict[str, list[int]] = {}
        for number in self._tensors(inputs):
            entry = self._case.inputs[number]
            if entry.leading and inputs[number].ndim > len(entry.dims):
                leads.setdefault(entry.lead or f" {number}", []).append(number)
        for together in leads.values():
            for index in range(min(max(inputs[n].shape[0] for n in together), 8)):
                candidate = inputs
                for n in together:
                    size = inputs[n].shape[0]
                    if size:
                        kept = np.array(inputs[n][min(index, size - 1)], order="C")
                        candidate = _put(candidate, n, kept)
                if self._fair(candidate):
                    yield candidate
        for axes in self._axis_groups(inputs):
            number, axis = axes[0]
            size = inputs[number].shape[axis]
            cuts: list[Any] = [slice(0, 1), slice(0, size // 2), slice(size // 2, size)] if size > 2 else []
            cuts += [[i for i in range(size) if i != drop] for drop in reversed(range(min(size, 16)))]
            for cut in cuts:
                candidate = inputs
                for n, a in axes:
                    picked = np.take(candidate[n], np.arange(size)[cut], axis=a)
                    candidate = _put(candidate, n, picked)
                if self._fair(candidate):
                    yield candidate

    def _axis_groups(self, inputs: tuple[Any, ...]) -> list[list[tuple[int, int]]]:
        """Return the axes that must keep one size together: those that share a name, else each alone."""
        named: dict[str, list[tuple[int, int]]] = {}
        alone: list[list[tuple[int, int]]] = []
        for number in self._tensors(inputs):
            array = inputs[number]
            for axis, dim in enumerate(self._case.inputs[number].dims_for(array.ndim)):
                if dim.name is not None and not (dim.one and array.shape[axis] == 1):
                    named.setdefault(dim.name, []).append((number, axis))
                else:
                    alone.append([(number, axis)])
        return [*alone, *named.values()]

    def _simpler_values(self, best: Seen) -> Seen:
        for number in self._tensors(best.point.inputs):
            spec = self._case.inputs[number]
            zeros = _put(best.point.inputs, number, np.zeros_like(best.point.inputs[number]))
            if _within(spec, 0) and not _equal(zeros, best.point.inputs):
                best = self._try_inputs(best, zeros) or best
            for index in np.ndindex(best.point.inputs[number].shape):
                for value in simpler_values(best.point.inputs[number][index]):
                    if not _within(spec, value):
                        continue
                    changed = np.array(best.point.inputs[number])
                    changed[index] = value
                    seen = self._try_inputs(best, _put(best.point.inputs, number, changed))
                    if seen is not None:
                        best = seen
                        break
                if self._left <= 0:
                    return best
        return best


def _within(spec: TensorSpec, value: Any) -> bool:
    if spec.low is None and spec.high is None:
        return True
    low, high = (-math.inf if spec.low is None else spec.low), (math.inf if spec.high is None else spec.high)
    return low <= float(value) <= high


def as_arrays(inputs: Any) -> Any:
    """Return the same with every tensor as a contiguous array; None if there is no tensor."""
    if not any(isinstance(leaf, torch.Tensor) for leaf in leaves(inputs)):
        return None
    return mapped(
        inputs, lambda leaf: np.array(to_array(leaf), order="C") if isinstance(leaf, torch.Tensor) else leaf
    )


def _put(inputs: tuple[Any, ...], number: int, array: Array) -> tuple[Any, ...]:
    return (*inputs[:number], array, *inputs[number + 1 :])


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    mine, theirs = list(paths(one)), list(paths(other))
    return len(mine) == len(theirs) and all(
        path == at and _same_leaf(array_of(a), array_of(b))
        for (path, a), (at, b) in zip(mine, theirs, strict=True)
    )


def _same_leaf(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.tobytes() == other.tobytes() and one.shape == other.shape
    return type(one) is type(other) and bool(one == other)


def _same(one: Divergence, other: Divergence) -> bool:
    mine = (one.stage, one.kind, one.where, one.signature)
    return mine == (other.stage, other.kind, other.where, other.signature)


def _counterparts(mode: Mode, exporter: str) -> Iterator[Mode]:
    """Yield the modes of another exporter that stand for ``mode``: its default, and the same options."""
    yield Mode(exporter, dynamic=mode.dynamic)
    try:
        same = replace(mode, exporter=exporter)
    except InvalidModeError:
        return
    if same != Mode(exporter, dynamic=mode.dynamic):
        yield same


def _same_failure(one: Seen, other: Seen) -> bool:
    """Return whether two exporters show one failure: equal wrong values, or one shared conversion."""
    if one.divergence.stage in (Stage.COMPARE, Stage.CHECK) and one.verdict.got:
        return same_bits(one.verdict.got, other.verdict.got)
    if one.divergence.stage in (Stage.CAPTURE, Stage.CONVERT):
        both = {one.point.mode.exporter, other.point.mode.exporter}
        return one.divergence.stage is Stage.CONVERT and both <= set(DYNAMO)
    return True


def simplicity(value: Any) -> tuple[float, ...]:
    """Sort key of a number, simplest first: 0, 1, 2, …, -1, …, halves, short decimals, then the odd ones.

    A complex number is as odd as the odder of its parts.
    """
    if np.iscomplexobj(value):
        keys = [(*simplicity(part), 0.0, 0.0, 0.0)[:4] for part in (value.real, value.imag)]
        return (*max(keys), *min(keys), *keys[1])
    number = float(value)
    if math.isnan(number):
        return (7,)
    if math.isinf(number):
        return (5,) if number > 0 else (6,)
    if number == 0:
        return (8,) if math.copysign(1, number) < 0 else (0, 0)
    if number == int(number) and abs(number) < 1000:
        return (0 if number > 0 else 1, abs(number))
    if number * 2 == int(number * 2) and abs(number) < 1000:
        return (2, abs(number), number < 0)
    return (3 if abs(number) < 1e7 else 4, len(repr(value)), abs(number), number < 0)


def simpler_values(value: Any) -> list[Any]:
    """Return the values to try in place of ``value``, simplest first, each simpler than it."""
    dtype = np.asarray(value).dtype
    if dtype == np.bool_:
        return [np.False_] if value else []
    if is_complex(dtype):
        simpler = {
            simplicity(candidate): candidate
            for candidate in (
                dtype.type(0),
                *(dtype.type(complex(part, value.imag)) for part in simpler_values(value.real)),
                *(dtype.type(complex(value.real, part)) for part in simpler_values(value.imag)),
            )
            if simplicity(candidate) < simplicity(value)
        }
        return [simpler[key] for key in sorted(simpler)]
    candidates: list[float] = [0, 1, 2, 3, -1, -2, 0.5]
    number = float(value)
    if is_floating(dtype):
        candidates += [float("inf"), float("-inf")]
        if math.isfinite(number) and number:
            candidates += [round(number), math.trunc(number)]
            candidates += [float(f"{number:.{digits}g}") for digits in (1, 2, 3, 4)]
            candidates += [math.copysign(2.0 ** math.floor(math.log2(abs(number))), number)]
    else:
        info = np.iinfo(dtype)
        candidates = [c for c in (0, 1, 2, 3, -1, -2, int(value) // 2) if info.min <= c <= info.max]
    with np.errstate(over="ignore"):
        typed = [dtype.type(candidate) for candidate in candidates]
    limit = simplicity(value)
    unique = {simplicity(candidate): candidate for candidate in typed if simplicity(candidate) < limit}
    return [unique[key] for key in sorted(unique)]
