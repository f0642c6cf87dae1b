"""Fillings found from the values of an array, however it was made: a background and few other elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffexport.arrays.array_types import Array
from diffexport.arrays.fillings import CHUNK, Filling, as_number, filling_of

#: Elements that are looked at for what most of them are.
_LOOKED_AT = 63
#: Longest sequence of numbers that is found to be repeated.
_LONGEST = 64


def found_filling(array: Array, most_placed: int) -> Filling | None:
    """Return a filling with exactly these bits: the array's own, or a background with at most so many other elements.

    A background is a constant or a short sequence that is repeated. None where there is neither.
    """
    known = filling_of(array)
    if not array.size or array.dtype.hasobject or array.dtype.itemsize > 16:
        return known
    bits = _bits(array)
    if bits is None:
        return known
    found = _constant(array, bits, most_placed)
    if found is None and known is None:
        found = _repeated(array, bits)
    return found or known


def differing(array: Array, value: Any, most: int) -> Array | None:
    """Return the flat places of elements with other bits than ``value``; None where there are more than ``most``.

    What is looked at on the way is a chunk at a time.
    """
    bits = _bits(array)
    assert bits is not None
    (wanted,) = _bits(np.array([value], array.dtype).reshape(1))  # type: ignore[misc]
    return _differing(bits, wanted, most)


def _differing(bits: Array, wanted: Any, most: int) -> Array | None:
    places: list[Array] = []
    count = 0
    for start in range(0, len(bits), 16 * CHUNK):
        found = np.flatnonzero(bits[start : start + 16 * CHUNK] != wanted)
        count += len(found)
        if count > most:
            return None
        places.append(found + start)
    # An empty tensor has no chunk.
    return np.concatenate(places) if places else np.zeros(0, dtype=np.intp)


def _bits(array: Array) -> Array | None:
    """Return the bits of each element as an unsigned integer, flat; as a pair of them for the widest."""
    flat = np.ascontiguousarray(array).view(np.ndarray).reshape(-1)
    if flat.dtype.itemsize == 16:
        return flat.view(np.dtype([("real", "u8"), ("imag", "u8")]))
    return flat.view(f"u{flat.dtype.itemsize}") if flat.dtype.itemsize in (1, 2, 4, 8) else None


def _constant(array: Array, bits: Array, most_placed: int) -> Filling | None:
    looked_at = bits[np.linspace(0, len(bits) - 1, min(_LOOKED_AT, len(bits))).astype(np.int64)]
    values, counts = np.unique(looked_at, return_counts=True)
    wanted = values[np.argmax(counts)]
    places = _differing(bits, wanted, min(most_placed, len(bits) // 2))
    if places is None:
        return None
    flat = np.ascontiguousarray(array).view(np.ndarray).reshape(-1)
    background = np.array([wanted]).view(array.dtype)[0]
    placed = tuple(
        (tuple(int(i) for i in np.unravel_index(place, array.shape)), as_number(flat[place]))
        for place in places
    )
    return Filling(array.dtype.name, array.shape, "constant", (as_number(background),), 0, placed)


def _repeated(array: Array, bits: Array) -> Filling | None:
    start = bits[: 4 * _LONGEST]
    for period in range(2, min(_LONGEST, len(bits) // 2) + 1):
        if not np.array_equal(start[period:], start[:-period]):
            continue
        for first in range(0, len(bits) - period, 16 * CHUNK):
            stop = min(first + 16 * CHUNK, len(bits) - period)
            if not np.array_equal(bits[first + period : stop + period], bits[first:stop]):
                return None
        numbers = np.ascontiguousarray(array).view(np.ndarray).reshape(-1)[:period]
        return Filling(array.dtype.name, array.shape, "repeated", tuple(as_number(n) for n in numbers))
    return None
