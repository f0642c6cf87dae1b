"""Which part of a model a divergence concerns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

_OUTPUT = re.compile(r"output\[(0|[1-9][0-9]*)\](?:\.(real|imag))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of a model a divergence concerns: all of it, its graph, its inputs, its outputs, or one output.

    Attributes:
        name: ``model``, ``graph``, ``inputs``, ``outputs`` or ``output``. A file that was written by hand may name
            something else, which is kept as it is.
        number: which output, counted from 0; None where it is not one output.
        part: ``real`` or ``imag`` of a complex output; else empty.
    """

    name: str
    number: int | None = None
    part: str = ""

    MODEL: ClassVar[Place]
    GRAPH: ClassVar[Place]
    INPUTS: ClassVar[Place]
    OUTPUTS: ClassVar[Place]

    @classmethod
    def output(cls, number: int, part: str = "") -> Place:
        """Return the place of one output, or of the real or imaginary part of it."""
        return cls("output", number, part)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what [text][diffexport.values.place.Place.text] wrote; any other text is a place of that name."""
        output = _OUTPUT.fullmatch(text)
        return cls(text) if output is None else cls.output(int(output[1]), output[2] or "")

    @property
    def text(self) -> str:
        """The form that is stored and shown, for instance ``model`` or ``output[0].real``."""
        numbered = self.name if self.number is None else f"{self.name}[{self.number}]"
        return f"{numbered}.{self.part}" if self.part else numbered

    @property
    def is_whole(self) -> bool:
        """Whether this is the model or its graph as a whole, which needs no mention."""
        return self in (Place.MODEL, Place.GRAPH)

    def __str__(self) -> str:
        return self.text


Place.MODEL, Place.GRAPH = Place("model"), Place("graph")
Place.INPUTS, Place.OUTPUTS = Place("inputs"), Place("outputs")
