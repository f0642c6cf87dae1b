"""Standard output and standard error that may go away: what is printed then is lost, and nothing else is.

A reader of a pipe that has seen enough (``| head -1``), a terminal that was closed and a disk that is full behind ``>``
are no reason to end a run, to lose its report, or to change its exit code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import Any

#: Somebody has closed the other end and wants to hear no more of it; anything else is worth a word.
_CLOSED = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)


class _LenientFile(io.FileIO):
    """A file that takes whatever it is given, and drops it from the first error on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        length = memoryview(data).nbytes
        if self.error is not None:
            return length
        try:
            written = super().write(data)
            while written is None:
                # The other end is full and set not to block; it is waited for like any other.
                select.select([], [self], [], 1.0)
                written = super().write(data)
        except OSError as error:
            self.error = error
            return length
        return written


_lenient: dict[str, _LenientFile] = {}


def forgive_standard_streams() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` streams that raise nothing, whatever becomes of what is behind them.

    Descriptors 0, 1 and 2 that are closed are opened on the null device: no file that is opened later may be taken for
    one of them. Characters that the encoding lacks are written as escapes.
    """
    _fill_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            # None, or one that somebody else has put there.
            continue
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
        file = _lenient[name] = _LenientFile(stream.fileno())
        replaced = io.TextIOWrapper(
            io.BufferedWriter(file),
            encoding=stream.encoding,
            errors="backslashreplace" if stream.errors == "strict" else stream.errors,
            line_buffering=stream.line_buffering,
            write_through=name == "stderr",
        )
        setattr(sys, name, replaced)


def lost_output() -> str:
    """Return why standard output could not be written; empty if it could, and where its reader left."""
    file = _lenient.get("stdout")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if file is None or file.error is None or file.error.errno in _CLOSED:
        return ""
    return os.strerror(file.error.errno or errno.EIO)


def _fill_descriptors() -> None:
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)
                if null != descriptor:
                    os.dup2(null, descriptor)
                    os.close(null)
