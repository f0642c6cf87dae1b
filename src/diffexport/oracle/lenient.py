"""Judging by what a case lets through: a tolerance of its own, other shapes or dtypes, a share of elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diffexport.arrays import Array, is_complex, is_floating
from diffexport.oracle.arbitration import ComparisonResult
from diffexport.oracle.comparison import compare
from diffexport.oracle.differences import differs
from diffexport.values import Terms


def compare_leniently(
    eager: Sequence[Array],
    got: Sequence[Array],
    terms: Terms,
    judge: Callable[[Sequence[Array], Sequence[Array]], ComparisonResult],
) -> ComparisonResult:
    """Judge outputs on the terms of a case.

    Args:
        eager, got: the outputs of both sides.
        terms: what is let through.
        judge: compares both sides and arbitrates; not asked where a tolerance stands in place of the oracle.

    Returns:
        What is left; ``tolerated`` where the tight comparison of the outputs as they are finds more than that.
    """
    strict = compare(eager, got)
    if not strict or len(eager) != len(got):
        return ComparisonResult(strict)
    pairs = [_aligned(one, other, terms) for one, other in zip(eager, got, strict=True)]
    mine, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    if terms.judged_fixed:
        theirs = [_patched(*pair, _within(*pair, terms)) for pair in zip(mine, theirs, strict=True)]
    left = ComparisonResult(compare(mine, theirs)) if terms.judged_fixed else judge(mine, theirs)
    if left.found and terms.mismatched:
        theirs = [_share_patched(*pair, terms.mismatched) for pair in zip(mine, theirs, strict=True)]
        left = ComparisonResult(compare(mine, theirs)) if terms.judged_fixed else judge(mine, theirs)
    return replace(left, tolerated=len(left.found) < len(strict) and not left.excused)


def _aligned(eager: Array, got: Array, terms: Terms) -> tuple[Array, Array]:
    """Return both sides with one shape and one dtype, where the terms do not care and it can be done."""
    if not terms.check_shape and eager.shape != got.shape:
        try:
            both = np.broadcast_arrays(eager, got)
        except ValueError:
            return eager, got
        eager, got = (np.array(side) for side in both)
    if not terms.check_dtype and eager.dtype != got.dtype:
        common = _wider(eager.dtype, got.dtype)
        if common is not None:
            eager, got = eager.astype(common), got.astype(common)
    return eager, got


def _wider(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any] | None:
    try:
        return np.promote_types(one, other)
    except TypeError:
        # bfloat16 and float16 have no common dtype of their own.
        real = all(is_floating(dtype) or dtype.kind in "biu" for dtype in (one, other))
        return np.dtype(np.float64) if real else None


def _within(eager: Array, got: Array, terms: Terms) -> Array:
    """Return which values are finite on both sides and within the tolerance."""
    if eager.shape != got.shape or eager.dtype != got.dtype or eager.dtype.kind == "O":
        return np.zeros(eager.shape, bool)
    kind: Any = np.complex128 if is_complex(eager.dtype) else np.float64
    with np.errstate(all="ignore"):
        one, other = eager.astype(kind), got.astype(kind)
        close = np.abs(other - one) <= (terms.atol or 0.0) + (terms.rtol or 0.0) * np.abs(one)
        within: Array = close & np.isfinite(one) & np.isfinite(other)
        return within


def _patched(eager: Array, got: Array, mask: Array) -> Array:
    if eager.shape != got.shape or not mask.any():
        return got
    patched: Array = np.where(mask, eager, got)
    return patched


def _share_patched(eager: Array, got: Array, share: float) -> Array:
    """Return what eager has, if no more than a share of the elements differs."""
    if eager.shape != got.shape or eager.dtype != got.dtype or not eager.size:
        return got
    return eager if np.count_nonzero(differs(eager, got)) <= share * eager.size else got
