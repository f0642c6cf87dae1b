"""Workers: child processes that do units of work and send events back.

Spawned, never forked. Each owns one pipe, so that when one dies — a native crash of a runtime — the parent
knows which unit it was on. What is left of that unit is then done *carefully*, every check announced before it is
made; if the worker dies again, the last announced check is the finding, and its mode is left out from there on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from diffexport.explore.units import Unit, do
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
from diffexport.processes import dumps, end_with_parent
from diffexport.values import Divergence, Identity, Kind, Mode, Place, Stage

_DONE = "done"
_FAILED = "failed"


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    unit: Unit | None = None
    last_check: CheckStarting | None = None
    finished: set[str] = field(default_factory=set)


def run_parallel(units: Iterable[Unit], jobs: int) -> Iterator[Event]:
    """Do every unit on ``jobs`` worker processes; give every event, in the order each unit sends them.

    The workers end with the iterator, also where that is closed before its end.

    Args:
        units: heaviest first.
        jobs: number of processes, at least 1.
    """
    waiting = deque(units)
    workers: list[_Worker] = []
    try:
        workers += [_start() for _ in range(min(jobs, len(waiting)))]
        for worker in workers:
            _give(worker, waiting)
        while any(worker.unit is not None for worker in workers):
            ready = wait([worker.pipe for worker in workers if worker.unit is not None])
            for worker in [w for w in workers if w.pipe in ready]:
                yield from _receive(worker, waiting, workers)
    finally:
        for worker in workers:
            _stop(worker)


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs,))
    with ignoring_interrupts():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextlib.contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Let a child be born ignoring Ctrl-C, which is the parent's to handle: it keeps what was found."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.terminate()
    worker.process.join(5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _give(worker: _Worker, waiting: deque[Unit]) -> None:
    worker.unit = waiting.popleft() if waiting else None
    worker.last_check = None
    worker.finished = set()
    if worker.unit is not None:
        worker.pipe.send(worker.unit)


def _receive(worker: _Worker, waiting: deque[Unit], workers: list[_Worker]) -> Iterator[Event]:
    try:
        sent = worker.pipe.recv_bytes()
    except (EOFError, ConnectionResetError):
        yield from _died(worker, waiting)
        _stop(worker)
        workers[workers.index(worker)] = fresh = _start()
        _give(fresh, waiting)
        return
    try:
        message = pickle.loads(sent)  # noqa: S301 - from a child process of our own
    except (AttributeError, ImportError) as error:
        assert worker.unit is not None
        text = f"what was found cannot be sent between processes ({error}); run it with --jobs 0"
        yield CaseFailed(worker.unit.name, text)
        return
    if isinstance(message, tuple) and message and message[0] in (_DONE, _FAILED):
        unit = worker.unit
        _give(worker, waiting)
        if message[0] == _FAILED and unit is not None:
            yield CaseFailed(unit.name, f"internal error of diffexport: {message[1]}")
        return
    if isinstance(message, CheckStarting):
        worker.last_check = message
        return
    if isinstance(message, ModeFinished):
        worker.finished.add(message.mode)
    yield message


def _died(worker: _Worker, waiting: deque[Unit]) -> Iterator[Event]:
    unit = worker.unit
    assert unit is not None
    worker.process.join(5)
    left = tuple(mode for mode in unit.modes if mode not in worker.finished)
    if not unit.settings.careful:
        careful = replace(unit.settings, careful=True)
        waiting.appendleft(replace(unit, modes=left, settings=careful))
        return
    check = worker.last_check
    if check is None:
        text = f"the worker process died (exit code {worker.process.exitcode}) before its first check"
        yield CaseFailed(unit.name, text)
        return
    left = tuple(mode for mode in left if mode != check.mode)
    if left:
        waiting.appendleft(replace(unit, modes=left))
    finding = _crash(unit, check, worker.process.exitcode)
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


def _crash(unit: Unit, check: CheckStarting, exitcode: int | None) -> Finding:
    how = f"exit code {exitcode}"
    if exitcode is not None and exitcode < 0:
        how = f"signal {signal.Signals(-exitcode).name}"
    divergence = Divergence(
        Stage.RUN, Kind.CRASH, Place.MODEL, how, f"the process died with {how} during this check"
    )
    exporter = Mode.parse(check.mode).exporter
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


def _main(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    from diffexport.explore.units import warm_up

    def send(message: Any) -> None:
        # Not pipe.send: torch has that share the memory of tensors, which is gone when this process dies.
        pipe.send_bytes(dumps(message))

    warm_up()
    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        try:
            do(unit, send)
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 - reported by the parent, with the case it happened in
            import traceback

            send((_FAILED, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        else:
            send((_DONE,))
