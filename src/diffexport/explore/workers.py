"""Workers: child processes that do units of work and send events back.

When one dies — a native crash of a runtime — the parent knows which unit it was on. What is left of that unit is then
done *carefully*, every check announced before it is made; if the worker dies again, the last announced check is the
finding, and its mode is left out from there on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from diffexport.explore.units import Unit, do, warm_up
from diffexport.findings.events import (
    CaseFailed,
    CheckStarting,
    Event,
    Finding,
    FindingMade,
    ModeFinished,
    Row,
    RowVerdict,
)
from diffexport.processes import (
    ChildProcess,
    Died,
    Failed,
    Finished,
    Handler,
    Message,
    ParentProcess,
    Received,
    Unreadable,
    receive_any,
)
from diffexport.values import Divergence, Identity, Kind, Place, Stage, exporter_name


def run_parallel(units: Iterable[Unit], jobs: int) -> Iterator[Event]:
    """Do every unit on ``jobs`` worker processes; give every event, in the order each unit sends them.

    The workers end with the iterator, also where that is closed before its end.

    Args:
        units: heaviest first.
        jobs: number of processes, at least 1.
    """
    yield from _Schedule(units).run(jobs)


@dataclass
class _Task:
    """A unit that a worker is on, and the modes of it that are done."""

    unit: Unit
    finished: set[str] = field(default_factory=set)


class _Schedule:
    """Which units wait, and which worker is on which."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._waiting = deque(units)
        self._workers: list[ChildProcess] = []
        self._tasks: dict[ChildProcess, _Task] = {}

    def run(self, jobs: int) -> Iterator[Event]:
        """Do every unit; give every event."""
        try:
            for _ in range(min(jobs, len(self._waiting))):
                self._start()
            while self._tasks:
                for worker, received in receive_any(list(self._tasks)):
                    yield from self._take(worker, received)
        finally:
            for worker in self._workers:
                worker.stop()

    def _start(self) -> None:
        """Start a worker on the unit that waits first, if one does."""
        if self._waiting:
            self._workers.append(ChildProcess.start(_prepare))
            self._give(self._workers[-1])

    def _give(self, worker: ChildProcess) -> None:
        if self._waiting:
            self._tasks[worker] = _Task(self._waiting.popleft())
            worker.send(self._tasks[worker].unit)

    def _take(self, worker: ChildProcess, received: Received) -> Iterator[Event]:
        """Take what a worker sent."""
        task = self._tasks[worker]
        if isinstance(received, Message):
            if isinstance(received.value, ModeFinished):
                task.finished.add(received.value.mode)
            yield received.value
        elif isinstance(received, Unreadable):
            text = f"what was found cannot be sent between processes ({received.error}); run it with --jobs 0"
            yield CaseFailed(task.unit.name, text)
        elif isinstance(received, Finished | Failed):
            del self._tasks[worker]
            self._give(worker)
            if isinstance(received, Failed):
                text = f"internal error of diffexport: {received.error}\n{received.trace}"
                yield CaseFailed(task.unit.name, text)
        elif isinstance(received, Died):
            del self._tasks[worker]
            self._workers.remove(worker)
            worker.stop()
            yield from self._died(task, worker.doing, str(received))
            self._start()

    def _died(self, task: _Task, check: CheckStarting | None, how: str) -> Iterator[Event]:
        """Say what it means that a worker died on a unit, and let what is left of that be done."""
        unit = task.unit
        left = tuple(mode for mode in unit.modes if str(mode) not in task.finished)
        if not unit.settings.careful:
            careful = replace(unit.settings, careful=True)
            self._waiting.appendleft(replace(unit, modes=left, settings=careful))
            return
        if check is None:
            text = f"the worker process died ({how}) before its first check"
            yield CaseFailed(unit.name, text)
            return
        left = tuple(mode for mode in left if str(mode) != check.mode)
        if left:
            self._waiting.appendleft(replace(unit, modes=left))
        finding = _crash(unit, check, how)
        rows = tuple(
            Row(
                name,
                RowVerdict.DIVERGES,
                str(finding.divergence.stage),
                str(finding.divergence.kind),
                diverging=1,
            )
            for name in unit.runtimes
        )
        # The mode first: a run that stops at a finding has counted it by then.
        yield ModeFinished(check.case, check.mode, rows)
        yield FindingMade(finding)


def _crash(unit: Unit, check: CheckStarting, how: str) -> Finding:
    divergence = Divergence(
        Stage.RUN, Kind.CRASH, Place.MODEL, how, f"the process died with {how} during this check"
    )
    exporter = exporter_name(check.mode)
    identity = Identity.of(check.case, exporter, unit.runtimes[0], divergence.key, unit.target)
    return Finding(
        identity=identity,
        target=unit.target,
        specs=unit.inputs,
        mode=check.mode,
        runtime=unit.runtimes[0],
        divergence=divergence,
        inputs=check.inputs,
        export_inputs=check.export_inputs,
        exporters=(identity.exporter,),
        seed=unit.settings.seed,
        shrunk=False,
    )


def _prepare(parent: ParentProcess) -> Handler:
    """Prepare a worker; return what does a unit."""
    warm_up()

    def tell(event: Event) -> None:
        if isinstance(event, CheckStarting):
            parent.announce(event)
        else:
            parent.send(event)

    return lambda unit: do(unit, tell)
