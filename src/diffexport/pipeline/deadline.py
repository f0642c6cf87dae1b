"""A point in time that a pipeline asks for between its stages."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


class DeadlinePassed(BaseException):
    """The time is over. Not an Exception: Hypothesis would take that for a failure of the model."""


@dataclass(frozen=True)
class Deadline:
    """When to stop.

    Attributes:
        wall: in seconds, as ``time.monotonic()`` counts.
        processor: in seconds, as ``time.process_time()`` counts: what a busy machine does besides does not matter.
    """

    wall: float = math.inf
    processor: float = math.inf

    def check(self) -> None:
        """Return while there is time left.

        Raises:
            DeadlinePassed: there is none.
        """
        if time.monotonic() > self.wall or time.process_time() > self.processor:
            raise DeadlinePassed


#: The deadline that never passes.
NO_DEADLINE = Deadline()
