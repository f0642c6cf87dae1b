"""How long models are explored: a time, a number of rounds, or until all examples are done."""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffexport.errors import UsageError
from diffexport.values.bounds import MOST_SECONDS

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PART = r"(\d{1,9}(?:\.\d{1,3})?)\s*(h|min|m|s|)"
_DURATION = re.compile(rf"{_PART}(?:\s*{_PART})?(?:\s*{_PART})?", re.IGNORECASE)
#: Seconds that a budget has to be at least.
LEAST_TIME = 1.0


@dataclass(frozen=True)
class Budget:
    """How long modes are explored in turn.

    First every mode is looked at once; then come rounds, in each of which every mode has a turn. They end with the
    time, after ``rounds``, or when each mode has had its examples, whichever is first.

    Attributes:
        seconds: of the whole run, exports and shrinking included; None: there is no limit.
        rounds: most rounds after the first look; None: there is no limit.
        goes_on: turns go on when a mode has had its examples, until one of the others ends them.
    """

    seconds: float | None = None
    rounds: int | None = None
    goes_on: bool = False


def parse_duration(text: str) -> float:
    """Return the seconds that a text such as ``90s``, ``5m``, ``1h 30m`` or ``90`` means.

    Raises:
        UsageError: it is no duration, or shorter than a second, or longer than anything that makes sense.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = (
        [(number, unit) for number, unit in zip(match.groups()[::2], match.groups()[1::2], strict=True)]
        if match
        else []
    )
    given = [(float(number), (unit or "").lower()) for number, unit in parts if number is not None]
    seconds = [number * _UNITS[unit] for number, unit in given]
    units = [_UNITS[unit] for _, unit in given]
    if not given or units != sorted(set(units), reverse=True):
        raise UsageError(f"{text!r} is no time; write for instance 90s, 5m or 1h30m")
    total = sum(seconds)
    if not LEAST_TIME <= total <= MOST_SECONDS:
        raise UsageError(f"{text!r} is not between {LEAST_TIME:g} s and {MOST_SECONDS:g} s")
    return total


def in_words(seconds: float) -> str:
    """Return a time as people write it: ``45 s``, ``3 min``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02} s" if whole % 60 else "")
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
