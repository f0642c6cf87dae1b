"""The text of an argument that is given by name: ``attention_mask=int64[B, N] in 0..1``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from diffexport.errors import UsageError, shown

_NAMED = re.compile(r"\s*(?P<name>[^\W\d]\w*)\s*=(?!=)\s*(?P<rest>.*)", re.DOTALL)


def split_name(text: str) -> tuple[str, str]:
    """Return the name that an argument is given by, empty where it is positional, and the rest of its text."""
    match = _NAMED.fullmatch(text)
    return ("", text) if match is None else (match["name"], match["rest"])


def split_names(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of arguments, empty for those that are positional, and the rests of their texts.

    Raises:
        UsageError: a positional one stands behind one by name, or two have one name.
    """
    pairs = [split_name(text) for text in texts]
    seen: set[str] = set()
    for name, rest in pairs:
        if name in seen:
            raise UsageError(f"the argument {name!r} is given twice")
        if not name and seen:
            raise UsageError(
                f"{shown(rest)} is positional and stands behind one by name; write those by name last"
            )
        seen |= {name} - {""}
    return tuple(name for name, _ in pairs), tuple(rest for _, rest in pairs)
