"""Events as records of a journal, and back; without pickle.

Inputs and outputs of a finding are kept as a regression file keeps them, so that what can be stored there can be stored
here. The large tensors, which lie beside such a file, are in the record.
"""

from __future__ import annotations

import base64
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.findings.events import (
    Excluded,
    Finding,
    FindingMade,
    KnownReplayed,
    KnownStatus,
    ModeFinished,
    Remark,
    Row,
    RowVerdict,
    StateChanged,
)
from diffexport.findings.regressions import Regression, StoredName, dumps, loads, regression_of
from diffexport.values import Divergence, Evidence, Identity, Kind, Place, Stage, leaves

#: Most bytes of tensors in one record; what is larger is made again.
_MOST = 64 << 20
_STEM = "finding"
#: Fields of a row that are not as they are at first are kept.
_ROW = {one.name: one for one in dataclasses.fields(Row) if one.name not in ("runtime", "verdict")}


class RecordError(DiffexportError):
    """A record that cannot be made, or cannot be read; the text says why."""


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain data.

    Raises:
        RecordError: an argument is of a type that is not stored, or all of them are too large.
    """
    identity, divergence = finding.identity, finding.divergence
    try:
        text, side = dumps(regression_of(finding), _STEM)
    except RegressionFileError as error:
        raise RecordError(str(error)) from None
    if sum(map(len, side.values())) > _MOST:
        raise RecordError("its tensors are too large for a journal")
    record = {
        "regression": text,
        "side": {name: base64.b64encode(data).decode() for name, data in side.items()},
        "exporter": identity.exporter,
        "seen_on": identity.runtime,
        "element": divergence.element,
        "excess": _number(divergence.excess),
        "evidence": _evidence_record(divergence.evidence),
        "blame": list(finding.blame),
        "shrunk": finding.shrunk,
        "flaky": finding.flaky,
        "chatter": finding.chatter,
        "remarks": list(finding.remarks),
    }
    key = [str(identity.stage), str(identity.kind), identity.place.text, identity.signature]
    if key != [str(divergence.stage), str(divergence.kind), divergence.place.text, divergence.signature]:
        record["key"] = key
    return record


def _stored(record: Mapping[str, Any]) -> Regression:
    """Return the regression in a record; its side files are written for that and removed again."""
    with tempfile.TemporaryDirectory(prefix="diffexport-") as folder:
        for name, data in record["side"].items():
            (Path(folder) / Path(name).name).write_bytes(base64.b64decode(data, validate=True))
        return loads(record["regression"], Path(folder) / f"{_STEM}.diffexport.json")


def _check_unnamed(stored: Regression) -> None:
    calls = (stored.inputs, stored.export_inputs, stored.eager, stored.got)
    if any(isinstance(leaf, StoredName) for call in calls for leaf in leaves(call)):
        raise RecordError(
            "it has an argument that is known by its name, whose module would have to be imported"
        )


def finding_from(record: Mapping[str, Any]) -> Finding:
    """Return the finding that a record was made of.

    Raises:
        RecordError: it is of another version, or damaged.
    """
    try:
        stored = _stored(record)
        _check_unnamed(stored)
        element = record["element"]
        divergence = Divergence(
            stored.stage,
            stored.kind,
            stored.place,
            stored.signature,
            stored.message,
            element=None if element is None else tuple(element),
            excess=_parsed_number(record["excess"]),
            evidence=_evidence_from(record["evidence"]),
        )
        stage, kind, place, signature = record.get("key") or (
            stored.stage,
            stored.kind,
            stored.place.text,
            stored.signature,
        )
        return Finding(
            identity=Identity(
                stored.case,
                record["exporter"],
                record["seen_on"],
                Stage(stage),
                Kind(kind),
                Place.parse(place),
                signature,
                stored.target,
            ),
            target=stored.target,
            specs=stored.specs,
            mode=str(stored.mode),
            runtime=stored.runtime,
            divergence=divergence,
            inputs=stored.inputs,
            export_inputs=stored.export_inputs,
            eager=stored.eager,
            got=stored.got,
            exporters=stored.exporters,
            seed=stored.seed,
            terms=stored.terms,
            weights=stored.weights,
            shrunk=bool(record["shrunk"]),
            flaky=bool(record["flaky"]),
            chatter=str(record["chatter"]),
            blame=tuple(record["blame"]),
            remarks=tuple(map(str, record.get("remarks", ()))),
            cause=stored.cause,
        )
    except (DiffexportError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def mode_record(event: ModeFinished) -> dict[str, Any]:
    """Return a mode that is done as plain data."""
    return {
        "case": event.case,
        "mode": event.mode,
        "rows": [_row_record(row) for row in event.rows],
        "carried": dict(event.carried),
        **({} if event.turns is None else {"turns": event.turns}),
    }


def mode_from(record: Mapping[str, Any]) -> ModeFinished:
    """Return the mode that a record was made of.

    Raises:
        RecordError: see [finding_from][].
    """
    try:
        rows = tuple(_row_from(row) for row in record["rows"])
        carried = dict(record["carried"])
        turns = int(record["turns"]) if "turns" in record else None
        return ModeFinished(str(record["case"]), str(record["mode"]), rows, carried, turns)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def excluded_record(event: Excluded) -> dict[str, Any]:
    """Return modes that are left out as plain data."""
    return dataclasses.asdict(event)


def excluded_from(record: Mapping[str, Any]) -> Excluded:
    """Return what [excluded_record][] was given.

    Raises:
        RecordError: see [finding_from][].
    """
    try:
        texts = tuple(map(str, record["texts"]))
        return Excluded(record["case"], record["modes"], int(record["count"]), record["reason"], texts)
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def known_record(event: KnownReplayed) -> dict[str, Any]:
    """Return the replay of a known divergence as plain data."""
    return dataclasses.asdict(event)


def known_from(record: Mapping[str, Any]) -> KnownReplayed:
    """Return what [known_record][] was given.

    Raises:
        RecordError: see [finding_from][].
    """
    try:
        status = KnownStatus(record["status"])
        return KnownReplayed(record["id"], record["regression"], status, record["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def state_record(event: StateChanged) -> dict[str, Any]:
    """Return what a case changed in its process as plain data."""
    return dataclasses.asdict(event)


def state_from(record: Mapping[str, Any]) -> StateChanged:
    """Return what [state_record][] was given.

    Raises:
        RecordError: see [finding_from][].
    """
    try:
        return StateChanged(str(record["case"]), str(record["what"]), bool(record["restored"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def remark_record(event: Remark) -> dict[str, Any]:
    """Return what is said of a case as plain data."""
    return dataclasses.asdict(event)


def remark_from(record: Mapping[str, Any]) -> Remark:
    """Return what [remark_record][] was given.

    Raises:
        RecordError: see [finding_from][].
    """
    try:
        return Remark(str(record["case"]), str(record["message"]), bool(record["refuses"]))
    except KeyError as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def made_record(event: FindingMade) -> dict[str, Any]:
    """Return a finding that was made as plain data; see [finding_record][]."""
    return {**finding_record(event.finding), **({"as_seen": True} if event.as_seen else {})}


def _row_record(row: Row) -> dict[str, Any]:
    plain = Row(row.runtime)
    changed = {name: getattr(row, name) for name in _ROW if getattr(row, name) != getattr(plain, name)}
    return {"runtime": row.runtime, "verdict": str(row.verdict), **changed}


def _row_from(record: Mapping[str, Any]) -> Row:
    fields = dict(record)
    return Row(str(fields.pop("runtime")), RowVerdict(fields.pop("verdict")), **fields)


def _number(value: float | None) -> str | None:
    return None if value is None else float(value).hex()


def _parsed_number(text: str | None) -> float | None:
    return None if text is None else float.fromhex(text)


def _evidence_record(evidence: Evidence | None) -> dict[str, Any] | None:
    if evidence is None:
        return None
    plain = dataclasses.asdict(evidence)
    return {name: _number(value) if isinstance(value, float) else value for name, value in plain.items()}


def _evidence_from(record: Mapping[str, Any] | None) -> Evidence | None:
    if record is None:
        return None
    texts = ("farther", "note")
    fields: dict[str, Any] = {
        name: _parsed_number(value) if isinstance(value, str) and name not in texts else value
        for name, value in record.items()
    }
    return Evidence(**fields)
