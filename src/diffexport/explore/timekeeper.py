"""How much time is left: of an exploration, and of what is spent on one finding."""

from __future__ import annotations

import time
from dataclasses import replace

from diffexport.explore.settings import Limits
from diffexport.values import Deadline


class Timekeeper:
    """Asked before each check. One deadline is in force at a time: that of all, or an earlier one while shrinking."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._in_force = limits.deadline
        self._is_shrinking = False

    def check(self) -> None:
        """Return while there is time left.

        Raises:
            DeadlinePassed: there is none.
        """
        self._in_force.check()

    @property
    def in_force(self) -> Deadline:
        """The deadline in force, for what asks for it between its steps."""
        return self._in_force

    @property
    def is_over(self) -> bool:
        """Whether the time for all is over."""
        return time.monotonic() >= self._limits.deadline.wall

    def begin_shrinking(self) -> None:
        """A divergence is seen for the first time: from now on the time for one finding runs."""
        spent = time.process_time() + self._limits.shrink_seconds
        self._in_force, self._is_shrinking = replace(self._limits.deadline, processor=spent), True

    def go_on_shrinking(self) -> None:
        """It is made minimal: the time for one finding runs, if it does not yet."""
        if not self._is_shrinking:
            self.begin_shrinking()

    def end_shrinking(self) -> None:
        """The finding is there, or given up: only the time for all counts."""
        self._in_force, self._is_shrinking = self._limits.deadline, False

    def allow_a_little(self) -> None:
        """What was seen is simplified quickly: a little more time, also after the deadline."""
        seconds = self._limits.quick_seconds
        self._in_force = Deadline(self._limits.deadline.wall + seconds, time.process_time() + seconds)
