"""What is said of one stored regression: plain values, which a process that replays nothing itself can read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from diffexport.findings.regressions import ReplayStep, Status
from diffexport.subjects.cases import Known
from diffexport.values import DEFAULT_REGRESSION_SIZE, Kind


@dataclass(frozen=True)
class Judged:
    """The replay of one file, and whether it is what should be.

    ``note`` says what a known divergence has to do with it; ``message`` what was seen. ``elsewhere`` says that only
    the test that found it can replay it, and ``message`` which one that is.
    """

    path: Path
    status: Status
    as_expected: bool
    note: str
    message: str
    elsewhere: bool = False

    @property
    def is_error(self) -> bool:
        """Whether the file could not be replayed."""
        return self.status is Status.ERROR


@dataclass(frozen=True)
class StoredRules:
    """What stored regressions may do, and cost.

    Attributes:
        project: the folder that targets which are files have to lie in; None lets them lie anywhere.
        largest: bytes that the tensors of one may take.
    """

    project: Path | None
    largest: int


@dataclass(frozen=True)
class ReplayProgress:
    """What is about to be done with a stored regression.

    Attributes:
        step: what.
        kind: of the regression; None before it is read.
        target: of the regression, likewise.
        entry: the known divergence that is tied to it, once that is known.
    """

    step: ReplayStep
    kind: Kind | None = None
    target: str = ""
    entry: Known | None = None

    def __str__(self) -> str:
        return (
            f"importing {self.target}" if self.target and self.step is ReplayStep.IMPORT else str(self.step)
        )


#: The rules for files whose targets somebody else has already agreed to.
ANYWHERE = StoredRules(None, DEFAULT_REGRESSION_SIZE)


def tied_verdict(path: Path, entry: Known, status: Status, message: str) -> Judged:
    """Return what is said of a file that a known divergence is tied to, which is to diverge."""
    if status is Status.DIVERGES:
        return Judged(path, status, True, f"known: {entry.id} — {entry.reason}", message)
    if entry.may_agree:
        return Judged(path, status, True, f"known: {entry.id}, which may agree on some processors", "")
    note = f"fixed upstream: remove this entry (id {entry.id!r} in {entry.source or 'known divergences'})"
    return Judged(path, status, False, note, message)
