"""What the modes of a matrix are exported with: not everything in every mode, but over the matrix everything."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from diffexport.arrays import as_call, tensors_of
from diffexport.strategies import VARIETY, examples, ordinary_like
from diffexport.subjects.cases import Case
from diffexport.values import Call, Inputs, Mode, Shape, TensorSpec, admits_all, representative_shapes

#: Shapes in the pool to export at: cheap exports cost milliseconds, the others a fifth of a second.
CHEAP_SHAPES, COSTLY_SHAPES = 8, 6


def plain_shapes(specs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
    """Return the ordinary joint shape of the lowest rank that has an axis.

    Where there may be one leading dimension or none there is one: a model that takes inputs with a batch or without is
    mostly given one.
    """
    few = [n for n, spec in enumerate(specs) if spec.leading and spec.most_leading == 1]
    return max(
        representative_shapes(specs, CHEAP_SHAPES),
        key=lambda joint: (
            all(joint),
            all(0 not in shape for shape in joint),
            sum(len(joint[n]) for n in few),
            -len(joint[0]),
            sum(joint[0]),
        ),
    )


def export_shapes(
    specs: Sequence[TensorSpec], mode: Mode, *, empty: bool = True
) -> Sequence[tuple[Shape, ...]]:
    """Return the shapes to export at: all of a pool where the mode is plain (half of it where axes are dynamic).

    Otherwise four or, where exporting is costly, one, chosen by the mode itself: over the matrix all are met. Without
    ``empty`` none of them has a dimension of size 0, unless the specs admit no others.
    """
    is_cheap = mode.description.is_cheap
    limit = CHEAP_SHAPES if is_cheap else COSTLY_SHAPES
    pool = representative_shapes(specs, limit)
    if not empty:
        more = representative_shapes(specs, 2 * limit)
        pool = tuple(joint for joint in more if all(0 not in shape for shape in joint))[:limit] or pool
    if set(mode.off_default) <= {"dynamic"}:
        return pool[1::2] or pool if mode.dynamic and not is_cheap else pool
    chosen = zlib.crc32(str(mode).encode()) % len(pool)
    if not is_cheap:
        return [pool[chosen]]
    return [pool[n] for n in sorted({(chosen + 2 * step) % len(pool) for step in range(4)})]


def export_variety(mode: Mode) -> Sequence[tuple[str, str, bool]]:
    """Return what the example to export with may be like: anything where exporting is cheap.

    Otherwise one thing, the ordinary one for three modes in four.
    """
    if mode.description.is_cheap:
        return VARIETY
    chosen = zlib.crc32(f"variety of {mode}".encode())
    # Not one that requires a gradient: a model may refuse that, and then the mode would go untested.
    among = [variety for variety in VARIETY if not variety[2]]
    return [among[chosen // 4 % len(among)] if chosen % 4 == 0 else VARIETY[0]]


def example_of_call(case: Case, mode: Mode, call: Call) -> Inputs:
    """Return what to export with for a call that a case names: its own shapes or, where axes are dynamic, others."""
    specs, given = case.specs, tensors_of(as_call(call))
    if (
        mode.dynamic
        and len(specs) == len(case.inputs) == len(given) == len(call.args) + len(call.kwargs)
        and case.speaks_of(call)
    ):
        plain = plain_shapes(specs)
        shapes = [tuple(tensor.shape) for tensor in given]
        same_ranks = list(map(len, plain)) == list(map(len, shapes))
        if same_ranks and admits_all(specs, shapes) and case.terms.dynamic_axes is None:
            return case.call_of(examples(plain, specs))
    return ordinary_like(as_call(call))
