"""Inputs at which a number that a model computes on the way is exactly what it is compared with.

What is searched for is an input at which a *gap*, the difference between the two, is 0. One element of the inputs is
varied: over a grid first, then by bisection over all numbers of its dtype between two at which the gap has other signs.
That ends at an input with a gap of 0, or at two neighbouring ones with the jump between them; then another element, or
other values of the rest, are tried. All is counted in evaluations, so that it ends alike on every machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diffexport.arrays import BFLOAT16, Array, finfo, is_floating
from diffexport.values import TensorSpec

#: Returns the gap at some inputs; NaN where there is none.
Gap = Callable[[tuple[Array, ...]], float]
#: Makes the inputs at which the element that is varied has a value.
Sample = Callable[[Any], tuple[Array, ...]]

#: Values of the grid, besides the bounds.
_GRID = (0.0, 2.0**-10, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 16.0, 40.0, 300.0, 1e5)
#: What the rest of a tensor is filled with where its own values do not lead to a gap of 0.
_FILLS = (None, 0.0, 1.0, 0.5, -1.0, 2.0)
#: Most sign changes of one grid that are looked into, and most steps by which the end of a row of gaps of 0 is found.
_BRACKETS, _SIDES = 2, 12
#: Binary digits of floats by their bytes, and how many of them are tried to do without the others.
_MANTISSA = {2: 11, 4: 24, 8: 53}
_FEW_DIGITS = (1, 2, 3, 4, 6, 8, 10, 12)
#: Most evaluations for one gap.
MOST_OF_ONE = 500
#: Evaluations that are spent on something simpler where an input with a gap of 0 is known.
_FURTHER = 240


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        samples: the inputs with a gap of 0 first, then those beside it; without the former, those next to the jump.
        is_exact: whether the first has a gap of 0.
        value: the number that was varied, at the first.
        is_simple: whether that has few binary digits.
    """

    samples: tuple[tuple[Array, ...], ...]
    is_exact: bool
    value: float
    is_simple: bool = False

    def with_more(self, other: Found | None) -> Found:
        """Return the same with the samples of another as well."""
        return self if other is None else replace(self, samples=self.samples + other.samples)


class OutOfEvaluations(Exception):
    """There are no evaluations left."""


