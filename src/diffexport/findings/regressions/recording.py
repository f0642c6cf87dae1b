"""From a finding to a stored regression."""

from __future__ import annotations

from pathlib import Path

from diffexport.findings.events import Finding
from diffexport.findings.regressions.format import Regression
from diffexport.findings.regressions.store import save
from diffexport.values import Mode
from diffexport.versions import installed


def regression_of(finding: Finding) -> Regression:
    """Return the regression that keeps a finding."""
    return Regression(
        case=finding.identity.case,
        target=finding.target,
        specs=finding.specs,
        mode=Mode.parse(finding.mode),
        runtime=finding.runtime,
        stage=finding.divergence.stage,
        kind=finding.divergence.kind,
        place=finding.divergence.place,
        signature=finding.divergence.signature,
        message=finding.divergence.message,
        inputs=finding.inputs,
        export_inputs=finding.export_inputs,
        eager=finding.eager,
        got=finding.got,
        exporters=finding.exporters,
        seed=finding.seed,
        terms=finding.terms,
        weights=finding.weights,
        versions=installed(),
    )


def record(finding: Finding, folder: Path) -> Path:
    """Store a finding; return the file it is in.

    Raises:
        OSError: the folder cannot be written.
        RegressionFileError: an argument is of a type that a regression cannot hold.
    """
    path, _ = save(regression_of(finding), folder)
    return path
