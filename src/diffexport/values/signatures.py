"""Signatures that code decides on, as values: their text is what is stored and is part of an identity."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Aspect(enum.StrEnum):
    """What exactly is wrong, where the kind leaves it open; the text is the signature."""

    # Of the kind ``structure``.
    NUMBER_OF_OUTPUTS = "number of outputs"
    ORDER_OF_OUTPUTS = "order of outputs"
    UNKNOWN_INPUTS = "unknown inputs"
    # Of the kinds ``shape`` and ``declared-type``.
    DTYPE = "dtype"
    RANK = "rank"
    SIZE = "size"
    FIXED_DIMENSION = "fixed dimension"
    SYMBOLIC_DIMENSION = "symbolic dimension"
    # Of the kind ``nan-placement``.
    NAN_MOVED = "NaN moved"
    NAN_LOST = "NaN lost"
    NAN_GAINED = "NaN gained"
    # Of the kind ``value``.
    EXACT = "exact"
    FINITE = "finite→finite"
    # Of the kind ``unexpected-success``.
    EXPORTED = "the export succeeds"
    PASSED_CHECKER = "the checker accepts it"
    LOADED = "the runtime loads it"
    # Of the kind ``opset``.
    BELOW_OPSET = "below the opset asked for"
    ABOVE_OPSET = "above the opset asked for"
    # Of the kind ``graph-contract``.
    INPUT_NAMES = "input names"
    OUTPUT_NAMES = "output names"
    REMAINING_INPUTS = "remaining inputs"


@dataclass(frozen=True)
class MissingNodes:
    """The node kinds that a graph has too few of; a signature of the kind ``graph-contract``.

    Attributes:
        kinds: names of node kinds, each once.
    """

    kinds: Sequence[str]

    @property
    def signature(self) -> str:
        """The signature of a divergence, for instance ``missing Relu, Sin``."""
        return f"{_MISSING}{', '.join(self.kinds)}"

    @classmethod
    def parse(cls, signature: str) -> MissingNodes | None:
        """Read a signature; None if it says something else."""
        if not signature.startswith(_MISSING):
            return None
        return cls(tuple(signature.removeprefix(_MISSING).split(", ")))


_MISSING = "missing "
