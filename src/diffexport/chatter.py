"""Capture what exporters and runtimes print, log and warn, natively too.

The TorchScript exporter and ONNX Runtime write to file descriptors 1 and 2 from C++, torch logs through
handlers that hold on to an old ``sys.stderr``, and everything warns. All of it ends up in one text that is
shown only with a failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator


class Chatter:
    """What was said during one capture; ``text`` is complete once the capture has ended."""

    def __init__(self) -> None:
        self.text = ""


class _Descriptors:
    """Redirects file descriptors 1 and 2 into one unlinked temporary file that is reused."""

    def __init__(self) -> None:
        self._file, path = tempfile.mkstemp(prefix="diffexport-chatter-")
        os.unlink(path)
        self._depth = 0
        self._saved: list[int] = []

    def begin(self) -> int:
        self._depth += 1
        if self._depth == 1:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            for descriptor in (1, 2):
                saved = os.dup(descriptor)
                os.dup2(self._file, descriptor)
                self._saved.append(saved)
        return os.lseek(self._file, 0, os.SEEK_CUR)

    def end(self, start: int) -> str:
        self._depth -= 1
        if self._depth == 0:
            for descriptor, saved in zip((1, 2), self._saved, strict=True):
                os.dup2(saved, descriptor)
                os.close(saved)
            self._saved.clear()
        # Written through duplicates, the file shares one offset with them.
        stop = os.lseek(self._file, 0, os.SEEK_CUR)
        return os.pread(self._file, stop - start, start).decode("utf-8", "replace")


_descriptors: _Descriptors | None = None


@contextlib.contextmanager
def _loggers_into(stream: io.StringIO) -> Iterator[None]:
    """Have warnings and worse that any logger emits written to ``stream``, and to nobody else.

    Besides the root this concerns every logger that does not propagate: torch has two, whose handlers hold on
    to an old standard error, and to which pytest adds handlers that record torch's structured trace, always on
    at level DEBUG.
    """
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.WARNING)
    loggers = [logging.getLogger()]
    named = [item for item in logging.Logger.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    loggers += [logger for logger in named if logger.handlers and not logger.propagate]
    kept = [(logger, logger.handlers) for logger in loggers]
    for logger in loggers:
        logger.handlers = [handler]
    try:
        yield
    finally:
        for logger, handlers in kept:
            logger.handlers = handlers


def _flush(streams: Iterable[object]) -> None:
    for stream in streams:
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):
        _libc.fflush(None)


_libc = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("msvcrt")


@contextlib.contextmanager
def captured() -> Iterator[Chatter]:
    """Capture standard output and error (Python's and native) and warnings for the length of the block."""
    global _descriptors
    if _descriptors is None:
        _descriptors = _Descriptors()
    chatter = Chatter()
    streams = {id(stream): stream for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}
    _flush(streams.values())
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = _descriptors.begin()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _loggers_into(said):
                yield chatter
        finally:
            # What is still buffered was said during the capture and belongs to it.
            _flush(streams.values())
            native = _descriptors.end(start)
            lines = [said.getvalue(), native, *(f"{w.category.__name__}: {w.message}" for w in caught)]
            chatter.text = "\n".join(text.rstrip() for text in lines if text.strip())
