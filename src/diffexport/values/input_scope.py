"""Which inputs are in scope: all that a model's specs admit, or fewer because a user says so."""

from __future__ import annotations

from dataclasses import dataclass

#: Magnitudes of ordinary numbers: what is smaller and not 0, or larger, is left out.
ORDINARY_LEAST, ORDINARY_MOST = 1e-4, 1e4


@dataclass(frozen=True)
class InputScope:
    """What is left out of the inputs that a model's specs admit. What a Hypothesis strategy gives is not looked at.

    Attributes:
        ordinary: finite ordinary values only: no NaN, infinity, -0 or subnormal, and of magnitudes from
            [ORDINARY_LEAST][] to [ORDINARY_MOST][], or 0. Where the bounds of a spec leave none of these, what they
            leave.
        no_empty: no dimension of size 0.
        empty_examples: models are exported on tensors without elements, too, which nobody does unless he means to.
            What they are run on is another matter: it may be empty in any case.
    """

    ordinary: bool = False
    no_empty: bool = False
    empty_examples: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.ordinary or self.no_empty)

    def __str__(self) -> str:
        left_out = []
        if self.ordinary:
            left_out.append("finite ordinary values only")
        if self.no_empty:
            left_out.append("no empty dimension")
        return ", ".join(left_out) or "all values and sizes that the inputs admit"

    def document(self) -> dict[str, bool]:
        """Return the form that reports have."""
        asked = {"empty_examples": True} if self.empty_examples else {}
        return {"ordinary": self.ordinary, "no_empty": self.no_empty, **asked}


#: Nothing is left out.
ALL_INPUTS = InputScope()
