"""How long one step may take, and how much memory a process may allocate."""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffexport.errors import UsageError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
#: What a worker needs at least, and more than any machine has.
LEAST_MEMORY, _MOST = 64 << 20, 1 << 50
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)\s*([kmg]i?)?b?", re.IGNORECASE)


@dataclass(frozen=True)
class StepLimits:
    """What one step of the work on a model may cost; a step that takes more is ended and reported.

    Attributes:
        export_seconds: for one export.
        check_seconds: for one sample to be drawn, or to be run once by eager or by a runtime, and compared.
        import_seconds: for the module of a target to be imported.
        memory: bytes that a worker may allocate beyond what it has when it is ready; 0: a share of what is free.
    """

    export_seconds: float = 300.0
    check_seconds: float = 120.0
    import_seconds: float = 120.0
    memory: int = 0


#: The limits that hold unless others are given.
DEFAULT_STEP_LIMITS = StepLimits()

#: Bytes that the tensors of one stored regression may take, unless something else is configured.
DEFAULT_REGRESSION_SIZE = 256 << 20


def parse_size(text: str, least: int = LEAST_MEMORY) -> int:
    """Return the bytes that a text such as ``4GiB``, ``500 MB`` or ``1048576`` means.

    Args:
        text: what was written.
        least: bytes that it has to be at least; by default what a worker needs to do anything.

    Raises:
        UsageError: it is no size, or smaller, or larger than any memory.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _UNITS[(match[2] or "").lower()]) if match else 0
    if not size:
        raise UsageError(f"{text!r} is no size in bytes; write for instance 4GiB or 500MB")
    if not least <= size <= _MOST:
        smallest = f"{least >> 20}MiB" if least >> 20 else f"{least} bytes"
        raise UsageError(f"{text!r} is not between {smallest} and {_MOST >> 30}GiB; write for instance 4GiB")
    return size
