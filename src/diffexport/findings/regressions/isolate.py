"""Replay what may take its process along: a crash, or a run without end."""

from __future__ import annotations

from diffexport.findings.regressions.format import Regression
from diffexport.findings.regressions.replaying import Replay, Status, replay
from diffexport.pipeline import Pipeline
from diffexport.processes import ChildProcess, Failed, Finished, Handler, Hung, ParentProcess, Policy, Ready
from diffexport.subjects.cases import Case
from diffexport.values import Deadline, Kind

#: Seconds after which an isolated replay counts as hanging.
TIME_LIMIT = 120


def replay_safely(regression: Regression, pipeline: Pipeline, case: Case | None = None) -> Replay:
    """Replay a regression; in a child process, which has to find the model, if it is about a crash or a timeout."""
    if regression.kind not in (Kind.CRASH, Kind.TIMEOUT):
        return replay(regression, pipeline, case=case)
    deadline = Deadline.after(TIME_LIMIT)
    with ChildProcess.start(_prepare, policy=Policy(own_session=True)) as child:
        child.send(regression)
        received = child.receive(deadline)
        while isinstance(received, Ready):
            received = child.receive()
    if isinstance(received, Hung):
        return Replay(Status.DIVERGES, f"it still runs after {TIME_LIMIT} s", regression.kind is Kind.TIMEOUT)
    if isinstance(received, Finished):
        status, message = received.answer
        return Replay(Status(status), message)
    how = f"raised {received.error}" if isinstance(received, Failed) else f"died ({received})"
    return Replay(Status.DIVERGES, f"the process {how}", True)


def _prepare(_: ParentProcess) -> Handler:
    return _replay


def _replay(regression: Regression) -> tuple[str, str]:
    result = replay(regression)
    return str(result.status), result.message
