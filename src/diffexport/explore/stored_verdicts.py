"""Judge stored regressions: which of them may still diverge.

A regression that a known divergence is tied to is expected to diverge, and to be *fixed* means that the entry
is to be removed. Any other is a test that passes once it is fixed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.explore.judged import ANYWHERE, Judged, ReplayProgress, StoredRules, tied_verdict
from diffexport.explore.run_plan import applicable
from diffexport.explore.units import speaks_of
from diffexport.findings.regressions import (
    Regression,
    Replay,
    ReplayStep,
    Status,
    case_of,
    impossible,
    load,
    replay,
    replay_safely,
    with_named,
)
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue
from diffexport.subjects.cases import Case, Known, load_known
from diffexport.subjects.targets import check_inside


def tied_entries(of_project: Sequence[Known] = ()) -> Mapping[str, Known]:
    """Return the applicable known divergences by the name of the regression file they are tied to."""
    shipped = load_known(catalogue.known_file())
    return {entry.regression: entry for entry in applicable((*shipped, *of_project))}


def _own_entry(path: Path, case: Case) -> Known | None:
    """Return the known divergence that stands on the case itself and is tied to the file."""
    with contextlib.suppress(DiffexportError):
        return next((entry for entry in applicable(case.known) if entry.regression == path.name), None)
    return None


@cache
def _pipeline() -> Pipeline:
    return Pipeline()


def judge_file(
    path: Path,
    tied: Mapping[str, Known],
    case: Case | None = None,
    *,
    rules: StoredRules = ANYWHERE,
    listener: Callable[[ReplayProgress], None] | None = None,
) -> Judged:
    """Replay one file. A broken one is an ERROR and does not keep others from being replayed.

    Args:
        path: the file.
        tied: known divergences by the names of the files that they are tied to.
        case: the model, where the caller has it; else it is looked up by the stored target.
        rules: what the file may do.
        listener: told before each step; with one, this is a process that may die of what is replayed.
    """
    tell = listener or (lambda _progress: None)
    tell(ReplayProgress(ReplayStep.READ))
    try:
        regression = load(path, largest=rules.largest)
    except RegressionFileError as error:
        return Judged(path, Status.ERROR, False, "", str(error))
    tell(ReplayProgress(ReplayStep.IMPORT, regression.kind, regression.target))
    try:
        if rules.project is not None:
            check_inside(regression.target, rules.project)
        given, case = case, case or case_of(regression, rules.largest)
        regression = with_named(regression, rules.largest)
    except DiffexportError as error:
        result = impossible(error)
        return Judged(path, Status.ERROR, False, "", result.message, result.elsewhere)
    entry = tied.get(path.name) or _own_entry(path, case)
    tell(ReplayProgress(ReplayStep.CHECK, regression.kind, regression.target, entry))
    # A case that is given may be another one next time.
    pipeline = _pipeline() if given is None else Pipeline()
    may_die = listener is not None
    result = (
        replay(regression, pipeline, case=case) if may_die else replay_safely(regression, pipeline, given)
    )
    return _judged(path, regression, result, entry)


def _judged(path: Path, regression: Regression, result: Replay, entry: Known | None) -> Judged:
    """Return whether what a replay showed is what should be."""
    judged = _as_it_should_be(path, regression, result, entry)
    notes = [note for note in (judged.note, result.note) if note]
    return replace(judged, note="; ".join(notes))


def _as_it_should_be(path: Path, regression: Regression, result: Replay, entry: Known | None) -> Judged:
    if result.status is Status.ERROR:
        return Judged(path, result.status, False, "", result.message, result.elsewhere)
    if entry is None:
        fixed = result.status is Status.FIXED
        return Judged(path, result.status, fixed, "", result.message)
    if result.status is Status.DIVERGES and not speaks_of(entry, regression, result):
        return Judged(
            path, Status.ERROR, False, f"tied to {entry.id}, which speaks of another failure", result.message
        )
    return tied_verdict(path, entry, result.status, result.message)
