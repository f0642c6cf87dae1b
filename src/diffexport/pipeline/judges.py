"""Who judges what differs: the comparison alone, arbitration, or arbitration that remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Protocol

from diffexport import oracle
from diffexport.arrays import Array
from diffexport.pipeline.eager import Eager
from diffexport.pipeline.memo import Bounded


class Judge(Protocol):
    """Judges the outputs of exported models on one input."""

    def judge(self, got: Sequence[Array]) -> oracle.Judgement: ...  # noqa: D102


class Comparing:
    """Judges without arbitration, and without messages."""

    def __init__(self, eager: Eager) -> None:
        self._outputs = eager.outputs

    def judge(self, got: Sequence[Array]) -> oracle.Judgement:
        """Say what differs."""
        return oracle.Judgement(oracle.compare(self._outputs, got, brief=True))


class Remembering:
    """Arbitrates what was not arbitrated before: the same inputs with the same outputs are judged the same."""

    def __init__(
        self, arbiter: oracle.Arbiter, judgements: Bounded[oracle.Judgement], key: tuple[Hashable, ...]
    ) -> None:
        self._arbiter, self._judgements, self._key = arbiter, judgements, key

    def judge(self, got: Sequence[Array]) -> oracle.Judgement:
        """Say what differs by more than rounding."""
        return self._judgements.get((*self._key, bits_of(got)), lambda: self._arbiter.judge(got))


def bits_of(arrays: Sequence[Array]) -> bytes:
    """Return a digest of arrays: dtypes, shapes and values, whatever their strides."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.dtype.str} {array.shape}|".encode())
        state.update(array.tobytes())
    return state.digest()
