"""In which order changes are planted, and how long each is checked, where not all can be."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from diffexport.tools.mutate.registry import Candidate
from diffexport.values import NO_DEADLINE, Deadline

#: Most of the even share of the time that is left, that one mutant may take: most are caught at once.
_SHARE = 4


def spread(changes: Iterable[tuple[str, Candidate]], seed: int) -> Iterator[tuple[str, Candidate]]:
    """Yield changes so that the first few are of many mutators and all over the graph: each mutator in turn, at places
    in random order. The same seed gives the same order.

    Args:
        changes: how each is planted, and it.
        seed: of the order.
    """
    drawn = random.Random(seed)
    of_mutator: dict[str, list[tuple[str, Candidate]]] = {}
    for group, candidate in changes:
        of_mutator.setdefault(candidate.mutator.name, []).append((group, candidate))
    turns = list(of_mutator.values())
    for places in turns:
        drawn.shuffle(places)
    # Mutators that come late in a round that is not finished are others for another seed.
    drawn.shuffle(turns)
    for together in zip_longest(*turns):
        yield from (change for change in together if change is not None)


@dataclass
class PlantingLimit:
    """How many bugs may still be planted, and until when.

    Attributes:
        most: bugs in all; None: no limit.
        planted: how many there are.
        deadline: when the time is over.
    """

    most: int | None = None
    planted: int = 0
    deadline: Deadline = NO_DEADLINE

    @property
    def is_reached(self) -> bool:
        """Whether nothing more is to be planted."""
        return self.deadline.passed or (self.most is not None and self.planted >= self.most)

    @property
    def why_ended(self) -> str:
        """What to say of a job that was ended for lack of time; empty if it was not."""
        if (self.most is not None and self.planted >= self.most) or not self.deadline.passed:
            return ""
        wanted = "" if self.most is None else f" of {self.most}"
        return f"the time was over when {self.planted}{wanted} bugs were planted"

    def leave_out(self, seconds: float) -> None:
        """Let some time not count that was spent on something else than planting and checking."""
        self.deadline = Deadline(self.deadline.wall + seconds, self.deadline.processor)

    def for_one(self) -> Deadline:
        """Return until when the next mutant may be checked: a few times its even share of what is left.

        Where it is not said how many there are, that is until the end.
        """
        if self.most is None or self.deadline.wall == math.inf:
            return self.deadline
        share = self.deadline.left / max(self.most - self.planted, 1)
        return Deadline(min(self.deadline.wall, Deadline.after(_SHARE * share).wall))
