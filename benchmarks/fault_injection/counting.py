"""What a fault did, in the columns of the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: The columns besides ``injected``, with their titles; benchmarks/faults.py says what each means.
COLUMNS = {
    "lost": "findings lost",
    "doubled": "doubled",
    "false": "false",
    "torn": "torn files",
    "tracebacks": "tracebacks",
    "hangs": "hangs",
    "lies": "exit codes that lie",
}


@dataclass
class Record:
    """What came of the faults of one trial.

    Attributes:
        kind: of the faults.
        number: of the trial among those of its kind; with the seed it says all about the trial.
        injected: how many faults took place.
        missed: how many were meant to take place and did not, because the command was done before.
        counts: how often each column was hit.
        remarks: one line for each of these hits, and what else is worth knowing.
        commands: what was run, as shell lines.
        folder: where all of it is, if it was kept.
    """

    kind: str
    number: int
    injected: int = 0
    missed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    folder: str = ""
    seconds: float = 0.0

    def hit(self, column: str, remark: str) -> None:
        """Count one thing that went wrong."""
        if column not in COLUMNS:
            raise ValueError(column)
        self.counts[column] += 1
        self.remarks.append(f"{COLUMNS[column]}: {remark}")

    @property
    def name(self) -> str:
        """The trial as ``--only`` takes it."""
        return f"{self.kind}:{self.number}"

    def document(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {**vars(self), "counts": dict(self.counts)}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Record:
        """Return a record from plain data."""
        return cls(**{**document, "counts": Counter(document["counts"])})
