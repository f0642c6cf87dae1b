"""What is known of an operator's rounding, as one value: a row of the table in ``operators``.

Three classes of operators need no row: what only shows memory is exact; an elementwise operator is off by a few units
of its dtype's precision; every other one is taken for what a backward stable algorithm gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array
from diffexport.oracle.rounding import (
    Args,
    DType,
    Kwargs,
    Normalised,
    Precision,
    TermCount,
    accumulator,
    elementary_error,
    growth,
    mean_error,
    precision_of,
    reduced_terms,
    row_terms,
)

#: Whether something is so: always, never, or as the arguments of the call say.
Condition = bool | Callable[[Args, Kwargs], bool]


def holds(condition: Condition, args: Args, kwargs: Kwargs) -> bool:
    """Return whether a condition is met by the arguments of a call."""
    return condition if isinstance(condition, bool) else condition(args, kwargs)


@dataclass(frozen=True)
class Keyword:
    """A condition that is met where a call has an argument of that name of which the test is true."""

    name: str
    test: Callable[[Any], bool]

    def __call__(self, args: Args, kwargs: Kwargs) -> bool:  # noqa: ARG002
        """Return whether it is met."""
        return self.name in kwargs and self.test(kwargs[self.name])


class Amplitude(Protocol):
    """Returns how far a rounded result may lie from ``exact``, element by element, as float64 of the same shape.

    ``args`` are the arguments by position, in float64.
    """

    def __call__(self, rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array: ...  # noqa: D102


@dataclass(frozen=True)
class Units:
    """So many units of eps of the result."""

    units: float

    def __call__(self, rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:  # noqa: ARG002
        """Return that, and the smallest number of the dtype as many times."""
        rounded: Array = np.abs(exact) * precision.eps + precision.smallest
        return rounded * self.units


@dataclass(frozen=True)
class ByKind:
    """What an operator gets of which nothing more is known than whether it is elementwise."""

    def __call__(self, rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:
        """Return the error of an elementary function if it is, and [general_error][] if not."""
        if rule.pointwise:
            return elementary_error(exact, precision)
        return general_error(rule, args, exact, precision)


@dataclass(frozen=True)
class Stated:
    """What a person says of an operator: a function of the arguments, the exact result and eps of its dtype."""

    function: Callable[[Args, Array, float], Array]

    def __call__(self, rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:  # noqa: ARG002
        """Return what the function says, for every element."""
        said = np.asarray(self.function(args, exact, precision.eps), np.float64)
        return np.array(np.broadcast_to(said, exact.shape))


def general_error(rule: OperatorRule, args: Args, exact: Array, precision: Precision) -> Array:
    """Return the error of a sum that comes out as it is, and of the mean that a normalisation subtracts."""
    size = np.abs(exact)
    rounded: Array = size * precision.eps + precision.smallest
    general: Array = rounded + size * precision.inner * (1.0 + growth(rule.terms(args, exact)))
    if rule.normalises is not None and first_of_shape(args, exact) is not None:
        moved = mean_error(rule.normalises(args), precision.smallest / precision.inner)
        general = general + precision.inner * moved.reshape(args[0].shape)
    return general


def first_of_shape(args: Args, exact: Array) -> Tensor | None:
    """Return the first argument if it is a tensor with elements and of the shape of the result."""
    first = args[0] if args and isinstance(args[0], Tensor) and args[0].numel() else None
    return first if first is not None and first.shape == exact.shape else None


@dataclass(frozen=True)
class Sums:
    """What is known of an operator that is a sum of products.

    The same operator of the magnitudes of its arguments gives the sum of the magnitudes of the terms.

    Attributes:
        terms: how many terms an element of the result has.
        when: whether a call is a sum at all.
        average: the sum is divided by the number of its terms.
        transform: its coefficients are roots of unity, which an implementation may round even where they are 1 or -1:
            never exact, and every element may be off by as much as the largest sum of magnitudes allows.
        exact_if_short: it is exact where its terms have so few bits that every order of them gives the same.
        limited_by_terms: the sum overflows before it is divided.
        accumulate: the dtype in which it is accumulated; None for that of the result, at least float32.
    """

    terms: TermCount = reduced_terms
    when: Condition = True
    average: bool = False
    transform: bool = False
    exact_if_short: bool = True
    limited_by_terms: bool = False
    accumulate: torch.dtype | None = None

    def accumulator(self, dtype: torch.dtype) -> DType:
        """Return the real dtype in which sums are accumulated whose result is of ``dtype``."""
        if self.accumulate is None:
            return accumulator(dtype)
        return np.dtype(str(self.accumulate).removeprefix("torch."))

    def amplitude(self, args: Args, exact: Array, total: Array, dtype: torch.dtype) -> Array:
        """Return how far a sum of ``dtype`` may lie from ``exact``, element by element.

        ``total`` is the sum of the magnitudes of the terms.
        """
        precision = precision_of(dtype)
        inner = precision.inner if self.accumulate is None else float(torch.finfo(self.accumulate).eps)
        if self.transform:
            total = np.broadcast_to(np.abs(total).max(initial=0.0), exact.shape)
        rounded = np.abs(exact) * precision.eps + precision.smallest
        size: Array = rounded + np.abs(total) * (inner * growth(self.terms(args, exact)))
        return size

    def is_exact(self, args: Args, total: Array, fine: Array, dtype: torch.dtype) -> Array:
        """Return which sums are exact in every order of their terms.

        Every partial sum is a multiple of the terms' lowest bit and no larger than ``total``, the sum of the
        magnitudes: no rounding is needed where that is at most 2^24 times that bit (for float32, of 24 bits).

        Args:
            args: in float64.
            total: the operator of the magnitudes.
            fine: the operator of [fineness][diffexport.oracle.rounding.fineness].
            dtype: of the result as the model computes it.
        """
        bits = np.finfo(self.accumulator(dtype)).nmant + 1
        # Of an average, magnitudes and lowest bits are averages as well, and the sums are meant.
        count = self.terms(args, total) if self.average else 1
        with np.errstate(all="ignore"):
            few: Array = np.abs(total) * np.abs(fine) * float(count) ** 2 <= 2.0**bits
            return few

    def overflow_limit(self, args: Args, result: Array, dtype: torch.dtype) -> float:
        """Return above which sum of magnitudes the partial sums of some order overflow."""
        limit = float(np.finfo(self.accumulator(dtype)).max)
        return limit / self.terms(args, result) if self.limited_by_terms else limit


@dataclass(frozen=True)
class OperatorRule:
    """How one operator rounds.

    Attributes:
        exact: it moves, selects or compares values, or rounds them to what a dtype or an integer can hold: IEEE 754
            leaves no choice, and it has no noise.
        choice: it rounds to an integer on the way: its value is eager's or the exact one, never anything between.
        sums: it is a sum of products.
        normalises: it subtracts a mean; what the mean is of, from its arguments.
        amplitude: how far its result may be off, where it is no sum.
        pointwise: each element of the result depends on one element of each argument; None if torch's tag says so.
        random: it draws random numbers, and is left alone; None if torch's tag says so.
        hands_on: it shows its argument as it is, unless it changes the shape.
        converts: it gives its argument in the dtype that is asked for.
        stated: a person gave the amplitude: it is for every element, those that equal float64's as well, and around
            eager's own result where float64 has none.
    """

    exact: bool = False
    choice: Condition = False
    sums: Sums | None = None
    normalises: Callable[[Args], Normalised] | None = None
    amplitude: Amplitude = ByKind()
    pointwise: bool | None = None
    random: Condition | None = None
    hands_on: bool = False
    converts: bool = False
    stated: bool = False

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is elementwise and the size of its noise depends on nothing but its result.

        That is for a call with no arguments by name, with which no [Keyword][] is met.
        """
        never = all(
            condition is False or isinstance(condition, Keyword)
            for condition in (self.choice, False if self.sums is None else self.sums.when)
        )
        known = isinstance(self.amplitude, Units | ByKind) and not self.stated
        return bool(self.pointwise) and never and known

    def is_sum(self, args: Args, kwargs: Kwargs) -> bool:
        """Return whether a call is a sum of products."""
        return self.sums is not None and holds(self.sums.when, args, kwargs)

    def is_random(self, args: Args, kwargs: Kwargs) -> bool:
        """Return whether a call draws random numbers."""
        return self.random is not None and holds(self.random, args, kwargs)

    def terms(self, args: Args, result: Array) -> int:
        """Return how many terms an element of the result has, as those of any reduction."""
        return row_terms(args, result) if self.sums is None else self.sums.terms(args, result)

    def error(self, args: Args, exact: Array, dtype: torch.dtype) -> Array:
        """Return how far a result of ``dtype``, no sum, may lie from ``exact``, element by element.

        Args:
            args: by position, in float64.
            exact: the result in float64 (its magnitude counts, if complex).
            dtype: of the result as the model computes it.
        """
        return self.amplitude(self, args, exact, precision_of(dtype))


#: For operators without a row: those that show memory, elementwise ones, and all others.
VIEW = OperatorRule(exact=True)
POINTWISE = OperatorRule(pointwise=True)
GENERAL = OperatorRule()
