"""Texts of arguments that are lists, tuples and dicts of others: ``[float32[N, 4], float32[N, 2]]``.

What is inside is a text again. It is no Python, since specs are not: items are told apart by the commas that stand in
no bracket and in no quotes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from diffexport.errors import UsageError, shown

_CLOSING = {"[": "]", "(": ")", "{": "}"}
#: Most containers inside each other.
_DEEPEST = 20


def is_nested(text: str) -> bool:
    """Return whether a text is a list, a tuple or a dict."""
    return text.lstrip()[:1] in _CLOSING and bool(text.strip())


def read_nested(text: str, read: Callable[[str], Any], depth: int = 0) -> Any:
    """Return the list, tuple or dict that a text is, with what ``read`` makes of each text in it that is none.

    Raises:
        UsageError: its brackets do not fit together, a key of a dict is no text in quotes, or it is empty.
    """
    text = text.strip()
    if not is_nested(text):
        return read(text)
    if text[-1] != _CLOSING[text[0]] or depth > _DEEPEST:
        raise UsageError(f"{shown(text)}: the brackets of a list, tuple or dict do not fit together")
    items = list(_items(text[1:-1], ","))
    if items and not items[-1].strip():
        # A comma may stand behind the last one, and has to behind the only one of a tuple.
        items.pop()
    if not items or not all(item.strip() for item in items):
        raise UsageError(f"{shown(text)}: an item of a list, tuple or dict is empty")
    if text[0] == "{":
        return {key: read_nested(item, read, depth + 1) for key, item in map(_pair, items)}
    inside = [read_nested(item, read, depth + 1) for item in items]
    return inside if text[0] == "[" else tuple(inside)


def _pair(text: str) -> tuple[str, str]:
    parts = list(_items(text, ":"))
    try:
        key = ast.literal_eval(parts[0].strip())
    except (SyntaxError, ValueError):
        key = None
    if len(parts) != 2 or not isinstance(key, str):
        raise UsageError(f"{shown(text.strip())} in a dict: write 'name': and what it is, the name in quotes")
    return key, parts[1]


def _items(text: str, separator: str) -> Iterator[str]:
    """Yield the parts of a text between separators that stand in no bracket and in no quotes."""
    expected: list[str] = []
    quote = begun = ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _CLOSING:
            expected.append(_CLOSING[sign])
        elif sign in ")]}":
            if not expected or expected.pop() != sign:
                raise UsageError(f"{shown(text)}: the brackets of a list, tuple or dict do not fit together")
        elif sign == separator and not expected:
            yield begun
            begun = ""
            continue
        begun += sign
    if quote or expected:
        raise UsageError(f"{shown(text)}: the brackets of a list, tuple or dict do not fit together")
    yield begun
