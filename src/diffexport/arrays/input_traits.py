"""Traits of inputs: what a known divergence may require of the tensors it concerns.

A trait is a short text. Prefixed with ``export:`` it speaks of the example inputs the model was exported
with, otherwise of the inputs it was run on.

====================  =================================================================
``nan``               some element is NaN
``inf``               some element is +inf or -inf
``subnormal``         some element is subnormal in its own dtype
``negative-zero``     some element is -0.0
``abs:LO..HI``        some finite element has LO ≤ ``|x|`` ≤ HI
``empty``             some tensor has no element
``empty-not-first``   some tensor has an empty dimension other than its first
``scalar``            some tensor is 0-d
``size-one``          some tensor has a dimension of size 1
====================  =================================================================

An element of a complex tensor is NaN, infinite, subnormal or -0.0 if one of its parts is; ``|x|`` is its modulus.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from diffexport.arrays import dtypes
from diffexport.arrays.array_types import Array
from diffexport.errors import UsageError, suggestion

Predicate = Callable[[Array], bool]


def _of_floats(test: Predicate) -> Predicate:
    """Return a predicate over the numbers of an array, real and imaginary parts alike; others have none."""

    def holds(array: Array) -> bool:
        numbers = dtypes.as_parts(array)
        if not dtypes.is_floating(numbers.dtype):
            return False
        with np.errstate(invalid="ignore"):  # of a signalling NaN in bfloat16
            return test(numbers)

    return holds


def _subnormal(array: Array) -> bool:
    magnitude = np.abs(array)
    return bool(np.any((magnitude > 0) & (magnitude < dtypes.finfo(array.dtype).smallest_normal)))


_PREDICATES: dict[str, Predicate] = {
    "nan": _of_floats(lambda numbers: bool(np.isnan(numbers).any())),
    "inf": _of_floats(lambda numbers: bool(np.isinf(numbers).any())),
    "subnormal": _of_floats(_subnormal),
    "negative-zero": _of_floats(lambda numbers: bool(np.any((numbers == 0) & np.signbit(numbers)))),
    "empty": lambda array: array.size == 0,
    "empty-not-first": lambda array: 0 in array.shape[1:],
    "scalar": lambda array: array.ndim == 0,
    "size-one": lambda array: 1 in array.shape,
}
NAMES = (*_PREDICATES, "abs:LO..HI")


@functools.cache
def predicate(text: str) -> Predicate:
    """Return the predicate over one array that a trait (without ``export:``) stands for.

    Raises:
        UsageError: no such trait.
    """
    if text in _PREDICATES:
        return _PREDICATES[text]
    if text.startswith("abs:"):
        low_text, dots, high_text = text[4:].partition("..")
        try:
            low, high = float(low_text), float(high_text)
        except ValueError:
            dots = ""
        if not dots or not low <= high:
            raise UsageError(f"trait {text!r}: write abs:LO..HI with two numbers, LO not above HI")

        def within(array: Array) -> bool:
            wide = np.complex128 if dtypes.is_complex(array.dtype) else np.float64
            with np.errstate(invalid="ignore"):
                magnitude = np.abs(array.astype(wide, copy=False))
            return bool(np.any(np.isfinite(magnitude) & (magnitude >= low) & (magnitude <= high)))

        return within
    raise UsageError(f"unknown input trait {text!r}{suggestion(text, NAMES)}")


def trait_holds(trait: str, inputs: Sequence[Array], export_inputs: Sequence[Array]) -> bool:
    """Return whether some tensor has the trait.

    Raises:
        UsageError: no such trait.
    """
    arrays = inputs
    if trait.startswith("export:"):
        trait, arrays = trait[len("export:") :], export_inputs
    test = predicate(trait)
    return any(test(array) for array in arrays)


def check_trait(traits: Iterable[str]) -> None:
    """Raise [UsageError][] for the first trait that does not exist."""
    for trait in traits:
        predicate(trait.removeprefix("export:"))
