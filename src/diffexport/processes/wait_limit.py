"""A time at which waiting ends."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class WaitLimit:
    """A time at which waiting ends; without arguments, never.

    Attributes:
        at: seconds, as ``time.monotonic()`` counts them.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float) -> WaitLimit:
        """Return the time that is so many seconds away."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(self.at - time.monotonic(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() > self.at
