"""What an argument may be."""

from __future__ import annotations

import enum
from collections.abc import Sequence


class ArgumentKind(enum.StrEnum):
    """What an argument may be; the first twelve are weighed against each other, see [KINDS][]."""

    TENSOR = "tensor"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    NONE = "none"
    STR = "str"
    SHAPE = "shape"
    DTYPE = "dtype"
    DEVICE = "device"
    CALLABLE = "callable"
    MODULE = "module"
    TENSORS = "tensors"
    #: A dict, a list or a deque, where the source treats it as one.
    CONTAINER = "container"
    #: A constant matrix, where an error message asks for a definite one.
    MATRIX = "matrix"


#: What evidence of the source, the name and the annotation speaks for or against.
KINDS: Sequence[ArgumentKind] = tuple(
    kind for kind in ArgumentKind if kind not in (ArgumentKind.CONTAINER, ArgumentKind.MATRIX)
)
