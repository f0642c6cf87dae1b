"""Runs of eager under noise whose outputs have other shapes than eager's: a number of boxes, of nonzero elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffexport.arrays import Array
from diffexport.oracle.differences import differs
from diffexport.oracle.spread import explained

#: The dtypes and shapes of the outputs of a run.
_Form = tuple[tuple[np.dtype[np.generic], tuple[int, ...]], ...]


class OtherShapes:
    """Keeps runs by the shapes of their outputs, and says whether an exported model gave what such runs give."""

    def __init__(self) -> None:
        self._runs: dict[_Form, list[Sequence[Array]]] = {}

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, outputs: Sequence[Array]) -> None:
        """Keep the outputs of a run."""
        self._runs.setdefault(_form(outputs), []).append(outputs)

    def explain(self, got: Sequence[Array]) -> bool:
        """Return whether runs gave outputs of these shapes, and each element is among what they gave."""
        runs = self._runs.get(_form(got), [])
        if not runs:
            return False
        for number, array in enumerate(got):
            eager = runs[0][number]
            places = np.flatnonzero(differs(eager, array))
            others = np.array([run[number].reshape(-1)[places] for run in runs[1:]], eager.dtype)
            others = others.reshape(len(runs) - 1, places.size)
            if not explained(others, eager.reshape(-1)[places], array.reshape(-1)[places]).all():
                return False
        return True


def _form(outputs: Sequence[Array]) -> _Form:
    return tuple((array.dtype, array.shape) for array in outputs)
