"""What is known of an export before anything is run on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from diffexport.backends import exporters
from diffexport.backends.graphs import Graph
from diffexport.pipeline.eager import Eager
from diffexport.subjects.cases import Case, Expectation, Expected
from diffexport.values import Aspect, Divergence, Kind, Mode, Place, Stage


@dataclass(frozen=True)
class Exported:
    """One export with everything that can be said about it before running it.

    ``refused`` is how it is refused as expected: by the exporter, or by onnx.checker if there is a model.
    ``rejected`` is eager's error on the example inputs where the export failed on them, too.
    """

    expectation: Expectation
    digest: bytes
    export: exporters.Export
    graph: Graph | None
    divergences: tuple[Divergence, ...]
    refused: str = ""
    rejected: str = ""


def export_error(failure: exporters.ExportFailure, expectation: Expectation, eager: Eager) -> Divergence:
    """Return the divergence for an export that fails where it should not, or in another way than expected."""
    message = f"{failure.error}: {failure.message}"
    if eager.numbers or eager.foreign:
        message += f"\n(in eager, {', '.join(map(str, (*eager.numbers, *eager.foreign)))}: no tensor)"
    if expectation.expected is Expected.REFUSES:
        message = f"the export refuses otherwise than expected ({expectation.rule}): {message}"
    return Divergence(failure.stage, Kind.EXPORT_ERROR, Place.MODEL, failure.signature, message)


def told_apart(found: Sequence[Divergence], expectation: Expectation) -> tuple[str, list[Divergence]]:
    """Return what onnx.checker rejects a model with as expected, and what is left of what was found in its graph.

    Where it is expected to be rejected and is not, that is a divergence.
    """
    if expectation.expected is not Expected.INVALID:
        return "", list(found)
    rejected = [d for d in found if d.kind is Kind.CHECKER_ERROR and expectation.rejected_with(d.message)]
    others = [d for d in found if d not in rejected]
    if rejected:
        return rejected[0].message, others
    message = f"onnx.checker does not reject the model as it is expected to ({expectation.rule})"
    others.append(
        Divergence(Stage.CHECK, Kind.UNEXPECTED_SUCCESS, Place.GRAPH, Aspect.PASSED_CHECKER, message)
    )
    return "", others


def unheld(case: Case, mode: Mode, model: bytes) -> list[Divergence]:
    """Return the case's assertions that do not hold of a serialised model."""
    assertions = [assertion for assertion in case.assertions if assertion.modes.matches(mode)]
    if not assertions:
        return []
    proto = onnx.load_model_from_string(model)
    problems = [(assertion, assertion.problem(proto)) for assertion in assertions]
    return [
        Divergence(
            Stage.CONVERT,
            Kind.GRAPH_CONTRACT,
            Place.GRAPH,
            a.name,
            f"it does not hold that {a.name}: {problem}",
        )
        for a, problem in problems
        if problem
    ]
