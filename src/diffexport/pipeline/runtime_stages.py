"""What a runtime does with an exported model: load it, run it, and whether its outputs look like eager's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from diffexport import oracle
from diffexport.arrays import Array, holds_parts, is_complex, join_parts
from diffexport.backends import exporters, runtimes
from diffexport.backends.graphs import Graph, check_declared, foreign_nodes
from diffexport.pipeline.exports import Exported
from diffexport.pipeline.memory_errors import ran_out_of_memory
from diffexport.pipeline.runtime_feeds import Feed, SampleBatch
from diffexport.pipeline.session_loading import SessionLoader
from diffexport.processes import STEPS
from diffexport.subjects.cases import Expected
from diffexport.values import Aspect, Divergence, Kind, Place, Stage, Terms

Outputs = tuple[Array, ...]
#: The outputs of one run, as the runtime gives them; or None and what is wrong.
RunResult = tuple[Outputs | None, list[Divergence]]


class LoadedModel(NamedTuple):
    """What came of loading a model into a runtime.

    Attributes:
        runtime: its name.
        session: None where there is nothing to run.
        divergences: what is wrong with that.
        refused: with which text the model is refused as expected; empty if it is not.
    """

    runtime: str
    session: runtimes.Session | None
    divergences: Sequence[Divergence] = ()
    refused: str = ""


class RuntimeRun(NamedTuple):
    """What one runtime made of a batch of samples.

    Attributes:
        model: as it was loaded; the rest is empty where there is no session.
        results: for each sample what [run][] gives.
        outputs: for each sample the outputs in the form of eager's; None where there are none.
        suspects: the samples whose outputs may differ from eager's.
        declared: what declared types get wrong, where that is the same for all samples; else None.
    """

    model: LoadedModel
    results: Sequence[RunResult] = ()
    outputs: Sequence[Outputs | None] = ()
    suspects: Collection[int] = ()
    declared: Sequence[Divergence] | None = None

    def outputs_of(self, number: int) -> Outputs | None:
        """Return the outputs for one sample, in the form of eager's; None where there are none."""
        return None if self.model.session is None else self.outputs[number]

    def errors_on(self, number: int) -> Sequence[Divergence]:
        """Return what is wrong with loading the model, or with running it on one sample."""
        return self.model.divergences if self.model.session is None else self.results[number][1]


def load(loader: SessionLoader, exported: Exported, runtime: str) -> LoadedModel:
    """Load an exported model, unless it is refused, and hold what comes of it against what is expected."""
    if exported.export.model is None or exported.refused:
        return LoadedModel(runtime, None, refused=exported.refused)
    session = loader.load(exported, runtime)
    expectation = exported.expectation
    unloadable = expectation.expected is Expected.UNLOADABLE
    if isinstance(session, runtimes.LoadError):
        text = str(session)
        if ran_out_of_memory(text):
            return LoadedModel(runtime, None, [_no_memory(Stage.LOAD, runtime, text)])
        foreign = expectation.expected is Expected.MAY_REFUSE and foreign_nodes(exported.graph)
        if unloadable or foreign:
            return LoadedModel(runtime, None, refused=text)
        signature = exporters.error_signature(session)
        error = Divergence(Stage.LOAD, Kind.LOAD_ERROR, Place.MODEL, signature, f"{runtime}: {text}")
        return LoadedModel(runtime, None, [error])
    if unloadable:
        message = f"{runtime} loads the model, though it is expected to refuse ({expectation.rule})"
        success = Divergence(Stage.LOAD, Kind.UNEXPECTED_SUCCESS, Place.MODEL, Aspect.LOADED, message)
        return LoadedModel(runtime, None, [success])
    return LoadedModel(runtime, session)


def run(model: LoadedModel, batch: SampleBatch) -> list[RunResult]:
    """Run a model on each sample of a batch; on none where there is no session."""
    if model.session is None:
        return []
    fed, graph = batch.fed, batch.graph
    STEPS.begin("run", runtime=model.runtime)
    return [_run(model.session, model.runtime, feed, graph) for feed in fed]


