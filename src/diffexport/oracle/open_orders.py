"""Orders that torch leaves open: under noise, a run has another one that the documentation admits.

What the documentation of torch 2.13 says, and what is left open for it:

- ``torch.topk``: "the indices of tied elements are not guaranteed to be stable and may vary across different
  invocations"; ``sorted=False`` leaves the order of all elements open.
- ``torch.sort``, ``torch.argsort``: "If stable is True then the sorting routine becomes stable, preserving the order of
  equivalent elements"; without it that order is open.
- ``torch.median`` and ``nanmedian`` with a dimension: "indices does not necessarily contain the first occurrence of
  each median value found, unless it is unique".
- ``torch.kthvalue``: "may nondeterministically return indices for any of them" (of several k-th values, on CUDA).
- ``torch.mode``: "indices is the index location of each mode value found", in its example not the first.
- ``torch.unique``: ``sorted`` says "whether to sort the unique elements"; False leaves their order open.

Not open: ``argmax``, ``argmin``, ``max`` and ``min`` ("the indices of the first maximal value are returned"), and
``sort(stable=True)``. Nothing is said of ``cummax``, ``cummin`` and pooling, which stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: The arguments of a call by name, its results, and random numbers; returns whether another order was possible. The
#: results are changed in place.
Reorder = Callable[[Mapping[str, Any], Any, np.random.Generator], bool]


def _order(count: int, random: np.random.Generator) -> Tensor:
    """Return numbers below ``count``: in a third of all runs as they are, in a third backwards, or in any order."""
    kind = random.integers(3)
    if kind == 0:
        return torch.arange(count)
    return torch.arange(count).flip(0) if kind == 1 else torch.from_numpy(random.permutation(count))


def _has_ties(values: Tensor, dim: int) -> bool:
    """Return whether any two elements along a dimension are equal; NaN equals NaN."""
    ordered = torch.sort(values, dim=dim).values
    one, other = (
        ordered.narrow(dim, 0, ordered.shape[dim] - 1),
        ordered.narrow(dim, 1, ordered.shape[dim] - 1),
    )
    return bool(((one == other) | ((one != one) & (other != other))).any())


def _sorted_indices(values: Tensor, dim: int, descending: bool, random: np.random.Generator) -> Tensor:
    """Return the indices that sort along a dimension, equal elements in any order."""
    order = _order(values.shape[dim], random)
    moved = values.index_select(dim, order)
    return order[torch.sort(moved, dim=dim, descending=descending, stable=True).indices]


def _sort(given: Mapping[str, Any], result: Any, random: np.random.Generator) -> bool:
    values, dim = given["self"], given["dim"]
    if given.get("stable") or not _can_tie(values, dim) or not _has_ties(values, dim):
        return False
    indices = _sorted_indices(values, dim, given["descending"], random)
    # Zeros of different sign are equal, too.
    result[0].copy_(values.gather(dim, indices))
    result[1].copy_(indices)
    return True


def _topk(given: Mapping[str, Any], result: Any, random: np.random.Generator) -> bool:
    values, count, dim = given["self"], int(given["k"]), given["dim"]
    if not count or not _can_tie(values, dim) or (given["sorted"] and not _has_ties(values, dim)):
        return False
    indices = _sorted_indices(values, dim, given["largest"], random).narrow(dim, 0, count)
    if not given["sorted"]:
        indices = indices.index_select(dim, _order(count, random))
    result[0].copy_(values.gather(dim, indices))
    result[1].copy_(indices)
    return True


def _index_of_value(given: Mapping[str, Any], result: Any, random: np.random.Generator) -> bool:
    """Let an operator that finds a value along a dimension return any index at which it stands."""
    values, dim = given["self"], given.get("dim")
    if dim is None or not _can_tie(values, dim):
        return False
    found, indices = (item if given["keepdim"] else item.unsqueeze(dim) for item in (result[0], result[1]))
    same = (values == found) | ((values != values) & (found != found))
    if not (same.sum(dim) > 1).any():
        return False
    order = _order(values.shape[dim], random)
    # The first of them in that order.
    place = same.index_select(dim, order).to(torch.int8).argmax(dim, keepdim=True)
    indices.copy_(order[place])
    return True


def _unique(given: Mapping[str, Any], result: Any, random: np.random.Generator) -> bool:
    dim = given.get("dim", 0)
    count = result[0].shape[dim] if result[0].dim() else 1
    if given["sorted"] or count < 2:
        return False
    order = _order(count, random)
    result[0].copy_(result[0].index_select(dim, order))
    if result[1].numel():
        result[1].copy_(torch.argsort(order)[result[1]])
    if len(result) > 2 and result[2].numel():
        result[2].copy_(result[2][order])
    return True


def _can_tie(values: Tensor, dim: int) -> bool:
    return bool(values.dim() and values.numel() and values.shape[dim] > 1)


#: By the name of the operator.
OPEN_ORDERS: Mapping[str, Reorder] = MappingProxyType(
    {
        "sort": _sort,
        "topk": _topk,
        **dict.fromkeys(("kthvalue", "median", "nanmedian", "mode"), _index_of_value),
        **dict.fromkeys(("_unique", "_unique2", "unique_dim"), _unique),
    }
)
