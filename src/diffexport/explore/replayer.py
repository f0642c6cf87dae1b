"""Replays stored regressions in a child process, from a process that loads nothing of them and cannot be spoiled.

One child serves many files. It is replaced when it dies, hangs or is changed by what it ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from diffexport.errors import RegressionFileError
from diffexport.explore.judged import Judged, ReplayProgress, StoredRules, tied_verdict
from diffexport.explore.replay_child import (
    Entry,
    ReplayAnswer,
    ReplayRequest,
    prepare_replays,
    prepare_scripts,
)
from diffexport.findings.regressions import FATAL_SECONDS, ReplayStep, Status, ending
from diffexport.processes import (
    Announced,
    ChildProcess,
    Died,
    Finished,
    Hung,
    Message,
    Policy,
    Ready,
    Received,
    share_of_memory,
)
from diffexport.subjects.cases import Known
from diffexport.values import Deadline, Kind, StepLimits

#: Seconds that a child may take to be ready: it imports torch, on a machine that may be busy.
_START_SECONDS = 300.0
#: How often a file is tried whose process was killed from outside.
_ATTEMPTS = 3
#: Exports and checks that the replay of one file takes at most.
_STEPS_OF_REPLAY = 10


class Replayer:
    """Replays files in child processes; to be closed, or used in a ``with`` statement.

    Args:
        known: the project's own known divergences.
        rules: what the files may do.
        limits: what each step may cost.
    """

    def __init__(self, known: Sequence[Known], rules: StoredRules, limits: StepLimits) -> None:
        self._known, self._rules, self._limits = tuple(known), rules, limits
        self._child: ChildProcess | None = None

    def judge(self, path: Path) -> Judged:
        """Replay one file; whatever is in it or happens by it, it gets a verdict of its own."""
        killed = 0
        while True:
            # What an earlier file has begun in the process may end it late: then it is not this one's fault.
            is_fresh = self._child is None
            arguments = (self._known, self._rules, self._limits)
            try:
                received, seconds = self._ask(ReplayRequest(path), prepare_replays, *arguments)
            except OSError as error:
                self.close()
                return Judged(path, Status.ERROR, False, "", f"no process for it can be started: {error}")
            if isinstance(received, Finished):
                answer: ReplayAnswer = received.answer
                if answer.spoiled:
                    self.close()
                return answer.judged
            progress = self._progress()
            self.close()
            from_outside = isinstance(received, Died) and received.is_from_outside
            killed += from_outside
            if is_fresh and not (from_outside and killed < _ATTEMPTS):
                return _judged_end(path, progress, received, seconds)

    def script(self, path: Path) -> str:
        """Return the standalone script of a file, of which nothing is executed.

        Raises:
            RegressionFileError: there is none; the text says why.
        """
        try:
            received, seconds = self._ask(path, prepare_scripts, self._rules)
        except OSError as error:
            raise RegressionFileError(f"{path}: no process for it can be started: {error}") from None
        finally:
            self.close()
        if isinstance(received, Finished):
            succeeded, text = received.answer
            if succeeded:
                return str(text)
            raise RegressionFileError(text)
        _, message, _ = ending(None, ReplayStep.READ, received, seconds)
        raise RegressionFileError(f"{path}: {message}")

    def close(self) -> None:
        """End the child process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def __enter__(self) -> Replayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: object, entry: Entry, *arguments: object) -> tuple[Received, float]:
        """Send a request to the child; return what comes of it, and the seconds that its last step was waited for."""
        if self._child is None:
            memory = self._limits.memory or share_of_memory(1)
            policy = Policy(memory=memory, own_session=True, quiet=True)
            self._child = ChildProcess.start(entry, *arguments, policy=policy)
        self._child.send(request)
        while True:
            seconds = self._seconds() if self._child.ready else _START_SECONDS
            received = self._child.receive(Deadline.after(seconds))
            if isinstance(received, Hung) and self._child.step.is_late:
                return received, self._seconds_of(self._child.step.name)
            if not isinstance(received, Ready | Announced | Message):
                return received, seconds

    def _progress(self) -> ReplayProgress:
        doing = None if self._child is None else self._child.doing
        return doing if isinstance(doing, ReplayProgress) else ReplayProgress(ReplayStep.READ)

    def _seconds(self) -> float:
        """Return how long what the child is doing may take."""
        progress = self._progress()
        if progress.step is not ReplayStep.CHECK:
            return self._limits.import_seconds
        # Each step has a limit of its own; this is for all of them together.
        seconds = _STEPS_OF_REPLAY * (self._limits.export_seconds + self._limits.check_seconds)
        return min(seconds, FATAL_SECONDS) if progress.kind in (Kind.CRASH, Kind.TIMEOUT) else seconds

    def _seconds_of(self, step: str) -> float:
        """Return how long a step of the pipeline may take."""
        if step in ("build", "export", "load", "blame"):
            return self._limits.export_seconds
        return self._limits.import_seconds if step == "import" else self._limits.check_seconds


def _judged_end(path: Path, progress: ReplayProgress, received: Received, seconds: float) -> Judged:
    """Return what is said of a file whose process did not answer."""
    status, message, same = ending(progress.kind, progress.step, received, seconds, progress.target)
    if status is Status.ERROR or progress.entry is None or not same:
        return Judged(path, status, False, "", message)
    return tied_verdict(path, progress.entry, status, message)
