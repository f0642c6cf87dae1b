"""Fillings: what a large array holds, said in a few numbers, from which the same bits are made anywhere.

A filling is a family with its numbers and a seed, and a few placed elements on top. The families:

=============  ==========================================================================================
``constant``   every element is the number
``repeated``   the numbers in turn
``ramp``       ``start + step * (k mod period)`` for the k-th element, of ``(start, step, period)``
``uniform``    evenly spread over ``(low, high)``, both ends included
``normal``     about ``(mean, deviation)``: the sum of four uniform numbers, so within 3.47 deviations
``among``      one of the numbers at random
``sorted``     the numbers in the order given, each in one run of equal length
``sparse``     the first number, and one in ``every`` one of the others, of ``(every, first, others…)``
=============  ==========================================================================================

Chance is the raw 64 bits of numpy's PCG64 (``numpy.random.PCG64(seed).random_raw``), whose stream numpy promises to
keep, and arithmetic on them is that of IEEE 754: no function of numpy's whose algorithm may change decides about a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffexport.arrays.array_types import Array
from diffexport.arrays.dtypes import BFLOAT16, is_floating, part_dtype
from diffexport.arrays.number_texts import encode_number, store_number

#: Elements that are made at a time: what is computed on the way takes a few MiB whatever the size of the array.
CHUNK = 1 << 16
#: Families whose numbers are elements; the others compute with theirs, on the parts of complex elements.
_OF_ELEMENTS = ("constant", "repeated", "among", "sorted", "sparse")
#: How many numbers each of the others has.
_COUNTS = {"ramp": 3, "uniform": 2, "normal": 2}
#: Which of the numbers counts elements.
_COUNTED = {"ramp": 2, "sparse": 0}
FAMILIES = (*_OF_ELEMENTS, *_COUNTS)
#: Most numbers of a filling, and most placed elements.
MOST_NUMBERS, MOST_PLACED = 256, 64
#: The deviation of a sum of four uniform numbers of 16 bits is 65536 / sqrt(3), for all practical purposes.
_TO_DEVIATIONS = 1.7320508075688772 / 65536


@dataclass(frozen=True)
class Filling:
    """What an array holds.

    Attributes:
        dtype: its name.
        shape: of the array.
        family: one of [FAMILIES][].
        numbers: as JSON, see [encode_number][]; complex ones as pairs. Those that count elements are integers.
        seed: of what is drawn by chance.
        placed: the elements that are otherwise: index and number.
    """

    dtype: str
    shape: tuple[int, ...]
    family: str
    numbers: tuple[Any, ...]
    seed: int = 0
    placed: tuple[tuple[tuple[int, ...], Any], ...] = ()

    def check(self) -> None:
        """Check that an array can be made of it.

        Raises:
            ValueError: it does not fit together.
            OverflowError: a number is too large.
        """
        count = len(self.numbers)
        if self.family not in FAMILIES:
            raise ValueError(f"unknown family {self.family!r} (known: {', '.join(FAMILIES)})")
        if not 1 <= count <= MOST_NUMBERS or count != _COUNTS.get(self.family, count):
            raise ValueError(f"{self.family} has {_COUNTS.get(self.family, 'some')} numbers, not {count}")
        if self.family == "sparse" and count < 3:
            raise ValueError("sparse has 3 numbers at least")
        if self.family == "constant" and count != 1:
            raise ValueError("constant has one number")
        counted = _COUNTED.get(self.family)
        if counted is not None and not (
            type(self.numbers[counted]) is int and 0 < self.numbers[counted] < 1 << 62
        ):
            raise ValueError(f"{self.numbers[counted]!r} counts no elements")
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"the seed {self.seed} is not within 64 bits")
        for index, _ in self.placed:
            if len(index) != len(self.shape) or not all(
                0 <= i < size for i, size in zip(index, self.shape, strict=True)
            ):
                raise ValueError(f"there is no element {list(index)} in {list(self.shape)}")


class FilledArray(np.ndarray):
    """A read-only array that knows what it was filled with, and so can be sent in a few bytes.

    Attributes:
        filling: of this very array; None for whatever is computed or cut from it.
    """

    filling: Filling | None

    def __array_finalize__(self, whole: Any) -> None:
        self.filling = None

    def __reduce__(self) -> Any:
        return super().__reduce__() if self.filling is None else (fill, (self.filling,))


def fill(filling: Filling) -> FilledArray:
    """Return the array that a filling says.

    Raises:
        ValueError: the filling does not fit together.
        OverflowError: a number is too large.
    """
    filling.check()
    dtype = np.dtype(filling.dtype)
    array = np.empty(filling.shape, dtype)
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):
        if filling.family == "constant":
            flat[...] = _numbers(filling.numbers, dtype)[0]
        else:
            parts = flat if filling.family in _OF_ELEMENTS else flat.view(part_dtype(dtype))
            _fill_in_chunks(parts, filling)
    for index, number in filling.placed:
        store_number(flat, _flat_index(index, filling.shape), _listed(number))
    array.setflags(write=False)
    filled = array.view(FilledArray)
    filled.filling = filling
    return filled


def filling_of(array: Array) -> Filling | None:
    """Return the filling that an array was made by; None for any other."""
    return array.filling if isinstance(array, FilledArray) else None


def _flat_index(index: Sequence[int], shape: Sequence[int]) -> int:
    flat = 0
    for place, size in zip(index, shape, strict=True):
        flat = flat * size + place
    return flat


def _fill_in_chunks(flat: Array, filling: Filling) -> None:
    values = _VALUES[filling.family](filling, flat.dtype, flat.size)
    chance = np.random.PCG64(filling.seed)
    for start in range(0, flat.size, CHUNK):
        stop = min(start + CHUNK, flat.size)
        flat[start:stop] = values(start, stop, chance)


#: The elements from a place to another one, which takes from the chance what it needs.
_Values = Callable[[int, int, np.random.PCG64], Array]


def _numbers(numbers: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    """Return numbers as an array."""
    values = np.zeros(len(numbers), dtype)
    for place, number in enumerate(numbers):
        store_number(values, place, _listed(number))
    return values


def _listed(number: Any) -> Any:
    """Return a number as JSON has it: the parts of a complex one as a list."""
    return list(number) if isinstance(number, tuple) else number


def as_number(value: Any) -> Any:
    """Return a number as a filling holds it."""
    encoded = encode_number(value)
    return tuple(encoded) if isinstance(encoded, list) else encoded


def decoded_number(number: Any, dtype: np.dtype[Any]) -> Any:
    """Return the number of a dtype that a filling holds as ``number``."""
    return _numbers([number], dtype)[0]


def decoded_numbers(filling: Filling) -> list[Any]:
    """Return the numbers of a filling, each of the type that it is computed with."""
    dtype = np.dtype(filling.dtype)
    if filling.family not in _OF_ELEMENTS:
        dtype = _computed((), part_dtype(dtype)).dtype
    return [
        number if _COUNTED.get(filling.family) == place else decoded_number(number, dtype)
        for place, number in enumerate(filling.numbers)
    ]


def _places(start: int, stop: int) -> Array:
    return np.arange(start, stop, dtype=np.int64)


def _raw(chance: np.random.PCG64, count: int) -> Array:
    bits: Array = chance.random_raw(count)
    return bits


def _repeated(filling: Filling, dtype: np.dtype[Any], _size: int) -> _Values:
    numbers = _numbers(filling.numbers, dtype)
    return lambda start, stop, _chance: numbers[_places(start, stop) % len(numbers)]


def _sorted(filling: Filling, dtype: np.dtype[Any], size: int) -> _Values:
    numbers = _numbers(filling.numbers, dtype)
    run = -(-size // len(numbers))
    return lambda start, stop, _chance: numbers[_places(start, stop) // max(run, 1)]


def _among(filling: Filling, dtype: np.dtype[Any], _size: int) -> _Values:
    numbers = _numbers(filling.numbers, dtype)
    count = np.uint64(len(numbers))
    return lambda start, stop, chance: numbers[(_raw(chance, stop - start) >> np.uint64(11)) % count]


def _sparse(filling: Filling, dtype: np.dtype[Any], _size: int) -> _Values:
    every, numbers = np.uint64(filling.numbers[0]), _numbers(filling.numbers[1:], dtype)
    others = np.uint64(len(numbers) - 1)

    def values(start: int, stop: int, chance: np.random.PCG64) -> Array:
        raw = _raw(chance, stop - start)
        chosen = np.where(
            (raw >> np.uint64(32)) % every == 0, (raw & np.uint64(0xFFFFFFFF)) % others + np.uint64(1), 0
        )
        return numbers[chosen.astype(np.int64)]

    return values


def _ramp(filling: Filling, dtype: np.dtype[Any], _size: int) -> _Values:
    first, step = _computed(filling.numbers[:2], dtype)
    period = int(filling.numbers[2])
    return lambda start, stop, _chance: _cast(
        first + step * (_places(start, stop) % period).astype(first.dtype), dtype
    )


def _uniform(filling: Filling, dtype: np.dtype[Any], _size: int) -> _Values:
    low, high = _computed(filling.numbers, dtype)
    if not is_floating(dtype):
        span = np.uint64((int(high) - int(low) + 1) % (1 << 64))

        def integers(start: int, stop: int, chance: np.random.PCG64) -> Array:
            raw = _raw(chance, stop - start)
            # Modulo 2**64, in which a signed number is added as its two's complement.
            return _cast((raw % span if span else raw) + np.uint64(int(low) % (1 << 64)), dtype)

        return integers

    def values(start: int, stop: int, chance: np.random.PCG64) -> Array:
        share = (_raw(chance, stop - start) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return _cast(np.clip(low * (1.0 - share) + high * share, low, high), dtype)

    return values


def _normal(filling: Filling, dtype: np.dtype[Any], _size: int) -> _Values:
    mean, deviation = _computed(filling.numbers, dtype)

    def values(start: int, stop: int, chance: np.random.PCG64) -> Array:
        raw = _raw(chance, stop - start)
        total = sum(
            ((raw >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64) for shift in (0, 16, 32, 48)
        )
        return _cast(mean + deviation * ((total - 131070.0) * _TO_DEVIATIONS), dtype)

    return values


def _computed(numbers: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    """Return numbers to compute with: double precision, or 64-bit integers of the same sign."""
    if is_floating(dtype):
        return _numbers(numbers, np.dtype(np.float64))
    return _numbers(numbers, np.dtype(np.uint64 if dtype.kind == "u" else np.int64))


def _cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return computed values in a dtype; rounded to single precision first where bfloat16 is wanted."""
    return (values.astype(np.float32) if dtype == BFLOAT16 else values).astype(dtype)


_VALUES: Mapping[str, Callable[[Filling, np.dtype[Any], int], _Values]] = {
    "repeated": _repeated,
    "sorted": _sorted,
    "among": _among,
    "sparse": _sparse,
    "ramp": _ramp,
    "uniform": _uniform,
    "normal": _normal,
}
