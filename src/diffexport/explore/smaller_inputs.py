"""Which inputs are tried in place of others: smaller shapes and simpler values, all of them admitted by the specs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from diffexport.arrays import Array, array_of, as_call, filling_of, found_filling, to_array
from diffexport.explore.large_values import LARGE_TENSOR, MOST_SINGLE, within
from diffexport.explore.number_simplicity import simpler_values
from diffexport.strategies import arranged_rows, examples
from diffexport.subjects.cases import Case
from diffexport.values import Inputs, TensorSpec, admits_all, bounded_at, leaves, mapped, paths

#: Most elements of a leading axis, and longest axis, of which positions are tried one by one.
_LEADING, _POSITIONS = 8, 16


class SmallerInputs:
    """Makes candidates for the inputs of a case, simplest first.

    Save for [ordinary][], inputs are the values of a call in a row, see ``Case.values_of``.
    """

    def __init__(self, case: Case) -> None:
        self._case = case

    def ordinary(self, inputs: Inputs) -> Inputs:
        """Return ordinary example inputs of the same shapes; what no spec speaks of is kept."""
        if not self._case.specs:
            return inputs
        pairs = list(zip(self._case.inputs, self._case.values_of(inputs), strict=True))
        shapes = [tuple(value.shape) for entry, value in pairs if isinstance(entry, TensorSpec)]
        ordinary = iter(examples(shapes, self._case.specs))
        return self._case.call_of(
            [next(ordinary) if isinstance(entry, TensorSpec) else value for entry, value in pairs]
        )

    def changeable(self, inputs: tuple[Any, ...]) -> list[int]:
        """Return the places of the arguments that may be changed: arrays that a spec speaks of."""
        return [
            number
            for number, (entry, value) in enumerate(zip(self._case.inputs, inputs, strict=True))
            if isinstance(entry, TensorSpec) and isinstance(value, np.ndarray)
        ]

    def with_smaller_shapes(self, inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield inputs with a leading axis fewer, then with shorter axes, none of which becomes empty."""
        yield from self._without_a_leading_axis(inputs)
        for axes in self._axes_of_one_size(inputs):
            number, axis = axes[0]
            size = inputs[number].shape[axis]
            for cut in _cuts(size):
                candidate = inputs
                for place, along in axes:
                    picked = np.take(candidate[place], np.arange(size)[cut], axis=along)
                    candidate = put(candidate, place, picked)
                if self._is_admitted(candidate):
                    yield self._admitted_values(candidate)

    def with_elements(self, inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield inputs in which each empty axis has size 1, the simplest first; nothing where no axis is empty."""
        candidate = inputs
        for axes in self._axes_of_one_size(inputs):
            if all(inputs[place].shape[axis] == 0 for place, axis in axes):
                for place, along in axes:
                    array = candidate[place]
                    shape = [*array.shape[:along], 1, *array.shape[along + 1 :]]
                    candidate = put(candidate, place, np.zeros(shape, array.dtype))
        places = [place for place in self.changeable(inputs) if candidate[place] is not inputs[place]]
        if not places or not self._is_admitted(candidate):
            return
        zeros = self._admitted_values(candidate)
        yield zeros
        ordinary = self._case.values_of(self.ordinary(self._case.call_of(zeros)))
        yield tuple(ordinary[place] if place in places else value for place, value in enumerate(zeros))

    def _without_a_leading_axis(self, inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        leads: dict[str, list[int]] = {}
        for place in self.changeable(inputs):
            entry = self._case.inputs[place]
            if entry.leading and inputs[place].ndim > len(entry.dims):
                leads.setdefault(entry.lead or f" {place}", []).append(place)
        for together in leads.values():
            for index in range(min(max(inputs[place].shape[0] for place in together), _LEADING)):
                candidate = inputs
                for place in together:
                    size = inputs[place].shape[0]
                    if size:
                        kept = np.array(inputs[place][min(index, size - 1)], order="C")
                        candidate = put(candidate, place, kept)
                if self._is_admitted(candidate):
                    yield self._admitted_values(candidate)

    def _axes_of_one_size(self, inputs: tuple[Any, ...]) -> list[list[tuple[int, int]]]:
        """Return the axes that must keep one size together: those that share a name, else each alone."""
        named: dict[str, list[tuple[int, int]]] = {}
        alone: list[list[tuple[int, int]]] = []
        for place in self.changeable(inputs):
            array = inputs[place]
            for axis, dim in enumerate(self._case.inputs[place].dims_for(array.ndim)):
                if dim.name is not None and not (dim.one and array.shape[axis] == 1):
                    named.setdefault(dim.name, []).append((place, axis))
                else:
                    alone.append([(place, axis)])
        return [*alone, *named.values()]

    def _is_admitted(self, inputs: tuple[Any, ...]) -> bool:
        pairs = zip(self._case.inputs, inputs, strict=True)
        shapes = [value.shape for entry, value in pairs if isinstance(entry, TensorSpec)]
        return admits_all(self._case.specs, shapes)

    def _admitted_values(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return inputs of admitted shapes with values that their specs admit at these: an index is below a size."""
        places = [place for place, entry in enumerate(self._case.inputs) if isinstance(entry, TensorSpec)]
        specs = bounded_at(self._case.specs, [np.shape(inputs[place]) for place in places])
        for place, spec in zip(places, specs, strict=True):
            array = inputs[place]
            if isinstance(array, np.ndarray) and array.size and (spec.is_bounded or spec.kind is not None):
                low, high = spec.range_at()
                within = (
                    array if _all_within(array, low, high) else np.clip(array, low, high).astype(array.dtype)
                )
                inputs = put(inputs, place, arranged_rows(within, spec))
        return inputs

    def spec_at(self, inputs: tuple[Any, ...], place: int) -> TensorSpec:
        """Return the spec of an argument with the bounds that it has at the shapes of all of them."""
        spec: TensorSpec = self._case.inputs[place]
        if spec.named_bound is None:
            return spec
        pairs = zip(self._case.inputs, inputs, strict=True)
        shapes = [np.shape(value) for entry, value in pairs if isinstance(entry, TensorSpec)]
        before = sum(isinstance(entry, TensorSpec) for entry in self._case.inputs[:place])
        return bounded_at(self._case.specs, shapes)[before]

    def with_zeros(self, inputs: tuple[Any, ...], place: int) -> tuple[Any, ...] | None:
        """Return inputs with one argument all zeros; None if the spec forbids that, or it is so already."""
        zeros = put(inputs, place, np.zeros_like(inputs[place], subok=False))
        return zeros if within(self.spec_at(inputs, place), 0) and not same_inputs(zeros, inputs) else None

    def single_elements(self, array: Array) -> Iterable[tuple[int, ...]]:
        """Return the places of the elements to make simpler one by one.

        Of a large array those that differ from its background, where it has one and they are few; else none.
        """
        if array.size <= LARGE_TENSOR:
            return np.ndindex(array.shape)
        filling = found_filling(array, MOST_SINGLE)
        return (
            [index for index, _ in filling.placed]
            if filling is not None and filling.family == "constant"
            else ()
        )

    def with_a_simpler_element(
        self, inputs: tuple[Any, ...], place: int, index: tuple[int, ...]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield inputs with a simpler value, within the bounds of the spec, for one element of one argument."""
        spec = self.spec_at(inputs, place)
        for value in simpler_values(inputs[place][index]):
            if within(spec, value):
                changed = np.array(inputs[place])
                changed[index] = value
                yield put(inputs, place, changed)


def _all_within(array: np.ndarray[Any, Any], low: float | None, high: float | None) -> bool:
    return (low is None or bool((array >= low).all())) and (high is None or bool((array <= high).all()))


def _cuts(size: int) -> list[Any]:
    """Return what is kept of an axis of this size: one position, a half, and all but a few; never nothing."""
    if size <= 1:
        return []
    cuts: list[Any] = [slice(0, 1), slice(0, size // 2), slice(size // 2, size)] if size > 2 else []
    if size > _POSITIONS:
        shares = [size >> bits for bits in range(2, size.bit_length())]
        return cuts + [cut for share in shares for cut in (slice(0, size - share), slice(share, size))]
    return cuts + [
        [position for position in range(size) if position != dropped] for dropped in reversed(range(size))
    ]


def has_empty(inputs: Any) -> bool:
    """Return whether a tensor among some inputs has no element."""
    return any(0 in getattr(leaf, "shape", ()) for leaf in leaves(as_call(inputs)))


def as_arrays(inputs: Any) -> Any:
    """Return the same with every tensor as a contiguous array; None if there is no tensor."""
    if not any(isinstance(leaf, torch.Tensor) for leaf in leaves(inputs)):
        return None
    return mapped(
        inputs, lambda leaf: np.array(to_array(leaf), order="C") if isinstance(leaf, torch.Tensor) else leaf
    )


def put(inputs: tuple[Any, ...], place: int, array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    """Return inputs with another array in one place."""
    return (*inputs[:place], array, *inputs[place + 1 :])


def same_inputs(one: Any, other: Any) -> bool:
    """Return whether two inputs are built alike and hold the same bits."""
    if one is other:
        return True
    mine, theirs = list(paths(one)), list(paths(other))
    return len(mine) == len(theirs) and all(
        path == at and _same_leaf(array_of(a), array_of(b))
        for (path, a), (at, b) in zip(mine, theirs, strict=True)
    )


def _same_leaf(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.dtype == other.dtype and _same_bits(one, other)
    return type(one) is type(other) and bool(one == other)


def _same_bits(one: Any, other: Any) -> bool:
    if filling_of(one) is not None and filling_of(one) == filling_of(other):
        return True
    bits = [np.ascontiguousarray(array).view(np.ndarray).reshape(-1).view(np.uint8) for array in (one, other)]
    return np.array_equal(bits[0], bits[1])
