"""Repairs: the candidates that an error message suggests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from diffexport.infer.evidence import PLAIN, REPAIR, ArgumentKind, Choice, Shape
from diffexport.infer.search.candidates import Argument, Candidate, Space
from diffexport.infer.search.error_messages import Advice


def repaired(candidate: Candidate, space: Space, advice: Advice) -> Iterator[tuple[float, Candidate]]:
    """Yield the candidates that an error message suggests, with what they cost more than the one that raised it."""
    tensors = [place for place, argument in enumerate(candidate) if argument.shape is not None]

    def with_shape(place: int, shape: Shape) -> Candidate:
        return (*candidate[:place], replace(candidate[place], shape=shape), *candidate[place + 1 :])

    def with_choice(place: int, choice: Choice, shape: Shape | None = None) -> Candidate:
        return (*candidate[:place], Argument(choice, shape), *candidate[place + 1 :])

    for one, other in advice.sizes:
        for old, new in ((one, other), (other, one)):
            places = [
                (p, axis)
                for p in tensors
                for axis, size in enumerate(candidate[p].shape or ())
                if size == old
            ]
            if not places or not 0 < new <= 1024:
                continue
            if len(places) > 1:
                yield REPAIR.size_everywhere, _resized(candidate, places, new)
            for at in reversed(places):
                yield REPAIR.size, _resized(candidate, [at], new)
    for place in tensors:
        shape = candidate[place].shape or ()
        wanted = [rank for rank in advice.ranks if rank != len(shape)]
        if advice.rank_step:
            wanted.append(len(shape) + advice.rank_step)
        for rank in dict.fromkeys(wanted):
            if 0 <= rank <= 5:
                # Of several, the one with more dimensions: without a batch is the special case.
                cost = REPAIR.rank + REPAIR.rank_place * place + REPAIR.rank_dimension * rank
                yield cost, with_shape(place, _of_rank(shape, rank))
        if advice.scalar and shape:
            yield REPAIR.scalar, with_shape(place, ())
            yield REPAIR.one_element, with_shape(place, (1,))
        if advice.same_shape and place and shape != candidate[tensors[0]].shape:
            yield REPAIR.same_shape, with_shape(place, candidate[tensors[0]].shape or ())
    for rank in advice.ranks:
        if len(tensors) > 1 and 0 <= rank <= 5:
            shapes = {p: _of_rank(candidate[p].shape or (), rank) for p in tensors}
            yield (
                REPAIR.rank_everywhere,
                tuple(replace(a, shape=shapes[p]) if p in shapes else a for p, a in enumerate(candidate)),
            )
    if advice.multiple:
        m = advice.multiple
        for p in tensors:
            rounded = tuple(-(-size // m) * m for size in candidate[p].shape or ())
            yield REPAIR.multiple, with_shape(p, rounded)
        everywhere = {p: tuple(-(-size // m) * m for size in candidate[p].shape or ()) for p in tensors}
        yield (
            REPAIR.multiple_everywhere,
            tuple(replace(a, shape=everywhere[p]) if p in everywhere else a for p, a in enumerate(candidate)),
        )
    if advice.definite:
        yield from _definite(candidate, tensors)
    yield from _rechosen(candidate, space, advice, with_choice)


def _definite(candidate: Candidate, tensors: Sequence[int]) -> Iterator[tuple[float, Candidate]]:
    """Yield candidates of which one tensor is a constant definite matrix."""
    sizes = dict.fromkeys(
        size for p in tensors for size in reversed(candidate[p].shape or ()) if 1 < size <= 16
    )
    for place in reversed(tensors):
        for number, size in enumerate(sizes):
            for text in (f"torch.eye({size})", f"-torch.eye({size})"):
                changed = Argument(Choice(ArgumentKind.MATRIX, text=text))
                yield (
                    REPAIR.definite + REPAIR.definite_step * number,
                    (*candidate[:place], changed, *candidate[place + 1 :]),
                )


def _rechosen(
    candidate: Candidate, space: Space, advice: Advice, with_choice: Callable[..., Candidate]
) -> Iterator[tuple[float, Candidate]]:
    """Yield candidates of which one argument is of another dtype or kind."""
    named = {place for place, name in enumerate(space.names) if len(name) > 2 and name in advice.words}
    for place, argument in enumerate(candidate):
        current = argument.choice
        for dtype in advice.dtypes:
            if current.is_tensor and current.dtype != dtype:
                domain = "index" if dtype.startswith(("int", "uint")) else "any"
                if current.domain in ("mask", "length") and (dtype == "bool" or domain == "index"):
                    domain = current.domain
                # Where a message names an argument, it is not about the others.
                elsewhere = bool(named) and place not in named
                yield (
                    REPAIR.dtype + REPAIR.not_named * elsewhere,
                    with_choice(place, replace(current, dtype=dtype, domain=domain), argument.shape),
                )
        if current.is_tensor and advice.smaller and current.domain == "any" and current.dtype != "bool":
            yield (
                REPAIR.smaller,
                with_choice(
                    place,
                    replace(current, domain="unit" if "float" in current.dtype else "index"),
                    argument.shape,
                ),
            )
        wanted = set(advice.wants) | (
            {ArgumentKind.FLOAT, ArgumentKind.INT, ArgumentKind.BOOL, ArgumentKind.NONE}
            if advice.scalar and current.is_tensor
            else set()
        )
        if (
            current.kind in advice.not_kinds
            or (wanted and current.kind not in wanted)
            or (advice.smaller and current.kind is ArgumentKind.INT)
        ):
            met: set[ArgumentKind] = set()
            for choice in space.choices[place]:
                if choice.kind is current.kind and not (advice.smaller and current.kind is ArgumentKind.INT):
                    continue
                if wanted and choice.kind not in wanted and current.kind not in advice.not_kinds:
                    continue
                if choice.kind in met and not choice.text:
                    continue
                met.add(choice.kind)
                shape = None
                if choice.is_tensor or choice.count:
                    shapes = [a.shape for a in candidate if a.shape is not None]
                    shape = argument.shape or (shapes[0] if shapes else PLAIN[2])
                dearer = max(choice.cost - current.cost, 0)
                yield REPAIR.kind + REPAIR.kind_share * dearer, with_choice(place, choice, shape)


def _resized(candidate: Candidate, places: Sequence[tuple[int, int]], size: int) -> Candidate:
    changed = list(candidate)
    for place, axis in places:
        shape = changed[place].shape or ()
        changed[place] = replace(changed[place], shape=(*shape[:axis], size, *shape[axis + 1 :]))
    return tuple(changed)


def _of_rank(shape: Shape, rank: int) -> Shape:
    """Return a shape of another rank: dimensions are taken away in front, or put there."""
    if rank <= len(shape):
        return shape[len(shape) - rank :]
    plain = PLAIN[rank]
    return (*plain[: rank - len(shape)], *shape)
