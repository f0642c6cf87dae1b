"""How a case is explored, and when that ends before all is done: values, all of them."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from diffexport.values import (
    ALL_INPUTS,
    DEFAULT_STEP_LIMITS,
    MAX_ELEMENTS,
    NO_DEADLINE,
    Budget,
    Deadline,
    InputScope,
    Mode,
    StepLimits,
)


class StopAfter(enum.Enum):
    """What ends an exploration early."""

    #: Nothing: every mode is explored.
    NOTHING = "nothing"
    #: The first finding, shrunk.
    FIRST_FINDING = "first finding"
    #: The first sight of a divergence: it becomes a finding as it is.
    FIRST_SIGHT = "first sight"


@dataclass(frozen=True)
class Limits:
    """When an exploration ends, and how much is spent on one finding.

    Attributes:
        deadline: of all of it. What is seen and not yet shrunk by then is kept, as simple as can be had quickly.
        shrink_checks: most checks that are spent on making one finding minimal after Hypothesis has shrunk it.
        shrink_seconds: of the processor, from the first sight of a divergence on. When they are over it is kept as
            simple as can be had quickly, and the mode goes on.
        quick_checks, quick_seconds: most checks, and seconds, that are spent then.
        stop_after: what ends the exploration early.
    """

    deadline: Deadline = NO_DEADLINE
    shrink_checks: int = 600
    shrink_seconds: float = math.inf
    quick_checks: int = 200
    quick_seconds: float = 3.0
    stop_after: StopAfter = StopAfter.NOTHING


@dataclass(frozen=True)
class Settings:
    """How a case is explored.

    Attributes:
        examples: Hypothesis examples for each mode; each holds a block of up to ``block`` samples.
        block: most samples in one example.
        seed: the same seed gives the same run.
        strict: let notes (the sign of zero, stale globals) fail.
        shrink: shrink what is seen; without, the first sight is reported.
        careful: announce every check before it is made (see [CheckStarting][]).
        blame: find out which stage departs first.
        share: give a mode one example instead of all when it exports, byte for byte, what a mode already
            explored exports, or is refused in the same way. For matrices of thousands of modes.
        larger_sizes: draw sizes of dimensions beyond the smallest ones, too: those that the model seems to depend on,
            and those around powers of two.
        most_elements: of a tensor whose sizes are drawn.
        limits: when it ends.
        steps: what one step may cost, in a worker.
        budget: how long modes are explored in turn; None: each is explored in one go.
        scope: which inputs are left out.
        witnesses: runtimes that nobody asked for by name and that only bear witness: what they alone show is a note.
        selected: the modes that were named one by one; a finding is told in one of these. None where a matrix stands
            for all modes, so that any may be the simplest.
    """

    examples: int = 30
    block: int = 8
    seed: int = 0
    strict: bool = False
    shrink: bool = True
    careful: bool = False
    blame: bool = True
    share: bool = False
    larger_sizes: bool = False
    most_elements: int = MAX_ELEMENTS
    limits: Limits = Limits()
    steps: StepLimits = DEFAULT_STEP_LIMITS
    budget: Budget | None = None
    scope: InputScope = ALL_INPUTS
    witnesses: tuple[str, ...] = ()
    selected: tuple[Mode, ...] | None = None

    def keeping_to_budget(self, begun: float) -> Settings:
        """Return settings whose limits keep to the budget, which began at ``begun`` as ``time.monotonic()`` counts."""
        if self.budget is None or self.budget.seconds is None:
            return self
        seconds = self.budget.seconds
        # What one finding takes to be made minimal is a part of it.
        limits = replace(
            self.limits,
            deadline=Deadline(begun + seconds),
            shrink_seconds=max(seconds / 6, 2.0),
            quick_seconds=min(self.limits.quick_seconds, seconds / 20),
        )
        return replace(self, limits=limits)
