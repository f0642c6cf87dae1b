"""Judge stored regressions: which of them may still diverge.

A regression that a known divergence is tied to is expected to diverge, and to be *fixed* means that the entry
is to be removed. Any other is a test that passes once it is fixed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.explore.run_plan import applicable
from diffexport.explore.units import speaks_of
from diffexport.findings.regressions import Regression, Status, case_of, load, replay_safely
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue
from diffexport.subjects.cases import Case, Known, load_known


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


def tied_entries(own: Sequence[Known] = ()) -> Mapping[str, Known]:
    """Return the applicable known divergences by the name of the regression file they are tied to."""
    shipped = load_known(catalogue.known_file())
    return {entry.regression: entry for entry in applicable((*shipped, *own))}


def _own_entry(path: Path, regression: Regression, case: Case | None) -> Known | None:
    """Return the known divergence that stands on the case itself and is tied to the file."""
    with contextlib.suppress(DiffexportError):
        own = applicable((case or case_of(regression)).known)
        return next((entry for entry in own if entry.regression == path.name), None)
    return None


@cache
def _pipeline() -> Pipeline:
    return Pipeline()


def judge_file(path: Path, tied: Mapping[str, Known], case: Case | None = None) -> Judged:
    """Replay one file. A broken one is an ERROR and does not keep others from being replayed.

    ``case`` is the model, where the caller has it; else it is looked up by the stored target.
    """
    try:
        regression = load(path)
    except RegressionFileError as error:
        return Judged(path, Status.ERROR, False, "", str(error))
    # A case that is given may be another one next time.
    result = replay_safely(regression, _pipeline() if case is None else Pipeline(), case)
    entry = tied.get(path.name) or _own_entry(path, regression, case)
    if result.status is Status.ERROR:
        return Judged(path, result.status, False, "", result.message, result.elsewhere)
    if entry is None:
        fixed = result.status is Status.FIXED
        return Judged(path, result.status, fixed, "", result.message)
    if result.status is Status.DIVERGES and not speaks_of(entry, regression, result):
        return Judged(
            path, Status.ERROR, False, f"tied to {entry.id}, which speaks of another failure", result.message
        )
    if result.status is Status.DIVERGES:
        return Judged(path, result.status, True, f"known: {entry.id} — {entry.reason}", result.message)
    if entry.may_agree:
        return Judged(path, result.status, True, f"known: {entry.id}, which may agree on some processors", "")
    note = f"fixed upstream: remove this entry (id {entry.id!r} in {entry.source or 'known divergences'})"
    return Judged(path, result.status, False, note, result.message)
