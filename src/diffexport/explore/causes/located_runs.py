"""One export beside one eager model: which value of the graph is which result of eager, and both run on any input."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffexport.arrays import Array, array_of, as_call, as_plain
from diffexport.explore.causes.alignment import aligned
from diffexport.explore.causes.eager_steps import EagerStep, EagerSteps
from diffexport.explore.causes.exposed_graph import ExposedGraph
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case
from diffexport.values import Call, Inputs, Mode, leaves, mapped

#: How many inputs like the one that was exported on teach which value is which result.
_DRAWS = 5
_SEED = 20_150
#: With more than so many the example itself is not among them.
_FEW = 3


@dataclass(frozen=True, eq=False)
class EagerRun:
    """One run of eager.

    Attributes:
        steps: its operators.
        outputs: what the model gives.
        behind: for each output the steps that it depends on; empty where that is not known.
    """

    steps: Sequence[EagerStep]
    outputs: Sequence[Array]
    behind: Sequence[frozenset[int]] = ()

    def behind_output(self, number: int | None) -> frozenset[int]:
        """Return the steps that an output depends on; all of them where that is not known."""
        if number is None or number >= len(self.behind):
            return frozenset(step.number for step in self.steps)
        return self.behind[number]

    @property
    def operators(self) -> list[str]:
        """The names of the operators that were run, with their numbers."""
        return [step.key for step in self.steps]


@dataclass(frozen=True, eq=False)
class LocatedRuns:
    """An export and eager, with what is known of which value is which result.

    Attributes:
        graph: the export.
        ordinary: eager on what was exported on.
        names: the values of the graph that may be a result of eager: by the key of the step, and which of its results.
    """

    graph: ExposedGraph
    ordinary: EagerRun
    names: Mapping[tuple[str, int], tuple[str, ...]]
    feed: Callable[[Inputs], Mapping[str, Any]]


def eager_run(pipeline: Pipeline, case: Case, mode: Mode, inputs: Inputs) -> EagerRun | None:
    """Run eager and write its operators down; None where it raises or does more than can be kept."""
    rerun, steps = pipeline.rerun(case, mode, inputs), EagerSteps()
    tensors = rerun.traced(steps)  # type: ignore[arg-type]
    eager = pipeline.eager(case, mode, inputs)
    if eager.error or not steps.complete:
        return None
    behind = [] if tensors is None else [steps.behind([tensor]) for tensor in tensors]
    behind = behind if len(behind) == len(eager.outputs) else []
    return EagerRun(steps.steps, eager.outputs, behind)


def located_runs(
    pipeline: Pipeline, case: Case, mode: Mode, example: Inputs, runtimes: Sequence[str]
) -> LocatedRuns | None:
    """Learn which value of an export is which result of eager.

    Args:
        pipeline: exports and runs.
        case: the model.
        mode: how it is exported.
        example: what it is exported on.
        runtimes: what may run it, in the order in which they are tried.

    Returns:
        None where the values cannot be had.
    """
    exported = pipeline.export(case, mode, example, repeat=False)
    if exported.export.model is None:
        return None
    graph = ExposedGraph(exported.export.model)
    call = as_call(example)

    def feed(inputs: Inputs) -> Mapping[str, Any]:
        return pipeline.feed(case, exported, call, inputs)

    ordinary = eager_run(pipeline, case, mode, example)
    if ordinary is None:
        return None
    inputs, runs = [example], [ordinary]
    for drawn in _like(example):
        run = eager_run(pipeline, case, mode, drawn)
        if run is not None and run.operators == ordinary.operators:
            inputs.append(drawn)
            runs.append(run)
    if len(runs) > _FEW:
        # The example has round numbers, on which what differs elsewhere may be equal, or the other way round.
        inputs, runs = inputs[1:], runs[1:]
    feeds = [feed(one) for one in inputs]
    for number, runtime in enumerate(runtimes):
        try:
            values = graph.run(runtime, feeds, graph.values)
            break
        except Exception:
            if number == len(runtimes) - 1:
                raise
    pairs = aligned([run.steps for run in runs], values, graph.values)
    names = {(ordinary.steps[step].key, place): found for (step, place), found in pairs.items()}
    return LocatedRuns(graph, ordinary, names, feed)


def _like(example: Inputs) -> Iterator[Inputs]:
    """Yield inputs like an example: its tensors' elements in another order, floating-point ones somewhat changed."""
    rng = np.random.default_rng(_SEED)
    plain = as_plain(example)

    def changed(leaf: Any, number: int) -> Any:
        array = array_of(leaf)
        if not isinstance(array, np.ndarray):
            return leaf
        shuffled = rng.permutation(array.reshape(-1)).reshape(array.shape)
        if array.dtype.kind not in "fV" or array.dtype.names:
            return shuffled
        factors = rng.uniform(0.3, 2.0, array.shape)
        if number % 2:
            # What is clipped, or larger than another, is not told apart by positive numbers alone.
            factors *= rng.choice([-1.0, 1.0], array.shape)
        return np.asarray(shuffled.astype(np.float64) * factors).astype(array.dtype)

    if not any(isinstance(array_of(leaf), np.ndarray) for leaf in leaves(plain)):
        return
    for number in range(_DRAWS - 1):
        yield mapped(Call.of(plain), functools.partial(changed, number=number)).plain()
