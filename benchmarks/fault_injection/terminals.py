"""Terminals that are closed, full, or gone while a run goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import replace

from fault_injection.moments import any_moment
from fault_injection.trial import Trial, fault


@fault(
    "closed-terminal",
    "standard output is a pipe that nobody reads any more, a full device, or closed",
    share=40,
)
def _closed_terminal(trial: Trial) -> None:
    what = trial.rng.choice(["head", "head", "gone", "full", "full-both", "closed", "closed-both", "pty"])
    words = trial.run_words(jobs=trial.rng.choice([1, 2]))
    if what == "pty":
        _hang_up(trial, words)
        return
    if what in ("head", "gone"):
        _close_pipe(trial, words, lines=1 if what == "head" else 0)
        return
    if what.startswith("full"):
        with open("/dev/full", "wb") as full:
            options = {"stdout": full, **({"stderr": full} if what.endswith("both") else {})}
            running = trial.start(words, options=options)
    else:
        numbers = (1, 2) if what.endswith("both") else (1,)

        def close() -> None:
            for number in numbers:
                os.close(number)

        running = trial.start(words, options={"preexec_fn": close})
    trial.injected(f"standard output is {what}")
    trial.judge(running.finish(trial.limit))


def _close_pipe(trial: Trial, words: list[str], lines: int) -> None:
    """Read some lines of what a run prints, as ``head`` does, and close the pipe."""
    reading, writing = os.pipe()
    running = trial.start(words, options={"stdout": writing})
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        for _ in range(lines):
            pipe.readline()
    trial.injected(f"standard output is closed after {lines} lines")
    trial.judge(running.finish(trial.limit))


def _hang_up(trial: Trial, words: list[str]) -> None:
    """Give a run a terminal of its own, and close that at some moment."""
    ours, theirs = os.openpty()
    running = trial.start(words, options={"stdin": theirs, "stdout": theirs, "stderr": theirs})
    os.close(theirs)
    stop = threading.Event()

    def read() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                os.read(ours, 65536)

    threading.Thread(target=read, daemon=True).start()
    reached = any_moment(trial).await_(running, trial.limit)
    stop.set()
    time.sleep(0.05)
    os.close(ours)
    if reached:
        trial.injected("the terminal is closed during the run")
    else:
        trial.record.missed += 1
    expected = replace(trial.expected, codes=frozenset({1}))
    trial.judge(running.finish(trial.limit), expected)


@fault("slow-terminal", "standard output is a pipe that nobody reads for a while", share=6)
def _slow_terminal(trial: Trial) -> None:
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        # A pipe of one page is full soon.
        import fcntl

        fcntl.fcntl(writing, 1031, 4096)
    running = trial.start(trial.run_words(), options={"stdout": writing, "stderr": subprocess.STDOUT})
    os.close(writing)
    time.sleep(trial.rng.uniform(5, 15))
    with os.fdopen(reading, "rb") as pipe:
        pipe.read()
    trial.injected("standard output was not read for a while")
    trial.judge(running.finish(trial.limit))
