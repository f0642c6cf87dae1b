"""Shapes worth trying for several tensors together.

Every size stands for one dimension of its own, so that two sizes that an error message names tell which dimensions
they are. The first tensor has a rank, the others a place in relation to it: its shape, a vector along one of its
axes, the weight of a linear map or a convolution, one element for each row, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from diffexport.infer.evidence.parameter_usage import Usage
from diffexport.infer.evidence.weights import RANK, RELATION, SHAPE

Shape = tuple[int, ...]

#: Sizes by what they stand for: batch, channels, height, width, depth; rows and columns of something else.
N, C, H, W, D, O, M = 2, 4, 6, 8, 3, 10, 12  # noqa: E741
#: The shape of the first tensor by its rank.
PLAIN: Mapping[int, Shape] = {0: (), 1: (C,), 2: (N, C), 3: (N, C, H), 4: (N, C, H, W), 5: (N, C, D, H, W)}

#: Shapes in relation to the first tensor's; None where it has no such one.
RELATIVE: Mapping[str, Callable[[Shape], Shape | None]] = {
    "same": lambda x: x,
    "last": lambda x: x[-1:] or None,
    "channel": lambda x: x[1:2] if len(x) > 2 else None,
    "scalar": lambda x: () if x else None,
    "one": lambda _: (1,),
    "linear weight": lambda x: (O, x[-1]) if x else None,
    "matrix on the right": lambda x: (x[-1], O) if x else None,
    "batched on the right": lambda x: (*x[:-2], x[-1], O) if len(x) > 2 else None,
    "batched transposed": lambda x: (*x[:-2], O, x[-1]) if len(x) > 2 else None,
    "convolution weight": lambda x: (O, x[1], *(3,) * (len(x) - 2)) if len(x) > 2 else None,
    "transposed convolution weight": lambda x: (x[1], O, *(3,) * (len(x) - 2)) if len(x) > 2 else None,
    "out features": lambda _: (O,),
    "one for each row": lambda x: x[:-1] if x else None,
    "row with one column": lambda x: (*x[:-1], 1) if x else None,
    "one step": lambda x: x[1:] if len(x) > 1 else None,
    "batch": lambda x: x[:1] if len(x) > 1 else None,
    "square": lambda x: (x[-1], x[-1]) if x else None,
    "pooled": lambda x: (*x[:2], *(1,) * (len(x) - 2)) if len(x) > 2 else None,
    "vector": lambda _: (M,),
    "matrix": lambda _: (O, M),
    "transposed": lambda x: (*x[:-2], x[-1], x[-2]) if len(x) > 1 else None,
    "doubled rows": lambda x: (2 * x[0], *x[1:]) if x else None,
}
#: What words in a parameter's name speak for.
_NAMED: Mapping[str, tuple[str, ...]] = {
    "weight weights w kernel filter filters": ("linear weight", "convolution weight", "matrix on the right"),
    "bias b beta gamma running mean var": ("last", "out features", "channel"),
    "scale scales zero zp alpha step threshold temperature": ("scalar", "one", "last"),
    "label labels target targets": ("one for each row",),
    "index indices idx perm permutation ids": ("batch", "vector", "one for each row"),
    "lengths lens seqlens": ("batch",),
    "mask masks visible valid": ("same", "one for each row", "last"),
    "state hidden mem h c v": ("same", "one step"),
}


def _rank_costs(usage: Usage) -> dict[int, float]:
    """Return what each rank of a tensor costs."""
    costs = {}
    for rank, plain in RANK.items():
        cost = plain
        if usage.ranks and rank not in usage.ranks:
            cost += SHAPE.other_rank
        if rank in usage.ranks:
            cost = SHAPE.named_factor * cost
        if rank < usage.least:
            cost += SHAPE.too_low
        elif usage.least > 2 and rank == usage.least:
            cost *= SHAPE.least_factor
        costs[rank] = cost
    return costs


def ranks(usage: Usage) -> list[tuple[float, str]]:
    """Return what the first tensor's shape may be, as names of absolute shapes, with costs."""
    costs = _rank_costs(usage)
    return sorted(
        [
            *((cost, f"rank {rank}") for rank, cost in costs.items()),
            # Even sizes throughout, all axes equal, larger images: what some forwards want.
            (SHAPE.square_on_top + costs[2], "square 4"),
            (SHAPE.large_square, "square 8"),
            (SHAPE.images, "images"),
            (SHAPE.blocks, "blocks"),
            (SHAPE.batches, "batches"),
        ]
    )


ABSOLUTE: Mapping[str, Shape] = {
    **{f"rank {rank}": shape for rank, shape in PLAIN.items()},
    "square 4": (4, 4),
    "square 8": (8, 8),
    "images": (N, 3, 16, 16),
    "blocks": (32, 64),
    "batches": (N, 4, 4),
}


def relations(name: str, usage: Usage) -> list[tuple[float, str]]:
    """Return what the shape of a later tensor may be, with costs."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    preferred = [kind for texts, kinds in _NAMED.items() if words & set(texts.split()) for kind in kinds]
    options = []
    for relation, cost in RELATION.items():
        if relation in preferred:
            options.append((SHAPE.named_step * preferred.index(relation) + SHAPE.named, relation))
        else:
            options.append((cost + SHAPE.not_named * bool(preferred), relation))
    for rank, cost in _rank_costs(usage).items():
        expected = not usage.ranks or rank in usage.ranks
        extra = 0.0 if expected else SHAPE.unrelated_other_rank
        options.append((SHAPE.unrelated + cost + extra, f"rank {rank}"))
    return sorted(options)


def shape_of(kind: str, first: Shape | None) -> Shape | None:
    """Return the shape that a name stands for, given that of the first tensor; None where there is none."""
    if kind in ABSOLUTE:
        return ABSOLUTE[kind]
    return None if first is None else RELATIVE[kind](first)
