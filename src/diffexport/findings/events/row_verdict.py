"""What is said of a mode and of a known divergence; the texts are those of reports."""

from __future__ import annotations

import enum


class RowVerdict(enum.StrEnum):
    """What became of one (case, mode, runtime), from the least telling to the worst."""

    UNREACHED = "unreached"
    UNTESTED = "untested"
    AGREES = "agrees"
    REFUSED = "refused"
    KNOWN = "known"
    DIVERGES = "diverges"

    def is_worse_than(self, other: RowVerdict) -> bool:
        """Whether this is to be reported where both were seen."""
        return _SEVERITY[self] > _SEVERITY[other]


_SEVERITY = {verdict: number for number, verdict in enumerate(RowVerdict)}


class KnownStatus(enum.StrEnum):
    """What the replay of a known divergence's regression says of it."""

    DIVERGES = "diverges"
    FIXED = "fixed"
    ERROR = "error"
