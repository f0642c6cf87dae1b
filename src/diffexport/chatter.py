"""Capture what exporters and runtimes print, log and warn, natively too.

The TorchScript exporter and ONNX Runtime write to file descriptors 1 and 2 from C++, torch logs through
handlers that hold on to an old ``sys.stderr``, and everything warns. All of it ends up in one text that is
shown only with a failure, and of which no more than the beginning and the end are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import logging
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO, cast

from diffexport.errors import error_text, shortened

#: There is none on Windows.
_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None

#: Bytes or characters that are kept of the beginning of what is said in one capture, and of its end.
KEPT = 32 << 10
#: Duplicates of file descriptors are not below this one.
_FIRST_DESCRIPTOR = 10
#: Bytes from which on the file that native output goes to is cut, and the seconds between two looks at it.
_LONGEST, _LOOK = 4 << 20, 0.05


class Chatter:
    """What was said during one capture; ``text`` is complete once the capture has ended."""

    def __init__(self) -> None:
        self.text = ""


def duplicate(descriptor: int) -> int:
    """Return a duplicate of a file descriptor that takes the place of no standard one, though that may be closed.

    Raises:
        OSError: it is closed, or there are too many.
    """
    if _fcntl is None:
        return os.dup(descriptor)
    return int(_fcntl.fcntl(descriptor, _fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR))


class BoundedText(io.TextIOBase):
    """A stream that keeps the beginning and the end of what is written to it."""

    def __init__(self) -> None:
        self._head, self._tail, self._length = "", "", 0

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, text: str, /) -> int:
        """Take some text; return its length."""
        length = len(text)
        self._length += length
        room = KEPT - len(self._head)
        if room > 0:
            self._head += text[:room]
            text = text[room:]
        if text:
            self._tail = (self._tail + text[-KEPT:])[-KEPT:]
        return length

    def getvalue(self) -> str:
        """Return what was kept, and in between how much was not."""
        return joined(self._head, self._tail, self._length - len(self._head) - len(self._tail))


def joined(head: str, tail: str, between: int) -> str:
    """Return the beginning and the end of a text of which so much in between is not kept."""
    return f"{head}\n… ({between} characters more) …\n{tail}" if between > 0 else head + tail


@dataclass(eq=False)
class _NativeCapture:
    """Where one capture begins in all that was written natively, and its beginning if that is in the file no more."""

    start: int
    head: bytes = b""


class _Descriptors:
    """Redirects file descriptors 1 and 2 into one unlinked temporary file that is reused.

    While something is captured a thread looks whether the file is longer than it may be. Then it is emptied, so that
    neither the disk nor a result is filled by what a model prints.
    """

    def __init__(self) -> None:
        file, path = tempfile.mkstemp(prefix="diffexport-chatter-")
        # What is written goes to the end, wherever that is: the file may be emptied meanwhile.
        appending = os.open(path, os.O_RDWR | os.O_APPEND)
        os.close(file)
        os.unlink(path)
        self._file = duplicate(appending)
        os.close(appending)
        self._saved: list[int] = []
        self._captures: list[_NativeCapture] = []
        #: How much was taken out of the file since the outermost capture began.
        self._dropped = 0
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._watched_in = 0

    def begin(self) -> _NativeCapture:
        """Begin a capture, inside of those that have begun and not ended."""
        if not self._captures:
            self._dropped = 0
            os.ftruncate(self._file, 0)
            self._saved = [_redirected(descriptor, self._file) for descriptor in (1, 2)]
            self._watch()
        capture = _NativeCapture(self._dropped + os.fstat(self._file).st_size)
        self._captures.append(capture)
        return capture

    def end(self, capture: _NativeCapture) -> str:
        """End the innermost capture; return what was written in it."""
        with self._lock:
            self._captures.remove(capture)
            if not self._captures:
                self._busy.clear()
                for descriptor, saved in zip((1, 2), self._saved, strict=True):
                    if saved < 0:
                        with contextlib.suppress(OSError):
                            os.close(descriptor)
                        continue
                    os.dup2(saved, descriptor)
                    os.close(saved)
                self._saved.clear()
            stop = os.fstat(self._file).st_size
            begun = capture.start - self._dropped
            head = capture.head or os.pread(self._file, min(KEPT, stop - begun), begun)
            after = stop if capture.head else stop - begun - len(head)
            tail = os.pread(self._file, min(KEPT, after), stop - min(KEPT, after))
            between = stop - begun - len(head) - len(tail)
            if not self._captures and stop > _LONGEST:
                os.ftruncate(self._file, 0)
        return joined(head.decode("utf-8", "replace"), tail.decode("utf-8", "replace"), between)

    def _watch(self) -> None:
        """Have a thread look at the length of the file; a process that was forked off has none yet."""
        if self._watched_in != os.getpid():
            self._watched_in = os.getpid()
            self._busy, self._lock = threading.Event(), threading.Lock()
            threading.Thread(target=self._shorten, daemon=True, name="diffexport-chatter").start()
        self._busy.set()

    def _shorten(self) -> None:
        while True:
            self._busy.wait()
            time.sleep(_LOOK)
            with self._lock, contextlib.suppress(OSError):
                length = os.fstat(self._file).st_size
                if length < _LONGEST or not self._captures:
                    continue
                for capture in self._captures:
                    if not capture.head:
                        capture.head = os.pread(self._file, KEPT, capture.start - self._dropped)
                self._dropped += length
                os.ftruncate(self._file, 0)


def _redirected(descriptor: int, file: int) -> int:
    """Let a descriptor be that of a file; return a duplicate of what it was, -1 where it was closed."""
    try:
        saved = duplicate(descriptor)
    except OSError:
        saved = -1
    os.dup2(file, descriptor)
    return saved


_descriptors: _Descriptors | None = None


@contextlib.contextmanager
def _loggers_into(stream: TextIO) -> Iterator[None]:
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


def _ended(capture: _NativeCapture) -> str:
    """End a capture; where what was called in it has closed the file, nothing is known of what was written."""
    global _descriptors
    assert _descriptors is not None
    try:
        return _descriptors.end(capture)
    except OSError:
        _descriptors = None
        return ""


@contextlib.contextmanager
def captured() -> Iterator[Chatter]:
    """Capture standard output and error (Python's and native) and warnings for the length of the block."""
    global _descriptors
    if _descriptors is None:
        _descriptors = _Descriptors()
    chatter = Chatter()
    streams = {id(stream): stream for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}
    _flush(streams.values())
    said, warned = BoundedText(), BoundedText()
    stream = cast("TextIO", said)

    def hear(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = error_text(message) if isinstance(message, Warning) else shortened(message)
        warned.write(f"{category.__name__}: {text}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = hear
        capture = _descriptors.begin()
        try:
            with (
                contextlib.redirect_stdout(stream),
                contextlib.redirect_stderr(stream),
                _loggers_into(stream),
            ):
                yield chatter
        finally:
            # What is still buffered was said during the capture and belongs to it.
            _flush(streams.values())
            native = _ended(capture)
            lines = [said.getvalue(), native, warned.getvalue()]
            chatter.text = "\n".join(text.rstrip() for text in lines if text.strip())
