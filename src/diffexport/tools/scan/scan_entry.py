"""One Function of a scan as plain data: what the report holds, the table shows and the state file keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import Tally, describe, divergence_document
from diffexport.tools.scan.function_status import VERDICTS, FunctionStatus
from diffexport.tools.scan.scan_events import Examined, ModeResult
from diffexport.tools.scan.variants import WITHOUT_SYMBOLIC
from diffexport.values import in_order


@dataclass(frozen=True)
class FunctionEntry:
    """One Function: its document, see docs/scan.md, and its findings described, one list of lines each."""

    document: Mapping[str, Any]
    lines: tuple[tuple[str, ...], ...] = ()

    @property
    def name(self) -> str:
        """The Function's name."""
        return str(self.document["name"])

    @property
    def status(self) -> FunctionStatus:
        """What became of it."""
        return FunctionStatus(self.document["status"])

    @property
    def was_run(self) -> bool:
        """Whether some export of it was looked at."""
        return bool(self.document["modes"])

    @property
    def diverges(self) -> bool:
        """Whether it is to be looked into: an export differs from eager, or ended the process."""
        return self.status is FunctionStatus.DIVERGES or (
            self.status is FunctionStatus.CRASH and self.document["inferred"]
        )


def entry_of(examined: Examined, store: FindingStore) -> FunctionEntry:
    """Return what is known of a Function as plain data; its findings have been given to ``store`` before."""
    tally = Tally()
    found = examined.found
    kept = [m for m in examined.modes if m.variant != WITHOUT_SYMBOLIC]
    stripped = [m for m in examined.modes if m.variant == WITHOUT_SYMBOLIC]
    document = {
        "name": found.name,
        "module": found.module,
        "qualname": found.qualname,
        "file": _relative(found.file),
        "line": found.line,
        "symbolic": found.symbolic,
        "setup_context": found.setup_context,
        "marks": list(found.marks),
        "status": examined.status,
        "message": examined.message,
        "inferred": examined.inferred,
        "inputs": list(examined.inputs),
        "call": examined.call,
        "source": examined.source,
        "tried": examined.tried,
        "target": examined.target or found.target,
        "notes": list(examined.notes),
        "stand_ins": list(examined.stand_ins),
        "seconds": round(examined.seconds, 3),
        "import_seconds": round(examined.import_seconds, 3),
        "exporters": _counts(kept),
        "without_symbolic": _counts(stripped) if stripped else None,
        "modes": [
            {"variant": m.variant, "mode": m.mode, "verdict": m.verdict, "reason": m.reason or None}
            for m in examined.modes
        ],
        "findings": [divergence_document(finding, tally, store) for finding in examined.findings],
    }
    return FunctionEntry(
        document, tuple(tuple(describe(finding, tally, store)) for finding in examined.findings)
    )


def _counts(modes: Sequence[ModeResult]) -> dict[str, dict[str, int]]:
    """Return for each exporter how many modes have each verdict."""
    counts = {name: Counter[str]() for name in in_order(result.mode.partition(",")[0] for result in modes)}
    for result in modes:
        counts[result.exporter][result.verdict] += 1
    return {
        name: {verdict: own[verdict] for verdict in VERDICTS} for name, own in counts.items() if own.total()
    }


def _relative(file: Path) -> str:
    try:
        return str(file.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(file)
