"""The layout of generated code: calls, containers and blocks, on one line where they fit."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any


def indented(head: str, *lines: str) -> str:
    """Return ``head`` and below it the lines, one level deeper."""
    return f"{head}\n" + textwrap.indent("\n".join(lines), "    ")


def call(function: str, *arguments: str) -> str:
    """Return a call, on one line where it fits."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= 80:
        return line
    return indented(f"{function}(", *(f"{argument}," for argument in arguments)) + "\n)"


def quoted(text: str) -> str:
    """Return a string literal in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def names(texts: Iterable[str]) -> str:
    """Return a list of string literals."""
    return f"[{', '.join(map(quoted, texts))}]"


def sequence(value: tuple[Any, ...] | list[Any], items: list[str]) -> str:
    """Return the literal of a tuple or a list, whichever ``value`` is, of the given expressions."""
    return enclosed("(", items, ")") if isinstance(value, tuple) else enclosed("[", items, "]")


def mapping(items: Mapping[Any, str]) -> str:
    """Return the literal of a dict of the given expressions."""
    keys = (quoted(key) if isinstance(key, str) else repr(key) for key in items)
    return enclosed("{", [f"{key}: {item}" for key, item in zip(keys, items.values(), strict=True)], "}")


def enclosed(start: str, items: list[str], end: str) -> str:
    """Return expressions between brackets, on one line where they fit."""
    line = ", ".join(items) + ("," if len(items) == 1 and start == "(" else "")
    if len(line) <= 90 and "\n" not in line:
        return f"{start}{line}{end}"
    return indented(start, *(f"{item}," for item in items)) + f"\n{end}"
