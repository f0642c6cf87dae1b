"""Outputs of a runtime as one list of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def flat(values: Iterable[Any]) -> list[Any]:
    """Return outputs as arrays: those of a sequence one behind the other, and of None, an array of it."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, list | tuple):
            found += flat(value)
        else:
            # numpy collapses 0-d results into scalars in places; the comparison wants arrays.
            found.append(np.asarray(value))
    return found
