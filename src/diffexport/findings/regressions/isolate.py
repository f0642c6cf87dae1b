"""Replay what may take its process along, a crash or a run without end, where nothing else keeps them apart."""

from __future__ import annotations

from diffexport.errors import DiffexportError
from diffexport.findings.regressions.format import Regression
from diffexport.findings.regressions.replay_endings import FATAL_SECONDS, ending
from diffexport.findings.regressions.replay_statuses import ReplayStep, Status
from diffexport.findings.regressions.replaying import Replay, case_of, impossible, replay
from diffexport.pipeline import Pipeline
from diffexport.processes import Announced, ChildProcess, Finished, Handler, ParentProcess, Policy, Ready
from diffexport.subjects.cases import Case
from diffexport.values import Deadline, Kind


def replay_safely(regression: Regression, pipeline: Pipeline, case: Case | None = None) -> Replay:
    """Replay a regression; in a child process, which has to find the model, if it is about a crash or a timeout."""
    if regression.kind not in (Kind.CRASH, Kind.TIMEOUT):
        return replay(regression, pipeline, case=case)
    deadline = Deadline.after(FATAL_SECONDS)
    with ChildProcess.start(_prepare, policy=Policy(own_session=True, quiet=True)) as child:
        child.send(regression)
        received = child.receive(deadline)
        while isinstance(received, Ready | Announced):
            received = child.receive()
        step = ReplayStep.IMPORT if child.doing is None else child.doing
    if isinstance(received, Finished):
        status, message, elsewhere = received.answer
        return Replay(Status(status), message, elsewhere=elsewhere)
    return Replay(*ending(regression.kind, step, received, FATAL_SECONDS))


def _prepare(parent: ParentProcess) -> Handler:
    def answer(regression: Regression) -> tuple[str, str, bool]:
        parent.announce(ReplayStep.IMPORT)
        try:
            case = case_of(regression)
            parent.announce(ReplayStep.CHECK)
            result = replay(regression, case=case)
        except DiffexportError as error:
            result = impossible(error)
        return str(result.status), result.message, result.elsewhere

    return answer
