"""Blocks: many samples of the same shapes and dtypes from one string of bytes.

The bytes of a block are elements, one byte each, and *separators*: after each separator a sample begins,
which takes as many bytes as it has elements, separators that it meets on its way included. So samples overlap
a little where separators stand close together. A block shrinks the way strings of bytes do, by dropping
and lowering bytes: what is before and after a failing sample goes, then its separator, then its elements one
by one. The first byte of a sample is the *last* element of its first input, the next that of its second input, and so
on in turns and backwards: a tensor which loses a dimension, or gets a smaller one, keeps what it ends with. Elements
that no byte is left for are 0.

A separator also says how the elements of its sample are arranged: as they are (``literal``, as is the sample
before the first separator); plain values only; plain with one odd element; few distinct values; sorted rows; all
the same. So a NaN does not have to be everywhere to be somewhere, and ties are common.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from hypothesis.errors import InvalidArgument

from diffexport.arrays import Array
from diffexport.strategies.tables import PLAIN, SEPARATORS, table
from diffexport.strategies.value_kinds import arranged_rows
from diffexport.values import Shape, TensorSpec, bounded_at

#: Arrangements and how many of the separators choose each.
ARRANGEMENTS = (("literal", 11), ("plain", 7), ("one-odd", 6), ("tied", 3), ("sorted", 3), ("constant", 2))
_ARRANGEMENT_OF = np.array([n for n, (_, width) in enumerate(ARRANGEMENTS) for _ in range(width)])
#: Elements with a byte of their own in one sample; what is larger repeats them. Prime, so that rows differ.
CODED = 61
#: Mean distance of separators in random bytes.
GAP = 256 // (256 - SEPARATORS)
#: Most samples of a block; Hypothesis draws at most 8 KiB for one example.
MAX_SAMPLES = 512


def block_bytes(samples: int) -> int:
    """Return how many random bytes hold about that many samples of at most [CODED][] elements."""
    return GAP * samples + CODED


def decode_block(
    data: bytes,
    shapes: Sequence[Shape],
    specs: Sequence[TensorSpec],
    *,
    variant: int = 0,
    constants: tuple[float, ...] = (),
    cap: int = 255,
    limit: int = MAX_SAMPLES,
) -> list[tuple[Array, ...]]:
    """Turn bytes into samples, each one array for every shape and spec; at least one sample, one without any spec.

    Args:
        data: the bytes.
        shapes, specs: of the inputs.
        variant, constants: see [table][diffexport.strategies.table].
        cap: codes of elements above this one are lowered to it.
        limit: most samples.

    Raises:
        InvalidArgument: ``limit`` is less than 1, or see [table][diffexport.strategies.table].
    """
    if limit < 1:
        raise InvalidArgument(f"limit={limit} must be at least 1")
    if not specs:
        return [()]
    specs = bounded_at(specs, shapes)
    tables = [values_of_spec(spec, variant, constants) for spec in specs]
    parts = [2 if spec.dtype.startswith("complex") else 1 for spec in specs]
    counts = [math.prod(shape) * n for shape, n in zip(shapes, parts, strict=True)]
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.intp)
    if cap < 255:
        codes = np.where(codes < SEPARATORS, np.minimum(codes, cap), codes)
    rows, arrangements = _rows(codes, sum(counts), limit)
    columns: list[Array] = []
    for shape, spec, values, places in zip(shapes, specs, tables, _turns(tuple(counts)), strict=True):
        as_they_are = spec.dtype == "bool" or (spec.kind is not None and spec.kind.name == "mask")
        arranged = _arrange(rows[:, places], arrangements, values, as_they_are)
        if spec.dtype.startswith("complex"):
            arranged = np.ascontiguousarray(arranged).view(spec.dtype)
        column = arranged.reshape(len(rows), *shape)
        if spec.kind is not None and shape:
            column = arranged_rows(column, spec, rows[:, places].reshape(column.shape))
        columns.append(column)
    # Each sample owns its memory: a view of the block would keep all of it alive, and have an odd offset.
    return list(zip(*[[np.array(arranged) for arranged in column] for column in columns], strict=True))


def values_of_spec(spec: TensorSpec, variant: int, constants: tuple[float, ...]) -> Array:
    """Return the values of a spec in order of code."""
    if not spec.is_bounded and not spec.scope.ordinary:
        return table(spec.dtype, variant=variant, constants=constants)
    low, high = spec.range_at()
    return table(
        spec.dtype,
        variant=variant,
        constants=constants,
        low=low,
        high=high,
        kind=spec.kind,
        ordinary=spec.scope.ordinary,
    )


def _rows(codes: Array, needed: int, limit: int) -> tuple[Array, Array]:
    """Return the codes of each sample as rows, and how each is arranged."""
    coded = min(needed, CODED)
    marks = np.flatnonzero(codes >= SEPARATORS)
    starts = np.concatenate(([0], marks + 1))
    arrangements = np.concatenate(([0], _ARRANGEMENT_OF[codes[marks] - SEPARATORS]))
    if len(codes) and codes[0] >= SEPARATORS:
        starts, arrangements = starts[1:], arrangements[1:]
    whole = starts + coded <= len(codes)
    whole[0] = True
    if not coded:
        whole[1:] = False
    starts, arrangements = starts[whole][:limit], arrangements[whole][:limit]
    elements = np.where(codes < SEPARATORS, codes, 0)
    padded = np.concatenate((elements, np.zeros(coded, dtype=codes.dtype)))
    places = np.arange(needed) % CODED
    return padded[starts[:, None] + places], arrangements


@functools.lru_cache(maxsize=1024)
def _turns(counts: tuple[int, ...]) -> tuple[Array, ...]:
    """Return, for each input, which bytes of a sample are its elements; its first element has the last of them."""
    turns = np.concatenate([np.arange(count) * len(counts) + n for n, count in enumerate(counts)])
    ranks = np.empty(len(turns), dtype=np.intp)
    ranks[np.argsort(turns, kind="stable")] = np.arange(len(turns))
    ends = np.cumsum(counts)
    return tuple(ranks[end - count : end][::-1].copy() for count, end in zip(counts, ends, strict=True))


def _arrange(rows: Array, arrangements: Array, values: Array, boolean: bool) -> Array:
    """Return the values of every row, arranged."""
    arranged = values[rows]
    count = rows.shape[1]
    if not count or boolean or not arrangements.any():
        return arranged
    names = [name for name, _ in ARRANGEMENTS]
    plain = rows % PLAIN
    for name in ("plain", "one-odd", "tied", "sorted", "constant"):
        which = np.flatnonzero(arrangements == names.index(name))
        if not len(which):
            continue
        chosen = plain[which]
        if name == "one-odd":
            # The first byte says what is odd (two in three times something is), the next where it stands, from the end.
            first = rows[which, -1]
            odd = np.where(first < PLAIN // 2, first, PLAIN + first % (SEPARATORS - PLAIN))
            place = -1 - (rows[which, -2] if count > 1 else first) % count
            chosen[np.arange(len(which)), place] = odd
        elif name == "tied":
            period = 1 + rows[which, -1] % 3
            chosen = np.take_along_axis(chosen, np.arange(count)[None, :] % period[:, None] % count, axis=1)
        elif name == "constant":
            chosen = np.repeat(rows[which, -1:], count, axis=1)
        arranged[which] = np.sort(values[chosen], axis=1) if name == "sorted" else values[chosen]
    return arranged
