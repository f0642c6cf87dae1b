"""Code of somebody else is called: what it may raise, and what becomes of copies of the process that it forks off."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_copies() -> Iterator[None]:
    """Call code of somebody else inside: a copy of this process that it forks off ends when it leaves the block."""
    process = os.getpid()
    try:
        yield
    finally:
        end_copy(process)


_RAISED: list[tuple[type[BaseException], ...]] = [(Exception, SystemExit)]


def raised_by_code() -> tuple[type[BaseException], ...]:
    """Return what is taken for an error of the code that is called, to be caught.

    In a child process that is everything: nothing else raises there, since Ctrl-C is for the parent. Elsewhere it is
    what is no interruption.
    """
    return _RAISED[-1]


def expect_everything() -> None:
    """Take everything that is raised in this process for an error of the code that is called."""
    _RAISED[:] = [(BaseException,)]


def end_copy(process: int) -> None:
    """End this process if it is not the one of this number, but a copy of it."""
    if os.getpid() != process:
        os._exit(0)
