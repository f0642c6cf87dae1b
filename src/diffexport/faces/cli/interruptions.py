"""Signals that ask a command to end: Ctrl-C, SIGTERM where the time of a CI system is up, SIGHUP of a closed terminal.

Each is an interruption: what was seen is kept, shown and written. While that is done, another one is not heeded at
once, so that whoever presses Ctrl-C twice loses nothing.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

#: Seconds after an interruption in which another one changes nothing: the work is being ended.
_ENDING = 3.0
#: Seconds in which none changes anything, for a report to be written.
_REPORTING = 10.0

_deaf_until = 0.0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _deaf_until
    now = time.monotonic()
    if now >= _deaf_until:
        _deaf_until = now + _ENDING
        raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals that ask the process to end raise KeyboardInterrupt; those that are ignored stay so."""
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(number)
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Heed no interruption for a while: something short is done that must not be done by half."""
    global _deaf_until
    _deaf_until = time.monotonic() + _REPORTING
    try:
        yield
    finally:
        _deaf_until = 0.0
