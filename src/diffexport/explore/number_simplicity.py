"""Numbers by simplicity: which are tried in place of another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from diffexport.arrays import is_complex, is_floating


def simplicity(value: Any) -> tuple[float, ...]:
    """Sort key of a number, simplest first: 0, 1, 2, …, -1, …, halves, short decimals, then the odd ones.

    A complex number is as odd as the odder of its parts.
    """
    if np.iscomplexobj(value):
        keys = [(*simplicity(part), 0.0, 0.0, 0.0)[:4] for part in (value.real, value.imag)]
        return (*max(keys), *min(keys), *keys[1])
    number = float(value)
    if math.isnan(number):
        return (7,)
    if math.isinf(number):
        return (5,) if number > 0 else (6,)
    if number == 0:
        return (8,) if math.copysign(1, number) < 0 else (0, 0)
    if abs(number) < 1000 and number == int(number):
        return (0 if number > 0 else 1, abs(number))
    if abs(number) < 1000 and number * 2 == int(number * 2):
        return (2, abs(number), number < 0)
    return (3 if abs(number) < 1e7 else 4, len(repr(value)), abs(number), number < 0)


def simpler_values(value: Any) -> list[Any]:
    """Return the values to try in place of ``value``, simplest first, each simpler than it."""
    dtype = np.asarray(value).dtype
    if dtype == np.bool_:
        return [np.False_] if value else []
    if is_complex(dtype):
        simpler = {
            simplicity(candidate): candidate
            for candidate in (
                dtype.type(0),
                *(dtype.type(complex(part, value.imag)) for part in simpler_values(value.real)),
                *(dtype.type(complex(value.real, part)) for part in simpler_values(value.imag)),
            )
            if simplicity(candidate) < simplicity(value)
        }
        return [simpler[key] for key in sorted(simpler)]
    candidates: list[float] = [0, 1, 2, 3, -1, -2, 0.5]
    number = float(value)
    if is_floating(dtype):
        candidates += [float("inf"), float("-inf")]
        if math.isfinite(number) and number:
            candidates += [float(round(number)), float(math.trunc(number))]
            candidates += [float(f"{number:.{digits}g}") for digits in (1, 2, 3, 4)]
            # The power of two below it. Not by its logarithm, which is rounded up next to the largest number.
            candidates += [math.copysign(math.ldexp(0.5, math.frexp(number)[1]), number)]
    else:
        info = np.iinfo(dtype)
        candidates = [c for c in (0, 1, 2, 3, -1, -2, int(value) // 2) if info.min <= c <= info.max]
    with np.errstate(over="ignore"):
        typed = [dtype.type(candidate) for candidate in candidates]
    limit = simplicity(value)
    unique = {simplicity(candidate): candidate for candidate in typed if simplicity(candidate) < limit}
    return [unique[key] for key in sorted(unique)]