class ExactSearch:
    """Searches, with so many evaluations in all.

    Args:
        specs: of the inputs.
        most: evaluations.
    """

    def __init__(self, specs: Sequence[TensorSpec], most: int) -> None:
        self._specs, self.left = specs, most
        self._left_of_one = 0

    def find(self, gap: Gap, base: tuple[Array, ...], likely: int | None) -> Found | None:
        """Return inputs with a gap of 0 and beside it; None where nothing of the kind is met.

        Args:
            gap: what is to be 0.
            base: inputs to begin with.
            likely: the flat place of the element that the gap depends on, where a tensor has it.
        """
        self._left_of_one = min(self.left, MOST_OF_ONE)

        def counted(values: tuple[Array, ...]) -> float:
            if self._left_of_one <= 0:
                raise OutOfEvaluations
            self.left -= 1
            self._left_of_one -= 1
            return gap(values)

        kept: Found | None = None
        try:
            for number, place in self._elements(counted, base, likely):
                for fill in _FILLS:
                    start = base if fill is None else self._filled(base, number, fill)
                    found = self._along(counted, start, number, place)
                    if found is not None and found.is_simple:
                        return found.with_more(kept)
                    if found is not None and found.is_exact:
                        # That rounding leads there is likely; it is tried a little whether something simpler does.
                        if kept is None or not kept.is_exact:
                            kept = found
                            self._left_of_one = min(self._left_of_one, _FURTHER)
                        break
                    kept = kept or found
                    if found is None and fill is None and kept is None:
                        break
        except OutOfEvaluations:
            pass
        return kept

    def _varied(self, number: int, base: tuple[Array, ...]) -> bool:
        """Return whether a tensor is one whose numbers can be varied."""
        kind, dtype = self._specs[number].kind, base[number].dtype
        return base[number].size > 0 and kind is None and (is_floating(dtype) or dtype.kind in "iu")

    def _elements(
        self, gap: Gap, base: tuple[Array, ...], likely: int | None
    ) -> Iterator[tuple[int, int | None]]:
        """Yield elements that the gap depends on, by tensor and flat place; None stands for all of a tensor."""
        here = gap(base)
        varied = [number for number in range(len(base)) if self._varied(number, base)]
        places = {number: list(range(base[number].size)) for number in varied}
        for from_end in (False, True):
            for number in varied:
                left = places[number]
                if not from_end and likely in left and self._matters(gap, base, here, number, [likely]):
                    place: int | None = likely
                else:
                    place = self._mattering(gap, base, here, number, left[::-1] if from_end else left)
                if place is not None:
                    left.remove(place)
                    yield number, place
        for number in varied:
            if len(places[number]) < base[number].size > 1:
                yield number, None

    def _mattering(
        self, gap: Gap, base: tuple[Array, ...], here: float, number: int, places: list[int]
    ) -> int | None:
        """Return one of some elements that the gap depends on, found by halves."""
        if not places or not self._matters(gap, base, here, number, places):
            return None
        while len(places) > 1:
            half = places[: len(places) // 2]
            places = half if self._matters(gap, base, here, number, half) else places[len(half) :]
        return places[0]

    def _matters(
        self, gap: Gap, base: tuple[Array, ...], here: float, number: int, places: list[int]
    ) -> bool:
        array = base[number].copy()
        flat = array.reshape(-1)
        changed = [*self._within(number, flat.dtype, [3.25, 1.0, 2.0, 0.5])] or [flat[0]]
        for k, place in enumerate(places):
            options = [value for value in changed if value != flat[place]] or changed
            flat[place] = options[k % len(options)]
        there = gap((*base[:number], array, *base[number + 1 :]))
        return there != here and not (math.isnan(there) and math.isnan(here))

    def _within(self, number: int, dtype: np.dtype, values: Sequence[float]) -> list[Any]:
        """Return those of some values that a tensor may have, in its dtype."""
        low, high = self._bounds(number, dtype)
        kept = [value for value in values if low <= value <= high]
        return [dtype.type(value if is_floating(dtype) else int(value)) for value in kept]

    def _bounds(self, number: int, dtype: np.dtype[Any]) -> tuple[float, float]:
        low, high = self._specs[number].range_at()
        limits = finfo(dtype) if is_floating(dtype) else np.iinfo(dtype)
        most = float(limits.max) if is_floating(dtype) else min(float(limits.max), 2.0**40)
        least = float(limits.min) if is_floating(dtype) else max(float(limits.min), -(2.0**40))
        return (least if low is None else max(low, least)), (most if high is None else min(high, most))

    def _filled(self, base: tuple[Array, ...], number: int, fill: float) -> tuple[Array, ...]:
        values = self._within(number, base[number].dtype, [fill])
        if not values:
            return base
        return (*base[:number], np.full_like(base[number], values[0]), *base[number + 1 :])

    def _along(self, gap: Gap, start: tuple[Array, ...], number: int, place: int | None) -> Found | None:
        """Vary one element, or all of a tensor together."""
        dtype = start[number].dtype

        def sample(value: Any) -> tuple[Array, ...]:
            array = start[number].copy()
            if place is None:
                array[...] = value
            else:
                array.reshape(-1)[place] = value
            return (*start[:number], array, *start[number + 1 :])

        low, high = self._bounds(number, dtype)
        wanted = sorted(
            {*(v for v in _GRID), *(-v for v in _GRID if v), *(b for b in (low, high) if abs(b) <= 1e6)}
        )
        grid = list(dict.fromkeys(ordered(value) for value in self._within(number, dtype, wanted)))
        gaps = [gap(sample(unordered(each, dtype))) for each in grid]
        exact = [each for each, value in zip(grid, gaps, strict=True) if value == 0]
        if exact and any(value != 0 for value in gaps):
            # Not one of many in a row: a gap that is 0 nearly everywhere says nothing.
            return self._found(gap, sample, min(exact, key=abs), dtype, grid[0], grid[-1])
        changes = [
            (one, other)
            for (one, before), (other, after) in itertools.pairwise(zip(grid, gaps, strict=True))
            if before * after < 0
        ]
        near: Found | None = None
        for one, other in sorted(changes, key=lambda pair: min(abs(pair[0]), abs(pair[1])))[:_BRACKETS]:
            found = self._bisected(gap, sample, one, other, dtype)
            if found.is_exact:
                return found
            near = near or found
        return near

    def _bisected(self, gap: Gap, sample: Sample, low: int, high: int, dtype: np.dtype[Any]) -> Found:
        first, last = low, high
        sign = gap(sample(unordered(low, dtype)))
        while high - low > 1:
            middle = (low + high) // 2
            here = gap(sample(unordered(middle, dtype)))
            if here == 0:
                return self._found(gap, sample, middle, dtype, first, last)
            if here * sign > 0:
                low = middle
            else:
                high = middle
        values = unordered(low, dtype), unordered(high, dtype)
        return Found((sample(values[0]), sample(values[1])), False, float(values[0]))

    def _beside(
        self,
        gap: Gap,
        sample: Sample,
        at: int,
        direction: int,
        dtype: np.dtype[Any],
        ends: tuple[int, int],
    ) -> list[int]:
        """Return the place of the next number in a direction with another gap than 0, about; none up to the end."""
        step = 1
        if not ends[0] <= at + direction <= ends[1]:
            return []
        while gap(sample(unordered(at + direction * step, dtype))) == 0:
            step *= 2
            if not ends[0] <= at + direction * step <= ends[1]:
                return []
        low, high = step // 2, step
        for _ in range(_SIDES):
            if high - low <= 1:
                break
            middle = (low + high) // 2
            if gap(sample(unordered(at + direction * middle, dtype))) == 0:
                low = middle
            else:
                high = middle
        return [at + direction * high]

    def _of_few_digits(
        self, gap: Gap, sample: Sample, at: int, dtype: np.dtype[Any], least: int, most: int
    ) -> int:
        for digits in _FEW_DIGITS:
            simpler = rounded(at, digits, dtype)
            if simpler == at:
                break
            if least <= simpler <= most and gap(sample(unordered(simpler, dtype))) == 0:
                return simpler
        return at

    def _found(
        self,
        gap: Gap,
        sample: Sample,
        at: int,
        dtype: np.dtype[Any],
        least: int,
        most: int,
    ) -> Found:
        """Return the inputs with a gap of 0, and the nearest on both sides with another.

        Of several numbers in a row with a gap of 0 it is one of few binary digits: what is computed of that is rounded
        less often, and rounding explains less of what differs.
        """
        at = self._of_few_digits(gap, sample, at, dtype, least, most)
        samples = [sample(unordered(at, dtype))]
        for direction in (-1, 1):
            beside = self._beside(gap, sample, at, direction, dtype, (least, most))
            samples += [sample(unordered(place, dtype)) for place in beside]
        is_simple = rounded(at, _FEW_DIGITS[-1], dtype) == at
        return Found(tuple(samples), True, float(unordered(at, dtype)), is_simple)


def rounded(place: int, digits: int, dtype: np.dtype[Any]) -> int:
    """Return the place of the nearest number with so many binary digits; see [ordered][]."""
    if dtype.kind in "iu":
        return place
    dropped = max(_MANTISSA[dtype.itemsize] - digits, 0) if dtype != BFLOAT16 else max(8 - digits, 0)
    half = (1 << dropped) >> 1
    magnitude = ((abs(place) + half) >> dropped) << dropped
    return magnitude if place >= 0 else -magnitude


def ordered(value: Any) -> int:
    """Return the place of a number among all of its dtype, 0 for 0; neighbours have neighbouring places."""
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        return int(array)
    bits = int(array.view(f"i{array.dtype.itemsize}"))
    return bits if bits >= 0 else -(bits & ((1 << (8 * array.dtype.itemsize - 1)) - 1))


def unordered(place: int, dtype: np.dtype[Any]) -> Any:
    """Return the number at a place; see [ordered][]."""
    if dtype.kind in "iu":
        return dtype.type(place)
    width = 8 * dtype.itemsize
    bits = place if place >= 0 else (-place) | (1 << (width - 1))
    return np.array(bits, dtype=f"u{dtype.itemsize}").view(dtype)[()]
