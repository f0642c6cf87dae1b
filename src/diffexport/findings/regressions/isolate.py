"""Replay what may take its process along: a crash, or a run without end."""

from __future__ import annotations

import multiprocessing

from diffexport.findings.regressions.format import Regression
from diffexport.findings.regressions.replaying import Replay, Status, replay
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case
from diffexport.values import Kind

#: Seconds after which an isolated replay counts as hanging.
TIME_LIMIT = 120


def replay_safely(regression: Regression, road: Pipeline, case: Case | None = None) -> Replay:
    """Replay a regression; in a child process, which has to find the model, if it is about a crash or a timeout."""
    if regression.kind not in (Kind.CRASH, Kind.TIMEOUT):
        return replay(regression, road, case=case)
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
