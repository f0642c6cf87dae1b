"""Bounds of values: no tighter than a model needs to accept most of what is generated.

Values of integers that point into a dimension, and lengths of sequences, follow that dimension by its name: what is as
large as the size is rejected, and what is one less is not. Indices of a table are bounded by the rows of it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from diffexport.arrays import to_tensor
from diffexport.errors import UsageError
from diffexport.infer.search import Argument, CallOutcome, Candidate, Flattened, Prober, tensor_of
from diffexport.strategies import decode_block
from diffexport.values import (
    Dim,
    Shape,
    SizeBound,
    TensorSpec,
    ValueKind,
    bounded_at,
    representative_shapes,
    shapes_of_ranks,
)

#: Share of generated inputs that may be rejected; for integers, which are indices where bounds matter at all; and for
#: lengths, of which a model may want them in order.
REJECTED, _REJECTED_INDICES, _REJECTED_LENGTHS = 0.34, 0.05, 0.6
#: Bounds of values that are tried, the loosest first.
_BOUNDS: dict[str, tuple[tuple[float | None, float | None], ...]] = {
    "float": ((None, None), (-1e3, 1e3), (-8, 8), (0, 8), (0, 1), (0.125, 4), (0.125, 0.875)),
    "int": ((None, None), (0, None), (-8, 8), *((0, high) for high in (15, 7, 6, 5, 4, 3, 2, 1))),
    "length": ((1, None), *((1, high) for high in (8, 4, 3, 2, 1))),
    "none": ((None, None),),
}
#: Names for dimensions that bounds follow.
_NAMES = "TSVLI"
#: Most rows of tables that are tried as a bound, and the largest.
_TABLES, _LARGEST_TABLE = 6, 1 << 20


@dataclass
class Sizes:
    """The dimensions of a candidate that runs.

    Attributes:
        symbols: of each dimension, (place, axis), what tells it from others.
        sizes: of each symbol, its size.
    """

    symbols: Mapping[tuple[int, int], int]
    sizes: Mapping[int, int]

    def shape(self, place: int, rank: int, changed: Mapping[int, int]) -> Shape:
        """Return the shape of a tensor where some symbols have other sizes."""
        sizes = {**self.sizes, **changed}
        return tuple(sizes[self.symbols[place, axis]] for axis in range(rank))


class ValueBounds:
    """Finds the bounds.

    Args:
        prober: calls the model.
        flat: the candidate that runs.
        dimensions: its dimensions.
    """

    def __init__(self, prober: Prober, flat: Flattened, dimensions: Sizes) -> None:
        self._prober, self._flat, self._dimensions = prober, flat, dimensions
        self._candidate = flat.arguments

    def tightened(self, specs: Mapping[int, TensorSpec], most_index: int = 0) -> dict[int, TensorSpec]:
        """Return the specs with the tightest bounds that are tried."""
        return {place: self._tight(place, spec, most_index) for place, spec in specs.items()}

    def loosened(self, tight: dict[int, TensorSpec]) -> dict[int, TensorSpec]:
        """Return specs with bounds as loose as the model bears."""
        specs = dict(tight)
        for place in specs:
            if specs[place].kind is not None:
                continue
            specs = self._loosened(place, specs)
        return specs

    def _loosened(self, place: int, specs: dict[int, TensorSpec]) -> dict[int, TensorSpec]:
        argument, spec = self._candidate[place], specs[place]
        is_length = argument.choice.domain == "length"
        is_index = value_class(spec.dtype) == "int"
        # What is rejected for its shape is rejected whatever the values.
        share = max(_REJECTED_INDICES, rejected(self._prober, self._flat, specs)) if is_index else REJECTED
        if is_length:
            share = REJECTED
        for bounds in self._bounds(place, spec):
            if bounds is None:
                following = self._following(place, specs)
                if following is not None:
                    return following
                continue
            loose = replace(spec, low=bounds[0], high=bounds[1])
            if (loose.low, loose.high) == (spec.low, spec.high):
                break
            if not _holds(bounds, argument):
                continue
            changed = {**specs, place: loose}
            if rejected(self._prober, self._flat, changed) > share:
                continue
            if is_index and self._least_rejected(changed):
                continue
            return changed
        return specs

    def _bounds(self, place: int, spec: TensorSpec) -> Iterator[tuple[float | None, float | None] | None]:
        """Yield bounds, the loosest first; None stands for those that follow a dimension."""
        kind = value_class(spec.dtype)
        if self._candidate[place].choice.domain == "length":
            yield None
            yield from _BOUNDS["length"]
            return
        for number, bounds in enumerate(_BOUNDS[kind]):
            if kind == "int" and number == 2:
                yield None
                yield from ((0, rows - 1) for rows in self._tables())
            yield bounds

    def _tables(self) -> list[int]:
        """Return how many rows the model's matrices have, which are tables where indices point into them."""
        module = self._prober.subject.module
        rows = {
            tensor.shape[0]
            for tensor in (*module.parameters(), *module.buffers())
            if tensor.dim() == 2 and 16 < tensor.shape[0] <= _LARGEST_TABLE
        }
        return sorted(rows, reverse=True)[:_TABLES]

    def _following(self, place: int, specs: dict[int, TensorSpec]) -> dict[int, TensorSpec] | None:
        """Return specs in which values follow a dimension of another tensor, if the model bears that out."""
        is_length = self._candidate[place].choice.domain == "length"
        low, plus = (1, 0) if is_length else (0, -1)
        share = _REJECTED_LENGTHS if is_length else _REJECTED_INDICES
        for symbol in self._symbols_of_others(place, specs):
            size = self._dimensions.sizes[symbol]
            if not (
                self._accepts(place, size + plus, {})
                and not self._accepts(place, size + plus + 1, {})
                and self._accepts(place, size + 2 + plus, {symbol: size + 2})
            ):
                continue
            for least in (1, 0):
                named, name = self._with_name(symbol, specs, least)
                followed = {**named, place: replace(named[place], low=low, high=SizeBound(name, plus))}
                if rejected(self._prober, self._flat, followed) <= share:
                    return followed
        return None

    def _symbols_of_others(self, place: int, specs: Mapping[int, TensorSpec]) -> list[int]:
        symbols = self._dimensions.symbols
        found: dict[int, None] = {}
        for other, spec in specs.items():
            rank = len(self._candidate[other].shape or ())
            for axis, dim in enumerate(spec.dims, rank - len(spec.dims)):
                if other != place and dim.high is None:
                    found.setdefault(symbols[other, axis])
        return list(found)

    def _with_name(
        self, symbol: int, specs: Mapping[int, TensorSpec], least: int
    ) -> tuple[dict[int, TensorSpec], str]:
        """Return specs with a name for the dimensions of a symbol, and the name.

        Their least size is ``least``, or the one that they have where that is 0.
        """
        used = {dim.name for spec in specs.values() for dim in spec.dims}
        own = {
            (place, number)
            for place, spec in specs.items()
            for number in range(len(spec.dims))
            if self._dimensions.symbols[place, self._rank(place) - len(spec.dims) + number] == symbol
        }
        names = [specs[place].dims[number].name for place, number in own]
        name = next(filter(None, names), None) or next(
            (letter for letter in _NAMES if letter not in used), f"D{symbol}"
        )
        named = {}
        for place, spec in specs.items():
            dims = [
                replace(dim, name=name, low=least or max(dim.low, 1)) if (place, number) in own else dim
                for number, dim in enumerate(spec.dims)
            ]
            named[place] = replace(spec, dims=tuple(dims))
        return named, name

    def _rank(self, place: int) -> int:
        return len(self._candidate[place].shape or ())

    def _accepts(self, place: int, value: int, sizes: Mapping[int, int]) -> bool:
        """Return whether the model runs where one tensor is filled with a value and some symbols have other sizes."""
        return self._runs({place: value}, sizes)

    def _runs(self, filled: Mapping[int, int], sizes: Mapping[int, int]) -> bool:
        if self._prober.over:
            return False
        values: list[Any] = []
        for place, argument in enumerate(self._candidate):
            if not argument.choice.is_tensor:
                values.append(argument.value(place))
                continue
            shape = self._dimensions.shape(place, self._rank(place), sizes)
            value = tensor_of(shape, argument.choice.dtype, argument.choice.domain, place)
            values.append(torch.full_like(value, filled[place]) if place in filled else value)
        outcome = self._prober.call(self._flat.grouped(values), copied=False)
        return outcome.ran and bool(outcome.tensors)

    def _least_rejected(self, specs: dict[int, TensorSpec]) -> bool:
        """Return whether inputs of the least sizes are rejected: to those the largest index must suit as well."""
        if self._prober.over:
            return False
        shapes = [tuple(max(dim.low, 1) for dim in spec.dims) for spec in specs.values()]
        bounded = dict(zip(specs, bounded_at(list(specs.values()), shapes), strict=True))
        shape_of = dict(zip(specs, shapes, strict=True))
        outcomes = []
        for high in (True, False):
            values: list[Any] = []
            for place, argument in enumerate(self._candidate):
                if place not in specs:
                    values.append(argument.value(place))
                    continue
                choice = argument.choice
                value = tensor_of(shape_of[place], choice.dtype, choice.domain, place)
                if value_class(choice.dtype) == "int":
                    value = torch.full_like(value, int(bounded[place].range_at()[high] or 0))
                values.append(value)
            outcome: CallOutcome = self._prober.call(self._flat.grouped(values), copied=False)
            outcomes.append(outcome.ran and bool(outcome.tensors))
        # Where the lowest does not suit either, it is not for its value.
        return not outcomes[0] and outcomes[1]

    def _tight(self, place: int, spec: TensorSpec, most_index: int) -> TensorSpec:
        domain, kind = self._candidate[place].choice.domain, value_class(spec.dtype)
        if domain == "mask":
            return replace(spec, low=0.0, high=1.0, kind=ValueKind("mask"))
        bounds: dict[tuple[str, str], tuple[float | None, float | None]] = {
            ("float", "unit"): (0.125, 0.875), ("float", "positive"): (0.125, 4), ("float", "any"): (-8, 8),
            ("int", "index"): (0, most_index), ("int", "any"): (-3, 6), ("int", "length"): (1, 1),
        }  # fmt: skip
        low, high = bounds.get((kind, domain), (None, None))
        return replace(spec, low=low, high=high)


