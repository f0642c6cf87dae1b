"""Limits of a scan: what is exported twice, and how long shrinking one finding may take."""

from __future__ import annotations

import contextlib
from typing import Any

from diffexport.explore import Minimiser, Point, Seen
from diffexport.pipeline import DeadlinePassed, Pipeline, fresh_stages
from diffexport.subjects.cases import Case
from diffexport.values import Divergence, Mode


def scan_pipeline(*, repeats: bool = True) -> Pipeline:
    """Return a pipeline that remembers little, for one variant of a Function.

    Args:
        repeats: export twice, to see whether that gives the same, where it costs least.
    """
    return Pipeline(
        stages=fresh_stages(
            exports=256, sessions=128, repeats_in=lambda mode: repeats and cheap_to_repeat(mode)
        )
    )


def cheap_to_repeat(mode: Mode) -> bool:
    """Return whether a second export costs little: in the static modes of the cheaper exporters."""
    return not mode.dynamic and mode.exporter != "dynamo-strict"


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
    pipeline: Pipeline, case: Case, point: Point, wanted: Divergence, *, strict: bool, budget: int = 200
) -> Seen | None:
    """Return the simplest point of a failure that is reached before the deadline; None if it does not show."""
    minimiser = KeepingMinimiser(pipeline, case, strict, budget)
    with contextlib.suppress(DeadlinePassed):
        simplest: Any = minimiser.run(point, wanted)
        return simplest if simplest is not None else None
    return minimiser.best
