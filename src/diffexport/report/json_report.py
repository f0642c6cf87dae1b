"""The machine-readable report. Format and versioning are described in docs/json.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from diffexport import atomic, tensors
from diffexport.engine.events import Finding
from diffexport.report.summary import Summary, reproduce_line
from diffexport.versions import installed

FORMAT_VERSION = 1


def document(summary: Summary) -> dict[str, Any]:
    """Return the report as plain data; see docs/json.md."""
    summary.settle()
    started, finished = summary.started, summary.finished
    return {
        "diffexport": "report",
        "version": FORMAT_VERSION,
        "versions": installed(),
        "exit_code": summary.exit_code,
        "seconds": round(finished.seconds, 3) if finished else None,
        "interrupted": finished is None or finished.interrupted,
        "profile": started.profile if started else None,
        "seed": started.seed if started else None,
        "strict": started.strict if started else None,
        "cases": list(started.cases) if started else [],
        "runtimes": list(started.runtimes) if started else [],
        "results": [
            {
                "case": event.case,
                "mode": event.mode,
                "runtime": row.runtime,
                "verdict": row.verdict,
                "stage": row.stage or None,
                "kind": row.kind or None,
                "examples": row.examples,
                "checks": row.checks,
                "rejected": row.rejected,
                "known": row.known,
                "notes": row.notes,
                "diverging": row.diverging,
                "seconds": round(row.seconds, 6),
            }
            for event in summary.modes
            for row in event.rows
        ],
        "divergences": [_divergence(finding, summary) for finding in summary.findings],
        "known": [
            {"id": e.id, "regression": e.regression, "status": e.status, "message": e.message}
            for e in summary.replayed
        ],
        "advice": [{"case": case, "message": message} for case, message in sorted(summary.advice.items())],
        "errors": [{"case": case, "message": message} for case, message in summary.failed.items()],
    }


def _divergence(finding: Finding, summary: Summary) -> dict[str, Any]:
    divergence, identity = finding.divergence, finding.identity
    path = summary.saved.get(identity.digest)
    return {
        "id": identity.digest,
        "case": identity.case,
        "target": finding.target,
        "mode": finding.mode,
        "runtime": finding.runtime,
        "stage": str(divergence.stage),
        "kind": str(divergence.kind),
        "severity": str(divergence.severity),
        "where": divergence.where,
        "signature": divergence.signature,
        "message": divergence.message,
        "element": list(divergence.element) if divergence.element is not None else None,
        "exporters": list(finding.exporters),
        "shrunk": finding.shrunk,
        "flaky": finding.flaky,
        "inputs": [_value(value) for value in finding.inputs],
        "export_inputs": [_value(value) for value in finding.export_inputs],
        "eager": [_value(value) for value in finding.eager],
        "got": [_value(value) for value in finding.got],
        "regression": str(path) if path is not None else None,
        "save_error": summary.save_errors.get(identity.digest),
        "reproduce": reproduce_line(finding, summary),
        "chatter": finding.chatter,
    }


def _value(value: Any) -> Any:
    return (
        tensors.encode(value)
        if isinstance(value, np.ndarray)
        else {"type": type(value).__name__, "value": repr(value)}
    )


def write(summary: Summary, path: Path) -> None:
    """Write the report, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    atomic.write_text(path, json.dumps(document(summary), indent=1, ensure_ascii=False) + "\n")
