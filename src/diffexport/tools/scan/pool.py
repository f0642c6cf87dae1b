"""The parent's side of a scan: child processes with deadlines, started again when one dies, hangs or is used up.

A child is for one root folder. What it was doing when it died says what to make of that: a package whose ``__init__``
ends the process or hangs is left out from then on and its modules are tried again; a Function that does is told so.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffexport.findings.events import (
    CaseFailed,
    FaceFound,
    FindingMade,
    ModeFinished,
    Remark,
    RowVerdict,
    Unhealthy,
)
from diffexport.processes import (
    Announced,
    ChildProcess,
    Died,
    Failed,
    Finished,
    Hung,
    Message,
    Policy,
    Ready,
    Received,
    Unreadable,
    receive_any,
)
from diffexport.tools.scan.child import prepare
from diffexport.tools.scan.examine import Concluded, ImportDone, InVariant, Job, Progress
from diffexport.tools.scan.function_status import FunctionStatus
from diffexport.tools.scan.scan_events import Examined, ModeResult, Working
from diffexport.tools.scan.variants import WITHOUT_SYMBOLIC
from diffexport.values import Deadline

#: Functions that one child examines before it is replaced, so that memory stays flat.
_USED_UP = 24
#: Seconds a child may take to start, and to come to its end after its own time limit.
_START, _GRACE = 120.0, 5.0
#: Modes of one Function that may be done before one that ends the process, for the rest to be tried.
_MOST_SKIPPED = 12
#: Bytes that a child may allocate beyond what torch needs.
MEMORY = 6 << 30


@dataclass
class _ScanChild:
    """A child process, and the job that it is on."""

    process: ChildProcess
    root: str
    job: Job | None = None
    result: Examined | None = None
    started: float = 0.0
    done: int = 0

    @property
    def doing(self) -> Progress:
        """What it is doing, as far as it said so."""
        if self.process.doing is not None:
            progress: Progress = self.process.doing
            return progress
        return Progress(
            "importing" if self.process.ready else "starting", self.job.found.module if self.job else ""
        )


class Pool:
    """Examines jobs on several child processes.

    Args:
        jobs: how many processes, at least 1.
        emit: takes [Working][] and [Examined][] events.
        import_limit: seconds that one import may take.
        exporters: what is exported with.
    """

    def __init__(
        self, jobs: int, emit: Callable[[Any], None], import_limit: float, exporters: Sequence[str]
    ) -> None:
        self._number, self._emit, self._import_limit = jobs, emit, import_limit
        self._exporters = tuple(exporters)
        self._children: list[_ScanChild] = []
        self._waiting: deque[Job] = deque()
        self._skip: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        self._partial: dict[str, Examined] = {}

    def run(self, jobs: Sequence[Job]) -> None:
        """Examine everything; ends early only by an exception, KeyboardInterrupt among them."""
        self._waiting.extend(jobs)
        try:
            for _ in range(min(self._number, len(self._waiting))):
                self._children.append(self._start(self._waiting[0].found.root))
            for child in list(self._children):
                self._give(child)
            while busy := {child.process: child for child in self._children if child.job is not None}:
                for process, received in receive_any(list(busy)):
                    self._take(busy[process], received)
        finally:
            for child in self._children:
                child.process.stop()

    def _give(self, child: _ScanChild) -> None:
        """Give a child the next job, one of its root if there is any; start another process where needed."""
        while self._waiting:
            at = next((n for n, job in enumerate(self._waiting) if job.found.root == child.root), 0)
            job = self._waiting[at]
            del self._waiting[at]
            if job.found.module in self._broken:
                self._emit(Examined(job.found, FunctionStatus.IMPORT_ERROR, self._broken[job.found.module]))
                continue
            if job.found.root != child.root or child.done >= _USED_UP:
                child = self._replaced(child, job.found.root)
            child.job = job
            child.result = self._partial.pop(job.found.name, None) or Examined(job.found)
            child.started = time.monotonic()
            child.process.deadline = Deadline.after(self._import_limit if child.process.ready else _START)
            child.process.send(job)
            self._emit(Working(job.found.name, "importing"))
            return
        child.job = child.result = None

    def _replaced(self, child: _ScanChild, root: str) -> _ScanChild:
        child.process.stop()
        fresh = self._start(root)
        self._children[self._children.index(child)] = fresh
        return fresh

    def _start(self, root: str) -> _ScanChild:
        policy = Policy(memory=MEMORY, own_session=True, quiet=True, paths=(root,) if root else ())
        process = ChildProcess.start(prepare, tuple(self._skip.items()), self._exporters, policy=policy)
        return _ScanChild(process, root)

    def _take(self, child: _ScanChild, received: Received) -> None:
        result, job = child.result, child.job
        assert result is not None
        assert job is not None
        if isinstance(received, Ready):
            child.process.deadline = Deadline.after(self._import_limit)
        elif isinstance(received, Died | Hung):
            self._ended(child, received)
        elif isinstance(received, Unreadable):
            result.notes.append(f"something of it could not be sent between processes ({received.error})")
        elif isinstance(received, Finished | Failed):
            if isinstance(received, Failed):
                result.status = FunctionStatus.UNTESTED
                result.message = f"internal error of diffexport: {received.error} ({received.place})"
            child.done += 1
            self._finish(child)
            self._give(child)
        elif isinstance(received, Announced):
            if received.what.doing == "importing":
                child.process.deadline = Deadline.after(self._import_limit)
            self._emit(Working(result.found.name, received.what.doing))
        else:
            self._told(child, result, job, received)

    def _told(self, child: _ScanChild, result: Examined, job: Job, message: Message) -> None:
        """Add to a result what a child tells of it."""
        value = message.value
        if isinstance(value, ImportDone):
            result.import_seconds, result.stand_ins = value.seconds, value.stand_ins
            result.notes += [note for note in value.notes if note not in result.notes]
            child.started = time.monotonic()
            child.process.deadline = Deadline.after(job.timeout + (_START if job.careful else _GRACE))
        elif isinstance(value, Concluded):
            _conclude(result, value)
        elif isinstance(value, InVariant):
            _add(result, value)

    def _finish(self, child: _ScanChild) -> None:
        result = child.result
        assert result is not None
        if child.doing.doing not in ("importing", "starting"):
            result.seconds += time.monotonic() - child.started
        if result.status is FunctionStatus.UNTESTED:
            result.status = status_of(result)
        child.result = child.job = None
        self._emit(result)

    def _ended(self, child: _ScanChild, end: Died | Hung) -> None:
        """A child died, or did not end in time: say what that means for its job, and go on with another."""
        hung = isinstance(end, Hung)
        job, result, doing = child.job, child.result, child.doing
        assert job is not None
        assert result is not None
        how = "does not end" if hung else f"ends the process ({end})"
        if doing.doing == "importing":
            self._import_ended(job, result, doing.detail or job.found.module, how, hung)
        elif doing.doing == "inferring" and not job.careful and not hung:
            self._waiting.appendleft(replace(job, careful=True))
            child.job = child.result = None
        elif doing.doing == "starting":
            result.status, result.message = FunctionStatus.CRASH, f"the process that should examine it {how}"
        else:
            result.status = FunctionStatus.TIMEOUT if hung else FunctionStatus.CRASH
            what = "working out how to call it" if doing.doing == "inferring" else "exporting or running it"
            limit = f" within {job.timeout:g} s" if hung else ""
            result.message = f"{what} {how}{limit}{f'; see it with: {doing.detail}' if doing.detail else ''}"
            if result.modes and hung:
                result.status = FunctionStatus.UNTESTED
            if doing.doing == "exploring" and not hung and len(job.skipped) < _MOST_SKIPPED:
                # The other modes may be fine.
                done = [(mode.variant, mode.mode) for mode in result.modes]
                skipped = tuple(dict.fromkeys((*job.skipped, *done, doing.at)))
                result.seconds += time.monotonic() - child.started
                self._partial[job.found.name] = result
                self._waiting.appendleft(replace(job, skipped=skipped, before=tuple(result.findings)))
                child.job = child.result = None
        if child.job is not None:
            self._finish(child)
        self._give(self._replaced(child, job.found.root))

    def _import_ended(self, job: Job, result: Examined, name: str, how: str, hung: bool) -> None:
        message = f"importing {name} {how}{f' within {self._import_limit:g} s' if hung else ''}"
        if name == job.found.module or name in self._skip:
            result.status, result.message = FunctionStatus.IMPORT_ERROR, message
            self._broken[job.found.module] = message
            return
        # An ancestor: its modules can be had without what it does.
        self._skip[name] = message
        self._waiting.appendleft(job)
        for child in self._children:
            if child.job is job:
                child.job = child.result = None


def status_of(result: Examined) -> FunctionStatus:
    """Return the status of a Function that was run."""
    if result.findings:
        return FunctionStatus.DIVERGES
    verdicts = {mode.verdict for mode in result.modes if mode.variant != WITHOUT_SYMBOLIC}
    telling = (RowVerdict.DIVERGES, RowVerdict.AGREES, RowVerdict.KNOWN, RowVerdict.REFUSED)
    return FunctionStatus(next((verdict for verdict in telling if verdict in verdicts), RowVerdict.UNTESTED))


def _conclude(result: Examined, message: Concluded) -> None:
    result.status = message.status or result.status
    result.message = message.message or result.message
    result.target = message.target or result.target
    result.notes += [note for note in message.notes if note not in result.notes]
    inference = message.inference
    if inference is not None:
        result.inputs, result.call, result.source = inference.inputs, inference.call, inference.source
        result.tried = inference.tried
        result.notes += [note for note in inference.notes if note not in result.notes]


def _add(result: Examined, message: InVariant) -> None:
    event = message.event
    if isinstance(event, ModeFinished):
        result.modes.append(ModeResult(message.variant, event.mode, event.rows))
    elif isinstance(event, FindingMade):
        result.findings.append(event.finding)
    elif isinstance(event, FaceFound) and event.leads:
        # The simplest stands for a cause.
        result.findings = [event.finding if one.identity == event.of else one for one in result.findings]
    elif isinstance(event, CaseFailed):
        result.message = result.message or event.message
    elif isinstance(event, Unhealthy | Remark) and event.message not in result.notes:
        result.notes.append(event.message)
