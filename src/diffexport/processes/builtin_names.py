"""Built-in functions that the code of somebody else replaces: put back before anything else is done.

Nothing works where ``isinstance`` or ``any`` is another function, what looks for changes of state included. What is
done here therefore calls no built-in function: operators, and methods of a dictionary that cannot be replaced.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from typing import Any

_NAMES: dict[str, Any] = builtins.__dict__
#: The last value of an interactive session, which is no function.
_VARIABLE = "_"
_REPLACED: dict[str, None] = {}


def builtin_names() -> dict[str, Any]:
    """Return a copy of what is built in, by name, as it is now."""
    return _NAMES.copy()


def put_back_builtins(before: dict[str, Any]) -> None:
    """Put back what has been replaced or removed since; what has been added stays."""
    if before == _NAMES:
        return
    for name in before:
        if _NAMES.get(name) is not before[name] and name != _VARIABLE:
            _REPLACED[name] = None
            _NAMES[name] = before[name]


@contextlib.contextmanager
def builtins_kept() -> Iterator[None]:
    """Call code of somebody else inside: built-in functions that it replaces are put back when it leaves the block."""
    before = _NAMES.copy()
    try:
        yield
    finally:
        put_back_builtins(before)


def taken_replaced() -> list[str]:
    """Return the names of what has been put back since this was called last."""
    names = list(_REPLACED)
    _REPLACED.clear()
    return names
