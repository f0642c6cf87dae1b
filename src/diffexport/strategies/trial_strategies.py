"""Trials: what one Hypothesis example draws for one case and mode.

A trial holds what the model is exported with and a block of samples that it is run on. The two are drawn apart: their
shapes (where axes are dynamic), values and layouts. With exports and sessions memoised, drawing is what costs,
so that one draw of bytes feeds many checks. Shrinking ends with one sample.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.arrays import Array
from diffexport.errors import UsageError
from diffexport.strategies.block import MAX_SAMPLES, block_bytes, decode_block
from diffexport.strategies.example_inputs import FLAVOURS, examples
from diffexport.strategies.large_tensors import decode_sample, is_large, sample_bytes, samples_at_once
from diffexport.strategies.layout import LAYOUTS, lay_out
from diffexport.strategies.tables import VARIANTS
from diffexport.values import (
    MAX_ELEMENTS,
    Shape,
    TensorSpec,
    admits_all,
    parse_specs,
    pinned,
    representative_shapes,
    shapes_of_ranks,
)

#: Most dimensions whose sizes one trial draws.
_SIZES = 12
#: How many times larger a tensor may be that is large at its least sizes.
_ROOM = 4
#: What an argument may be given as: a spec or its text, or any Hypothesis strategy.
Input = TensorSpec | str | st.SearchStrategy[Any]

#: How the example that a model is exported with may differ from ordinary contiguous tensors: flavour of its values,
#: layout, requires_grad. The first is the simplest.
VARIETY: tuple[tuple[str, str, bool], ...] = (
    ("ordinary", "contiguous", False),
    *((flavour, "contiguous", False) for flavour in FLAVOURS[1:]),
    *(("ordinary", layout, False) for layout in LAYOUTS[1:]),
    ("ordinary", "contiguous", True),
)


@dataclass(frozen=True, eq=False)
class Trial:
    """What a model is exported with, and a block of what it is run on.

    Positional arguments: numpy arrays where a spec stands, torch tensors where an array could not say the layout
    or ``requires_grad``, and whatever a strategy gives. ``large`` is what a trial of large tensors was drawn from: two
    of the same are the same trial; None where it has none.
    """

    export_inputs: Any
    samples: tuple[Any, ...]
    large: Hashable = None


def trials(
    inputs: Sequence[Input],
    *,
    dynamic: bool = False,
    export_shapes: Sequence[tuple[Shape, ...]] | None = None,
    max_samples: int = 8,
    constants: Sequence[float] = (),
    layouts: Sequence[str] = ("contiguous",),
    requires_grad: bool = False,
    same: bool = False,
    variety: Sequence[tuple[str, str, bool]] = VARIETY[:1],
    dynamic_axes: Sequence[Sequence[int]] | None = None,
    sizes: Sequence[int] = (),
    most_elements: int = MAX_ELEMENTS,
) -> st.SearchStrategy[Trial]:
    """Draw a trial.

    Args:
        inputs: one for each positional argument, a spec or any strategy. What a strategy gives is used for the
            export as well as for every sample of the block.
        dynamic: run at other shapes than the model was exported at (of the same ranks).
        export_shapes: the joint shapes of the specs to export at; by default a representative few.
        max_samples: largest block.
        constants: numbers that matter to the model; they and their neighbours are drawn often.
        layouts: of the tensors it is run on, any of [LAYOUTS][diffexport.strategies.LAYOUTS].
        requires_grad: let floating tensors it is run on require gradients, sometimes.
        same: let equal specs get the same tensor, sometimes.
        variety: what the example may be like; see [VARIETY][diffexport.strategies.VARIETY].
        dynamic_axes: for each spec, the axes whose size may be another one when it is run; None: every one that it
            leaves free.
        sizes: larger sizes of dimensions, smallest first, of which one is drawn in about a quarter of all cases.
        most_elements: of one tensor; four times as many as its least sizes have, where those are more.

    Raises:
        InvalidArgument: no input, no export shape, an unknown layout or variety, a block that cannot hold a sample or
            is larger than [MAX_SAMPLES][diffexport.strategies.MAX_SAMPLES].
    """
    entries = check_inputs(inputs)
    specs = [entry for entry in entries if isinstance(entry, TensorSpec)]
    _check_block(max_samples)
    export_shapes = representative_shapes(specs, 6) if export_shapes is None else export_shapes
    _check_export_shapes(specs, export_shapes)
    _check_choices("layouts", layouts, LAYOUTS)
    _check_choices("variety", variety, VARIETY)
    plan = _Plan(
        entries,
        specs,
        dynamic,
        tuple(export_shapes),
        max_samples,
        tuple(float(c) for c in constants),
        tuple(sorted(layouts, key=LAYOUTS.index)),
        requires_grad,
        same,
        tuple(sorted(variety, key=VARIETY.index)),
        None if dynamic_axes is None else tuple(map(tuple, dynamic_axes)),
        tuple(sizes),
        most_elements,
    )
    return _trial(plan)


def _check_block(max_samples: int) -> None:
    if not 1 <= max_samples <= MAX_SAMPLES:
        raise InvalidArgument(f"max_samples={max_samples} must be from 1 to {MAX_SAMPLES}")


def _check_choices(name: str, given: Sequence[Any], known: Sequence[Any]) -> None:
    if not given or any(one not in known for one in given):
        raise InvalidArgument(f"{name}={list(given)!r} must be some of {list(known)}")


def _check_export_shapes(specs: Sequence[TensorSpec], export_shapes: Sequence[tuple[Shape, ...]]) -> None:
    if not export_shapes:
        raise InvalidArgument("export_shapes is empty: there is no shape to export at")
    for shapes in export_shapes:
        if not admits_all(specs, shapes):
            texts = ", ".join(str(spec) for spec in specs)
            raise InvalidArgument(f"export_shapes: {list(shapes)} does not suit {texts}")


def check_inputs(inputs: Sequence[Input]) -> tuple[TensorSpec | st.SearchStrategy[Any], ...]:
    """Return specs parsed, strategies as they are.

    Raises:
        InvalidArgument: there is none, one is neither, or a spec does not parse or contradicts another.
    """
    if isinstance(inputs, str | TensorSpec | st.SearchStrategy):
        raise InvalidArgument(
            f"inputs={inputs!r} must be a sequence, one entry for each argument; write [{inputs!r}]"
        )
    if not inputs:
        raise InvalidArgument("inputs is empty: a model without inputs has nothing to generate")
    for entry in inputs:
        if not isinstance(entry, str | TensorSpec | st.SearchStrategy):
            raise InvalidArgument(f"inputs: {entry!r} is neither a tensor spec nor a Hypothesis strategy")
    try:
        parsed = iter(parse_specs([entry for entry in inputs if isinstance(entry, str | TensorSpec)]))
    except UsageError as error:
        raise InvalidArgument(f"inputs: {error}") from None
    return tuple(entry if isinstance(entry, st.SearchStrategy) else next(parsed) for entry in inputs)


@dataclass(frozen=True)
class _Plan:
    entries: tuple[TensorSpec | st.SearchStrategy[Any], ...]
    specs: list[TensorSpec]
    dynamic: bool
    export_shapes: tuple[tuple[Shape, ...], ...]
    max_samples: int
    constants: tuple[float, ...]
    layouts: tuple[str, ...]
    requires_grad: bool
    same: bool
    variety: tuple[tuple[str, str, bool], ...]
    dynamic_axes: tuple[tuple[int, ...], ...] | None = None
    sizes: tuple[int, ...] = ()
    most_elements: int = MAX_ELEMENTS

    def shapes_at(self, exported: tuple[Shape, ...], chosen: Sequence[int]) -> tuple[Shape, ...]:
        """Return the shapes that a model which was exported at others is run at."""
        specs, ranks = self.specs_at(exported), [len(shape) for shape in exported]
        most = self.most_elements
        if any(math.prod(shape) > most for shape in exported):
            least = shapes_of_ranks(specs, ranks, itertools.repeat(0), most=0)
            most = max(most, *(_ROOM * math.prod(shape) for shape in least))
        return shapes_of_ranks(specs, ranks, itertools.cycle(chosen), larger=self.sizes, most=most)

    def specs_at(self, shapes: tuple[Shape, ...]) -> Sequence[TensorSpec]:
        """Return the specs of what may be run on a model that was exported at ``shapes``."""
        if self.dynamic_axes is None:
            return self.specs
        return pinned(self.specs, shapes, self.dynamic_axes)


def _choice(name: str) -> st.SearchStrategy[tuple[str, int]]:
    """Return a strategy for one byte that chooses something other than values, unlike any other strategy.

    Hypothesis copies between draws of the same strategy and tries five such mutations of each example that it draws
    afresh. They would leave the values as they are, and those are what matters.
    """
    return st.sampled_from([(name, byte) for byte in range(256)])


_SHAPE, _APART, _VARIETY, _LAYOUT, _GRADIENT, _SAME, _CAP, _VARIANT, _FULL = map(
    _choice, ("shape", "apart", "variety", "layout", "gradient", "same", "cap", "variant", "full")
)
_SIZE_OF = [_choice(f"size {n}") for n in range(_SIZES)]


@st.composite
def _trial(draw: st.DrawFn, plan: _Plan) -> Trial:
    shape = draw(_SHAPE)[1] if len(plan.export_shapes) > 1 else 0
    exported = plan.export_shapes[shape % len(plan.export_shapes)]
    run = exported
    # Every fourth trial of dynamic axes is run at the shapes it was exported at.
    if plan.dynamic and any(exported) and draw(_APART)[1] < 192:
        dims = min(sum(map(len, exported)), _SIZES)
        run = plan.shapes_at(exported, [draw(size)[1] for size in _SIZE_OF[:dims]])
    flavour, example_layout, example_grad = _pick(draw, _VARIETY, plan.variety)
    run_layout = _pick(draw, _LAYOUT, plan.layouts)
    with_grad = plan.requires_grad and draw(_GRADIENT)[1] >= 224
    aliased = plan.same and len(plan.specs) > 1 and draw(_SAME)[1] >= 192
    # One trial in sixteen has small integers only; that is also a way for a number to become one when it shrinks.
    cap = draw(_CAP)[1]
    variant = draw(_VARIANT)[1] % VARIANTS
    # 0 lets any number of bytes be drawn, so that a block can shrink from its full size to nothing.
    full = draw(_FULL)[1] >= 16
    samples: list[tuple[Any, ...]]
    large: Hashable = None
    if is_large(run):
        data = _draw_large(draw, run, plan.max_samples, full)
        samples = [
            decode_sample(each, run, plan.specs, variant=variant, constants=plan.constants) for each in data
        ]
        # Other layouts would take their memory again.
        run_layout, with_grad, aliased = "contiguous", False, False
        large = (exported, run, flavour, example_layout, example_grad, variant, data)
    else:
        samples = _draw_block(draw, plan, run, variant, cap if cap < 16 else 255, full)
    others = [draw(entry) for entry in plan.entries if isinstance(entry, st.SearchStrategy)]
    example: list[Any] = list(examples(exported, plan.specs, flavour))
    example = _laid_out(example, "contiguous" if is_large(exported) else example_layout, example_grad)
    if aliased or with_grad or run_layout != "contiguous":
        samples = [
            tuple(_laid_out(_aliased(sample, plan.specs, aliased), run_layout, with_grad))
            for sample in samples
        ]
    if others:
        samples = [_arguments(plan, sample, others) for sample in samples]
    return Trial(_arguments(plan, example, others), tuple(samples), None if others else large)


def _draw_block(
    draw: st.DrawFn, plan: _Plan, run: tuple[Shape, ...], variant: int, cap: int, full: bool
) -> list[tuple[Array, ...]]:
    """Draw the samples of a block."""
    # Tensors without elements are all the same sample.
    length = block_bytes(plan.max_samples) if any(math.prod(shape) for shape in run) else 0
    data = draw(st.binary(min_size=length if full else 0, max_size=length)) if length else b""
    return decode_block(
        data, run, plan.specs, variant=variant, constants=plan.constants, cap=cap, limit=plan.max_samples
    )


def _draw_large(draw: st.DrawFn, run: tuple[Shape, ...], most: int, full: bool) -> tuple[bytes, ...]:
    """Draw what is in each of few samples of large tensors."""
    length, count = sample_bytes(run), samples_at_once(run, most)
    of_one = st.binary(min_size=length if full else 0, max_size=length)
    return tuple(draw(st.lists(of_one, min_size=count if full else 1, max_size=count)))


def _pick(draw: st.DrawFn, choice: st.SearchStrategy[tuple[str, int]], options: Sequence[Any]) -> Any:
    """Return the first option in three of four cases, else one of all of them."""
    if len(options) == 1:
        return options[0]
    byte = draw(choice)[1]
    return options[0] if byte < 192 else options[byte % len(options)]


def _aliased(sample: tuple[Array, ...], specs: Sequence[TensorSpec], aliased: bool) -> list[Array]:
    arrays = list(sample)
    if aliased:
        for later, spec in enumerate(specs):
            for earlier in range(later):
                if spec == specs[earlier] and arrays[later].shape == arrays[earlier].shape:
                    arrays[later] = arrays[earlier]
    return arrays


def _laid_out(arrays: list[Any], layout: str, requires_grad: bool) -> list[Any]:
    if layout == "contiguous" and not requires_grad:
        return arrays
    laid_out: dict[int, Any] = {}
    for array in arrays:
        if id(array) not in laid_out:
            laid_out[id(array)] = lay_out(array, layout, requires_grad=requires_grad)
    return [laid_out[id(array)] for array in arrays]


def _arguments(plan: _Plan, tensors: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
    if not others:
        return tuple(tensors)
    given, drawn = iter(tensors), iter(others)
    return tuple(next(given) if isinstance(entry, TensorSpec) else next(drawn) for entry in plan.entries)


def blocks(
    inputs: Sequence[Input], *, max_samples: int = 64, constants: Sequence[float] = (), **how: Any
) -> st.SearchStrategy[tuple[tuple[Any, ...], ...]]:
    """Draw many tuples of arguments of the same shapes; shrinks to one. See [trials][] for the arguments.

    Raises:
        InvalidArgument: see [trials][].
    """
    drawn = trials(inputs, dynamic=True, max_samples=max_samples, constants=constants, **how)
    return drawn.map(_samples_of)


def samples(
    inputs: Sequence[Input], *, constants: Sequence[float] = (), **how: Any
) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw one tuple of arguments, an array for each spec. See [trials][] for the arguments.

    Raises:
        InvalidArgument: see [trials][].
    """
    drawn = trials(inputs, dynamic=True, max_samples=1, constants=constants, **how)
    return drawn.map(_sample_of)


def arrays(
    spec: TensorSpec | str = "float32[...]", *, constants: Sequence[float] = ()
) -> st.SearchStrategy[Array]:
    """Draw one numpy array that suits a spec; shrinks towards a small one of zeros.

    Raises:
        InvalidArgument: the spec does not parse.
    """
    first: Callable[[tuple[Any, ...]], Array] = lambda sample: sample[0]  # noqa: E731
    return samples([spec], constants=constants).map(first)


def _samples_of(trial: Trial) -> tuple[tuple[Any, ...], ...]:
    return trial.samples


def _sample_of(trial: Trial) -> Any:
    return trial.samples[0]
