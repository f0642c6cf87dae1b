"""Arbitration: whether rounding explains why two sides differ, and the evidence where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array, is_complex, is_floating, part_dtype, to_array
from diffexport.oracle.comparison import compare, same_bits, value_class
from diffexport.oracle.differences import differs, infinite, is_float, near_once, within_fixed
from diffexport.oracle.evidence import evidence_of, sentence
from diffexport.oracle.noise import Noise, Widened
from diffexport.oracle.operator_trace import OperatorTrace
from diffexport.oracle.other_shapes import OtherShapes
from diffexport.oracle.overflow import Overflows, is_off
from diffexport.oracle.spread import MANY, as_exact, explained, explained_between, hopeless
from diffexport.oracle.unrounded_noise import UnroundedNoise
from diffexport.values import Aspect, Divergence, Evidence, Kind

#: The outputs of a run, or the text of the error that it ended with.
Outputs = Sequence[Array] | str

#: After how many runs to look: most rounding is explained by a few, and what is far outside is seen as soon.
STAGES = (6, 32, 128)
#: Of more differing elements than this, about so many are asked about first.
_MANY_PLACES = 1 << 12
#: Most elements of all runs together, and how many runs there are at least: of large outputs, whose elements say much
#: of each other, there are few.
_MOST_ELEMENTS, _FEWEST_RUNS = 1 << 24, 3
#: How many runs an operator trace is replayed for.
TRACED_RUNS = STAGES[1]
#: How many runs there are under noise that is not rounded: more than values that repeat are few in.
UNROUNDED_RUNS = 32
#: As a share of the values of an output, how far apart runs may be for noise that is not rounded to be asked: where
#: the exported model is nearer to float64 than eager, and where it is not.
MOST_SPREAD, MOST_SPREAD_OF_FARTHER = 2.0**-3, 2.0**-10
#: Kinds that rounding may cause.
ARBITRABLE = (Kind.VALUE, Kind.NAN_PLACEMENT, Kind.INFINITY, Kind.SIGN_OF_ZERO)
#: Kinds of which evidence says more.
_WITH_EVIDENCE = (*ARBITRABLE, Kind.OVERFLOW)


@dataclass(frozen=True)
class Rerun:
    """How eager is run again on the same inputs.

    Attributes:
        noisy: run with every operator called by the given handler.
        wide: run on inputs, parameters and buffers in float64 with every operator called by the handler, which
            computes in float64.
        traced: run with every operator called by an operator trace; returns the outputs, or None if these are not all
            tensors.
    """

    noisy: Callable[[Noise], Outputs]
    wide: Callable[[Widened | UnroundedNoise | Overflows], Outputs]
    traced: Callable[[OperatorTrace], Sequence[Tensor] | None]


@dataclass(frozen=True)
class ComparisonResult:
    """What is left of the divergences, and whether it took arbitration to say so; fields as in a verdict."""

    found: list[Divergence]
    arbitrated: bool = False
    excused: bool = False
    unrefereed: bool = False
    tolerated: bool = False


class RoundingCheck:
    """Arbitrates between eager and exported models on one input. Runs are made when needed, and kept.

    Args:
        eager: the outputs of eager.
        rerun: how to run it again.
        seed: the same seed gives the same judgement.
    """

    def __init__(self, eager: Sequence[Array], rerun: Rerun, seed: int = 0) -> None:
        self._eager, self._rerun, self._seed = eager, rerun, seed
        self._runs: list[list[Array]] = [[] for _ in eager]
        self._stacked: tuple[int, list[Array]] = (0, [])
        self._tried = 0
        self._succeeded = 0
        self._disturbed = False
        self._error = ""
        self._unrecomputed: set[str] = set()
        self._reference: Outputs | None = None
        self._from_trace: list[Array] | None = None
        self._unrounded_runs: dict[torch.dtype, list[Sequence[Array]]] = {}
        self._overflows: dict[torch.dtype, Outputs] = {}
        self._other_shapes = OtherShapes()
        elements = sum(array.size for array in eager)
        self._most_runs = max(_FEWEST_RUNS, min(STAGES[-1], _MOST_ELEMENTS // max(elements, 1)))

    def judge(self, got: Sequence[Array]) -> ComparisonResult:
        """Compare, and arbitrate what differs."""
        differences = compare(self._eager, got, brief=True)
        if any(d.kind is Kind.SHAPE for d in differences) and self._is_of_other_shapes(got):
            return ComparisonResult([], True, True, bool(self._note()))
        if not any(
            d.kind in ARBITRABLE or d.is_about(Kind.STRUCTURE, Aspect.ORDER_OF_OUTPUTS) for d in differences
        ):
            return ComparisonResult(compare(self._eager, got) if differences else differences)
        masks = [self._explained(number, other) for number, other in enumerate(got)]
        patched = [
            np.where(mask, one, other) if mask.any() else other
            for mask, one, other in zip(masks, self._eager, got, strict=True)
        ]
        left = compare(self._eager, patched)
        fixed = bool(self._note())
        if not left:
            return ComparisonResult([], True, True, fixed)
        if not any(d.kind in ARBITRABLE for d in left):
            return ComparisonResult(left, True, False, fixed)
        left, notes = self._without_overflow(left, patched)
        found = [self._with_evidence(divergence, got) for divergence in (*left, *notes)]
        return ComparisonResult(found, True, False, fixed)

    def _is_of_other_shapes(self, got: Sequence[Array]) -> bool:
        """Return whether runs give outputs of these shapes, and these values in them."""
        for stage in STAGES:
            self._results(0, min(stage, self._most_runs))
            if self._other_shapes.explain(got):
                return True
            if not self._other_shapes:
                # As for nearly all models, whose shapes depend on no values.
                break
        return False

    def _without_overflow(
        self, left: list[Divergence], got: Sequence[Array]
    ) -> tuple[list[Divergence], list[Divergence]]:
        """Return what is left beside elements where eager overflows on the way, and a note for each output of these."""
        notes, patched = [], list(got)
        for number in sorted(
            {d.place.number for d in left if d.kind in ARBITRABLE and d.place.number is not None}
        ):
            eager = self._eager[number]
            over = self._overflown(number, got[number])
            if over is None or not over.any():
                continue
            only = np.where(over, got[number], eager)
            for one in compare([*self._eager[:number], eager], [*self._eager[:number], only]):
                signature = one.signature
                if one.element is not None:
                    signature = "→".join(value_class(side[one.element]) for side in (eager, only))
                notes.append(replace(one, kind=Kind.OVERFLOW, signature=signature))
            patched[number] = np.where(over, eager, got[number])
        return (compare(self._eager, patched), notes) if notes else (left, notes)

    def _overflown(self, number: int, got: Array) -> Array | None:
        """Return where the sides differ because one overflows on the way to what float64 has; None if nowhere.

        Either eager is off from float64 there, or the exported model is not finite.
        """
        eager, reference = self._eager[number], self._reference_of(number)
        if reference is None or not is_floating(eager.dtype) or eager.shape != got.shape:
            return None
        infinite_only = np.isfinite(reference) & ~np.isfinite(got.astype(np.float64))
        over: Array = differs(eager, got) & (is_off(eager, reference) | infinite_only)
        if not over.any():
            return None
        dtype = getattr(torch, eager.dtype.name)
        if dtype not in self._overflows:
            self._overflows[dtype] = self._rerun.wide(Overflows(dtype))
        marked = self._overflows[dtype]
        if isinstance(marked, str) or [a.shape for a in marked] != [a.shape for a in self._eager]:
            return None
        return over & np.isnan(marked[number])

    def _explained(self, number: int, got: Array) -> Array:
        """Return which elements of one output are explained; of those that agree anyway, none."""
        eager = self._eager[number]
        result = np.zeros(eager.shape, bool)
        if eager.dtype != got.dtype or eager.shape != got.shape:
            return result
        places = np.flatnonzero(differs(eager, got))
        if places.size and eager.size >= MANY:
            fine = self._as_exact(number, places, got)
            result.reshape(-1)[places[fine]] = True
            places = places[~fine]
        if places.size > _MANY_PLACES:
            # Where rounding does not explain some of them, it need not be asked about all.
            some = places[:: places.size // _MANY_PLACES]
            if not self._under_noise(number, some, got).all():
                return result
        fine = self._under_noise(number, places, got)
        result.reshape(-1)[places[fine]] = True
        return result

    def _under_noise(self, number: int, places: Array, got: Array) -> Array:
        """Return which of some elements of one output are explained by runs under noise."""
        eager = self._eager[number]
        result = np.zeros(places.shape, bool)
        left = np.arange(places.size)
        runs = self._runs_of_trace(number) if places.size else eager.reshape(1, -1)[:0]
        if left.size and runs.size:
            fine = explained(runs[:, places], eager.reshape(-1)[places], got.reshape(-1)[places])
            result[fine] = True
            left = left[~fine]
        for stage in STAGES:
            if not left.size:
                break
            at, count = places[left], min(stage, self._most_runs)
            one, other = eager.reshape(-1)[at], got.reshape(-1)[at]
            runs = self._results(number, count)[:, at]
            fine = explained(runs, one, other)
            # A finite value where eager has none is a matter of rounding only if a run has one.
            comparable = np.isfinite(runs).any(axis=0) | np.isfinite(one)
            if comparable.any():
                fine |= comparable & self._near_reference(number, at, other)
            if infinite(other).any():
                fine |= self._same_infinity(number, at, other)
            if stage == STAGES[0] and self._note():
                fine |= within_fixed(one, other)
            if stage == STAGES[1] and not fine.all():
                # Before many more runs: it takes less time.
                fine |= self._under_unrounded_noise(number, at, other)
            result[left[fine]] = True
            left = left[~fine & ~hopeless(runs, one, other)]
            if self._succeeded < stage:
                break
        # Of all that is left, also of what more runs would not help.
        left = np.flatnonzero(~result)
        if left.size and self._succeeded and is_float(eager.dtype):
            at = places[left]
            fine = self._under_unrounded_noise(number, at, got.reshape(-1)[at])
            result[left[fine]] = True
        return result

    def _under_unrounded_noise(self, number: int, places: Array, got: Array) -> Array:
        """Return which finite values are explained by noise that is not rounded.

        They are asked about if they lie between what the runs gave, or nearer to float64 than eager: there the lattice
        of the dtype, and not the model, may keep runs from giving them.
        """
        result = np.zeros(places.size, bool)
        eager, reference = self._eager[number].reshape(-1)[places], self._reference_of(number)
        if reference is None or is_complex(eager.dtype):
            return result
        exact = reference.reshape(-1)[places]
        runs = self._results(number, self._tried)[:, places]
        with np.errstate(all="ignore"):
            wide = np.concatenate([runs, eager[None]]).astype(np.float64)
            value = got.astype(np.float64)
            low, high = wide.min(axis=0), wide.max(axis=0)
            nearer = np.abs(value - exact) <= np.abs(eager.astype(np.float64) - exact)
            asked = np.isfinite(wide).all(axis=0) & np.isfinite(value)
            asked &= ((low <= value) & (value <= high)) | nearer
            # Where most digits have cancelled, the steps that are left are all that the model gives.
            most = np.where(nearer, MOST_SPREAD, MOST_SPREAD_OF_FARTHER)
            asked &= high - low <= most * np.maximum(np.abs(value), self._magnitude(number))
        if not asked.any():
            return result
        unrounded = self._unrounded(number)
        if unrounded is not None:
            among = explained_between(unrounded[:, places[asked]], eager[asked], got[asked])
            result[np.flatnonzero(asked)[among]] = True
        return result

    def _magnitude(self, number: int) -> float:
        """Return how large the finite values of an output are: their median."""
        sizes = np.abs(self._eager[number].astype(np.float64))
        sizes = sizes[np.isfinite(sizes)]
        return float(np.median(sizes)) if sizes.size else 0.0

    def _unrounded(self, number: int) -> Array | None:
        """Return what runs under noise that is not rounded give for an output, in float64; None if there are none."""
        eager = self._eager[number]
        dtype = getattr(torch, eager.dtype.name)
        if dtype not in self._unrounded_runs:
            count = min(UNROUNDED_RUNS, self._most_runs)
            runs = [
                self._rerun.wide(UnroundedNoise(self._seed * STAGES[-1] + run, dtype)) for run in range(count)
            ]
            shapes = [array.shape for array in self._eager]
            self._unrounded_runs[dtype] = [
                run for run in runs if not isinstance(run, str) and [a.shape for a in run] == shapes
            ]
        found = self._unrounded_runs[dtype]
        if not found or found[0][number].dtype != np.float64:
            return None
        return np.array([run[number].reshape(-1) for run in found])

    def _runs_of_trace(self, number: int) -> Array:
        """Return what many runs at once give for one output, as [_results][] does.

        There are no runs where the operator trace cannot be replayed.

        That is an order of magnitude faster, and explains nearly everything that rounding does to elementwise models.
        """
        if self._from_trace is None:
            trace = OperatorTrace()
            outputs = self._rerun.traced(trace)
            runs = None
            if outputs is not None and same_bits([to_array(tensor) for tensor in outputs], self._eager):
                runs = trace.replay(Noise(self._seed), TRACED_RUNS, outputs)
            self._from_trace = [array.reshape(1, -1)[:0] for array in self._eager] if runs is None else runs
        return self._from_trace[number]

    def _results(self, number: int, count: int) -> Array:
        """Return what ``count`` runs, or as many as succeed, give for one output, flat."""
        # One run is enough where nothing is inexact: the others are the same.
        while self._tried < count and (self._disturbed or not self._succeeded):
            noise = Noise(self._seed * STAGES[-1] + self._tried)
            self._tried += 1
            outputs = self._rerun.noisy(noise)
            self._unrecomputed |= noise.unrecomputed
            self._disturbed |= noise.disturbed
            if isinstance(outputs, str):
                self._error = outputs
                if not self._succeeded and self._tried >= STAGES[0]:
                    self._tried = STAGES[-1]
            elif [(a.dtype, a.shape) for a in outputs] == [(a.dtype, a.shape) for a in self._eager]:
                self._succeeded += 1
                for runs, array in zip(self._runs, outputs, strict=True):
                    runs.append(array.reshape(-1))
            elif len(outputs) == len(self._eager):
                self._other_shapes.add(outputs)
        if self._stacked[0] != self._succeeded:
            self._stacked = self._succeeded, [np.array(runs) for runs in self._runs]
        if not self._succeeded:
            return self._eager[number].reshape(1, -1)[:0]
        return self._stacked[1][number]

    def _note(self) -> str:
        """Return why the fixed tolerance judges, too; empty if it does not."""
        if self._unrecomputed:
            names = ", ".join(sorted(self._unrecomputed))
            return f"no float64 path for {names}: the fixed tolerance of torch.testing judges, too"
        if self._tried and not self._succeeded:
            why = self._error or "its outputs have other shapes then"
            return f"eager cannot be run under rounding noise ({why}): the fixed tolerance of torch.testing judges"
        return ""

    def _wide(self) -> Outputs:
        if self._reference is None:
            outputs = self._rerun.wide(Widened())
            if not isinstance(outputs, str):
                shapes = [a.shape for a in outputs] == [a.shape for a in self._eager]
                if not shapes:
                    outputs = "the outputs have other shapes in float64"
            self._reference = outputs
        return self._reference

    def _reference_of(self, number: int) -> Array | None:
        """Return an output computed in float64; None if there is none, or nothing that float64 adds to."""
        dtype = self._eager[number].dtype
        outputs = self._wide()
        if isinstance(outputs, str) or part_dtype(dtype) == np.float64 or not is_float(dtype):
            return None
        return outputs[number] if part_dtype(outputs[number].dtype) == np.float64 else None

    def _near_reference(self, number: int, places: Array, got: Array) -> Array:
        """Return which values are those of float64, rounded once: more exact than eager is no divergence."""
        reference = self._reference_of(number)
        if reference is None:
            return np.zeros(places.size, bool)
        with np.errstate(all="ignore"):
            once = reference.reshape(-1)[places].astype(got.dtype)
            if is_complex(got.dtype):
                return near_once(once.real, got.real) & near_once(once.imag, got.imag)
            return near_once(once, got)

    def _as_exact(self, number: int, places: Array, got: Array) -> Array:
        """Return which of many values are about as near to those of float64 as eager's are."""
        eager = self._eager[number]
        reference = self._reference_of(number)
        if reference is None or not is_floating(eager.dtype):
            return np.zeros(places.size, bool)
        # Measured on all elements, those that agree among them.
        return as_exact(eager.reshape(-1), got.reshape(-1), reference.reshape(-1), places)

    def _same_infinity(self, number: int, places: Array, got: Array) -> Array:
        """Return which infinities are those of float64: eager has NaN there where it overflows on the way."""
        reference = self._reference_of(number)
        if reference is None or is_complex(got.dtype):
            return np.zeros(places.size, bool)
        same: Array = infinite(got) & (reference.reshape(-1)[places] == got.astype(np.float64))
        return same

    def _with_evidence(self, divergence: Divergence, got: Sequence[Array]) -> Divergence:
        if divergence.kind not in _WITH_EVIDENCE or divergence.element is None:
            return divergence
        number = divergence.place.number
        assert number is not None
        evidence = self._evidence(number, divergence.element, divergence.place.part, got[number])
        said = sentence(evidence, overflow=divergence.kind is Kind.OVERFLOW)
        return replace(divergence, message=f"{divergence.message}{said}", evidence=evidence)

    def _evidence(self, number: int, element: tuple[int, ...], axis: str, got: Array) -> Evidence:
        eager = self._eager[number]
        flat = int(np.ravel_multi_index(element, eager.shape)) if element else 0
        one, other = (_part(array.reshape(-1)[flat], axis) for array in (eager, got))
        runs = _part(self._results(number, self._tried)[:, flat], axis) if self._succeeded else np.zeros(0)
        note, reference = self._note(), None
        if is_float(eager.dtype) and part_dtype(eager.dtype) != np.float64:
            wide = self._reference_of(number)
            if wide is not None:
                reference = float(_part(wide.reshape(-1)[flat], axis))
            else:
                outputs = self._wide()
                why = outputs if isinstance(outputs, str) else "a dtype is fixed in the model"
                note = note or f"no float64 path: {why}"
        return evidence_of(one, other, runs, reference, note)


def _part(value: Any, axis: str) -> Any:
    return getattr(value, axis) if axis else value