def value_class(dtype: str) -> str:
    """Return what bounds of values are tried for a dtype."""
    if dtype.startswith(("int", "uint")):
        return "int"
    return "float" if "float" in dtype else "none"


def _holds(bounds: tuple[float | None, float | None], argument: Argument) -> bool:
    """Return whether bounds leave to an argument what its domain is about."""
    if argument.choice.domain in ("unit", "positive"):
        return bounds[0] is None or bounds[0] >= 0
    return True


def rejected(prober: Prober, flat: Flattened, specs: Mapping[int, TensorSpec], rounds: int = 20) -> float:
    """Return the share of generated inputs on which the model raises, 1 where none could be tried."""
    count = failed = 0
    for values in itertools.islice(generated(flat.arguments, specs), rounds):
        if prober.over:
            break
        outcome = prober.call(flat.grouped(values), copied=False)
        count += 1
        failed += not (outcome.ran and outcome.tensors)
    return failed / count if count else 1.0


def generated(candidate: Candidate, specs: Mapping[int, TensorSpec]) -> Iterator[Sequence[Any]]:
    """Yield values as diffexport would generate them for the specs; others are those of the candidate."""
    entries = list(specs.values())
    places = list(specs)
    chance = random.Random(0)
    joints = list(representative_shapes(entries, 8))
    for number in itertools.count():
        shapes = joints[number % len(joints)]
        if number % 3 == 2:
            sizes = iter(lambda: chance.randrange(64), None)
            shapes = shapes_of_ranks(entries, [len(shape) for shape in shapes], sizes)
        data = chance.randbytes(96)
        sample = decode_block(data, shapes, entries, variant=number % 8, limit=4)[-1]
        values: list[Any] = []
        for place, argument in enumerate(candidate):
            if place in specs:
                values.append(to_tensor(sample[places.index(place)].copy()))
            else:
                try:
                    values.append(argument.value(number))
                except UsageError:
                    return
        yield values


def at_least(dim: Dim, least: int) -> Dim:
    """Return a dimension of this size at least, where it may have it."""
    return replace(dim, low=max(dim.low, least)) if dim.high is None or dim.high >= least else dim