def _no_memory(stage: Stage, runtime: str, text: str) -> Divergence:
    message = f"{runtime}: memory ran out: {text}"
    return Divergence(stage, Kind.OUT_OF_MEMORY, Place.MODEL, Kind.OUT_OF_MEMORY, message)


def _run(session: runtimes.Session, runtime: str, feed: Feed, graph: Graph) -> RunResult:
    if len(feed) < len(graph.inputs):
        unknown = sorted({declared.name for declared in graph.inputs} - feed.keys())
        message = f"the model has inputs that eager has not: {', '.join(unknown)}"
        return None, [Divergence(Stage.RUN, Kind.STRUCTURE, Place.INPUTS, Aspect.UNKNOWN_INPUTS, message)]
    STEPS.again()
    try:
        return tuple(session.run(feed)), []
    except runtimes.RunError as error:
        if ran_out_of_memory(error):
            return None, [_no_memory(Stage.RUN, runtime, str(error))]
        signature = exporters.error_signature(error)
        return None, [Divergence(Stage.RUN, Kind.RUN_ERROR, Place.MODEL, signature, f"{runtime}: {error}")]


def compare_at_sight(
    model: LoadedModel, results: Sequence[RunResult], batch: SampleBatch, declared_types: DeclaredTypes
) -> RuntimeRun:
    """Compare all samples of a batch at once: those whose outputs are certain to agree are not looked at again.

    Args:
        model: as it was loaded.
        results: what [run][] gives for each sample.
        batch: the samples.
        declared_types: looks at the types that the graph declares.
    """
    if model.session is None:
        return RuntimeRun(model)
    STEPS.begin("compare", runtime=model.runtime)
    outputs = [
        None if raw is None else in_the_form_of(raw, eager)
        for (raw, _), eager in zip(results, batch.outputs, strict=True)
    ]
    suspects = range(1) if len(outputs) == 1 else oracle.suspects(batch.outputs, outputs)
    declared = None
    if not isinstance(suspects, range) and batch.alike:
        # The outputs are of the same types as well, or all of the samples would be suspects.
        declared = declared_types.wrong(batch, 0, results[0][0] or ())
    return RuntimeRun(model, results, outputs, suspects, declared)


def in_the_form_of(raw: Sequence[Array], eager: Sequence[Array]) -> Outputs:
    """Return the outputs of a runtime, those that hold the parts of a complex output put together again."""
    if len(raw) != len(eager):
        return tuple(raw)
    if not any(is_complex(expected.dtype) for expected in eager):
        return tuple(raw)
    return tuple(
        join_parts(array, expected.dtype) if holds_parts(array, expected.dtype, expected.ndim) else array
        for array, expected in zip(raw, eager, strict=True)
    )


class DeclaredTypes:
    """Compares the types that a graph declares with those at run time, as far as the terms of a case care."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._last: tuple[Any, list[Divergence]] = (None, [])

    def wrong(self, batch: SampleBatch, number: int, outputs: Outputs) -> list[Divergence]:
        """Return what the graph declares wrongly of a sample of a batch and of what a runtime gives for it."""
        compared = self._compared(batch.graph, batch.fed[number], outputs)
        return [divergence for divergence in compared if self._matters(divergence)]

    def _compared(self, graph: Graph, feed: Feed, outputs: Outputs) -> list[Divergence]:
        """Look at declared types once for all inputs and outputs of the same types."""
        key = (
            graph,
            [(name, np.shape(array)) for name, array in feed.items() if hasattr(array, "dtype")],
            [(array.dtype, array.shape) for array in outputs],
        )
        last, divergences = self._last
        if last is None or last[0] is not graph or last[1:] != key[1:]:
            divergences = check_declared(graph, feed, outputs)
            self._last = key, divergences
        return divergences

    def _matters(self, divergence: Divergence) -> bool:
        return (
            self._terms.check_dtype
            if divergence.is_about(Kind.DECLARED_TYPE, Aspect.DTYPE)
            else self._terms.check_shape
        )
