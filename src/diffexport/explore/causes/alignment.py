"""Which value of an exported graph is which result of eager, learnt where both are alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from diffexport.arrays import Array
from diffexport.explore.causes.eager_steps import EagerStep

#: Elements of a value that are looked at, spread over it.
_LOOKED_AT = 96
#: How far two values may be apart, relative to themselves and to the largest of them, and be the same up to rounding.
_RELATIVE, _OF_LARGEST = 2e-3, 1e-5
#: (number of a step, which of its results)
Place = tuple[int, int]


def aligned(
    steps: Sequence[Sequence[EagerStep]], values: Sequence[Mapping[str, Array]], names: Sequence[str]
) -> dict[Place, tuple[str, ...]]:
    """Return the graph's value for each result of eager that has one.

    Results and values that are equal on every draw belong together; where as many of both are, in their order. Else any
    of the values may be each of the results.

    Args:
        steps: the steps of each draw, of the same operators.
        values: the values of the graph, for each draw.
        names: the names of the values, in the order of the graph.
    """
    of_steps = {
        (step.number, place): [draw[step.number].results[place] for draw in steps]
        for step in steps[0]
        for place in range(min(len(draw[step.number].results) for draw in steps))
    }
    of_names = {name: [draw[name] for draw in values] for name in names if all(name in d for d in values)}
    found: dict[Place, tuple[str, ...]] = {}
    by_form: dict[Any, tuple[list[Place], list[str]]] = {}
    for place, arrays in of_steps.items():
        by_form.setdefault(_form(arrays), ([], []))[0].append(place)
    for name, arrays in of_names.items():
        by_form.setdefault(_form(arrays), ([], []))[1].append(name)
    for form, (places, named) in by_form.items():
        if form is not None and places and named:
            found.update(_pairs(places, [of_steps[p] for p in places], named, [of_names[n] for n in named]))
    return found


def _form(arrays: Sequence[Any]) -> Any:
    """Return shapes and sort of number; None for what cannot be told from others."""
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "biufV" for array in arrays):
        return None
    if not any(array.size for array in arrays):
        return None
    kind = "f" if arrays[0].dtype.kind in "fV" else "b" if arrays[0].dtype.kind == "b" else "i"
    return kind, tuple(array.shape for array in arrays)


def _pairs(
    places: Sequence[Place],
    results: Sequence[Sequence[Array]],
    names: Sequence[str],
    values: Sequence[Sequence[Array]],
) -> dict[Place, tuple[str, ...]]:
    left, right = np.stack([_sample(x) for x in results]), np.stack([_sample(x) for x in values])
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(left):
        equal = tuple(np.flatnonzero(_near(row[None], right).all(axis=1)).tolist())
        if equal:
            groups.setdefault(equal, []).append(number)
    found = {}
    for equal, numbers in groups.items():
        every = tuple(names[one] for one in equal)
        for number, name in zip(numbers, every * len(numbers), strict=False):
            found[places[number]] = (name,) if len(numbers) == len(every) else every
    return found


def _sample(arrays: Sequence[Array]) -> Array:
    """Return some elements of each array, the same of every array of its size, as float64."""
    parts = []
    for array in arrays:
        flat = array.reshape(-1)
        every = max(flat.size // _LOOKED_AT, 1)
        with np.errstate(all="ignore"):
            parts.append(flat[::every].astype(np.float64))
    return np.concatenate(parts)


def _near(one: Array, other: Array) -> Array:
    with np.errstate(all="ignore"):
        largest = np.nanmax(np.where(np.isfinite(one), np.abs(one), 0), initial=0)
        near: Array = np.abs(one - other) <= _RELATIVE * np.abs(one) + _OF_LARGEST * largest
        near |= (one == other) | (np.isnan(one) & np.isnan(other))
        return near


def departs(eager: Array, got: Any, tolerance: float) -> bool:
    """Return whether a value of the graph is another than eager's result, by its form or by more than a tolerance.

    Args:
        eager: what eager gives.
        got: the value of the graph.
        tolerance: how far a finite element may be from eager's, relative to the larger of the two.
    """
    if not isinstance(got, np.ndarray) or eager.shape != got.shape:
        return True
    if eager.dtype.kind in "biu" and got.dtype.kind in "biu":
        return not bool(np.array_equal(eager.astype(got.dtype), got))
    return difference(eager, got) > tolerance


def _least(array: Array) -> float:
    """Return the least size that counts of an element: the smallest normal number over the root of the precision."""
    if array.dtype.kind not in "fV":
        return 1.0
    info: Any = ml_dtypes.finfo(array.dtype)  # type: ignore[no-untyped-call]
    return float(info.smallest_normal) / math.sqrt(float(info.eps))


def difference(eager: Array, got: Array) -> float:
    """Return the largest difference of two arrays of one shape, relative to their elements; infinite where one of two
    elements is not finite and the other another.

    Elements hardly larger than the smallest normal number of eager's dtype count as that large: kernels may take what
    is subnormal for zero.
    """
    if not eager.size:
        return 0.0
    with np.errstate(all="ignore"):
        one, other = eager.astype(np.float64), got.astype(np.float64)
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        if not np.all(same | (np.isfinite(one) & np.isfinite(other))):
            return float("inf")
        apart = np.where(
            same, 0.0, np.abs(one - other) / np.maximum(np.maximum(np.abs(one), np.abs(other)), _least(eager))
        )
        return float(np.nanmax(apart, initial=0.0))
