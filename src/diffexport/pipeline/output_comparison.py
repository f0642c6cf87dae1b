"""How the outputs of an exported model are compared with eager's: at sight, or with arbitration of what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from diffexport import oracle
from diffexport.arrays import Array, array_of
from diffexport.pipeline.bounded_cache import BoundedCache
from diffexport.pipeline.eager import EagerResult
from diffexport.pipeline.eager_models import EagerModels, case_key
from diffexport.subjects.cases import Case
from diffexport.values import NO_DEADLINE, Inputs, Kind, Mode, Terms

#: How many inputs are remembered with the runs of eager under noise, and how many elements their outputs may have.
_ARBITERS, _SHARED_ELEMENTS = 16, 1 << 16


class OutputComparison(Protocol):
    """Compares the outputs of exported models on one input with eager's."""

    def judge(self, got: Sequence[Array]) -> oracle.ComparisonResult:
        """Return what differs."""


class PlainComparison:
    """Compares without arbitration, and without messages."""

    def __init__(self, eager: EagerResult) -> None:
        self._outputs = eager.outputs

    def judge(self, got: Sequence[Array]) -> oracle.ComparisonResult:
        """Return what differs."""
        return oracle.ComparisonResult(oracle.compare(self._outputs, got, brief=True))


#: What is said of the elements of an output that has the right shape and dtype.
_OF_ELEMENTS = (Kind.VALUE, Kind.NAN_PLACEMENT, Kind.INFINITY, Kind.SIGN_OF_ZERO, Kind.OVERFLOW)


class UnlikeValues:
    """Compares the outputs of a random model: their number, shapes and dtypes, and no values."""

    def __init__(self, eager: EagerResult) -> None:
        self._outputs = eager.outputs

    def judge(self, got: Sequence[Array]) -> oracle.ComparisonResult:
        """Return what differs besides values."""
        found = oracle.compare(self._outputs, got)
        return oracle.ComparisonResult([one for one in found if one.kind not in _OF_ELEMENTS])


class RememberingComparison:
    """Arbitrates what was not arbitrated before: the same inputs with the same outputs are judged the same."""

    def __init__(
        self,
        arbiter: oracle.RoundingCheck,
        judgements: BoundedCache[oracle.ComparisonResult],
        key: tuple[Hashable, ...],
    ) -> None:
        self._arbiter, self._judgements, self._key = arbiter, judgements, key

    def judge(self, got: Sequence[Array]) -> oracle.ComparisonResult:
        """Return what differs by more than rounding."""
        return self._judgements.get((*self._key, bits_of(got)), lambda: self._arbiter.judge(got))


class Arbitration:
    """Makes the comparisons that tell rounding from other differences, for which eager is run again.

    Args:
        eager: runs it.
        remembered: how many judgements to remember.

    Attributes:
        deadline: is asked before eager is run again.
    """

    def __init__(self, eager: EagerModels, remembered: int) -> None:
        self._eager = eager
        self._judgements: BoundedCache[oracle.ComparisonResult] = BoundedCache(remembered)
        self._arbiters: BoundedCache[oracle.RoundingCheck] = BoundedCache(_ARBITERS)
        self.deadline = NO_DEADLINE

    def comparison(self, case: Case, mode: Mode, inputs: Inputs, eager: EagerResult) -> OutputComparison:
        """Return what compares on these inputs; eager is run again once for all runtimes.

        What is said is remembered where the inputs are arrays and tensors alone.
        """
        if self._eager.is_random(case, mode):
            return UnlikeValues(eager)

        def arbiter() -> oracle.RoundingCheck:
            return oracle.RoundingCheck(eager.outputs, self._timed(self._eager.rerun(case, mode, inputs)))

        if not isinstance(inputs, tuple) or not all(
            isinstance(value, np.ndarray | torch.Tensor) for value in inputs
        ):
            return arbiter()
        given = bits_of([array_of(value) for value in inputs]), len({id(value) for value in inputs})
        model = case_key(case), self._eager.state_of(case, mode)
        key = model, given, bits_of(eager.outputs)
        elements = sum(output.size for output in eager.outputs)
        # What eager gives when it is run again is the same in every mode.
        shared = self._arbiters.get(key, arbiter) if elements <= _SHARED_ELEMENTS else arbiter()
        return RememberingComparison(shared, self._judgements, key)

    def _timed(self, rerun: oracle.Rerun) -> oracle.Rerun:
        """Return how eager is run again while there is time."""

        def noisy(noise: oracle.Noise) -> oracle.Outputs:
            self.deadline.check()
            return rerun.noisy(noise)

        return replace(rerun, noisy=noisy)


def judge_on_terms(
    comparison: OutputComparison, terms: Terms, eager: Sequence[Array], got: Sequence[Array]
) -> oracle.ComparisonResult:
    """Compare outputs as leniently as the terms of a case ask for."""
    if not terms.lenient:
        return comparison.judge(got)

    def judge(eager_form: Sequence[Array], got_form: Sequence[Array]) -> oracle.ComparisonResult:
        # What was brought into another shape or dtype is not what eager gives when it is run again.
        as_given = all(one is other for one, other in zip(eager_form, eager, strict=True))
        return (
            comparison.judge(got_form)
            if as_given
            else oracle.ComparisonResult(oracle.compare(eager_form, got_form))
        )

    return oracle.compare_leniently(eager, got, terms, judge)


def bits_of(arrays: Sequence[Array]) -> bytes:
    """Return a digest of arrays: dtypes, shapes and values, whatever their strides."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.dtype.str} {array.shape}|".encode())
        state.update(array.tobytes())
    return state.digest()
