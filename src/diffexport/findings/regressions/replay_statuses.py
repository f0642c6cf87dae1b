"""What a replay says and what it is at: plain values, which a process that replays nothing itself can read."""

from __future__ import annotations

import enum


class Status(enum.StrEnum):
    """What a replay says."""

    FIXED = "FIXED"
    DIVERGES = "STILL DIVERGES"
    ERROR = "ERROR"


class ReplayStep(enum.StrEnum):
    """What is done with a stored regression, in this order."""

    READ = "reading it"
    IMPORT = "importing its target"
    CHECK = "checking it"
