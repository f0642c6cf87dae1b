"""Large tensors made simpler row by row: masks and probabilities, of which a row says more than an element.

A row is what stands along the last dimension. Half of the rows are made plain at once, then half of what is left, so
that a failure which needs one row of a thousand is found in some dozens of checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from diffexport.arrays import Array

#: The kinds of values that are arranged in rows.
ROW_KINDS = ("mask", "probabilities")


def simpler_rows(
    array: Array, kind: str, attempt: Callable[[Array], bool], is_over: Callable[[], bool]
) -> Array:
    """Return the array with as many plain rows as were found to leave the failure there.

    Args:
        array: of any shape with a last dimension.
        kind: ``mask``, whose plain rows leave out nothing, or all; or ``probabilities``, whose plain rows are certain
            of the first, or of nothing.
        attempt: whether the failure is still there with another array of the same shape in its place.
        is_over: whether there are no more attempts.
    """
    if not array.ndim or not array.size:
        return array
    done = np.zeros(array.size // array.shape[-1], bool)
    for plain in _plain_rows(array, kind):
        rows = array.reshape(-1, array.shape[-1])
        left = [slice(0, len(rows))]
        while left and not is_over():
            part = left.pop(0)
            here = np.arange(part.start, part.stop)
            here = here[~done[here]]
            if not len(here):
                continue
            changed = np.array(rows)
            changed[here] = plain
            if attempt(changed.reshape(array.shape)):
                array, rows, done[here] = changed.reshape(array.shape), changed, True
            elif part.stop - part.start > 1:
                middle = (part.start + part.stop) // 2
                left += [slice(part.start, middle), slice(middle, part.stop)]
    return array


def _plain_rows(array: Array, kind: str) -> Iterator[Array]:
    """Yield the rows that are tried in place of others, the plainest first."""
    length = array.shape[-1]
    if kind == "mask":
        yield np.ones(length, array.dtype)
        yield np.zeros(length, array.dtype)
        return
    yield np.eye(1, length, dtype=np.float64)[0].astype(array.dtype)
    yield np.full(length, 1 / length).astype(array.dtype)
