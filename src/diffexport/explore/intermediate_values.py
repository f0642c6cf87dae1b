"""Inputs that put a number on the way exactly where the model, or its export, does something else, and beside that.

What is compared is taken from the operators that eager runs and, where it compares with numbers that eager does not,
from the exported graph. It is searched for once for each case, and once for each graph with other numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from diffexport.arrays import Array, array_of, as_call, to_tensor
from diffexport.chatter import captured
from diffexport.explore.eager_boundaries import MetBoundary, TracedModel
from diffexport.explore.exact_search import ExactSearch, Found
from diffexport.explore.graph_boundaries import TracedGraph
from diffexport.pipeline import Exported, Pipeline
from diffexport.processes import STEPS
from diffexport.subjects.cases import Case
from diffexport.values import (
    ORDINARY_LEAST,
    ORDINARY_MOST,
    Deadline,
    Inputs,
    Mode,
    Shape,
    TensorSpec,
    bounded_at,
)

#: Most evaluations of one search, for a model of few operators; one that would have fewer than so many has none.
_MOST_EVALUATIONS, _FEWEST_EVALUATIONS = 6000, 60
#: Operators in all evaluations; so many elements that they handle count as another.
_OPERATORS, _ELEMENTS = 60_000, 1 << 10
#: Most elements of the inputs that are searched.
_MOST_ELEMENTS = 1 << 16
#: Most samples of a search, and most numbers that go to the tables of values.
_MOST_SAMPLES, _MOST_NUMBERS = 48, 10

Sample = tuple[Array, ...]


@dataclass
class Intermediates:
    """What was found.

    Attributes:
        samples: inputs, one array for each spec, those at which something is exact first.
        numbers: elements of those inputs.
    """

    samples: list[Sample] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)

    def add(self, found: Found) -> None:
        """Keep what a search for one boundary gave."""
        if found.is_exact:
            self.numbers.append(found.value)
        self.samples += found.samples


#: What was searched in eager models, by how they were called; with how often each number is compared with there, and
#: what a run costs, in operators.
_OF_EAGER: MutableMapping[Any, dict[Any, tuple[Intermediates, Counter[float | None], int]]] = (
    WeakKeyDictionary()
)


class IntermediateSearch:
    """Searches for a case.

    Args:
        case: the model under test.
        pipeline: builds and exports it.
    """

    def __init__(self, case: Case, pipeline: Pipeline) -> None:
        self._case, self._pipeline = case, pipeline
        self._of_graphs: dict[Any, Intermediates] = {}

    def found(
        self,
        mode: Mode,
        example: Sample,
        exported: Exported | None,
        deadline: Deadline | None = None,
    ) -> Intermediates:
        """Return what there is for a mode that was exported on an example; nothing where not all arguments are tensors.

        Args:
            mode: how it is exported.
            example: ordinary inputs, one array for each spec.
            exported: what came of it.
            deadline: ends the search.
        """
        specs = self._case.specs
        size = sum(array.size for array in example)
        if not specs or len(specs) < len(self._case.inputs) or not 0 < size <= _MOST_ELEMENTS:
            return Intermediates()
        # A large one may be of a kind that knows how it was filled, and stays as it is.
        example = tuple(np.array(array) for array in example)
        over = (lambda: deadline is not None and deadline.passed) if deadline is not None else (lambda: False)
        # Those who explore the same model anew, as for each mutant of it, find what was searched.
        of_eager = _OF_EAGER.setdefault(self._pipeline.prepare(self._case), {})
        key = self._case.input_texts, _shapes(example), self._pipeline.state_of(self._case, mode)
        if key not in of_eager:
            of_eager[key] = self._search_eager(mode, example, over)
        eager, met, cost = of_eager[key]
        of_graph = self._search_graph(example, exported, met, cost, over) if exported is not None else None
        if of_graph is None:
            return eager
        return Intermediates([*eager.samples, *of_graph.samples], [*eager.numbers, *of_graph.numbers])

    def _search_eager(
        self, mode: Mode, example: Sample, over: Callable[[], bool]
    ) -> tuple[Intermediates, Counter[float | None], int]:
        module = self._pipeline.fresh(self._case, mode)

        def run(call: Any) -> Any:
            STEPS.begin("eager")
            try:
                return module(*call.args, **call.kwargs)
            finally:
                STEPS.begin("draw")

        def called(values: Sample) -> Any:
            arguments = [to_tensor(array.copy()) for array in values]
            return as_call(self._case.call_of(arguments))

        traced = TracedModel(run)
        with captured():
            met = traced.boundaries(called(example))
            cost = traced.operators + traced.elements // _ELEMENTS

            def gap_of(place: Any, element: int) -> Callable[[Sample], float]:
                return lambda values: traced.gap(place, element, called(values))

            found = self._search(met, gap_of, example, cost, over)
        return found, Counter(each.number for each in met), cost

    def _search_graph(
        self,
        example: Sample,
        exported: Exported,
        met: Mapping[float | None, int],
        cost: int,
        over: Callable[[], bool],
    ) -> Intermediates | None:
        """Search for what an exported graph compares with and eager does not, or less often."""
        model = exported.export.model
        if model is None or exported.graph is None or not exported.graph.nodes or exported.export.files:
            return None
        feeder = self._pipeline.stages.exports.feeder(self._case, as_call(self._inputs(example)))
        shapes = _shapes(example)
        key = (shapes, exported.digest)
        if key in self._of_graphs:
            return self._of_graphs[key]
        every = TracedGraph(model, lambda number: number is not None)

        def fed(values: Sample) -> dict[str, Any]:
            feeds = feeder.feeds(as_call(self._inputs(values)))
            return {name: array_of(leaf) for name, leaf in feeds.items() if isinstance(leaf, torch.Tensor)}

        counts = Counter(each.number for each in every.boundaries(fed(example)))
        new = {number for number, count in counts.items() if count > met.get(number, 0)}
        signature = (shapes, tuple(sorted((number or 0.0, counts[number]) for number in new)))
        if signature not in self._of_graphs:
            found = Intermediates()
            if new:
                traced = TracedGraph(model, lambda number: number in new)
                feeds: list[tuple[Sample, dict[str, Any]]] = [(example, fed(example))]

                def fed_once(values: Sample) -> dict[str, Any]:
                    if feeds[0][0] is not values:
                        feeds[0] = values, fed(values)
                    return feeds[0][1]

                def gap_of(place: Any, element: int) -> Callable[[Sample], float]:
                    return lambda values: traced.gap(place, element, fed_once(values))

                found = self._search(traced.boundaries(fed(example)), gap_of, example, cost, over)
            self._of_graphs[signature] = found
        self._of_graphs[key] = self._of_graphs[signature]
        return self._of_graphs[key]

    def _inputs(self, values: Sample) -> Inputs:
        return self._case.call_of([to_tensor(array.copy()) for array in values])

    def _search(
        self,
        met: Sequence[MetBoundary],
        gap_of: Callable[[Any, int], Callable[[Sample], float]],
        example: Sample,
        cost: int,
        over: Callable[[], bool],
    ) -> Intermediates:
        """Search every boundary: where results jump before where they bend, and the first elements before the last."""
        most = min(_MOST_EVALUATIONS, _OPERATORS // max(cost, 1))
        if most < _FEWEST_EVALUATIONS:
            return Intermediates()
        specs = bounded_at(self._case.specs, _shapes(example))
        search, found = ExactSearch(specs, most), Intermediates()
        in_order = sorted(met, key=lambda boundary: not boundary.jumps)
        wanted = [(each, 0) for each in in_order]
        wanted += [(each, each.size - 1) for each in in_order if each.size > 1]
        same_size = {array.size for array in example}
        for boundary, element in wanted:
            if search.left <= 0 or over() or len(found.samples) >= _MOST_SAMPLES:
                break
            likely = element if boundary.size in same_size else None
            one = search.find(gap_of(boundary.place, element), example, likely)
            if one is not None:
                found.add(one)
        found.samples = [sample for sample in found.samples if _in_scope(sample, specs)]
        found.numbers = list(dict.fromkeys(found.numbers))[:_MOST_NUMBERS]
        return found


def _shapes(sample: Sample) -> tuple[Shape, ...]:
    return tuple(array.shape for array in sample)


def _in_scope(sample: Sample, specs: Sequence[TensorSpec]) -> bool:
    """Return whether a sample has ordinary values only, where only those are in scope."""
    for array, spec in zip(sample, specs, strict=True):
        size = np.abs(array.astype(np.float64)) if spec.scope.ordinary else np.zeros(0)
        if not ((size <= ORDINARY_MOST) & ((size >= ORDINARY_LEAST) | (size == 0))).all():
            return False
    return True
