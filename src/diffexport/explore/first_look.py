"""The first look at a mode: an ordinary input and a few telling ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from diffexport.arrays import Array
from diffexport.explore.export_examples import CHEAP_SHAPES
from diffexport.strategies import FLAVOURS, examples, is_large
from diffexport.values import Shape, TensorSpec, representative_shapes

#: Samples at one joint shape.
Samples = list[tuple[Array, ...]]


def first_samples(
    specs: Sequence[TensorSpec], exported: tuple[Shape, ...], *, dynamic: bool
) -> Iterator[Samples]:
    """Yield what a mode is run on first, the ordinary before the telling; samples of one list have the same shapes.

    Args:
        specs: of the inputs.
        exported: the shapes that it was exported at.
        dynamic: whether it can be run at others.
    """
    ordinary = _backwards(examples(exported, specs))
    yield [ordinary]
    # Ordinary inputs at other sizes are what a dynamic export is made for.
    for shapes in _other_shapes(specs, exported) if dynamic else []:
        yield [_backwards(examples(shapes, specs))]
    # Large ones take their time, and the extreme one says most.
    flavours = FLAVOURS[-1:] if is_large(exported) else FLAVOURS[1:]
    telling = _distinct([ordinary, *(examples(exported, specs, flavour) for flavour in flavours)])[1:]
    if telling:
        yield telling


def _backwards(sample: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the same values in reverse order: as ordinary as what the model was exported with, and not the same."""
    return tuple([np.array(array.reshape(-1)[::-1]).reshape(array.shape) for array in sample])


def _other_shapes(specs: Sequence[TensorSpec], exported: tuple[Shape, ...]) -> list[tuple[Shape, ...]]:
    """Return up to two other joint shapes of the same ranks, without and with a dimension of size 1."""
    ranks = list(map(len, exported))
    pool = [
        joint
        for joint in representative_shapes(specs, 2 * CHEAP_SHAPES)
        if joint != exported and list(map(len, joint)) == ranks and all(0 not in shape for shape in joint)
    ]
    larger = [joint for joint in pool if all(1 not in shape for shape in joint)]
    ones = [joint for joint in pool if joint not in larger]
    return [*larger[:1], *ones[:1]]


def _distinct(samples: Samples) -> Samples:
    """Return samples without those whose values occur before: bounds may leave only one value."""
    seen: set[bytes] = set()
    distinct = []
    for sample in samples:
        values = b"|".join(array.tobytes() for array in sample)
        if values not in seen:
            seen.add(values)
            distinct.append(sample)
    return distinct
