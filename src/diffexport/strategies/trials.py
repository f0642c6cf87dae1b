"""Trials: what one Hypothesis example draws for one case and mode.

A trial holds the shapes the model is exported at, the shapes it is run at, and a block of samples of values
for the latter: with exports and sessions memoised, drawing is what costs, so that one draw feeds several
checks. Shrinking ends with a block of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.spec import Shape, TensorSpec, representative_shapes, shapes_of_ranks
from diffexport.strategies.values import SAMPLE_BYTES, Array, decode, ordinary

#: Most dimensions whose sizes one trial draws.
_SIZES = 12


@dataclass(frozen=True)
class Trial:
    """Export inputs and a block of run inputs: tuples of numpy arrays, or whatever calls a strategy gives."""

    export_inputs: Any
    samples: tuple[Any, ...]


@st.composite
def trials(
    draw: st.DrawFn,
    specs: Sequence[TensorSpec],
    *,
    dynamic: bool = False,
    export_shapes: Sequence[tuple[Shape, ...]] | None = None,
    max_samples: int = 8,
) -> Trial:
    """Draw a trial for inputs of the given specs.

    Args:
        draw: supplied by Hypothesis.
        specs: one for each positional tensor argument.
        dynamic: run at other shapes than the model was exported at (of the same ranks).
        export_shapes: the joint shapes to export at; by default a representative few.
        max_samples: largest block.

    Raises:
        InvalidArgument: no spec, no export shape, or a block that cannot hold a sample.
    """
    if not specs:
        raise InvalidArgument("specs is empty: a model without tensor inputs has nothing to generate")
    if max_samples < 1:
        raise InvalidArgument(f"max_samples={max_samples} must be at least 1")
    if export_shapes is None:
        export_shapes = representative_shapes(specs, 6)
    if not export_shapes:
        raise InvalidArgument("export_shapes is empty: there is no shape to export at")
    dtypes = [spec.dtype for spec in specs]
    exported = draw(st.sampled_from(list(export_shapes)))
    run = exported
    if dynamic:
        sizes = draw(st.binary(min_size=_SIZES, max_size=_SIZES))
        run = shapes_of_ranks(specs, [len(shape) for shape in exported], itertools.cycle(sizes))
    block = draw(
        st.lists(st.binary(min_size=SAMPLE_BYTES, max_size=SAMPLE_BYTES), min_size=1, max_size=max_samples)
    )
    return Trial(ordinary(exported, dtypes), tuple(decode(sample, run, dtypes) for sample in block))


def samples(specs: Sequence[TensorSpec]) -> st.SearchStrategy[tuple[Array, ...]]:
    """Draw one tuple of arrays for the given specs: a strategy for use in one's own tests."""
    return trials(specs, dynamic=True, max_samples=1).map(lambda trial: trial.samples[0])
