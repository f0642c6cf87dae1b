"""What a parent receives from a child process."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

#: Signals that are sent by people, by the kernel where memory runs out, and by what supervises processes.
_FROM_OUTSIDE = (
    signal.SIGKILL,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGSTOP,
    signal.SIGXCPU,
)


@dataclass(frozen=True)
class Ready:
    """The process has prepared itself, and takes its first request."""


@dataclass(frozen=True)
class Announced:
    """What the process is about to do; the parent keeps it, so that it knows what was done when the process died."""

    what: Any


@dataclass(frozen=True)
class Message:
    """Anything else that is sent on the way to an answer."""

    value: Any


@dataclass(frozen=True)
class Finished:
    """A request is done, with this answer."""

    answer: Any = None


@dataclass(frozen=True)
class Failed:
    """A request raised an exception.

    Attributes:
        error: its type and message.
        place: the file and the line that raised it.
        trace: its traceback, as text.
    """

    error: str
    place: str
    trace: str


@dataclass(frozen=True)
class Unreadable:
    """Something was sent that cannot be read here, for instance of a class that only the child has."""

    error: str


@dataclass(frozen=True)
class Died:
    """The process is no more; as text: how it ended.

    Attributes:
        exit_code: negative for a signal; None if it closed its connection and went on.
    """

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            try:
                return f"signal {signal.Signals(-self.exit_code).name}"
            except ValueError:
                return f"signal {-self.exit_code}"
        if self.exit_code is None:
            return "its connection closed"
        return f"exit code {self.exit_code}"

    @property
    def is_from_outside(self) -> bool:
        """Whether a signal ended it that others send, and no fault of its own raises."""
        return self.exit_code is not None and -self.exit_code in _FROM_OUTSIDE


@dataclass(frozen=True)
class Hung:
    """Nothing came before the deadline; the process is still there."""


Received = Ready | Announced | Message | Finished | Failed | Unreadable | Died | Hung
