"""Judge stored regressions: which of them may still diverge.

A regression that a known divergence is tied to is expected to diverge, and to be *fixed* means that the entry
is to be removed. Any other is a test that passes once it is fixed.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diffexport import catalogue
from diffexport import known as known_divergences
from diffexport.check import Road
from diffexport.engine.run import applicable
from diffexport.engine.units import speaks_of
from diffexport.errors import RegressionFileError
from diffexport.known import Known
from diffexport.regressions import Regression, Replay, Status, load, replay
from diffexport.verdict import Kind


@dataclass(frozen=True)
class Judged:
    """The replay of one file, and whether it is what should be.

    ``note`` says what a known divergence has to do with it; ``message`` what was seen.
    """

    path: Path
    status: Status
    as_expected: bool
    note: str
    message: str

    @property
    def is_error(self) -> bool:
        """Whether the file could not be replayed."""
        return self.status is Status.ERROR


def tied_entries(own: Sequence[Known] = ()) -> Mapping[str, Known]:
    """Return the applicable known divergences by the name of the regression file they are tied to."""
    shipped = known_divergences.load(catalogue.known_file())
    return {entry.regression: entry for entry in applicable((*shipped, *own))}


@cache
def _road() -> Road:
    return Road()


def judge_file(path: Path, tied: Mapping[str, Known]) -> Judged:
    """Replay one file. A broken one is an ERROR and does not keep others from being replayed."""
    try:
        regression = load(path)
    except RegressionFileError as error:
        return Judged(path, Status.ERROR, False, "", str(error))
    result = (
        _isolated(regression)
        if regression.kind in (Kind.CRASH, Kind.TIMEOUT)
        else replay(regression, _road())
    )
    entry = tied.get(path.name)
    if result.status is Status.ERROR:
        return Judged(path, result.status, False, "", result.message)
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


#: Seconds after which an isolated replay counts as hanging.
TIME_LIMIT = 120


def _isolated(regression: Regression) -> Replay:
    """Replay in a child process, for what may take its process along."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_replay_into, args=(regression, queue))
    process.start()
    process.join(TIME_LIMIT)
    if process.is_alive():
        process.kill()
        process.join()
        return Replay(Status.DIVERGES, f"it still runs after {TIME_LIMIT} s", regression.kind is Kind.TIMEOUT)
    if process.exitcode != 0 or queue.empty():
        return Replay(Status.DIVERGES, f"the process died (exit code {process.exitcode})", True)
    status, message = queue.get()
    return Replay(Status(status), message)


def _replay_into(regression: Regression, queue: multiprocessing.SimpleQueue[tuple[str, str]]) -> None:
    result = replay(regression)
    queue.put((str(result.status), result.message))
