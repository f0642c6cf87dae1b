"""The parent's side of a scan: child processes with deadlines, started again when one dies, hangs or is used up.

A child is for one root folder. What it was doing when it died says what to make of that: a package whose ``__init__``
ends the process or hangs is left out from then on and its modules are tried again; a Function that does is told so.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from diffexport.explore import ignoring_interrupts
from diffexport.findings.events import CaseFailed, FindingMade, ModeFinished, RowVerdict, Unhealthy
from diffexport.tools.scan.child import Done, Ready, main
from diffexport.tools.scan.examine import Concluded, ImportDone, InVariant, Job, Progress
from diffexport.tools.scan.function_status import FunctionStatus
from diffexport.tools.scan.scan_events import Examined, ModeResult, Working
from diffexport.tools.scan.variants import WITHOUT_SYMBOLIC

#: Functions that one child examines before it is replaced, so that memory stays flat.
_USED_UP = 24
#: Seconds a child may take to start, and to come to its end after its own time limit.
_START, _GRACE = 120.0, 5.0
#: Modes of one Function that may be done before one that ends the process, for the rest to be tried.
_MOST_SKIPPED = 12
#: Bytes that a child may allocate beyond what torch needs.
MEMORY = 6 << 30


@dataclass
class _Child:
    process: Any
    pipe: Connection
    root: str
    job: Job | None = None
    result: Examined | None = None
    doing: Progress = field(default_factory=lambda: Progress("starting"))
    deadline: float = 0.0
    started: float = 0.0
    done: int = 0
    ready: bool = False


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
        self._children: list[_Child] = []
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
            while any(child.job is not None for child in self._children):
                busy = [child for child in self._children if child.job is not None]
                now = time.monotonic()
                ready = wait([c.pipe for c in busy], max(min(c.deadline for c in busy) - now, 0.0))
                for child in busy:
                    if child.pipe in ready:
                        self._receive(child)
                    elif time.monotonic() > child.deadline:
                        self._ended(child, hung=True)
        finally:
            for child in self._children:
                _stop(child)

    def _give(self, child: _Child) -> None:
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
            child.doing = Progress("starting" if not child.ready else "importing", job.found.module)
            limit = self._import_limit if child.ready else _START
            child.started, child.deadline = time.monotonic(), time.monotonic() + limit
            with contextlib.suppress(OSError):  # it died: seen when it is listened to
                child.pipe.send(job)
            self._emit(Working(job.found.name, "importing"))
            return
        child.job = child.result = None

    def _replaced(self, child: _Child, root: str) -> _Child:
        _stop(child)
        fresh = self._start(root)
        self._children[self._children.index(child)] = fresh
        return fresh

    def _start(self, root: str) -> _Child:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, root, tuple(self._skip.items()), MEMORY, self._exporters)
        process = context.Process(target=main, args=arguments, daemon=False)
        with ignoring_interrupts():
            process.start()
        theirs.close()
        return _Child(process, ours, root)

    def _receive(self, child: _Child) -> None:
        try:
            message = pickle.loads(child.pipe.recv_bytes())  # noqa: S301 - from a child process of our own
        except (EOFError, OSError):
            self._ended(child, hung=False)
            return
        except Exception as error:  # noqa: BLE001 - of a type that does not load here, or garbage on the pipe
            assert child.result is not None
            child.result.notes.append(f"something of it could not be sent between processes ({error})")
            return
        self._take(child, message)

    def _take(self, child: _Child, message: Any) -> None:
        result, job = child.result, child.job
        if isinstance(message, Ready):
            child.ready = True
            child.deadline = time.monotonic() + self._import_limit
            return
        if result is None or job is None:
            return
        if isinstance(message, Done):
            if message.error:
                result.status, result.message = (
                    FunctionStatus.UNTESTED,
                    f"internal error of diffexport: {message.error}",
                )
            child.done += 1
            self._finish(child)
            self._give(child)
        elif isinstance(message, Progress):
            child.doing = message
            if message.doing == "importing":
                child.deadline = time.monotonic() + self._import_limit
            self._emit(Working(result.found.name, message.doing))
        elif isinstance(message, ImportDone):
            result.import_seconds, result.stand_ins = message.seconds, message.stand_ins
            result.notes += [note for note in message.notes if note not in result.notes]
            child.started = time.monotonic()
            child.deadline = child.started + job.timeout + (_START if job.careful else _GRACE)
        elif isinstance(message, Concluded):
            _conclude(result, message)
        elif isinstance(message, InVariant):
            _add(result, message)

    def _finish(self, child: _Child) -> None:
        result = child.result
        assert result is not None
        if child.doing.doing not in ("importing", "starting"):
            result.seconds += time.monotonic() - child.started
        if result.status is FunctionStatus.UNTESTED:
            result.status = status_of(result)
        child.result = child.job = None
        self._emit(result)

    def _ended(self, child: _Child, *, hung: bool) -> None:
        """A child died, or did not end in time: say what that means for its job, and go on with another."""
        job, result, doing = child.job, child.result, child.doing
        assert job is not None
        assert result is not None
        how = "does not end" if hung else f"ends the process ({_how(child)})"
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
    elif isinstance(event, CaseFailed):
        result.message = result.message or event.message
    elif isinstance(event, Unhealthy) and event.message not in result.notes:
        result.notes.append(event.message)


def _how(child: _Child) -> str:
    child.process.join(5)
    code = child.process.exitcode
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _stop(child: _Child) -> None:
    """End a child and whatever it started."""
    child.pipe.close()
    with contextlib.suppress(OSError, AttributeError):
        if child.process.pid is not None and os.getpgid(child.process.pid) == child.process.pid:
            os.killpg(child.process.pid, signal.SIGKILL)
    child.process.kill()
    child.process.join()
