"""The machine-readable report. Format and versioning are described in docs/json.md."""

from __future__ import annotations

import dataclasses
from typing import Any

from diffexport.findings.events import Finding, KnownReplayed
from diffexport.findings.regressions import FindingStore, LeftOut, SeenTensors, is_tensor, reported_tensor
from diffexport.findings.reports.coverage import Untested
from diffexport.findings.reports.descriptions import values
from diffexport.findings.reports.reproduce import reproduce_line
from diffexport.findings.reports.tally import Tally
from diffexport.values import Call, Evidence, Inputs, NamedValue
from diffexport.versions import installed

FORMAT_VERSION = 1


def report_document(tally: Tally, store: FindingStore) -> dict[str, Any]:
    """Return the report as plain data; see docs/json.md."""
    tally.settle()
    started, finished = tally.started, tally.finished
    return {
        "diffexport": "report",
        "version": FORMAT_VERSION,
        "versions": installed(),
        "exit_code": tally.exit_code,
        "seconds": round(finished.seconds, 3) if finished else None,
        "interrupted": finished is None or finished.interrupted,
        "profile": started.profile if started else None,
        "seed": started.seed if started else None,
        "strict": started.strict if started else None,
        "scope": started.scope.document() if started else None,
        "artefact": (started.artefact or None) if started else None,
        "budget": _budget(tally),
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
                "out_of_memory": row.out_of_memory,
                "known": row.known,
                "notes": row.notes,
                "diverging": row.diverging,
                "arbitrated": row.arbitrated,
                "excused": row.excused,
                "tolerated": row.tolerated,
                "unrefereed": row.unrefereed,
                "seconds": round(row.seconds, 6),
                "turns": event.turns,
            }
            for event in tally.modes
            for row in event.rows
        ],
        "divergences": [divergence_document(finding, tally, store) for finding in tally.findings],
        "known": [_known(event) for event in tally.replayed],
        "excluded": [
            {"case": e.case, "modes": e.modes, "count": e.count, "reason": e.reason} for e in tally.excluded
        ],
        "untested": [_untested(one) for one in tally.untested()],
        "advice": [{"case": case, "message": message} for case, message in sorted(tally.advice.items())],
        "remarks": [{"case": one.case, "message": one.message} for one in sorted(tally.remarks, key=str)],
        "state_changes": _state_changes(tally),
        "errors": [{"case": case, "message": message} for case, message in tally.failed.items()],
    }


def _known(event: KnownReplayed) -> dict[str, Any]:
    return {
        "id": event.id,
        "regression": event.regression,
        "status": event.status,
        "message": event.message,
    }


def _budget(tally: Tally) -> dict[str, Any] | None:
    """Return how long modes were explored in turns, and where the time went; None where they were not."""
    budget = tally.started.budget if tally.started is not None else None
    if budget is None:
        return None
    return {
        "seconds": budget.seconds,
        "rounds": budget.rounds,
        "rounds_done": tally.rounds,
        "out_of_time": tally.finished is not None and tally.finished.out_of_time,
        "spent": {name: round(seconds, 3) for name, seconds in sorted(tally.spent.items())},
    }


def _state_changes(tally: Tally) -> list[dict[str, Any]]:
    return [
        {"case": e.case, "change": e.what, "restored": e.restored, "message": e.message}
        for _, e in sorted(tally.state_changes.items())
    ]


def _untested(one: Untested) -> dict[str, Any]:
    return {
        "case": one.case,
        "mode": one.mode,
        "runtimes": list(one.runtimes),
        "reason": one.reason,
        "failed": one.failed,
    }


def divergence_document(finding: Finding, tally: Tally, store: FindingStore) -> dict[str, Any]:
    """Return one finding as plain data."""
    divergence, identity = finding.divergence, finding.identity
    path = store.path_of(finding)
    given, example = _arguments(finding.inputs), _arguments(finding.export_inputs)
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
        "evidence": _evidence(divergence.evidence),
        "terms": finding.terms.document(),
        "exporters": list(finding.exporters),
        "blame": dict(zip(("stage", "because"), finding.blame, strict=True)) if finding.blame else None,
        "cause": finding.cause.document() if finding.cause is not None else None,
        "faces": [_face(face) for face in tally.faces_of(finding)],
        "shrunk": finding.shrunk,
        "flaky": finding.flaky,
        "remarks": list(finding.remarks),
        "inputs": given["args"],
        "export_inputs": example["args"],
        "kwargs": given["kwargs"],
        "export_kwargs": example["kwargs"],
        "eager": [_value(value, SeenTensors()) for value in finding.eager],
        "got": [_value(value, SeenTensors()) for value in finding.got],
        "regression": str(path) if path is not None else None,
        "save_error": store.error_of(finding) or None,
        "reproduce": reproduce_line(finding, tally, store),
        "chatter": finding.chatter,
    }


def _face(face: Finding) -> dict[str, Any]:
    """Return what else shows of a finding's cause, as plain data; its input as text."""
    divergence = face.divergence
    return {
        "id": face.identity.digest,
        "mode": face.mode,
        "runtime": face.runtime,
        "stage": str(divergence.stage),
        "kind": str(divergence.kind),
        "where": divergence.where,
        "signature": divergence.signature,
        "message": divergence.message,
        "exporters": list(face.exporters),
        "blame": dict(zip(("stage", "because"), face.blame, strict=True)) if face.blame else None,
        "input": values(face.inputs),
    }


def _evidence(evidence: Evidence | None) -> dict[str, Any] | None:
    """Return evidence as plain data, numbers as C99 hexadecimal text like those of tensors."""
    if evidence is None:
        return None
    return {
        name: value.hex() if isinstance(value, float) else value
        for name, value in dataclasses.asdict(evidence).items()
    }


def _arguments(inputs: Inputs) -> dict[str, Any]:
    call, seen = Call.of(inputs), SeenTensors()
    return {
        "args": [_value(value, seen) for value in call.args],
        "kwargs": {name: _value(value, seen) for name, value in call.kwargs.items()},
    }


def _value(value: Any, seen: SeenTensors) -> Any:
    if is_tensor(value):
        return reported_tensor(value, seen)
    if isinstance(value, LeftOut):
        return value.document()
    name = value.type_name if isinstance(value, NamedValue) else type(value).__name__
    document: dict[str, Any] = {"type": name, "value": repr(value)}
    if isinstance(value, tuple | list):
        document["items"] = [_value(item, seen) for item in value]
    elif isinstance(value, dict):
        document["items"] = {str(key): _value(item, seen) for key, item in value.items()}
    return document
