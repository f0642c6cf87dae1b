"""Workers: child processes that do units of work and send events back.

The parent sees at any time what a worker is doing. When one ends or hangs, what it was doing decides:

- killed from outside: it is tried again, several times;
- otherwise the mode is done again *carefully*, every check announced before it is made. If the worker ends once more,
  the announced check is made alone, in a process of its own; if it is fatal again, it becomes a finding, is not made
  any more, and the mode goes on with other inputs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from diffexport.explore.fatal_unit import FatalResult, FatalUnit, first_sight, look_again
from diffexport.explore.sample_checks import Announce
from diffexport.explore.sent_events import to_be_sent
from diffexport.explore.turns import rounds_done
from diffexport.explore.units import Unit, do, events_of_unit, warm_up
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
from diffexport.values import NO_DEADLINE, Deadline, StepLimits, counted

#: Seconds that a worker may take to start, torch and all, on a busy machine.
_START = 300.0
#: Seconds that a worker has at least, after the time is over, to tell what it has counted.
_LEAST_GRACE = 2.0
#: What is done before any check: where that is fatal, nothing can be tested.
_BEFORE_CHECKS = ("", "import", "build", "draw")


def run_parallel(tasks: Iterable[Task], jobs: int, deadline: Deadline = NO_DEADLINE) -> Iterator[Event]:
    """Do every task on ``jobs`` worker processes; give every event, in the order each task sends them.

    The workers end with the iterator, also where that is closed before its end.

    Args:
        tasks: heaviest first; those that are explored in turns share the workers.
        jobs: number of processes, at least 1.
        deadline: from then on nothing is begun. What is explored in turns ends itself by then; workers that have not
            done so a little later are ended.
    """
    yield from _Schedule(tasks, jobs, deadline).run()


class _Schedule:
    """Which units wait, and which worker is on which."""

    def __init__(self, tasks: Iterable[Task], jobs: int, deadline: Deadline) -> None:
        self._tasks = list(tasks)
        self._waiting: deque[Task] = deque(self._tasks)
        self._jobs = jobs
        self._deadline = deadline
        self._grace = Deadline(deadline.wall + grace_after(deadline))
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
            while self._busy and not self._grace.passed:
                for worker, received in receive_any(list(self._busy), self._grace):
                    yield from self._take(worker, received)
            yield from what_is_left(self._tasks)
        finally:
            for worker in (*self._busy, *self._idle):
                worker.stop()

    def _unfinished(self) -> list[Task]:
        """Return the tasks of which something is left, each once."""
        return [*self._busy.values(), *self._waiting]

    def _give(self, task: Task | None = None, worker: ChildProcess | None = None) -> None:
        """Let a worker, by default another one, do a task, by default the one that is most urgent."""
        if task is not None and task.turns is not None:
            # After each turn the most urgent is asked for.
            self._waiting.append(task)
            task = None
        if task is None:
            task = self._next_for(worker)
        if task is None:
            if worker is not None:
                self._idle.append(worker)
            return
        worker = worker or self._started(task.unit.settings.steps)
        self._busy[worker] = task
        worker.send(task.request_to(worker))

    def _next_for(self, worker: ChildProcess | None) -> Task | None:
        """Take the task that a worker is to do next: the most urgent of its own and of those that nobody remembers.

        Where there is none, one of another worker that is busy with something else; None if nothing waits.
        """
        if not self._waiting or self._deadline.passed:
            return None

        def key(item: tuple[int, Task]) -> tuple[Any, ...]:
            number, task = item
            is_of_another = task.worker is not None and task.worker is not worker
            return is_of_another, *task.urgency, number

        number, task = min(enumerate(self._waiting), key=key)
        del self._waiting[number]
        return task

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
            self._forget(worker)
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
        self._forget(worker)
        if again is not None or self._waiting:
            self._give(again)

    def _forget(self, worker: ChildProcess) -> None:
        """Take note that a worker is gone, and what it remembered with it."""
        for task in self._unfinished():
            if task.worker is worker:
                task.forget_worker()

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
            text = f"left after {counted(task.deaths[mode], 'check')} that ended the process or did not end"
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
            yield from task.give_up(
                mode, f"its worker was killed from outside {counted(times, 'time')} ({end}){why}"
            )
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
        elif isinstance(request.end, Died) and request.end.is_from_outside:
            pass
        elif task.is_explained(request.check):
            # It ends the process, though not alone: what comes before it has to do with it.
            if request.is_asked:
                yield FindingMade(replace(first_sight(request), flaky=True))
            yield from task.give_up(mode, "left after a check that ends the process, though not alone")
        self._give(task if task.wants_worker else None)


def in_this_process(tasks: Sequence[Task], announce: Announce, deadline: Deadline) -> Iterator[Event]:
    """Do every task in this process, in the order in which a single worker would do them.

    Args:
        tasks: as for [run_parallel][].
        announce: told at once what cannot wait for the next event.
        deadline: from then on nothing is begun.
    """
    waiting = list(tasks)
    while waiting and not deadline.passed:
        number, task = min(enumerate(waiting), key=lambda item: (*item[1].urgency, item[0]))
        for event in events_of_unit(task.request_to(waiting), announce):
            if task.take(event):
                yield event
        if task.is_done:
            del waiting[number]
    yield from what_is_left(tasks)


def what_is_left(tasks: Iterable[Task]) -> Iterator[Event]:
    """Say what was not reached of what is explored in turns, and how many rounds were done."""
    in_turns = [task for task in tasks if task.turns is not None and not task.given_up]
    for task in in_turns:
        if task.turns is not None:
            yield from task.turns.unreached(task.unit.name, task.unit.runtimes)
    yield from rounds_done(task.turns for task in in_turns if task.turns is not None)


def grace_after(deadline: Deadline) -> float:
    """Return how many seconds after a deadline workers may still be at work: a twentieth of the time until then."""
    return max(_LEAST_GRACE, deadline.left / 20) if deadline.wall < math.inf else 0.0


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
