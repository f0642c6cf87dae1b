"""When a fault takes place: at something that can be seen from outside, so that it is the same moment everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fault_injection.commands import Running
from fault_injection.observer import SUFFIX
from fault_injection.trial import Trial
from fault_injection.victims import DIVERGING


@dataclass(frozen=True)
class Moment:
    """A moment of a command.

    Attributes:
        words: what it is, for people.
        event: whether the event that it follows has taken place.
        delay: seconds after that.
    """

    words: str
    event: Callable[[Running], bool]
    delay: float = 0.0

    def await_(self, running: Running, limit: float) -> bool:
        """Wait for the moment; return False if the command has ended by then."""
        if not running.wait(lambda: self.event(running), limit):
            return False
        if self.delay:
            end = time.monotonic() + self.delay
            running.wait(lambda: time.monotonic() > end, self.delay + 1)
        return running.is_running


def any_moment(trial: Trial) -> Moment:
    """Return one of the moments of a run over the project."""
    rng = trial.rng
    choose = rng.choice(
        [_at_start, _after_worker, _after_word, _at_file, _at_file, _at_share, _at_temporary, _at_state]
    )
    return choose(trial)


def worker_moment(trial: Trial) -> Moment:
    """Return a moment of the life of a worker that was just seen: it imports, waits, or is on a case of the project."""
    stored = len(list(trial.regressions.glob(f"*{SUFFIX}")))
    if stored < len(DIVERGING) and trial.rng.random() < 0.6:
        return _at_file(trial, 1)
    delay = trial.rng.choice([trial.rng.uniform(0, 1), trial.rng.uniform(1, 6)])
    return Moment(f"{delay:.2f} s after one was seen", lambda _: True, delay)


def _at_start(trial: Trial) -> Moment:
    delay = trial.rng.uniform(0, 2)
    return Moment(f"{delay:.2f} s after the start", lambda _: True, delay)


def _after_worker(trial: Trial) -> Moment:
    delay = trial.rng.uniform(0, 4)
    return Moment(f"{delay:.2f} s after a worker was started", lambda running: bool(running.workers()), delay)


def _after_word(trial: Trial) -> Moment:
    word, delay = trial.rng.choice(["diffexport:", "NEW", "modes × runtimes"]), trial.rng.uniform(0, 0.5)
    return Moment(f"{delay:.2f} s after {word!r} was printed", lambda running: word in running.output, delay)


def _at_file(trial: Trial, number: int = 0) -> Moment:
    number, folder = number or trial.rng.choice([1, 1, 2, 3]), trial.regressions
    delay = trial.rng.choice([0.0, trial.rng.uniform(0, 0.1), trial.rng.uniform(0, 1)])
    before = len(list(folder.glob(f"*{SUFFIX}")))
    return Moment(
        f"{delay:.2f} s after {number} findings were stored",
        lambda _: len(list(folder.glob(f"*{SUFFIX}"))) >= before + number,
        delay,
    )


def _at_temporary(trial: Trial) -> Moment:
    folder = trial.regressions
    return Moment("while a finding is written", lambda _: any(_temporary(folder)))


def _temporary(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if not path.name.endswith((SUFFIX, ".npy"))]
    except OSError:
        return []


def _at_state(trial: Trial) -> Moment:
    folder, delay = trial.project / ".diffexport", trial.rng.uniform(0, 2)
    return Moment(f"{delay:.2f} s after .diffexport has a file", lambda _: _has_file(folder), delay)


def _has_file(folder: Path) -> bool:
    try:
        return any(path.is_file() for path in folder.rglob("*"))
    except OSError:
        return False


def _at_share(trial: Trial) -> Moment:
    share = trial.rng.uniform(0.1, 1)
    delay = share * trial.undisturbed.seconds
    return Moment(f"after {share:.0%} of the time an undisturbed run takes", lambda _: True, delay)
