"""What is known of an export before anything is run on it."""

from __future__ import annotations

from dataclasses import dataclass

from diffexport import exporters, graph
from diffexport.expectation import Expectation, Expected
from diffexport.road.eager import Eager
from diffexport.verdict import Divergence, Kind


@dataclass(frozen=True)
class Exported:
    """One export with everything that can be said about it before running it.

    ``rejected`` is eager's error on the example inputs where the export failed on them, too.
    """

    expectation: Expectation
    digest: bytes
    export: exporters.Export
    graph: graph.Graph | None
    divergences: tuple[Divergence, ...]
    refused: str = ""
    rejected: str = ""


def export_error(failure: exporters.ExportFailure, expectation: Expectation, eager: Eager) -> Divergence:
    """Return the divergence for an export that fails where it should not, or in another way than expected."""
    message = f"{failure.error}: {failure.message}"
    if eager.numbers or eager.foreign:
        message += f"\n(in eager, {', '.join((*eager.numbers, *eager.foreign))}: no tensor)"
    if expectation.expected is Expected.REFUSES:
        message = f"the export refuses otherwise than expected ({expectation.rule}): {message}"
    return Divergence(failure.stage, Kind.EXPORT_ERROR, "model", failure.signature, message)
