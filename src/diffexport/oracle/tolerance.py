"""Tolerances: the tight one within which values simply agree, and the fixed one for what cannot be arbitrated."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from diffexport.arrays import Array, finfo

#: dtype to (rtol, atol): the defaults of ``torch.testing.assert_close``. ``|got - eager| ≤ atol + rtol |eager|``.
#: They judge only where no run under noise can.
TOLERANCES: dict[str, tuple[float, float]] = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}

#: How many eps apart values agree without being looked at again: what elementary functions of two libraries differ by.
TIGHT_EPS = {"float16": 1.0, "bfloat16": 1.0}
_TIGHT_EPS = 4.0
#: The same below the normal numbers, in their smallest steps: flushing and short polynomials lose a little more there.
TIGHT_STEPS = {"float16": 1.0, "bfloat16": 1.0}
_TIGHT_STEPS = 128.0


@functools.cache
def tight_measures(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return rtol and atol of the tight tolerance of a real floating dtype."""
    limits = finfo(dtype)
    eps, smallest = float(limits.eps), float(limits.smallest_subnormal)
    name = dtype.name
    return TIGHT_EPS.get(name, _TIGHT_EPS) * eps, TIGHT_STEPS.get(name, _TIGHT_STEPS) * smallest


def tight(value: Array, dtype: np.dtype[Any]) -> Array:
    """Return how far from a value, in float64, another one of ``dtype`` simply agrees."""
    rtol, atol = tight_measures(dtype)
    return np.abs(value) * rtol + atol
