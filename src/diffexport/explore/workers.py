"""Workers: child processes that do units of work and send events back.

The parent sees at any time what a worker is doing. When one ends or hangs, what it was doing decides:

- killed from outside: it is tried again, several times;
- otherwise the mode is done again *carefully*, every check announced before it is made. If the worker ends once more,
  the announced check is made alone, in a process of its own; if it is fatal again, it becomes a finding, is not made
  any more, and the mode goes on with other inputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

from diffexport.explore.fatal_unit import FatalResult, FatalUnit, first_sight, look_again
from diffexport.explore.sent_events import to_be_sent
from diffexport.explore.units import Unit, do, warm_up
from diffexport.explore.worker_tasks import CAREFUL_AFTER_KILLS, MOST_DEATHS, MOST_HANGS, MOST_KILLS, Task
from diffexport.findings.events import CaseFailed, CheckStarting, Event, FindingMade, StateChanged, Suspected
from diffexport.processes import (
    ChildProcess,
    Died,
    Failed,
    Finished,
    Handler,
    Hung,
    Message,
    ParentProcess,
    Policy,
    ProcessStep,
    Ready,
    Received,
    Unreadable,
    kills_for_memory,
    receive_any,
    share_of_memory,
)
from diffexport.values import NO_DEADLINE, Deadline, StepLimits

#: Seconds that a worker may take to start, torch and all, on a busy machine.
_START = 300.0
#: What is done before any check: where that is fatal, nothing can be tested.
_BEFORE_CHECKS = ("", "import", "build", "draw")


def run_parallel(units: Iterable[Unit], jobs: int) -> Iterator[Event]:
    """Do every unit on ``jobs`` worker processes; give every event, in the order each unit sends them.

    The workers end with the iterator, also where that is closed before its end.

    Args:
        units: heaviest first.
        jobs: number of processes, at least 1.
    """
    yield from _Schedule(units, jobs).run()


class _Schedule:
    """Which units wait, and which worker is on which."""

    def __init__(self, units: Iterable[Unit], jobs: int) -> None:
        self._waiting: deque[Task] = deque(map(Task, units))
        self._jobs = jobs
        self._busy: dict[ChildProcess, Task] = {}
        self._idle: list[ChildProcess] = []
        #: What workers that look at one fatal check again are on.
        self._again: dict[ChildProcess, FatalUnit] = {}
        #: Workers in which something of the process is not as it was, and cannot be put back.
        self._changed: set[ChildProcess] = set()
        self._kills_for_memory = kills_for_memory()

    def run(self) -> Iterator[Event]:
        """Do every unit; give every event."""
        try:
            for _ in range(min(self._jobs, len(self._waiting))):
                self._give()
            while self._busy:
                for worker, received in receive_any(list(self._busy)):
                    yield from self._take(worker, received)
        finally:
            for worker in (*self._busy, *self._idle):
                worker.stop()

    def _give(self, task: Task | None = None, worker: ChildProcess | None = None) -> None:
        """Let a worker, by default another one, do a task, by default the one that waits first."""
        if task is None:
            if not self._waiting:
                if worker is not None:
                    self._idle.append(worker)
                return
            task = self._waiting.popleft()
        worker = worker or self._started(task.unit.settings.steps)
        self._busy[worker] = task
        worker.send(task.request())

    def _started(self, steps: StepLimits, *, fresh: bool = False) -> ChildProcess:
        if self._idle and not fresh:
            return self._idle.pop()
        memory = steps.memory or share_of_memory(self._jobs)
        policy = Policy(memory=memory, own_session=True, captured=True)
        worker = ChildProcess.start(_prepare, policy=policy)
        worker.deadline = Deadline.after(_START)
        return worker

    def _take(self, worker: ChildProcess, received: Received) -> Iterator[Event]:
        """Take what a worker sent, or how it ended."""
        task = self._busy[worker]
        if isinstance(received, Ready):
            worker.deadline = NO_DEADLINE
        elif isinstance(received, Message):
            if isinstance(received.value, StateChanged) and not received.value.restored:
                self._changed.add(worker)
            if task.take(received.value):
                yield received.value
        elif isinstance(received, Unreadable):
            text = f"what was found cannot be sent between processes ({received.error}); run it with --jobs 0"
            yield CaseFailed(task.unit.name, text)
        elif isinstance(received, Finished | Failed):
            del self._busy[worker]
            yield from self._finished(worker, task, received)
        elif isinstance(received, Died | Hung):
            step, check = worker.step, worker.doing
            worker.stop()
            del self._busy[worker]
            request = self._again.pop(worker, None)
            if request is not None:
                yield from self._looked_again(task, request, FatalResult())
                return
            request = yield from self._ended(task, received, step, check)
            if request is not None:
                self._look_again(task, request)
            else:
                self._give(task if task.wants_worker else None)

    def _finished(self, worker: ChildProcess, task: Task, received: Finished | Failed) -> Iterator[Event]:
        """Take the end of what a worker was asked."""
        request = self._again.pop(worker, None)
        if request is not None:
            # It has copied itself often, and is not to be used for anything else.
            worker.stop()
            answer = received.answer if isinstance(received, Finished) else FatalResult()
            yield from self._looked_again(task, request, answer)
            return
        if isinstance(received, Failed):
            yield from task.give_up_all(f"internal error of diffexport: {received.error}\n{received.trace}")
        again = None if task.is_done else task
        if worker not in self._changed:
            self._give(again, worker)
            return
        # A case has changed what the next one would find.
        worker.stop()
        if again is not None or self._waiting:
            self._give(again)

    def _ended(
        self, task: Task, end: Died | Hung, step: ProcessStep, check: CheckStarting | None
    ) -> Generator[Event, None, FatalUnit | None]:
        """Decide what it means that a worker ended or hung on a task.

        Returns:
            the check that is to be looked at again, if one is; else the task goes on.
        """
        mode = step.mode
        if isinstance(end, Died) and end.is_from_outside:
            return (yield from self._killed(task, end, step, check))
        task.deaths[mode] += 1
        hangs = isinstance(end, Hung)
        if step.name in _BEFORE_CHECKS or not mode:
            if task.deaths[mode] > 1:
                how = "does not end within its time limit" if hangs else f"ends the process ({end})"
                yield from task.give_up_all(f"case {task.unit.name!r}: {_what(step, task.unit)} {how}")
        elif task.deaths[mode] > (MOST_HANGS if hangs else MOST_DEATHS):
            text = f"left after {task.deaths[mode]} checks that ended the process or did not end"
            yield from task.give_up(mode, text)
        elif step.name == "blame":
            task.without_blame()
        elif check is not None and task.is_careful(mode):
            request = FatalUnit(task.unit, end, step, check, frozenset(task.fatal_keys))
            if request.is_asked:
                yield Suspected(first_sight(request))
            return request
        else:
            task.careful.add(mode)
        return None

    def _killed(
        self, task: Task, end: Died, step: ProcessStep, check: CheckStarting | None
    ) -> Generator[Event, None, FatalUnit | None]:
        """A worker was killed from outside: try again, several times.

        Returns:
            the check to look at again: if it is killed in the same one alone, the model does that itself.
        """
        mode = step.mode
        task.kills[mode] += 1
        times = task.kills[mode]
        if times > MOST_KILLS:
            by_memory = kills_for_memory() > self._kills_for_memory
            why = (
                ", by the kernel because memory ran out: give it more, or use fewer --jobs"
                if by_memory
                else ""
            )
            yield from task.give_up(mode, f"its worker was killed from outside {times} times ({end}){why}")
        elif times >= CAREFUL_AFTER_KILLS and mode:
            if task.is_careful(mode) and check is not None:
                return FatalUnit(task.unit, end, step, check, frozenset(task.fatal_keys))
            task.careful.add(mode)
        return None

    def _look_again(self, task: Task, request: FatalUnit) -> None:
        """Let a fresh process make a check alone."""
        worker = self._started(task.unit.settings.steps, fresh=True)
        self._busy[worker], self._again[worker] = task, request
        worker.send(request)

    def _looked_again(self, task: Task, request: FatalUnit, result: FatalResult) -> Iterator[Event]:
        """Take what came of a check that was made alone, and go on with the task."""
        # What is explored, which need not be the mode of the check: a finding is tried in simpler ones, too.
        mode = request.step.mode
        if result.check is not None:
            if result.finding is not None:
                task.fatal_keys.add(result.finding.divergence.key)
                yield FindingMade(result.finding)
            task.fatal_keys.add(result.check.divergence.key)
            yield from task.note_fatal(result.check)
        elif result.out_of_memory:
            text = "memory ran out; the worker may have more with --memory"
            yield from task.give_up(mode, f"not tested to its end: {text}")
        elif isinstance(request.end, Died) and request.end.is_from_outside:
            pass
        elif task.is_explained(request.check):
            # It ends the process, though not alone: what comes before it has to do with it.
            if request.is_asked:
                yield FindingMade(replace(first_sight(request), flaky=True))
            yield from task.give_up(mode, "left after a check that ends the process, though not alone")
        self._give(task if task.wants_worker else None)


def _what(step: ProcessStep, unit: Unit) -> str:
    """Return in words what was done before any check."""
    return {
        "import": f"importing {unit.target}",
        "build": "building the model",
        "draw": "drawing its inputs",
    }.get(step.name, "its worker")


def _prepare(parent: ParentProcess) -> Handler:
    """Prepare a worker; return what does a unit, or makes a fatal check again."""
    warm_up()

    def tell(event: Event) -> None:
        sent = to_be_sent(event)
        if isinstance(sent, CheckStarting):
            parent.announce(sent)
        else:
            parent.send(sent)

    def handle(request: Unit | FatalUnit) -> FatalResult | None:
        if isinstance(request, FatalUnit):
            return look_again(request)
        do(request, tell)
        return None

    return handle
