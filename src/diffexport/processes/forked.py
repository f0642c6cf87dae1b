"""Calls a function in a copy of this process, which may die of it or be ended when it takes too long."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from diffexport.processes.current_step import STEPS, ProcessStep, StepBoard
from diffexport.processes.memory import limit_memory
from diffexport.processes.pickling import dumps
from diffexport.processes.received import Died, Hung

#: Most of what a copy wrote to standard error that is kept, in bytes.
_KEPT = 4096
#: Seconds between two looks at whether the copy is there.
_LOOK = 0.1


@dataclass(frozen=True)
class Forked:
    """What came of a call in a copy.

    Attributes:
        end: how the copy ended where it did not return; None where it did.
        answer: what the function returned.
        step: what the copy did last.
        written: the end of what it wrote to standard error.
    """

    end: Died | Hung | None
    answer: Any = None
    step: ProcessStep | None = None
    written: str = ""


def in_a_copy(function: Callable[[], Any], *, seconds: float, memory: int = 0) -> Forked:
    """Call a function in a copy of this process, which should have no threads that matter.

    Args:
        function: returns something that can be pickled.
        seconds: after which the copy is ended.
        memory: bytes that it may allocate beyond what this process has; 0 for no limit.
    """
    board, descriptor = StepBoard.create()
    os.close(descriptor)
    read, write = os.pipe()
    with tempfile.TemporaryFile() as errors:
        with warnings.catch_warnings():
            # Of the threads of this process, of which none does anything that the copy needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process == 0:
            os.close(read)
            _in_the_copy(function, write, errors.fileno(), board, memory)
        os.close(write)
        try:
            data, status = _waited(process, read, time.monotonic() + seconds, board)
        finally:
            os.close(read)
        written = _end_of(errors)
    step = board.read()
    if status is None:
        return Forked(Hung(), step=step, written=written)
    if data is None:
        return Forked(Died(os.waitstatus_to_exitcode(status)), step=step, written=written)
    return Forked(None, pickle.loads(data), step, written)  # noqa: S301 - from a copy of this process


def _in_the_copy(function: Callable[[], Any], write: int, errors: int, board: StepBoard, memory: int) -> None:
    """Call the function, send what it returns, and end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(errors, 2)
        STEPS.show_on(board)
        if memory:
            limit_memory(memory)
        data = dumps(function())
        with os.fdopen(write, "wb") as pipe:
            pipe.write(len(data).to_bytes(8) + data)
    finally:
        # Nothing of this process is to be cleaned up by its copy.
        os._exit(0 if "data" in locals() else 1)


def _waited(process: int, read: int, until: float, board: StepBoard) -> tuple[bytes | None, int | None]:
    """Return what the copy sent and its exit status; None for what there is none of."""
    buffer = bytearray()
    os.set_blocking(read, False)
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ)
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(read, 1 << 16):
                    buffer += chunk
            is_whole = len(buffer) >= 8 and len(buffer) >= 8 + int.from_bytes(buffer[:8])
            if ended or is_whole:
                if not ended:
                    _end(process)
                return (bytes(buffer[8:]) if is_whole else None), status
            if time.monotonic() > until or board.read().is_late:
                _end(process)
                return None, None
            selector.select(_LOOK)


def _end(process: int) -> None:
    """End a copy."""
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _end_of(file: IO[bytes]) -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(file.tell() - _KEPT, 0))
    return file.read().decode("utf-8", "replace")
