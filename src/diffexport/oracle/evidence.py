"""What is said of an element that rounding does not explain: as evidence, and as the end of a message.

A message never says that the exported model's value lies among what eager gives, and that eager does not give it: where
it lies between the least and the greatest, the two of eager's values next to it are named, with none between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diffexport.arrays import Array, finfo
from diffexport.oracle.comparison import apart, show
from diffexport.values import Evidence


def evidence_of(eager: Any, got: Any, runs: Array, reference: float | None, note: str) -> Evidence:
    """Return the evidence on one element.

    Args:
        eager, got: its values on both sides, numpy numbers of one real dtype.
        runs: what the runs under noise give for it, of shape (runs,).
        reference: what float64 gives for it, None if there is no such path.
        note: what kept it from being arbitrated as it should.
    """
    is_float = np.asarray(eager).dtype.kind not in "iub"
    with np.errstate(all="ignore"):
        values = np.append(runs.astype(np.float64), float(eager))
    values = values[np.isfinite(values)]
    low, high = (
        (float(values.min()), float(values.max()))
        if values.size and (is_float or len(runs))
        else (None, None)
    )
    below = above = None
    if low is not None and high is not None and low < float(got) < high and float(got) not in values:
        below = float(values[values < float(got)].max())
        above = float(values[values > float(got)].min())
    if not is_float:
        return Evidence(len(runs), low, high, note=note, below=below, above=above)
    condition = None
    if low is not None and high is not None and np.isfinite(eager) and eager != 0 and len(runs):
        condition = (high / 2 - low / 2) / abs(float(eager)) / float(finfo(np.asarray(eager).dtype).eps)
    finite = bool(np.isfinite(eager)) and bool(np.isfinite(got))
    return Evidence(
        runs=len(runs),
        low=low,
        high=high,
        ulps=apart(eager, got) if finite else None,
        condition=condition,
        reference=reference,
        farther="" if reference is None else _farther(reference, float(eager), float(got)),
        note=note,
        below=below,
        above=above,
    )


def sentence(evidence: Evidence, *, overflow: bool = False) -> str:
    """Return evidence as the end of a message; with ``overflow``, of an element that differs by overflow on the way."""
    text = _spread(evidence) if evidence.runs else ""
    if evidence.reference is not None:
        text += f"; float64 gives {_shown(evidence.reference)}"
        if evidence.farther == "exported":
            text += ", the exported model is farther from it"
        elif evidence.farther == "eager" and overflow:
            text += ", eager is farther from it"
        elif evidence.farther == "eager":
            text += ", eager is farther from it, though no rounding of eager gives the exported value"
        if overflow:
            text += "; a result overflows on the way"
    return f"{text}; {evidence.note}" if evidence.note else text


def _spread(evidence: Evidence) -> str:
    if evidence.low is None or evidence.high is None:
        return ""
    runs = f"; {evidence.runs} {'runs' if evidence.runs > 1 else 'run'} under rounding noise"
    if evidence.low == evidence.high:
        every = " all give" if evidence.runs > 1 else " gives"
        return f"{runs}{every} {_shown(evidence.low)}"
    give = "give" if evidence.runs > 1 else "gives"
    if evidence.below is None or evidence.above is None:
        return f"{runs} {give} {_shown(evidence.low)} to {_shown(evidence.high)}"
    if (evidence.below, evidence.above) == (evidence.low, evidence.high):
        return f"{runs} {give} values about {_shown(evidence.low)} and {_shown(evidence.high)}, and none between them"
    return (
        f"{runs} {give} values from {_shown(evidence.low)} to {_shown(evidence.high)}, but none between"
        f" {_shown(evidence.below)} and {_shown(evidence.above)}"
    )


def _shown(value: float) -> str:
    return show(np.float64(value))


def _farther(reference: float, one: float, other: float) -> str:
    with np.errstate(all="ignore"):
        mine, theirs = (0.0 if _same(v, reference) else abs(np.float64(v) - reference) for v in (one, other))
        if np.isnan(mine) or np.isnan(theirs):
            mine, theirs = (float(np.isfinite(reference) != np.isfinite(v)) for v in (one, other))
    return "eager" if mine > theirs else "exported" if theirs > mine else ""


def _same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))
