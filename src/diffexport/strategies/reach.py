"""What generation reaches: counts of value classes, shape classes, layouts and dtypes, so that a hole is seen.

The classes are judged on what was drawn, not on the codes that it was drawn from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase

from diffexport.arrays import Array, as_parts, is_floating, to_array
from diffexport.strategies.layout import LAYOUTS
from diffexport.strategies.trial_strategies import VARIETY, Trial, trials
from diffexport.values import DTYPES, parse_specs, representative_shapes

Predicate = Callable[[Array], bool]

#: A constant that no table has by itself.
CONSTANT = 6.125

_BORDERS = (2.0**24, 2.0**31, 2.0**53)


def _rows(array: Array) -> Array:
    return (
        array.reshape(-1, array.shape[-1]) if array.ndim and array.shape[-1] > 1 else array.reshape(-1, 1)[:0]
    )


def _one_odd(array: Array) -> bool:
    return array.size > 2 and int((~np.isfinite(array)).sum()) == 1


#: What an array of float64 may hold.
VALUES: Mapping[str, Predicate] = {
    "zero": lambda a: bool(((a == 0) & ~np.signbit(a)).any()),
    "negative zero": lambda a: bool(((a == 0) & np.signbit(a)).any()),
    "nan": lambda a: bool(np.isnan(a).any()),
    "+inf": lambda a: bool((a == np.inf).any()),
    "-inf": lambda a: bool((a == -np.inf).any()),
    "subnormal": lambda a: bool(((np.abs(a) > 0) & (np.abs(a) < 2.0**-1022)).any()),
    "smallest normal": lambda a: bool((np.abs(a) == 2.0**-1022).any()),
    "largest": lambda a: bool((np.abs(a) == np.finfo(np.float64).max).any()),
    "small integer": lambda a: bool(((a % 1 == 0) & (a > 0) & (a <= 16)).any()),
    "negative integer": lambda a: bool(((a % 1 == 0) & (a < 0) & (a >= -16)).any()),
    "half": lambda a: bool((a % 1 == 0.5).any()),
    "power of two": lambda a: bool(
        (np.isfinite(a) & (np.abs(a) > 16) & (np.abs(np.frexp(a)[0]) == 0.5)).any()
    ),
    "around 2^24": lambda a: bool((np.abs(np.abs(a) - _BORDERS[0]) <= 1).any()),
    "around 2^31": lambda a: bool((np.abs(np.abs(a) - _BORDERS[1]) <= 1).any()),
    "around 2^53": lambda a: bool((np.abs(np.abs(a) - _BORDERS[2]) <= 2).any()),
    "80 to 110": lambda a: bool(((np.abs(a) >= 80) & (np.abs(a) <= 110)).any()),
    "near zero": lambda a: bool(((np.abs(a) > 1e-12) & (np.abs(a) < 1e-3)).any()),
    "near one": lambda a: bool(((a != 1) & (np.abs(a - 1) < 1e-9)).any()),
    "ordinary": lambda a: bool(((a % 0.5 != 0) & (np.abs(a) > 0.1) & (np.abs(a) < 16)).any()),
    "constant of the graph": lambda a: bool((a == CONSTANT).any()),
    "beside a constant": lambda a: bool(((a != CONSTANT) & (np.abs(a - CONSTANT) < 1e-14)).any()),
    "plain only": lambda a: bool(a.size and np.isfinite(a).all() and (np.abs(a) <= 16).all()),
    "one odd element": _one_odd,
    "odd element not first": lambda a: _one_odd(a) and bool(np.isfinite(a.reshape(-1)[0])),
    "ties": lambda a: a.size > 1 and len(np.unique(a[~np.isnan(a)])) < int((~np.isnan(a)).sum()),
    "constant rows": lambda a: bool(_rows(a).size and (_rows(a) == _rows(a)[:, :1]).all()),
    "sorted rows": lambda a: bool(
        _rows(a).size and (np.diff(_rows(a)) >= 0).all() and (np.diff(_rows(a)) > 0).any()
    ),
    "all different": lambda a: a.size > 2 and len(np.unique(a)) == a.size,
}

#: What a pair of shapes, of export and run, may be like.
SHAPES: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "0-d": lambda _e, r: r == (),
    "one dimension": lambda _e, r: len(r) == 1,
    "two dimensions": lambda _e, r: len(r) == 2,
    "three dimensions": lambda _e, r: len(r) == 3,
    "empty first": lambda _e, r: len(r) > 1 and r[0] == 0,
    "empty, not first": lambda _e, r: len(r) > 1 and 0 in r[1:] and r[0] != 0,
    "size one": lambda _e, r: 1 in r,
    "last of 2": lambda _e, r: r[-1:] == (2,),
    "last of 5": lambda _e, r: r[-1:] == (5,),
    "as exported": lambda e, r: e == r,
    "larger than exported": lambda e, r: int(np.prod(r)) > int(np.prod(e)),
    "smaller than exported": lambda e, r: 0 < int(np.prod(r)) < int(np.prod(e)),
    "0 where exported with more": lambda e, r: any(a > 0 and b == 0 for a, b in zip(e, r, strict=True)),
    "1 where exported with more": lambda e, r: any(a > 1 and b == 1 for a, b in zip(e, r, strict=True)),
    "more where exported with 0": lambda e, r: any(a == 0 and b > 0 for a, b in zip(e, r, strict=True)),
    "more where exported with 1": lambda e, r: any(a == 1 and b > 1 for a, b in zip(e, r, strict=True)),
}


def count(examples: int = 1000, seed: int = 0) -> dict[str, Counter[str]]:
    """Return, for each group of classes, in how many of ``examples`` trials each occurs.

    Groups: ``values`` (of float64), ``shapes``, ``layouts`` (of what is run on), ``examples`` (what is exported
    with), ``pairs`` (of two inputs) and ``dtypes`` (with an extreme of each).
    """
    counts = {
        "values": Counter(dict.fromkeys(VALUES, 0)),
        "shapes": Counter(dict.fromkeys(SHAPES, 0)),
        "layouts": Counter(dict.fromkeys((*LAYOUTS, "requires_grad"), 0)),
        "examples": Counter(dict.fromkeys((_variety(*variety) for variety in VARIETY), 0)),
        "pairs": Counter(dict.fromkeys(("same tensor", "same shape", "broadcast 1", "fewer dimensions"), 0)),
        "dtypes": Counter({f"{dtype}{what}": 0 for dtype in DTYPES for what in ("", " extreme")}),
    }
    single = trials(
        ["float64[...]"],
        dynamic=True,
        export_shapes=representative_shapes(parse_specs(["float64[...]"]), 8),
        max_samples=12,
        constants=[CONSTANT],
    )
    _each(single, examples, seed, lambda trial: _count_single(trial, counts))
    laid_out = trials(
        ["float32[..., >=2, >=2, >=2]"], max_samples=2, layouts=LAYOUTS, requires_grad=True, variety=VARIETY
    )
    _each(laid_out, examples, seed, lambda trial: _count_layout(trial, counts))
    pairs = trials(["float32[...B?]", "float32[...B?]"], dynamic=True, max_samples=2, same=True)
    _each(pairs, examples, seed, lambda trial: _count_pair(trial, counts["pairs"]))
    for dtype in DTYPES:
        one = trials([f"{dtype}[3]"], max_samples=12)
        _each(
            one, max(examples // len(DTYPES), 20), seed, lambda trial: _count_dtype(trial, counts["dtypes"])
        )
    return counts


def _variety(flavour: str, layout: str, requires_grad: bool) -> str:
    return f"{flavour} {layout}{' requires_grad' if requires_grad else ''}"


def _each(strategy: Any, examples: int, seed: int, look: Callable[[Trial], None]) -> None:
    configured = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @configured
    @hypothesis.seed(seed)
    @hypothesis.given(strategy)
    def draw(trial: Trial) -> None:
        with np.errstate(all="ignore"):
            look(trial)

    draw()


def _count_single(trial: Trial, counts: Mapping[str, Counter[str]]) -> None:
    arrays = [sample[0] for sample in trial.samples]
    for name, predicate in VALUES.items():
        counts["values"][name] += any(predicate(array) for array in arrays)
    for name, holds in SHAPES.items():
        counts["shapes"][name] += holds(trial.export_inputs[0].shape, arrays[0].shape)


def _count_layout(trial: Trial, counts: Mapping[str, Counter[str]]) -> None:
    value = trial.samples[0][0]
    counts["layouts"][_layout_of(value)] += 1
    counts["layouts"]["requires_grad"] += bool(getattr(value, "requires_grad", False))
    example = trial.export_inputs[0]
    array = example if isinstance(example, np.ndarray) else to_array(example)
    requires_grad = bool(getattr(example, "requires_grad", False))
    counts["examples"][_variety(_flavour_of(array), _layout_of(example), requires_grad)] += 1


def _layout_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "contiguous"
    strides, shape = value.stride(), tuple(value.shape)
    if 0 in strides:
        return "expanded"
    if value.storage_offset():
        return "offset"
    if value.is_contiguous():
        return "contiguous"
    if strides[-1] == 2:
        return "stepped"
    if len(shape) > 3:
        return "channels-last" if strides[1] == 1 else "transposed"
    # In three dimensions the second is the last but one: both layouts are one.
    return "transposed"


def _flavour_of(array: Array) -> str:
    if np.isnan(array).any():
        return "extreme"
    if not array.any():
        return "zeros"
    if (array == 1).all():
        return "ones"
    return "negative" if (array < 0).all() else "ordinary"


def _count_pair(trial: Trial, counts: Counter[str]) -> None:
    one, other = trial.samples[0]
    counts["same tensor"] += one is other
    counts["same shape"] += one is not other and one.shape == other.shape
    counts["broadcast 1"] += any(
        1 in (a, b) and a != b for a, b in zip(one.shape[::-1], other.shape[::-1], strict=False)
    )
    counts["fewer dimensions"] += one.ndim != other.ndim


def _count_dtype(trial: Trial, counts: Counter[str]) -> None:
    for (array,) in trial.samples:
        dtype = array.dtype
        real = as_parts(array)
        counts[dtype.name] += 1
        if dtype == np.bool_:
            extreme = bool(array.any())
        elif is_floating(real.dtype):
            extreme = bool(np.isnan(real).any() or np.isinf(real).any())
        else:
            info = np.iinfo(dtype)
            extreme = bool(((real == info.max) | (real == info.min)).any())
        counts[f"{dtype.name} extreme"] += extreme
