"""Large tensors: a few dozen bytes say what one holds, whatever its size.

The bytes of a tensor choose a family of values, its numbers (from the value table), a seed, and up to
[MOST_PLACED][] elements that are otherwise. Lower bytes are simpler: all zeros is a tensor of zeros, and one whose last
bytes are dropped has nothing placed. Most tensors are ordinary, finite numbers of usual magnitudes; half have
a few placed elements, which may be NaN, infinite or extreme; few are odd everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffexport.arrays import (
    Array,
    FilledArray,
    Filling,
    as_number,
    fill,
    is_complex,
    is_floating,
    part_dtype,
)
from diffexport.strategies.block import CODED, decode_block, values_of_spec
from diffexport.strategies.tables import PLAIN, SEPARATORS
from diffexport.strategies.value_kinds import arranged_rows
from diffexport.values import Shape, TensorSpec, bounded_at

#: From more elements than this on, all tensors of a sample together, the large ones among them are drawn as fillings.
LARGE_SAMPLE = 4096
#: The tensors of a large sample that are themselves drawn in the way of small ones.
SMALL_TENSOR = 256
#: Most elements of all large samples of one trial together, unless there is only one.
_MOST_TOGETHER = 1 << 20
#: Most samples of a large trial.
_MOST_SAMPLES = 8
#: Most elements that are placed.
MOST_PLACED = 8
#: Families, and how many of the 256 codes choose each, simplest first. ``odd`` is ``among`` with odd values, too.
_WEIGHTS = (
    ("constant", 24),
    ("repeated", 24),
    ("ramp", 24),
    ("normal", 72),
    ("uniform", 48),
    ("among", 20),
    ("sorted", 16),
    ("sparse", 16),
    ("odd", 12),
)
_FAMILY_OF = tuple(name for name, weight in _WEIGHTS for _ in range(weight))
#: What a normal tensor may be spread by: mean and deviation.
_SPREADS = (
    (0.0, 1.0),
    (0.0, 0.02),
    (0.0, 0.5),
    (0.5, 0.25),
    (0.0, 4.0),
    (1.0, 0.1),
    (0.0, 20.0),
    (0.0, 100.0),
)
_NUMBERS, _PLACE = 4, 4
#: Kinds of values of which only those in the table are meant.
_OF_TABLE = ("mask", "image")
#: Bytes that one large tensor takes: family, seed, numbers, their kind, how many are placed, and each of those.
TENSOR_BYTES = 1 + 2 + _NUMBERS + 1 + 1 + MOST_PLACED * _PLACE


def is_large(shapes: Sequence[Shape]) -> bool:
    """Return whether a sample of these shapes is drawn in the way of large ones."""
    return sum(map(math.prod, shapes)) > LARGE_SAMPLE


def samples_at_once(shapes: Sequence[Shape], most: int) -> int:
    """Return how many samples a trial of large shapes has at most."""
    return max(1, min(most, _MOST_SAMPLES, _MOST_TOGETHER // max(sum(map(math.prod, shapes)), 1)))


def sample_bytes(shapes: Sequence[Shape]) -> int:
    """Return how many bytes say what is in a sample of large shapes."""
    return sum(TENSOR_BYTES for shape in shapes if math.prod(shape) > SMALL_TENSOR) + CODED


def decode_sample(
    data: bytes,
    shapes: Sequence[Shape],
    specs: Sequence[TensorSpec],
    *,
    variant: int,
    constants: tuple[float, ...],
) -> tuple[Array, ...]:
    """Turn bytes into one sample; bytes that are missing are 0.

    Args:
        data: up to [sample_bytes][] of them.
        shapes, specs: of the inputs.
        variant, constants: see [table][diffexport.strategies.table].

    Raises:
        InvalidArgument: see [table][diffexport.strategies.table].
    """
    specs = bounded_at(specs, shapes)
    large = [number for number, shape in enumerate(shapes) if math.prod(shape) > SMALL_TENSOR]
    arrays: dict[int, Array] = {}
    for turn, number in enumerate(large):
        own = data[turn * TENSOR_BYTES : (turn + 1) * TENSOR_BYTES]
        filled = _decode_tensor(own, shapes[number], specs[number], variant, constants)
        arrays[number] = filled
        if _is_arranged(specs[number]):
            codes = np.resize(np.frombuffer(own.ljust(1, b"\0"), np.uint8), filled.shape)
            arrays[number] = arranged_rows(filled[None], specs[number], codes[None])[0]
    small = [number for number in range(len(shapes)) if number not in arrays]
    if small:
        rest = data[len(large) * TENSOR_BYTES :]
        of_small = [shapes[number] for number in small], [specs[number] for number in small]
        # One sample: what would begin another one is an ordinary element here.
        plain = bytes(byte % SEPARATORS for byte in rest)
        (decoded,) = decode_block(plain, *of_small, variant=variant, constants=constants, limit=1)
        arrays.update(zip(small, decoded, strict=True))
    return tuple(arrays[number] for number in range(len(shapes)))


def _is_arranged(spec: TensorSpec) -> bool:
    """Return whether something has to hold of the rows of a tensor, which makes it no filling any more."""
    return spec.kind is not None and spec.kind.name in ("probabilities", "mask")


def _decode_tensor(
    data: bytes, shape: Shape, spec: TensorSpec, variant: int, constants: tuple[float, ...]
) -> FilledArray:
    """Return the tensor that up to [TENSOR_BYTES][] bytes say."""
    data = data.ljust(TENSOR_BYTES, b"\0")
    family, seed, codes = _FAMILY_OF[data[0]], data[1] + 256 * data[2], data[3 : 3 + _NUMBERS]
    kind, count, places = data[3 + _NUMBERS], data[4 + _NUMBERS], data[5 + _NUMBERS :]
    values = values_of_spec(spec, variant, constants)
    chosen = _Numbers(values, spec, kind)
    family, numbers = chosen.of(family, codes)
    placed: dict[tuple[int, ...], Any] = {}
    size = math.prod(shape)
    for number in range(max(0, (count - 112) // 16)):
        high, middle, low, code = places[number * _PLACE : (number + 1) * _PLACE]
        flat = (high << 16 | middle << 8 | low) * size >> 24
        index = tuple(int(i) for i in np.unravel_index(flat, shape))
        placed[index] = chosen.element(code % SEPARATORS, number)
    return fill(Filling(spec.dtype, shape, family, numbers, seed, tuple(sorted(placed.items()))))


class _Numbers:
    """Chooses the numbers of a filling, all of them within the bounds of a spec.

    Args:
        values: the table of the dtype, in these bounds; of its parts where it is complex.
        spec: the dtype and the bounds.
        kind: a byte to choose by what the table does not say.
    """

    def __init__(self, values: Array, spec: TensorSpec, kind: int) -> None:
        self._values, self._kind = values, kind
        self._dtype = np.dtype(spec.dtype)
        self._part = part_dtype(self._dtype)
        # A kind has a table of its own, whose values are all that there may be.
        self._bounded, self._ordinary = spec.is_bounded or spec.kind is not None, spec.scope.ordinary
        self._of_table = spec.kind is not None and spec.kind.name in _OF_TABLE
        self._normal = spec.kind.numbers if spec.kind is not None and spec.kind.name == "normal" else ()

    def element(self, code: int, turn: int = 0) -> Any:
        """Return a value of the table as one element of the dtype."""
        value = self._values[code]
        if not is_complex(self._dtype):
            return as_number(value)
        # The other part is as often plain as not.
        other = self._values[(code if self._kind % 2 else 0) + turn]
        return as_number(value), as_number(other)

    def of(self, family: str, codes: bytes) -> tuple[str, tuple[Any, ...]]:
        """Return a family that the dtype has, and its numbers."""
        plain = [code % PLAIN for code in codes]
        if family == "odd":
            return "among", tuple(self.element(code % SEPARATORS) for code in (*codes, *_spread_of(codes)))
        if family == "constant":
            return family, (self.element(plain[0]),)
        if (self._part == np.bool_ or self._of_table) and family not in (
            "repeated",
            "among",
            "sparse",
            "sorted",
        ):
            family = "among"
        if family in ("normal", "ramp", "uniform"):
            return self._computed(family, plain)
        if family == "sparse":
            return family, (
                1 << 2 + self._kind % 12,
                self.element(0),
                *(self.element(code) for code in plain),
            )
        if family == "repeated":
            return family, tuple(self.element(code) for code in plain[: 2 + self._kind % 3])
        several = [(code + 16 * turn) % PLAIN for turn in range(4) for code in plain]
        if family == "sorted":
            several.sort(key=lambda code: float(self._values[code]))
        return family, tuple(self.element(code) for code in several)

    def _computed(self, family: str, plain: Sequence[int]) -> tuple[str, tuple[Any, ...]]:
        to_number = float if is_floating(self._part) else int
        first, second = sorted((to_number(self._values[plain[0]]), to_number(self._values[plain[1]])))
        if not (math.isfinite(first) and math.isfinite(second)):
            return "constant", (self.element(0),)
        if family == "normal" and self._normal:
            return family, tuple(map(as_number, self._normal))
        if self._ordinary and is_floating(self._part) and family != "ramp":
            return self._away_from_zero(family, plain)
        if family == "normal" and not self._bounded and is_floating(self._part):
            mean, deviation = _SPREADS[self._kind % len(_SPREADS)]
            return family, (as_number(mean), as_number(deviation))
        if family == "ramp":
            # As many steps as there is room for.
            step: float = 1 if not is_floating(self._part) else (1.0, 0.5, 0.25, 0.125)[self._kind % 4]
            room = int(min((second - first) / step, 1 << 40)) if self._bounded else 1 << self._kind % 13
            if not self._bounded and not is_floating(self._part):
                room = min(room, int(np.iinfo(self._part).max) - int(first))
            return family, (as_number(first), as_number(step), max(room, 0) + 1)
        if first == second and not self._bounded:
            first, second = (0, 16) if first >= 0 else (first, 0)
        return "uniform", (as_number(to_number(first)), as_number(to_number(second)))

    def _away_from_zero(self, family: str, plain: Sequence[int]) -> tuple[str, tuple[Any, ...]]:
        """Return numbers between which there are no tiny ones: those are not ordinary."""
        if self._bounded:
            return "among", tuple(self.element(code) for code in plain)
        sign = -1.0 if self._kind % 2 else 1.0
        if family == "normal":
            return family, (as_number(4.0 * sign), as_number(1.0))
        least = 0.25 + abs(float(self._values[plain[0]]))
        ends = sorted((sign * least, sign * (least + 1.0 + abs(float(self._values[plain[1]])))))
        return "uniform", tuple(map(as_number, ends))


def _spread_of(codes: bytes) -> list[int]:
    """Return further codes, so that a tensor that is odd everywhere has values of several classes."""
    return [(code + 53 * turn) % SEPARATORS for turn in (1, 2, 3) for code in codes]
