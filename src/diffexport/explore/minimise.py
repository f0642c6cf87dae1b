"""After Hypothesis has shrunk an input: the simplest mode, runtime and tensor that still show the failure.

Hypothesis shrinks what it drew, one mode at a time. What it cannot know is that an option may go back to its
default, that a lower optimisation level or another exporter does the same, or that an element may be moved
because the case's specs say any value will do. Each step here is kept only if the failure stays the same
failure: kind, place and signature.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from diffexport.arrays import Array, array_digest
from diffexport.backends.runtimes import compared_with, family
from diffexport.errors import InvalidModeError, error_text
from diffexport.explore.large_rows import ROW_KINDS, simpler_rows
from diffexport.explore.large_values import LARGE_TENSOR, LargeValues
from diffexport.explore.point import Point, SeenFailure
from diffexport.explore.smaller_inputs import SmallerInputs, as_arrays, has_empty, put, same_inputs
from diffexport.explore.timekeeper import Timekeeper
from diffexport.oracle import same_bits
from diffexport.subjects.cases import Case, excluding
from diffexport.values import (
    DEFAULT_OPSET,
    EXPORTERS,
    Divergence,
    Inputs,
    Mode,
    Stage,
    Verdict,
    describe,
    in_order,
)

#: Most selected modes that are tried in place of one.
_MOST_MODES = 32


class Checks(Protocol):
    """Makes one check at a time: a [Pipeline][diffexport.pipeline.Pipeline], or copies of the process."""

    @property
    def same_in_every_mode(self) -> bool:
        """Whether the model is given, so that it is the same whatever the mode."""

    def check(
        self,
        case: Case,
        mode: Mode,
        runtime: str,
        inputs: Inputs,
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
    ) -> Verdict:
        """Return the verdict on one sample."""


class Minimiser:
    """Searches for the simplest point of one failure.

    Args:
        pipeline: exports and runs what is tried.
        case: the model under test.
        strict: notes fail.
        checks: most checks that are spent on it.
        timekeeper: asked before each check; a search that it ends raises DeadlinePassed.
        same_exporter: look for no other exporter that fails likewise.
        modes: the modes that may be blamed; None for any. That a simpler one shows it, too, becomes a remark.

    Attributes:
        simplest: the simplest point so far, also where the time is over; None before the failure showed.
    """

    def __init__(
        self,
        pipeline: Checks,
        case: Case,
        strict: bool,
        *,
        checks: int,
        timekeeper: Timekeeper | None = None,
        same_exporter: bool = False,
        modes: Iterable[Mode] | None = None,
    ) -> None:
        self._pipeline, self._case, self._strict = pipeline, case, strict
        self._modes = None if modes is None else tuple(sorted(modes, key=lambda mode: mode.complexity))
        self._checks_left, self._timekeeper = checks, timekeeper
        self._same_exporter = same_exporter or pipeline.same_in_every_mode
        self._exclusions = case.exclusions
        self._candidates = SmallerInputs(case)
        #: Arrays with which the failure was gone.
        self._not_shown: set[Hashable] = set()
        #: The model was exported on tensors without elements when the failure was seen.
        self._may_export_nothing = True
        self.simplest: SeenFailure | None = None

    def run(self, start: Point, wanted: Divergence) -> SeenFailure | None:
        """Return the failure at the simplest point found, or None if it does not show at ``start``.

        Where a step of the search itself fails, the failure is kept as simple as it was before that, with a remark.
        """
        self._may_export_nothing = has_empty(start.export_inputs)
        best = self.simplest = self.look(start, wanted)
        if best is None:
            return None
        best = self._step(self._plain_layout, best)
        best = self._step(self._simplest_mode, best)
        best = self._step(self._simplest_exporter, best)
        for _ in range(4):
            before = best
            best = self._step(self._smaller_inputs, best)
            best = self._step(self._with_elements, best)
            best = self._step(self._simpler_values, best)
            best = self._step(self._simplest_mode, best)
            if best.point is before.point or self._checks_left <= 0:
                break
        best = self._step(self._simplest_exporter, best)
        best = self._step(self._plain_export_inputs, best)
        return self._step(self._with_simpler_modes, best)

    def _step(self, step: Callable[[SeenFailure], SeenFailure], best: SeenFailure) -> SeenFailure:
        """Take one step of the search; return what it was given, or the best before the fault, where it fails."""
        try:
            return step(best)
        except Exception as error:  # noqa: BLE001 - better a finding that could be simpler than none
            kept = self.simplest or best
            remark = (
                f"it may not be minimal: shrinking it failed ({type(error).__name__}: {error_text(error)})"
            )
            self.simplest = replace(kept, remarks=tuple(dict.fromkeys((*best.remarks, remark))))
            return self.simplest

    def look(self, point: Point, wanted: Divergence) -> SeenFailure | None:
        """Check one point; return the failure if it is there. A mode that the case excludes is not looked at.

        Raises:
            DeadlinePassed: the time is over.
        """
        if excluding(point.mode, self._case.name, self._exclusions) is not None:
            return None
        self._checks_left -= 1
        if self._timekeeper is not None:
            self._timekeeper.check()
        verdict = self._pipeline.check(
            self._case,
            point.mode,
            point.runtime,
            point.inputs,
            export_inputs=point.export_inputs,
            strict=self._strict,
        )
        for divergence in (*verdict.divergences, *verdict.notes):
            if divergence.key == wanted.key:
                return SeenFailure(point, verdict, divergence)
        return None

    def _try(
        self, best: SeenFailure, point: Point, is_same: Callable[[SeenFailure], bool] = lambda _: True
    ) -> SeenFailure | None:
        """Look at a simpler point; return the failure if it is there, and is the same in what ``is_same`` asks for."""
        if self._checks_left <= 0 or (has_empty(point.export_inputs) and not self._may_export_nothing):
            return None
        seen = self.look(point, best.divergence)
        if seen is None or not is_same(seen):
            return None
        self.simplest = replace(seen, remarks=best.remarks)
        return self.simplest

    def _simplest_mode(self, best: SeenFailure) -> SeenFailure:
        # A model that is given is the same in every mode.
        if not self._pipeline.same_in_every_mode:
            best = self._with_defaults(best) if self._modes is None else self._simplest_selected(best)
        return self._simplest_runtime(best)

    def _with_defaults(self, best: SeenFailure) -> SeenFailure:
        """Put the options of the mode back to their defaults one by one."""
        for option in best.point.mode.description.options:
            mode = best.point.mode
            if mode.value(option.name) == option.default:
                continue
            for candidate in self._simpler(mode, option.name):
                seen = self._try(best, self._in_mode(best, candidate))
                if seen is not None:
                    best = seen
                    break
        return best

    def _in_mode(self, best: SeenFailure, mode: Mode) -> Point:
        """Return the same point in another mode of the exporter; where axes are not dynamic, exported at its shapes."""
        point = replace(best.point, mode=mode)
        if mode.dynamic != best.point.mode.dynamic:
            return replace(point, export_inputs=self._candidates.ordinary(point.inputs))
        return point

    def _simplest_selected(self, best: SeenFailure) -> SeenFailure:
        """Look for the simplest of the selected modes of the exporter that shows the failure."""
        mode = best.point.mode
        simpler = [
            one
            for one in self._modes or ()
            if one.exporter == mode.exporter and one.complexity < mode.complexity
        ]
        for candidate in simpler[:_MOST_MODES]:
            seen = self._try(best, self._in_mode(best, candidate))
            if seen is not None:
                return seen
        return best

    def _with_simpler_modes(self, best: SeenFailure) -> SeenFailure:
        """Say which simpler mode shows the failure, too, where only some modes were selected."""
        if self._modes is None or self._pipeline.same_in_every_mode or self._checks_left <= 0:
            return best
        kept, self._modes = self._modes, None
        try:
            found = self._simplest_exporter(self._with_defaults(best)).point.mode
        finally:
            self._modes, self.simplest = kept, best
        if found == best.point.mode or found in kept:
            return best
        remark = f"{found}, which is simpler and was not selected, shows it, too"
        self.simplest = replace(best, remarks=(*best.remarks, remark))
        return self.simplest

    def _simplest_runtime(self, best: SeenFailure) -> SeenFailure:
        """Blame the lowest optimisation level, or another family that gives the same wrong outputs."""
        runtime, got = best.point.runtime, best.verdict.got
        for name in compared_with(runtime):
            if name == runtime:
                break
            of_family = family(name) == family(runtime)
            seen = self._try(
                best,
                replace(best.point, runtime=name),
                lambda seen, of_family=of_family: of_family or same_bits(seen.verdict.got, got),  # type: ignore[misc]
            )
            if seen is not None:
                return seen
        return best

    def _simpler(self, mode: Mode, name: str) -> Iterator[Mode]:
        values: Sequence[Any] = [option.default for option in mode.description.options if option.name == name]
        if name == "opset":
            values = range(DEFAULT_OPSET, mode.opset, 1 if mode.opset > DEFAULT_OPSET else -1)
        for value in values:
            try:
                yield Mode.of(mode.exporter, {**mode.options(), name: value})
            except InvalidModeError:
                continue

    def _simplest_exporter(self, best: SeenFailure) -> SeenFailure:
        """Blame the simplest exporter that fails in the same way, with the same wrong values."""
        if self._same_exporter:
            return best
        for exporter in EXPORTERS:
            if describe(exporter).order >= best.point.mode.description.order:
                break
            for mode in self._counterparts(best.point.mode, exporter):
                seen = self._try(best, replace(best.point, mode=mode), partial(_same_failure, other=best))
                if seen is not None:
                    return seen
        return best

    def _counterparts(self, mode: Mode, exporter: str) -> list[Mode]:
        """Return the modes of another exporter that stand for a mode, among those that may be blamed."""
        return [one for one in counterparts(mode, exporter) if self._modes is None or one in self._modes]

    def exporters(self, best: SeenFailure) -> tuple[str, ...]:
        """Return the exporters that fail in the same way at this point, with the same wrong values."""
        failing = {best.point.mode.exporter}
        for exporter in () if self._pipeline.same_in_every_mode else EXPORTERS:
            if exporter not in failing:
                for mode in counterparts(best.point.mode, exporter):
                    seen = self.look(replace(best.point, mode=mode), best.divergence)
                    if seen is not None and _same_failure(seen, best):
                        failing.add(exporter)
        return in_order(failing)

    def _plain_layout(self, best: SeenFailure) -> SeenFailure:
        """Replace tensors of odd layout by contiguous arrays, where the failure does not need the layout."""
        # What a strategy gives is as simple as Hypothesis could make it.
        for name in ("inputs", "export_inputs") if self._case.specs else ():
            plain = as_arrays(getattr(best.point, name))
            if plain is not None:
                best = self._try(best, replace(best.point, **{name: plain})) or best
        return best

    def _plain_export_inputs(self, best: SeenFailure) -> SeenFailure:
        plain = self._candidates.ordinary(best.point.inputs)
        if same_inputs(plain, best.point.export_inputs):
            return best
        return self._try(best, replace(best.point, export_inputs=plain)) or best

    # Inputs: only for cases whose inputs are given by specs, where every tensor that the specs admit is fair.

    def _smaller_inputs(self, best: SeenFailure) -> SeenFailure:
        if not self._case.specs:
            return best
        improved = True
        while improved and self._checks_left > 0:
            improved = False
            for candidate in self._candidates.with_smaller_shapes(self._values(best)):
                seen = self._try_inputs(best, candidate)
                if seen is not None:
                    best, improved = seen, True
                    break
        return best

    def _with_elements(self, best: SeenFailure) -> SeenFailure:
        """Give tensors without elements one, where that shows the failure as well."""
        if not self._case.specs:
            return best
        for candidate in self._candidates.with_elements(self._values(best)):
            seen = self._try_inputs(best, candidate)
            if seen is not None:
                return seen
        return best

    def _values(self, best: SeenFailure) -> tuple[Any, ...]:
        return self._case.values_of(best.point.inputs)

    def _try_inputs(self, best: SeenFailure, values: tuple[Any, ...]) -> SeenFailure | None:
        inputs = self._case.call_of(values)
        point = replace(best.point, inputs=inputs)
        shapes, before = [np.shape(x) for x in values], [np.shape(x) for x in self._values(best)]
        axes_are_given = self._case.terms.dynamic_axes is not None
        if not best.point.mode.dynamic or axes_are_given or shapes == before:
            export_inputs = (
                best.point.export_inputs if shapes == before else self._candidates.ordinary(inputs)
            )
            return self._try(best, replace(point, export_inputs=export_inputs))
        ranks = [len(shape) for shape in shapes]
        if ranks != [np.ndim(x) for x in self._case.values_of(best.point.export_inputs)]:
            point = replace(point, export_inputs=self._candidates.ordinary(inputs))
        return self._try(best, point)

    def _simpler_values(self, best: SeenFailure) -> SeenFailure:
        if not self._case.specs:
            return best
        for place in self._candidates.changeable(self._values(best)):
            zeros = self._candidates.with_zeros(self._values(best), place)
            if zeros is not None:
                best = self._try_inputs(best, zeros) or best
            if self._values(best)[place].size > LARGE_TENSOR:
                best = self._simpler_as_a_whole(best, place)
            for index in self._candidates.single_elements(self._values(best)[place]):
                for candidate in self._candidates.with_a_simpler_element(self._values(best), place, index):
                    seen = self._try_inputs(best, candidate)
                    if seen is not None:
                        best = seen
                        break
                if self._checks_left <= 0:
                    return best
        return best

    def _simpler_as_a_whole(self, best: SeenFailure, place: int) -> SeenFailure:
        """Make a large tensor simpler: a constant background, and the elements that the failure needs."""
        simplest = [best]

        def attempt(array: Array) -> bool:
            now = simplest[-1].point
            values = self._case.values_of(now.inputs)
            if same_inputs((array,), (values[place],)):
                return True
            # A search is begun again after other things have become simpler, and then mostly asks the same.
            asked = (now.mode, now.runtime, place, array.shape, array_digest(array))
            if asked in self._not_shown:
                return False
            self._not_shown.add(asked)
            seen = self._try_inputs(simplest[-1], put(values, place, array))
            if seen is not None:
                simplest[-1] = seen
                self._not_shown.discard(asked)
            return seen is not None

        values = self._values(best)
        spec = self._candidates.spec_at(values, place)
        if spec.kind is not None and spec.kind.name in ROW_KINDS:
            # What a row may hold, one element does not say.
            simpler_rows(values[place], spec.kind.name, attempt, self._is_over)
        else:
            LargeValues(spec, attempt, self._is_over).simplify(values[place])
        return simplest[-1]

    def _is_over(self) -> bool:
        return self._checks_left <= 0


def counterparts(mode: Mode, exporter: str) -> Iterator[Mode]:
    """Yield the modes of another exporter that stand for ``mode``: its default, and the same options."""
    yield Mode(exporter, dynamic=mode.dynamic)
    try:
        same = replace(mode, exporter=exporter, added=())
    except InvalidModeError:
        return
    if same != Mode(exporter, dynamic=mode.dynamic):
        yield same


def _same_failure(one: SeenFailure, other: SeenFailure) -> bool:
    """Return whether two exporters show one failure: equal wrong values, or one shared conversion."""
    if one.divergence.stage in (Stage.COMPARE, Stage.CHECK) and one.verdict.got:
        return same_bits(one.verdict.got, other.verdict.got)
    if one.divergence.stage in (Stage.CAPTURE, Stage.CONVERT):
        both = {seen.point.mode.description.conversion for seen in (one, other)}
        return one.divergence.stage is Stage.CONVERT and len(both) == 1
    return True
