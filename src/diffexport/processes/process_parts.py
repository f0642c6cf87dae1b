"""The parts of a process's state that are Python's and the operating system's."""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import random
import resource
import signal
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffexport.chatter import BoundedText, duplicate
from diffexport.processes.patched_modules import patched_modules
from diffexport.processes.process_state import Part, SameObject
from diffexport.values import counted

#: Variables that torch and what it loads set for themselves.
_OF_LIBRARIES = ("TORCH", "PYTORCH", "TRITON", "KMP_", "OMP_", "PYTEST_CURRENT_TEST")
#: Most variables, modules or handlers that are named.
_MOST_NAMED = 5
#: Threads of diffexport's own, by the beginning of their names.
_OWN_THREADS = ("orphans", "diffexport-", "ThreadPoolExecutor", "asyncio_")
#: How many blocks of 624 random numbers a model may draw before that is taken for seeding.
_BLOCKS = 64
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(name for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE")
#: Duplicates of what was once a standard descriptor, by what it is.
_DUPLICATES: dict[tuple[int, int], int] = {}
_MOST_DUPLICATES = 16


def process_parts() -> tuple[Part, ...]:
    """Return the parts, each of which can be read in a few microseconds, those of modules in a millisecond."""
    return _PARTS


def _environment_changes(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    names = [name for name in names if not name.startswith(_OF_LIBRARIES)]
    for name in names[:_MOST_NAMED]:
        yield f"{'changes' if name in now else 'removes'} the environment variable {name}"
    if len(names) > _MOST_NAMED:
        yield f"changes {counted(len(names) - _MOST_NAMED, 'more environment variable')}"


def _set_environment(before: dict[str, str]) -> None:
    for name in list(os.environ):
        if name not in before:
            del os.environ[name]
    os.environ.update(before)


def _umask() -> int:
    """Return the umask without changing it; where the system does not say, 0."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0


def _handlers() -> dict[int, SameObject]:
    return {number: SameObject(signal.getsignal(number)) for number in signal.valid_signals()}


def _set_handlers(before: dict[int, SameObject]) -> None:
    for number, handler in _handlers().items():
        earlier = before.get(number)
        if earlier is not None and earlier != handler and earlier.value is not None:
            signal.signal(number, earlier.value)


def _handler_changes(before: dict[int, SameObject], now: dict[int, SameObject]) -> Iterator[str]:
    names = [signal.Signals(number).name for number in before if before[number] != now.get(number)]
    if names:
        yield f"changes the handlers of signals ({', '.join(names[:_MOST_NAMED])})"


def _timers() -> tuple[bool, ...]:
    return tuple(signal.getitimer(timer)[0] > 0 for timer in _TIMERS)


def _stop_timers(before: tuple[bool, ...]) -> None:
    for timer, was_running in zip(_TIMERS, before, strict=True):
        if not was_running:
            signal.setitimer(timer, 0)


def _error_filters() -> list[Any]:
    return [entry for entry in warnings.filters if entry[0] == "error"]


def _set_error_filters(before: list[Any]) -> None:
    """Take away the filters that make errors of warnings and were not there; others are set by every second library."""
    for entry in _error_filters():
        if entry not in before:
            warnings.filters.remove(entry)  # type: ignore[attr-defined]
    for entry in before:
        if entry not in warnings.filters:
            warnings.filters.insert(0, entry)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        """Leaving this block says that the filters have changed."""


def _limits() -> dict[str, tuple[int, int]]:
    return {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}


def _set_limits(before: dict[str, tuple[int, int]]) -> None:
    for name, limit in _limits().items():
        if limit != before[name]:
            resource.setrlimit(getattr(resource, name), before[name])


def _limit_changes(before: dict[str, tuple[int, int]], now: dict[str, tuple[int, int]]) -> Iterator[str]:
    yield from (f"changes the limit {name}" for name in _LIMITS if before[name] != now[name])


def _descriptors() -> tuple[tuple[int, int] | None, ...]:
    return tuple(map(_described, (0, 1, 2)))


def _described(descriptor: int) -> tuple[int, int] | None:
    """Return what a descriptor is of, None where it is closed; a duplicate is kept, to put it back."""
    try:
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if key not in _DUPLICATES and len(_DUPLICATES) < _MOST_DUPLICATES:
            _DUPLICATES[key] = duplicate(descriptor)
    except OSError:
        return None
    return key


def _set_descriptors(before: tuple[tuple[int, int] | None, ...]) -> None:
    for descriptor, key in enumerate(before):
        if key is not None and _described(descriptor) != key:
            os.dup2(_DUPLICATES[key], descriptor)
        elif key is None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _descriptor_changes(before: tuple[Any, ...], now: tuple[Any, ...]) -> Iterator[str]:
    for name, was, become in zip(("input", "output", "error"), before, now, strict=True):
        if was != become:
            yield f"{'closes' if become is None else 'replaces'} the descriptor of standard {name}"


def _threads() -> dict[int, str]:
    return {
        thread.ident: thread.name
        for thread in threading.enumerate()
        if thread.ident is not None
        and not thread.name.startswith(_OWN_THREADS)
        and not _is_of_a_library(thread)
    }


class _AtLeast(dict[int, str]):
    """Things by number, of which only new ones make a difference."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.keys() >= other.keys()

    __hash__ = None


def _is_of_a_library(thread: threading.Thread) -> bool:
    """Return whether a thread is of a class of an installed library, and ends with the process.

    The monitor of progress bars is one, which a library starts that shows some while it exports.
    """
    file = getattr(sys.modules.get(type(thread).__module__), "__file__", None) or ""
    return thread.daemon and file.startswith(sysconfig.get_paths()["purelib"])


def _new_threads(before: dict[int, str], now: dict[int, str]) -> Iterator[str]:
    yield from (f"leaves a thread running ({now[one]})" for one in sorted(now.keys() - before.keys()))


def _children() -> dict[int, str]:
    """Return the names of the child processes that run; none where the system does not say."""
    running: dict[int, str] = {}
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for number in map(int, file.read_text(encoding="ascii").split()):
                name = _process_name(number)
                if name:
                    running[number] = name
    return running


def _process_name(number: int) -> str:
    """Return the name of a process; empty if it has ended, or is a helper of multiprocessing or of torch."""
    with contextlib.suppress(OSError, IndexError):
        folder = Path(f"/proc/{number}")
        state = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        command = (folder / "cmdline").read_bytes()
        helper = b"resource_tracker" in command or b"compile_worker" in command or b"forkserver" in command
        if state not in "ZX" and not helper:
            return (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _new_children(before: dict[int, str], now: dict[int, str]) -> Iterator[str]:
    yield from (f"leaves a process running ({now[one]})" for one in sorted(now.keys() - before.keys()))


def _streams() -> dict[str, SameObject | None]:
    """Return the standard streams; None for one that is captured at the moment, each time by another object."""
    streams = {name: getattr(sys, name, None) for name in ("stdin", "stdout", "stderr")}
    return {
        name: None if isinstance(stream, BoundedText) else SameObject(stream)
        for name, stream in streams.items()
    }


def _set_streams(before: dict[str, SameObject | None]) -> None:
    for name, stream in before.items():
        if stream is not None:
            setattr(sys, name, stream.value)


def _seeding(before: Any, now: Any) -> Iterable[str]:
    """Tell that random numbers were seeded; that some were drawn is nothing to tell."""
    drawn = random.Random()
    drawn.setstate(before)
    for _ in range(_BLOCKS):
        if drawn.getstate()[1][:-1] == now[1][:-1]:
            return ()
        drawn.getrandbits(32 * 624)
    return ("seeds Python's random numbers",)


class _NumpyState:
    """The state of numpy's global random numbers."""

    def __init__(self) -> None:
        self.state = np.random.get_state(legacy=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _NumpyState) and repr(self._plain()) == repr(other._plain())

    def _plain(self) -> Any:
        state: Any = self.state
        inner = state["state"]
        return [
            state["bit_generator"],
            state.get("has_gauss"),
            {key: bytes(np.asarray(value)) for key, value in inner.items()},
        ]

    def keys(self) -> bytes:
        """Return what changes only every 624 numbers."""
        state: Any = self.state
        return bytes(np.asarray(state["state"].get("key", ())))

    __hash__ = None  # type: ignore[assignment]


def _numpy_seeding(before: _NumpyState, now: _NumpyState) -> Iterable[str]:
    drawn = np.random.RandomState()
    drawn.set_state(before.state)
    for _ in range(_BLOCKS):
        state: Any = drawn.get_state(legacy=False)
        if bytes(np.asarray(state["state"].get("key", ()))) == now.keys():
            return ()
        drawn.bytes(4 * 624)
    return ("seeds numpy's random numbers",)


def _set_locale(before: str) -> None:
    locale.setlocale(locale.LC_ALL, before)


def _affinity() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


_PARTS: tuple[Part, ...] = (
    # First of all: what reads and puts back the others may have been replaced.
    patched_modules(),
    Part("the working directory", os.getcwd, os.chdir),
    Part("the environment", lambda: dict(os.environ), _set_environment, _environment_changes),
    Part(
        "the umask",
        _umask,
        lambda before: os.umask(before),
        lambda _, now: (f"changes the umask to {now:03o}",),
    ),
    Part("the handlers of signals", _handlers, _set_handlers, _handler_changes),
    Part(
        "which signals are blocked",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda before: signal.pthread_sigmask(signal.SIG_SETMASK, before),
        "changes which signals are blocked",
    ),
    Part("the timers", _timers, _stop_timers, "leaves a timer running"),
    Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Part("sys.stdout", _streams, _set_streams, "replaces sys.stdin, sys.stdout or sys.stderr"),
    Part(
        "the trace function",
        lambda: SameObject(sys.gettrace()),
        lambda before: sys.settrace(before.value),
        "sets a trace function",
    ),
    Part(
        "the profile function",
        lambda: SameObject(sys.getprofile()),
        lambda before: sys.setprofile(before.value),
        "sets a profile function",
    ),
    Part(
        "the garbage collector",
        gc.isenabled,
        lambda before: gc.enable() if before else gc.disable(),
        lambda _, now: (f"turns the garbage collector {'on' if now else 'off'}",),
    ),
    Part("when garbage is collected", gc.get_threshold, lambda before: gc.set_threshold(*before)),
    Part("sys.path", lambda: list(sys.path), lambda before: sys.path.__setitem__(slice(None), before), ""),
    Part("what warnings do", _error_filters, _set_error_filters, "makes errors of warnings"),
    Part(
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda before: locale.setlocale(locale.LC_ALL, before),
    ),
    Part("the limits of the process", _limits, _set_limits, _limit_changes),
    Part("the standard descriptors", _descriptors, _set_descriptors, _descriptor_changes),
    Part("the processors it runs on", _affinity, lambda before: os.sched_setaffinity(0, before)),
    Part("numpy's handling of errors", np.geterr, lambda before: np.seterr(**before)),
    Part("Python's random numbers", random.getstate, random.setstate, _seeding),
    Part(
        "numpy's random numbers",
        _NumpyState,
        lambda before: np.random.set_state(before.state),
        _numpy_seeding,
    ),
    Part("the threads", lambda: _AtLeast(_threads()), None, _new_threads),
    Part("the child processes", lambda: _AtLeast(_children()), None, _new_children),
)
