"""Large tensors made simpler as a whole: a constant background, and the few elements that a failure needs.

An element at a time would cost a check for each of millions. Here a check decides about half of what is left: a search
for the shortest beginning of the tensor that still shows the failure finds one element that it needs, with as many
checks as the number of elements has bits, and is begun again until the elements that were found are enough (as
QuickXplain does, Junker 2004, for constraints).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from diffexport.arrays import Array, differing, fill, filling_of, found_filling, is_complex, is_floating
from diffexport.explore.number_simplicity import simpler_values
from diffexport.strategies import is_ordinary
from diffexport.values import TensorSpec

#: From more elements than this on a tensor is made simpler as a whole.
LARGE_TENSOR = 256
#: Most elements that are looked for one after the other; a failure that needs more of them keeps its background.
_MOST_NEEDED = 4
#: Most elements besides a background that are made simpler one by one.
MOST_SINGLE = 64


class LargeValues:
    """Makes one large tensor simpler.

    Args:
        spec: what it must be like.
        attempt: whether the failure is still there with another array of the same shape in its place.
        is_over: whether there are no more attempts.
    """

    def __init__(
        self, spec: TensorSpec, attempt: Callable[[Array], bool], is_over: Callable[[], bool]
    ) -> None:
        self._spec, self._attempt, self._is_over = spec, attempt, is_over

    def simplify(self, array: Array) -> Array:
        """Return the simplest array that was found to show the failure, or ``array`` itself."""
        plain = np.full(array.shape, simplest_number(self._spec, array.dtype))
        if differing(array, plain.flat[0], 0) is not None:
            return array
        if self._attempt(plain):
            return plain
        return self._moved(self._fewer(array, plain), plain)

    def _fewer(self, array: Array, plain: Array) -> Array:
        """Return an array that shows the failure with as few elements as possible that differ from the plain one."""
        few = self._placed_alone(array, plain)
        if few is not None:
            return few
        constant = self._constant(array)
        if constant is not None:
            return self._few_elements(constant, plain, np.arange(0), constant)
        return self._few_elements(array, plain, np.arange(0), self._said_in_few_numbers(array, plain))

    def _moved(self, array: Array, plain: Array) -> Array:
        """Return the array with its few elements moved to the beginning of each axis where the failure lets them."""
        places = differing(array, plain.flat[0], _MOST_NEEDED)
        for place in () if places is None else places:
            index = tuple(int(i) for i in np.unravel_index(place, array.shape))
            targets = [(0,) * array.ndim]
            targets += [(*index[:axis], 0, *index[axis + 1 :]) for axis in range(array.ndim)]
            while targets and not self._is_over():
                target = targets.pop(0)
                if target == index or differing(array[target].reshape(1), plain.flat[0], 0) is None:
                    continue
                moved = np.array(array)
                moved[target], moved[index] = array[index], plain.flat[0]
                if self._attempt(moved):
                    array, index = moved, target
                    targets = [
                        (*index[:axis], 0, *index[axis + 1 :]) for axis in range(array.ndim) if index[axis]
                    ]
        return array

    def _placed_alone(self, array: Array, plain: Array) -> Array | None:
        """Return the array with only some of the elements that were placed in it; None if that is not enough."""
        known = filling_of(array)
        filling = found_filling(array, MOST_SINGLE) if known is None or not known.placed else known
        if filling is None or not filling.placed:
            return None
        places = np.array([np.ravel_multi_index(index, array.shape) for index, _ in filling.placed])
        alone = _with(plain, array, places)
        if not self._attempt(alone):
            return None
        return self._few_elements(alone, plain, places, alone)

    def _constant(self, array: Array) -> Array | None:
        """Return the simplest constant array that shows the failure; None if none of those that are tried does."""
        for number in _telling_numbers(array):
            if self._is_over():
                return None
            constant = np.full(array.shape, number)
            if self._attempt(constant):
                for simpler in simpler_values(number):
                    if within(self._spec, simpler) and self._attempt(np.full(array.shape, simpler)):
                        return np.full(array.shape, simpler)
                return constant
        return None

    def _said_in_few_numbers(self, array: Array, plain: Array) -> Array | None:
        """Return an array that shows the failure and can be said in a few numbers, though it is no constant."""
        for number in _telling_numbers(array):
            striped = np.resize(np.array([plain.flat[0], number]), array.shape)
            if self._attempt(striped):
                return striped
        filling = filling_of(array)
        if filling is None:
            return None
        without = fill(replace(filling, placed=()))
        return without if filling.placed and self._attempt(without) else array

    def _few_elements(self, whole: Array, plain: Array, places: Array, otherwise: Array | None) -> Array:
        """Return the plain array with as few elements of ``whole`` as the failure needs.

        Args:
            whole: an array that shows the failure.
            plain: one that does not.
            places: the flat places in which they differ; none for all of them.
            otherwise: what is returned where too many elements are needed; None: what the search has come to.
        """
        best, count = whole, len(places) or whole.size
        needed: list[int] = []

        def beginning(length: int) -> Array:
            array = _with(plain, whole, np.array(needed, dtype=np.int64))
            if len(places):
                return _with(array, whole, places[:length])
            array.reshape(-1)[:length] = whole.reshape(-1)[:length]
            return array

        for _ in range(_MOST_NEEDED):
            # With so many it does not show, with so many it does.
            too_few, enough = -1 if needed else 0, count
            while enough - too_few > 1 and not self._is_over():
                # Nothing but what is needed is tried before all else.
                middle = 0 if too_few < 0 else (too_few + enough) // 2
                candidate = beginning(middle)
                if self._attempt(candidate):
                    best, enough = candidate, middle
                else:
                    too_few = middle
            if enough == 0:
                return best
            if self._is_over():
                break
            count = enough - 1
            needed.append(int(places[count]) if len(places) else count)
        if not self._is_over() and self._attempt(candidate := beginning(0)):
            return candidate
        if otherwise is None or not self._attempt(otherwise):
            return best
        return otherwise


def simplest_number(spec: TensorSpec, dtype: np.dtype[Any]) -> Any:
    """Return the number of a dtype that is nearest to 0 within the bounds of a spec, which are numbers."""
    low, high = _range_of(spec)
    nearest = min(max(0.0, low), high)
    if is_complex(dtype) or dtype == np.bool_:
        return dtype.type(nearest)
    if not is_floating(dtype):
        return dtype.type(math.ceil(nearest) if nearest > 0 else math.floor(nearest))
    number = dtype.type(nearest)
    if low <= float(number) <= high:
        return number
    return np.nextafter(
        number, dtype.type(0 if abs(float(number)) > abs(nearest) else math.copysign(math.inf, nearest))
    )


def within(spec: TensorSpec, value: Any) -> bool:
    """Return whether one element may have a value, whatever the others are; the bounds of the spec are numbers."""
    if spec.kind is not None and spec.kind.name == "probabilities":
        # The others of its row would have to change with it.
        return False
    if spec.scope.ordinary and not is_ordinary(np.asarray(value)).all():
        return False
    if not spec.is_bounded:
        return True
    low, high = _range_of(spec)
    return low <= float(value) <= high


def _range_of(spec: TensorSpec) -> tuple[float, float]:
    low, high = spec.range_at()
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _with(array: Array, whole: Array, places: Array) -> Array:
    """Return a copy of an array with the elements of another one in some flat places."""
    copied = np.array(array)
    copied.reshape(-1)[places] = whole.reshape(-1)[places]
    return copied


def _telling_numbers(array: Array) -> list[Any]:
    """Return elements of an array that a failure is likely to be about: the odd ones, the least and the largest."""
    flat = array.reshape(-1).view(np.ndarray)
    if array.dtype == np.bool_:
        return [np.True_]
    if is_complex(array.dtype):
        return [flat[0]]
    numbers: list[Any] = []
    finite = flat
    if is_floating(array.dtype):
        with np.errstate(invalid="ignore"):  # of a signalling NaN in bfloat16
            is_finite = np.isfinite(flat)
        if not is_finite.all():
            numbers += list({str(number): number for number in flat[~is_finite][:64]}.values())
            finite = flat[is_finite]
    if finite.size:
        numbers += [finite.max(), finite.min()]
    return numbers
