"""A time at which something ends."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


class DeadlinePassed(BaseException):
    """The time is over. Not an Exception: Hypothesis would take that for a failure of the model."""


@dataclass(frozen=True)
class Deadline:
    """A time at which something ends; without arguments, never.

    Attributes:
        wall: in seconds, as ``time.monotonic()`` counts.
        processor: in seconds, as ``time.process_time()`` counts: what a busy machine does besides does not matter.
    """

    wall: float = math.inf
    processor: float = math.inf

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that is so many seconds away."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then, at least 0; those of the processor do not count."""
        return max(self.wall - time.monotonic(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        # The clock of the processor costs some microseconds, which most who ask need not spend.
        if self.wall < math.inf and time.monotonic() > self.wall:
            return True
        return self.processor < math.inf and time.process_time() > self.processor

    def check(self) -> None:
        """Return while there is time left.

        Raises:
            DeadlinePassed: there is none.
        """
        if self.passed:
            raise DeadlinePassed


#: The deadline that never passes.
NO_DEADLINE = Deadline()
