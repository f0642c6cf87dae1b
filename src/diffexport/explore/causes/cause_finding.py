"""The cause of a divergence: the first operator of eager at which the export departs from it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diffexport.arrays import as_call, digest
from diffexport.backends.runtimes import LoadError, RunError, available, family, runtime_of
from diffexport.chatter import captured
from diffexport.explore.causes.alignment import departs, difference
from diffexport.explore.causes.eager_steps import EagerStep
from diffexport.explore.causes.located_runs import EagerRun, LocatedRuns, eager_run, located_runs
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case
from diffexport.values import DeadlinePassed, Divergence, How, Inputs, Kind, Mode, Stage

#: How far an intermediate value may be from eager's where the outputs are further apart than that; and the part of
#: their distance that it may be where they are not.
_TOLERANCE, _PART = 1e-2, 0.1
#: Most values that are exposed one at a time, where all of them together make the failure go away.
_MOST_ALONE = 48
#: Most exports about which is remembered which value is which.
_REMEMBERED = 32


@dataclass(frozen=True, eq=False)
class Sighting:
    """A divergence where it was seen.

    Attributes:
        mode, runtime, inputs, export_inputs: as in [Point][diffexport.explore.point.Point].
        divergence: what was seen.
    """

    mode: Mode
    runtime: str
    inputs: Inputs
    export_inputs: Inputs
    divergence: Divergence


@dataclass(frozen=True, eq=False)
class Departure:
    """Where an export departs from eager.

    Attributes:
        step: the first operator of eager that does.
        how: in which way.
    """

    step: EagerStep
    how: How = How.UNKNOWN


class CauseFinder:
    """Finds the operators at which the exports of one case depart.

    Args:
        pipeline: exports and runs.
        case: the model under test.
        check_time: called before each step that takes time; may raise DeadlinePassed.
    """

    def __init__(self, pipeline: Pipeline, case: Case, check_time: Callable[[], None] = lambda: None) -> None:
        self._pipeline, self._case, self._check_time = pipeline, case, check_time
        self._located: dict[Any, LocatedRuns | None] = {}

    def first_departing(self, seen: Sighting) -> Departure | None:
        """Return the first operator of eager at which the export departs; None where that cannot be said.

        Raises:
            DeadlinePassed: there was no time for it.
        """
        try:
            with captured(), np.errstate(all="ignore"):
                return self._first_departing(seen)
        except DeadlinePassed:
            raise
        except Exception:  # noqa: BLE001 - what cannot be looked into leaves the finding as it is
            return None

    def _first_departing(self, seen: Sighting) -> Departure | None:
        runtimes = _runtimes(seen.runtime)
        key = seen.mode, digest(as_call(seen.export_inputs)), runtimes
        if key not in self._located:
            self._check_time()
            if len(self._located) >= _REMEMBERED:
                self._located.clear()
            self._located[key] = located_runs(
                self._pipeline, self._case, seen.mode, seen.export_inputs, (*runtimes, *_others(runtimes))
            )
        located = self._located[key]
        self._check_time()
        eager = None if located is None else eager_run(self._pipeline, self._case, seen.mode, seen.inputs)
        if located is None or eager is None:
            return None
        search = _DepartureSearch(located, eager, seen)
        for runtime in runtimes:
            self._check_time()
            departure = search.at_once(runtime)
            if departure is not None:
                return departure
        return search.one_at_a_time(runtimes[-1], self._check_time)


def _runtimes(name: str) -> tuple[str, ...]:
    """Return what runs the exposed graph: the runtime without optimisation, then as it is."""
    if runtime_of(name).is_plain or runtime_of(name).is_reference:
        return (name,)
    plain = [other for other in available() if family(other) == family(name) and runtime_of(other).is_plain]
    return (*plain[:1], name)


def _others(names: Sequence[str]) -> tuple[str, ...]:
    """Return what else may run an export on ordinary inputs, so that it is learnt which value is which."""
    others = [name for name in available() if runtime_of(name).is_plain or runtime_of(name).is_reference]
    return tuple(name for name in others if name not in names)


class _DepartureSearch:
    """The search for the first operator that departs on one input."""

    def __init__(self, located: LocatedRuns, eager: EagerRun, seen: Sighting) -> None:
        self._located, self._eager, self._divergence = located, eager, seen.divergence
        self._feed = located.feed(seen.inputs)
        place = seen.divergence.place
        self._number = place.number if place.name == "output" else None
        self._behind = eager.behind_output(self._number)
        #: Where eager turns another way.
        self._turn = self._branch()
        self._names = {
            name for step in self._steps() for _, names in self._results_of(step) for name in names
        }

    def _steps(self) -> Iterator[EagerStep]:
        """Yield the steps that the output depends on, in the order in which they are run."""
        return (step for step in self._eager.steps if step.number in self._behind)

    def _steps_on_the_way(self) -> Iterator[EagerStep]:
        """Yield the steps before eager goes another way than on what was exported on."""
        end = len(self._eager.steps)
        if self._turn is not None and self._turn in self._eager.steps:
            end = self._turn.number
        return (step for step in self._steps() if step.number < end)

    def _results_of(self, step: EagerStep) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """Yield each result of a step with the value of the graph that stands for it, or those that may."""
        for place, result in enumerate(step.results):
            names = self._located.names.get((step.key, place))
            if names is not None:
                yield result, names

    def at_once(self, runtime: str) -> Departure | None:
        """Expose every value; None where the failure does not show then."""
        if self._divergence.kind is Kind.RUN_ERROR:
            return self._before_error(runtime)
        try:
            values = self._located.graph.run(runtime, [self._feed], sorted(self._names))[0]
        except (LoadError, RunError):
            return None
        apart = self._apart(values)
        if self._divergence.kind is Kind.DECLARED_TYPE and apart == math.inf:
            # What is declared is what eager gives: it is the value that is wrong.
            self._divergence = replace(self._divergence, kind=Kind.SHAPE)
        if apart == 0.0 and self._divergence.kind is not Kind.DECLARED_TYPE:
            return None
        return self._first(values, min(_TOLERANCE, max(_PART * apart, 1e-6)))

    def _first(self, values: Mapping[str, Any], tolerance: float) -> Departure | None:
        agreeing: set[int] = set()
        for step in self._steps_on_the_way():
            results = [
                (result, [name for name in names if name in values])
                for result, names in self._results_of(step)
            ]
            results = [(result, names) for result, names in results if names]
            if any(
                all(self._is_wrong(result, values[name], name, tolerance) for name in names)
                for result, names in results
            ):
                return Departure(
                    step, _how([(result, values[name]) for result, names in results for name in names])
                )
            if results:
                agreeing.add(step.number)
        return self._frontier(agreeing)

    def _is_wrong(self, result: Any, got: Any, name: str, tolerance: float) -> bool:
        if self._divergence.kind is Kind.DECLARED_TYPE:
            return not self._located.graph.admits(name, np.shape(got))
        if self._divergence.kind is Kind.DTYPE:
            return bool(getattr(got, "dtype", None) != result.dtype)
        return departs(result, got, tolerance)

    def _frontier(self, agreeing: set[int]) -> Departure | None:
        """Return the first step of which no value is known, nor of anything that follows from it."""
        steps = list(self._steps())
        if self._divergence.kind in (Kind.DECLARED_TYPE, Kind.DTYPE):
            return None
        before: set[int] = set()
        waiting = [number for step in steps if step.number in agreeing for number in step.given]
        while waiting:
            number = waiting.pop()
            if number not in before:
                before.add(number)
                waiting.extend(self._eager.steps[number].given)
        other = self._lost() if self._turn is None else Departure(self._turn, How.BRANCH)
        if other is not None:
            return other
        unknown = [step for step in steps if step.number not in agreeing and step.number not in before]
        return Departure(unknown[0]) if unknown else self._other_way()

    def _other_way(self) -> Departure | None:
        """Return the first operator that eager runs here and not on what was exported on, or the other way round.

        The graph has one way only.
        """
        pairs = itertools.zip_longest(self._eager.steps, self._located.ordinary.steps)
        differing = ((one or other) for one, other in pairs if not (one and other and one.key == other.key))
        return next(map(Departure, differing), None)

    def _branch(self) -> EagerStep | None:
        """Return the first operator on another line of the user's than where eager goes on what was exported on."""
        here, there = _by_line(self._eager.steps), _by_line(self._located.ordinary.steps)
        pairs = itertools.zip_longest(here, there)
        return next(
            ((one or other) for one, other in pairs if not (one and other and one.line == other.line)), None
        )

    def _lost(self) -> Departure | None:
        """Return what changes a value that the graph gives out as it was before."""
        outputs = self._located.graph.outputs
        given = outputs if self._number is None else outputs[self._number : self._number + 1]
        steps = list(self._steps())
        for step in steps:
            if any(name in given for _, names in self._results_of(step) for name in names):
                later = [other for other in steps if step.number in other.given]
                return next((Departure(other) for other in later if other.writes), None)
        return None

    def _apart(self, values: Mapping[str, Any]) -> float:
        """Return how far the outputs are from eager's; infinite where that is no number."""
        outputs, expected = self._located.graph.outputs, self._eager.outputs
        if len(outputs) != len(expected):
            return math.inf
        numbers = range(len(outputs)) if self._number is None else [self._number]
        found = 0.0
        for number in numbers:
            got, eager = values[outputs[number]], expected[number]
            if eager.dtype.kind == "c" or not isinstance(got, np.ndarray) or got.shape != eager.shape:
                return math.inf
            found = max(found, difference(eager, got))
        if found == 0.0 and self._divergence.kind in (Kind.SIGN_OF_ZERO, Kind.DTYPE):
            return 1.0
        return found

    def _before_error(self, runtime: str) -> Departure | None:
        """Return the first step that departs, or else the first that cannot be computed."""
        graph = self._located.graph
        try:
            graph.run(runtime, [self._feed], [])
            return None
        except (LoadError, RunError):
            pass
        done = graph.computed(runtime, self._feed, sorted(self._names))
        values = graph.run(runtime, [self._feed], done, only=True)[0] if done else {}
        for step in self._steps_on_the_way():
            for result, names in self._results_of(step):
                if all(name not in values or departs(result, values[name], _TOLERANCE) for name in names):
                    return Departure(step, How.ERROR)
        found = self._frontier({step.number for step in self._steps() if any(self._results_of(step))})
        return found if found is None or found.how is How.BRANCH else replace(found, how=How.ERROR)

    def one_at_a_time(self, runtime: str, check_time: Callable[[], None]) -> Departure | None:
        """Expose one value after the other: the first that departs, or without which what is fused is not fused."""
        graph, apart = self._located.graph, 0.0
        if self._divergence.stage is not Stage.COMPARE:
            return None
        for number, step in enumerate(self._steps()):
            for result, (name, *_) in self._results_of(step):
                if number >= _MOST_ALONE:
                    return None
                check_time()
                values = graph.run(runtime, [self._feed], [name])[0]
                apart = self._apart(values)
                tolerance = min(_TOLERANCE, max(_PART * apart, 1e-6))
                if apart == 0.0 or self._is_wrong(result, values[name], name, tolerance):
                    return Departure(step, _how([(result, values[name])]))
        return None


def _by_line(steps: Sequence[EagerStep]) -> list[EagerStep]:
    """Return the first of all steps that follow one another on one line."""
    return [next(group) for _, group in itertools.groupby(steps, key=lambda step: step.line)]


def _how(pairs: Sequence[tuple[Any, Any]]) -> How:
    """Return in which way values of a graph depart from eager's results."""
    if any(np.shape(got) != result.shape for result, got in pairs):
        return How.SHAPE
    floats = [value for pair in pairs for value in pair if value.dtype.kind in "fV"]
    wide = [value.astype(np.float64) for value in floats]
    if any(np.isnan(value).any() for value in wide):
        return How.NAN
    return How.INFINITY if any(np.isinf(value).any() for value in wide) else How.VALUE
