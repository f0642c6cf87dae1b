"""What can be wrong with an export before anything is run: a list of checks, each a function of the export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import onnx

from diffexport.backends import exporters
from diffexport.backends.graphs import Graph, missing_nodes
from diffexport.pipeline.eager import EagerResult
from diffexport.pipeline.term_checks import broken_terms
from diffexport.pytorch import Watched
from diffexport.subjects.cases import Case, Expectation, Expected
from diffexport.values import Aspect, Cause, CauseKind, Divergence, Kind, MissingNodes, Mode, Place, Stage


@dataclass(frozen=True)
class ExportFacts:
    """What the checks of an export look at.

    Attributes:
        case, mode: what was exported, and how.
        expectation: what should have happened.
        export: what the exporter gave.
        graph: the exported graph; None where there is no model.
        eager: eager on the inputs exported with; None unless the export failed for no reason that is expected for
            certain.
        supported_later: the exporter says that it supports this from a later opset on, and does export it there.
        random: running the model draws random numbers that its outputs depend on, and so does tracing it.
    """

    case: Case
    mode: Mode
    expectation: Expectation
    export: exporters.Export
    graph: Graph | None = None
    eager: EagerResult | None = None
    random: bool = False
    supported_later: bool = False

    @property
    def refused_as_expected(self) -> bool:
        """Whether the exporter fails in the way in which it should, or may."""
        failure = self.export.failure
        if failure is not None and self.supported_later:
            return True
        return failure is not None and self.expectation.refuses_with(f"{failure.error}: {failure.message}")


Check = Callable[[ExportFacts], Iterable[Divergence]]


def refusal(facts: ExportFacts) -> str:
    """Return the text of the refusal that is expected, the exporter's or onnx.checker's; empty if there is none."""
    failure = facts.export.failure
    if failure is not None and facts.refused_as_expected:
        return failure.message
    return next((divergence.message for divergence in _rejected_by_checker(facts)), "")


def unexpected_failures(facts: ExportFacts) -> Iterator[Divergence]:
    """An export that fails where it should not, or in another way than expected."""
    failure, expectation = facts.export.failure, facts.expectation
    if failure is None or facts.refused_as_expected:
        return
    cause = failure.cause
    message = f"{failure.error}: {failure.message}" if cause is None else cause.description
    eager = facts.eager
    if eager is not None and (eager.numbers or eager.foreign):
        message += f"\n(in eager, {', '.join(map(str, (*eager.numbers, *eager.foreign)))}: no tensor)"
    if expectation.expected is Expected.REFUSES:
        message = f"the export refuses otherwise than expected ({expectation.rule}): {message}"
    conversions = (facts.mode.description.conversion,)
    known = None
    if cause is not None:
        known = Cause(CauseKind.ERROR, cause.text, cause.operator, cause.line, conversions)
    yield Divergence(failure.stage, Kind.EXPORT_ERROR, Place.MODEL, failure.signature, message, cause=known)


def unexpected_successes(facts: ExportFacts) -> Iterator[Divergence]:
    """An export that succeeds where it should fail."""
    if facts.export.failure is None and facts.expectation.expected is Expected.REFUSES:
        yield Divergence(
            Stage.CONVERT,
            Kind.UNEXPECTED_SUCCESS,
            Place.MODEL,
            Aspect.EXPORTED,
            f"the export succeeds, though it is expected to refuse ({facts.expectation.rule})",
        )


def impurities(facts: ExportFacts) -> Iterator[Divergence]:
    """What the export changed and should not have: the module, its inputs, or global state."""
    for change in facts.export.impurities:
        if facts.random and change.watched in (Watched.TORCH_RANDOM, Watched.PYTHON_RANDOM):
            continue
        yield Divergence(
            Stage.CONVERT,
            Kind.STALE_GLOBALS if change.is_by_itself else Kind.IMPURE_EXPORT,
            Place.MODEL,
            change.text,
            f"exporting changed something it should not have: {change.text}: {change.detail}",
        )


def differing_repeats(facts: ExportFacts) -> Iterator[Divergence]:
    """A second export of the same module that is not the first."""
    repeat = facts.export.repeat
    if repeat and not facts.random:
        message = f"two exports of the same module differ: {repeat}"
        yield Divergence(Stage.CONVERT, Kind.NONDETERMINISTIC_EXPORT, Place.MODEL, repeat, message)


def invalid_graphs(facts: ExportFacts) -> Iterator[Divergence]:
    """What onnx.checker and shape inference say of the graph, apart from what they are expected to say."""
    if facts.graph is None:
        return
    rejected = _rejected_by_checker(facts)
    yield from (divergence for divergence in facts.graph.divergences if divergence not in rejected)
    if facts.expectation.expected is Expected.INVALID and not rejected:
        rule = facts.expectation.rule
        message = f"onnx.checker does not reject the model as it is expected to ({rule})"
        yield Divergence(Stage.CHECK, Kind.UNEXPECTED_SUCCESS, Place.GRAPH, Aspect.PASSED_CHECKER, message)


def terms_not_kept(facts: ExportFacts) -> Iterator[Divergence]:
    """The terms of the case that the graph does not keep."""
    if facts.graph is not None:
        yield from broken_terms(facts.case.terms, facts.mode, facts.graph)


def false_assertions(facts: ExportFacts) -> Iterator[Divergence]:
    """The case's assertions that do not hold of the model."""
    assertions = [assertion for assertion in facts.case.assertions if assertion.modes.matches(facts.mode)]
    if not assertions or facts.export.model is None:
        return
    proto = onnx.load_model_from_string(facts.export.model)
    for assertion in assertions:
        problem = assertion.problem(proto)
        if problem:
            message = f"it does not hold that {assertion.name}: {problem}"
            yield Divergence(Stage.CONVERT, Kind.GRAPH_CONTRACT, Place.GRAPH, assertion.name, message)


def nodes_left_out(facts: ExportFacts) -> Iterator[Divergence]:
    """The kinds of nodes that the graph should contain and does not."""
    if facts.graph is None:
        return
    missing = missing_nodes(facts.graph, facts.expectation.nodes)
    if missing:
        present = ", ".join(sorted(facts.graph.nodes))
        yield Divergence(
            Stage.CONVERT,
            Kind.GRAPH_CONTRACT,
            Place.GRAPH,
            MissingNodes(missing).signature,
            f"the graph lacks {', '.join(missing)}; it has {present} ({facts.expectation.rule})",
        )


#: Every check of an export. A verdict lists what they find in this order.
CHECKS: tuple[Check, ...] = (
    unexpected_failures,
    unexpected_successes,
    impurities,
    differing_repeats,
    invalid_graphs,
    terms_not_kept,
    false_assertions,
    nodes_left_out,
)


def _rejected_by_checker(facts: ExportFacts) -> list[Divergence]:
    """Return what onnx.checker rejects the model with, where that is expected."""
    if facts.graph is None or facts.expectation.expected is not Expected.INVALID:
        return []
    return [
        divergence
        for divergence in facts.graph.divergences
        if divergence.kind is Kind.CHECKER_ERROR and facts.expectation.rejected_with(divergence.message)
    ]
