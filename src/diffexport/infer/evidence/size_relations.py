"""Shapes worth trying for several tensors together.

Every size stands for one dimension of its own, so that two sizes that an error message names tell which dimensions
they are. The first tensor has a rank, the others a place in relation to it: its shape, a vector along one of its
axes, the weight of a linear map or a convolution, one element for each row, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from diffexport.infer.evidence.usage import Usage

Shape = tuple[int, ...]

#: Sizes by what they stand for: batch, channels, height, width, depth; rows and columns of something else.
N, C, H, W, D, O, M = 2, 4, 6, 8, 3, 10, 12  # noqa: E741
#: The shape of the first tensor by its rank.
PLAIN: Mapping[int, Shape] = {0: (), 1: (C,), 2: (N, C), 3: (N, C, H), 4: (N, C, H, W), 5: (N, C, D, H, W)}
#: How plausible each rank is, before anything is known.
_RANK_COST = {2: 0.0, 1: 0.5, 4: 0.6, 3: 0.55, 0: 2.0, 5: 2.2}

#: Shapes in relation to the first tensor's, with what each costs; None where it has no such one.
RELATIVE: Mapping[str, tuple[float, Callable[[Shape], Shape | None]]] = {
    "same": (0.0, lambda x: x),
    "last": (0.9, lambda x: x[-1:] or None),
    "channel": (1.3, lambda x: x[1:2] if len(x) > 2 else None),
    "scalar": (1.2, lambda x: () if x else None),
    "one": (1.3, lambda _: (1,)),
    "linear weight": (1.0, lambda x: (O, x[-1]) if x else None),
    "matrix on the right": (1.2, lambda x: (x[-1], O) if x else None),
    "batched on the right": (1.6, lambda x: (*x[:-2], x[-1], O) if len(x) > 2 else None),
    "batched transposed": (1.7, lambda x: (*x[:-2], O, x[-1]) if len(x) > 2 else None),
    "convolution weight": (1.2, lambda x: (O, x[1], *(3,) * (len(x) - 2)) if len(x) > 2 else None),
    "transposed convolution weight": (1.9, lambda x: (x[1], O, *(3,) * (len(x) - 2)) if len(x) > 2 else None),
    "out features": (1.4, lambda _: (O,)),
    "one for each row": (1.1, lambda x: x[:-1] if x else None),
    "row with one column": (1.5, lambda x: (*x[:-1], 1) if x else None),
    "one step": (1.5, lambda x: x[1:] if len(x) > 1 else None),
    "batch": (1.3, lambda x: x[:1] if len(x) > 1 else None),
    "square": (2.0, lambda x: (x[-1], x[-1]) if x else None),
    "pooled": (2.0, lambda x: (*x[:2], *(1,) * (len(x) - 2)) if len(x) > 2 else None),
    "vector": (1.9, lambda _: (M,)),
    "matrix": (2.1, lambda _: (O, M)),
    "transposed": (1.8, lambda x: (*x[:-2], x[-1], x[-2]) if len(x) > 1 else None),
    "doubled rows": (2.6, lambda x: (2 * x[0], *x[1:]) if x else None),
}
#: What words in a parameter's name speak for.
_NAMED: Mapping[str, tuple[str, ...]] = {
    "weight weights w kernel filter filters": ("linear weight", "convolution weight", "matrix on the right"),
    "bias b beta gamma running mean var": ("last", "out features", "channel"),
    "scale scales zero zp alpha step threshold temperature": ("scalar", "one", "last"),
    "label labels target targets": ("one for each row",),
    "index indices idx perm permutation ids": ("batch", "vector", "one for each row"),
    "state hidden mem h c v": ("same", "one step"),
}


def ranks(usage: Usage) -> list[tuple[float, str]]:
    """Return what the first tensor's shape may be, as names of absolute shapes, with costs."""
    found = []
    for rank, cost in _RANK_COST.items():
        if usage.ranks and rank not in usage.ranks:
            cost += 2.0
        if rank in usage.ranks:
            cost = 0.1 * cost
        if rank < usage.least:
            cost += 2.5
        elif usage.least > 2 and rank == usage.least:
            cost *= 0.2
        found.append((cost, f"rank {rank}"))
    # Even sizes throughout, all axes equal, larger images: what some forwards want.
    found += [
        (1.5 + found[0][0], "square 4"),
        (2.4, "square 8"),
        (2.6, "images"),
        (3.0, "blocks"),
        (3.4, "batches"),
    ]
    return sorted(found)


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
    found = []
    for kind, (cost, _) in RELATIVE.items():
        own = 0.15 * preferred.index(kind) + 0.1 if kind in preferred else cost + 0.5 * bool(preferred)
        found.append((own, kind))
    found += [(2.0 + cost + (0.0 if not usage.ranks or int(kind[-1]) in usage.ranks else 1.5), kind)
              for cost, kind in ranks(usage) if kind.startswith("rank")]  # fmt: skip
    return sorted(found)


def shape_of(kind: str, first: Shape | None) -> Shape | None:
    """Return the shape that a name stands for, given that of the first tensor; None where there is none."""
    if kind in ABSOLUTE:
        return ABSOLUTE[kind]
    return None if first is None else RELATIVE[kind][1](first)
