"""Signals from outside, to the main process and to its workers."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fault_injection.commands import Ended, Running
from fault_injection.moments import any_moment, worker_moment
from fault_injection.observer import watch_end
from fault_injection.trial import Trial, fault

#: Exit codes of a run that was asked to end: findings, or interrupted before any.
_ENDED = frozenset({1, 130})


def _disturb(trial: Trial, words: Sequence[str], numbers: Sequence[signal.Signals]) -> bool:
    """Start a run and send it signals at some moment; return whether it was disturbed."""
    running = trial.start(words)
    moment = any_moment(trial)
    if not (moment.await_(running, trial.limit) and running.signal(numbers[0])):
        trial.record.missed += 1
        trial.record.remarks.append(f"not injected, the run ended before: {moment.words}")
        trial.judge(running.finish(trial.limit))
        return False
    for number in numbers[1:]:
        time.sleep(trial.rng.uniform(0, 0.3))
        running.signal(number)
    trial.injected(f"{', '.join(n.name for n in numbers)} to the main process {moment.words}", len(numbers))
    _watch_ended(trial, running.finish(trial.limit), numbers)
    return True


def _watch_ended(trial: Trial, ended: Ended, numbers: Sequence[signal.Signals]) -> None:
    """Count what a run shows that was ended; what it has not stored yet is looked for when it is resumed."""
    if signal.SIGKILL in numbers:
        # It had no chance to clear up; what lies about is looked at when it was resumed.
        for line in ended.left:
            trial.record.hit("hangs", f"still there after the main process was killed: {line}")
        return
    # One that had not begun yet has no report, and is ended by the signal itself.
    codes = _ENDED | {-number for number in numbers}
    begun = "modes ×" in ended.output
    expected = replace(trial.expected, codes=codes, complete=False, may_lack=True)
    if begun or trial.report.exists():
        trial.judge(ended, expected)
    else:
        watch_end(trial.record, ended, codes)


def _resume(trial: Trial, words: Sequence[str]) -> None:
    trial.judge(trial.run([*words, *trial.resume_words]))


def _end_main(*numbers: signal.Signals) -> Callable[[Trial], None]:
    def inject(trial: Trial) -> None:
        words = trial.run_words(jobs=trial.rng.choice([1, 1, 2]))
        if _disturb(trial, words, numbers):
            _resume(trial, words)

    return inject


for _name, _number, _share in (
    ("kill", signal.SIGKILL, 50),
    ("term", signal.SIGTERM, 30),
    ("interrupt", signal.SIGINT, 25),
    ("hangup", signal.SIGHUP, 20),
):
    fault(f"{_name}-main", f"{_number.name} to the main process, then the run is resumed", share=_share)(
        _end_main(_number)
    )


@fault("kill-main-again", "SIGKILL to a run, and once or twice to the resumed one", share=24, each=2)
def _kill_main_again(trial: Trial) -> None:
    words = trial.run_words(jobs=trial.rng.choice([1, 2]))
    for attempt in range(trial.rng.choice([2, 2, 3])):
        if not _disturb(trial, [*words, *(trial.resume_words if attempt else [])], [signal.SIGKILL]):
            return
    _resume(trial, words)


@fault("interrupt-twice", "SIGINT or SIGTERM, and another one while the run ends", share=16, each=2)
def _interrupt_twice(trial: Trial) -> None:
    words = trial.run_words()
    numbers = [trial.rng.choice([signal.SIGINT, signal.SIGTERM]) for _ in range(2)]
    if _disturb(trial, words, numbers):
        _resume(trial, words)


@fault("kill-everything", "SIGKILL to the main process and its children at once, then resumed", share=20)
def _kill_everything(trial: Trial) -> None:
    words = trial.run_words(jobs=2)
    running = trial.start(words)
    moment = any_moment(trial)
    if not moment.await_(running, trial.limit):
        trial.record.missed += 1
        trial.judge(running.finish(trial.limit))
        return
    for number in (*running.workers(), running.pid):
        running.signal(signal.SIGKILL, number)
    trial.injected(f"SIGKILL to all {moment.words}")
    _watch_ended(trial, running.finish(trial.limit), [signal.SIGKILL])
    _resume(trial, words)


def _end_workers(number: signal.Signals, times: Sequence[int]) -> Callable[[Trial], None]:
    def inject(trial: Trial) -> None:
        running = trial.start(trial.run_words(jobs=trial.rng.choice([1, 1, 2])))
        killed: set[int] = set()
        for _ in range(trial.rng.choice(times)):
            if not _end_worker(trial, running, number, killed):
                break
        trial.judge(running.finish(trial.limit + 30 * len(killed)))

    return inject


def _end_worker(trial: Trial, running: Running, number: signal.Signals, killed: set[int]) -> bool:
    """Send a signal to a worker that got none yet, at some moment of its life."""
    if not running.wait(lambda: bool(set(running.workers()) - killed), trial.limit):
        trial.record.missed += 1
        return False
    moment = worker_moment(trial)
    moment.await_(running, trial.limit)
    left = sorted(set(running.workers()) - killed)
    if not left:
        trial.record.missed += 1
        return running.is_running
    worker = trial.rng.choice(left)
    killed.add(worker)
    if running.signal(number, worker):
        trial.injected(f"{number.name} to a worker {moment.words}")
    return True


for _name, _number, _once, _again in (
    ("kill", signal.SIGKILL, 40, 50),
    ("term", signal.SIGTERM, 20, 20),
):
    fault(f"{_name}-worker", f"{_number.name} to a worker once", share=_once)(_end_workers(_number, (1,)))
    fault(
        f"{_name}-worker-again",
        f"{_number.name} to a worker two or three times in one run",
        share=_again,
        each=2,
    )(_end_workers(_number, (2, 2, 3)))
