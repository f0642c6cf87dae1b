"""Time limits on the road: a Function gets so long, and shrinking one finding of it so long."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

from diffexport.explore import Minimiser, Point, Seen
from diffexport.pipeline import Block, Exported, Road
from diffexport.subjects.cases import Case
from diffexport.values import Divergence, Inputs, Mode

#: Seconds an export from which on an exporter is spared where another shows the same.
_COSTLY = 0.3


def is_costly(mode: Mode) -> bool:
    """Return whether a mode's exports cost most, as those of strict capture do."""
    return mode.description.cost >= _COSTLY


class OutOfTime(BaseException):
    """The time is over. Not an Exception: Hypothesis would take that for a failure of the model."""


class TimedRoad(Road):
    """A road that ends at a time.

    Args:
        repeats: export twice, to see whether that gives the same, where it costs least.

    Attributes:
        until: the end, as ``time.monotonic()`` counts.
        spent: the same as ``time.process_time()`` counts: what a busy machine does besides does not matter to it.
    """

    def __init__(self, *, repeats: bool = True) -> None:
        super().__init__(exports=256, sessions=128)
        self.until = self.spent = math.inf
        self._repeats = repeats

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised); twice in the static modes of the cheaper exporters alone."""
        cheap = not mode.dynamic and not is_costly(mode)
        return super().export(case, mode, inputs, repeat=repeat and cheap and self._repeats)

    @contextlib.contextmanager
    def block(self, *args: Any, **kwargs: Any) -> Iterator[Block]:
        """Check many inputs against one export, see [Road.block][diffexport.Road.block].

        Raises:
            OutOfTime: the time is over.
        """
        self.check_time()
        with super().block(*args, **kwargs) as block:
            yield block

    def check_time(self) -> None:
        """Raise [OutOfTime][] if it is over."""
        if time.monotonic() > self.until or time.process_time() > self.spent:
            raise OutOfTime


class KeepingMinimiser(Minimiser):
    """Keeps the simplest point so far, so that it is not lost when the time is over."""

    best: Seen | None = None

    def look(self, point: Point, wanted: Divergence) -> Seen | None:
        """Check one point; see [Minimiser.look][diffexport.explore.Minimiser.look]."""
        seen = super().look(point, wanted)
        if seen is not None:
            self.best = seen
        return seen


def simplified(
    road: TimedRoad, case: Case, point: Point, wanted: Divergence, *, strict: bool, budget: int = 200
) -> Seen | None:
    """Return the simplest point of a failure that is found before the time is over; None if it does not show."""
    minimiser = KeepingMinimiser(road, case, strict, budget)
    with contextlib.suppress(OutOfTime):
        found: Any = minimiser.run(point, wanted)
        return found if found is not None else None
    return minimiser.best
