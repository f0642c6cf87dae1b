"""Large tensors in a regression file: what they are filled with; or, where they only say what was seen, a digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pydantic

from diffexport.arrays import Array, Filling, array_digest, fill, found_filling, reads
from diffexport.errors import RegressionFileError

#: Most elements besides a background that are stored one by one.
_MOST_PLACED = 64


class Filled(pydantic.BaseModel, extra="forbid"):
    """The values of a tensor as a filling, see ``arrays/fillings.py``, and a digest of what they are to be."""

    family: str
    numbers: list[Any]
    seed: int = 0
    placed: list[tuple[list[int], Any]] = []
    digest: str


def encode_filling(array: Array) -> dict[str, Any] | None:
    """Return the values of an array as a JSON object of few numbers; None where they are not of that kind."""
    filling = found_filling(array, _MOST_PLACED)
    if filling is None:
        return None
    document: dict[str, Any] = {"family": filling.family, "numbers": [_as_json(n) for n in filling.numbers]}
    if filling.seed:
        document["seed"] = filling.seed
    if filling.placed:
        document["placed"] = [[list(index), _as_json(number)] for index, number in filling.placed]
    return document | {"digest": array_digest(array)}


def decode_filling(filled: Filled, dtype: str, shape: list[int]) -> Array:
    """Return the array of a filling.

    Raises:
        RegressionFileError: it does not fit together, or what it makes is not what was stored.
    """
    placed = tuple((tuple(index), _from_json(number)) for index, number in filled.placed)
    numbers = tuple(_from_json(number) for number in filled.numbers)
    try:
        array = fill(Filling(dtype, tuple(shape), filled.family, numbers, filled.seed, placed))
    except (ValueError, OverflowError, TypeError) as error:
        raise RegressionFileError(f"what it is filled with is no tensor: {error}") from None
    if array_digest(array) != filled.digest:
        raise RegressionFileError(
            f"filled with {reads(array)} it is not what was stored: its digest is {array_digest(array)}, and was "
            f"{filled.digest}; the file was changed, or this version of diffexport or numpy fills otherwise"
        )
    return array


def _as_json(number: Any) -> Any:
    return list(number) if isinstance(number, tuple) else number


def _from_json(number: Any) -> Any:
    return tuple(number) if isinstance(number, list) else number


@dataclass(frozen=True)
class LeftOut:
    """A large output of which a regression keeps what it reads like.

    Attributes:
        dtype, shape: of the output.
        strides: in elements.
        reads: its values in words.
        digest: of its values.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    reads: str
    digest: str

    def document(self) -> dict[str, Any]:
        """Return its JSON object."""
        return {
            "dtype": self.dtype.name,
            "shape": list(self.shape),
            "strides": list(self.strides),
            "reads": self.reads,
            "digest": self.digest,
        }

    def __repr__(self) -> str:
        what, but, otherwise = self.reads.partition(" but ")
        return f"{what} {self.dtype}[{', '.join(map(str, self.shape))}]{but}{otherwise}"
