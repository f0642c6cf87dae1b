"""What a process is doing, where its parent can see it at any time, and until when that may take.

A process writes its current step into memory that it shares with its parent: that costs about a microsecond, so that
every step can be written down before it is taken, and it is still there when the process has died.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from typing import Protocol

from diffexport.values import DEFAULT_STEP_LIMITS

_SIZE = 4096
#: How often the step has changed, until when it may take, and how long its text is.
_HEAD = struct.Struct("=QdI")
#: Where the time stands in it, for a step that begins anew.
_TIME = struct.Struct("=d")
_TIME_AT = 8
_SEPARATOR = "\x1f"
#: Steps that may take as long as an export.
_LONG = ("build", "export", "load", "blame")
#: Arbitration runs eager many times, most of them together.
_RUNS_OF_ARBITRATION = 10


@dataclass(frozen=True)
class ProcessStep:
    """What a process is doing.

    Attributes:
        name: import, build, draw, or a stage of the pipeline; empty between two tasks.
        case: the name of the case; empty where no case is concerned.
        mode: the mode as text, likewise.
        runtime: the name of the runtime, likewise.
        deadline: until when the step may take, in seconds as ``time.monotonic()`` counts.
    """

    name: str = ""
    case: str = ""
    mode: str = ""
    runtime: str = ""
    deadline: float = math.inf

    @property
    def is_late(self) -> bool:
        """Whether it takes longer than it may."""
        return time.monotonic() > self.deadline


class StepBoard:
    """The memory that holds the current step of one process.

    Args:
        descriptor: of the file that is mapped; it may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._changes = 0

    @classmethod
    def create(cls) -> tuple[StepBoard, int]:
        """Return a board, and the descriptor by which another process can have it, too.

        Raises:
            OSError: there is no place for it.
        """
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("diffexport-step")
        else:
            descriptor, path = tempfile.mkstemp(prefix="diffexport-step-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, _SIZE)
            return cls(descriptor), descriptor
        except BaseException:
            os.close(descriptor)
            raise

    def write(self, step: ProcessStep) -> None:
        """Make this the current step."""
        text = _SEPARATOR.join((step.name, step.case, step.mode, step.runtime)).encode("utf-8", "replace")
        text = text[: _SIZE - _HEAD.size]
        self._changes += 2
        # An odd number while the text is changed.
        # Not by pack_into, which writes zeros first: they would be read as a time that is over.
        self._memory[: _HEAD.size] = _HEAD.pack(self._changes - 1, step.deadline, len(text))
        self._memory[_HEAD.size : _HEAD.size + len(text)] = text
        self._memory[: _HEAD.size] = _HEAD.pack(self._changes, step.deadline, len(text))

    def extend(self, deadline: float) -> None:
        """Let the current step take until then."""
        self._memory[_TIME_AT : _TIME_AT + _TIME.size] = _TIME.pack(deadline)

    def read(self) -> ProcessStep:
        """Return the current step."""
        for _ in range(100):
            changes, deadline, length = _HEAD.unpack_from(self._memory, 0)
            text = bytes(self._memory[_HEAD.size : _HEAD.size + length])
            if changes % 2 == 0 and _HEAD.unpack_from(self._memory, 0)[0] == changes:
                break
        else:
            # The process was cut off in the middle: until when the step may take is not known now.
            deadline = math.inf
        # A process that died, or was cut off, while it wrote leaves a text that is half of each; it is still a text.
        parts = [*text.decode("utf-8", "replace").split(_SEPARATOR), "", "", ""]
        name, case, mode, runtime = parts[:4]
        return ProcessStep(name, case, mode, runtime, deadline if changes else math.inf)

    def close(self) -> None:
        """Give the memory back."""
        with contextlib.suppress(BufferError, ValueError):
            self._memory.close()


class Board(Protocol):
    """Where the steps of a process are written."""

    def write(self, step: ProcessStep) -> None:
        """Make this the current step."""

    def extend(self, deadline: float) -> None:
        """Let the current step take until then."""


class Steps:
    """The steps of this process: written where its parent can see them, if it has one that looks.

    Attributes:
        current: the step that was begun last.
        limits: how long steps may take.
    """

    def __init__(self) -> None:
        self._board: Board | None = None
        self._process = 0
        self._limit = math.inf
        self._since = time.monotonic()
        self._spent: dict[str, float] = {}
        self.current = ProcessStep()
        self.limits = DEFAULT_STEP_LIMITS

    def show_on(self, board: Board) -> None:
        """Write every step from now on to a board."""
        self._board, self._process = board, os.getpid()

    def begin(
        self, name: str, *, case: str | None = None, mode: str | None = None, runtime: str = ""
    ) -> None:
        """Begin a step; how long it may take follows from its name.

        Args:
            name: what it is.
            case, mode: what it is about; by default the same as the step before.
            runtime: the runtime concerned.
        """
        if self._board is None:
            return
        self._end_copy()
        before, now = self.current, time.monotonic()
        self._spent[before.name] = self._spent.get(before.name, 0.0) + now - self._since
        self._since = now
        seconds = self._limit = self._seconds(name)
        self.current = ProcessStep(
            name,
            before.case if case is None else case,
            before.mode if mode is None else mode,
            runtime,
            now + seconds,
        )
        self._board.write(self.current)

    def again(self) -> None:
        """Begin the same step once more: for the next of many samples."""
        if self._board is not None:
            self._end_copy()
            self._board.extend(time.monotonic() + self._limit)

    def take_spent(self) -> dict[str, float]:
        """Return the seconds that were spent on each step, by its name, since this was asked before.

        What lies between two tasks is not counted, and nothing is where nobody looks at the steps.
        """
        now = time.monotonic()
        name = self.current.name
        if self._board is not None:
            self._spent[name] = self._spent.get(name, 0.0) + now - self._since
        self._since = now
        spent, self._spent = self._spent, {}
        return {step: seconds for step, seconds in spent.items() if step and seconds}

    def end(self) -> None:
        """Say that nothing is being done."""
        self.begin("", case="", mode="")

    def _seconds(self, name: str) -> float:
        if not name:
            return math.inf
        limits = self.limits
        if name == "import":
            return limits.import_seconds
        if name in _LONG:
            return limits.export_seconds
        return limits.check_seconds * (_RUNS_OF_ARBITRATION if name == "arbitrate" else 1)

    @property
    def are_shown(self) -> bool:
        """Whether anybody looks at the steps of this process."""
        return self._board is not None

    def hide(self) -> None:
        """Write no more steps."""
        self._board = None
        self.current = ProcessStep()

    def _end_copy(self) -> None:
        """End a copy of this process that a model forked off, and that comes back as if nothing had been."""
        if os.getpid() != self._process:
            os._exit(0)


#: The steps of this process.
STEPS = Steps()
