"""The text of a target, in parts: ``module:factory(hidden=64)+weights('net.safetensors')``. Nothing is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ATTRIBUTE = re.compile(r"[^\W\d][\w.<>]*")
_FLAG = re.compile(r"\+(?P<name>[\w-]+)")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class TargetParts:
    """A target in its parts.

    Attributes:
        place: a module or a file.
        attribute: what is in it.
        arguments: what it is called with, brackets included; empty where nothing is said.
        flags: what stands behind, each with what follows it in brackets, which may be empty.
    """

    place: str
    attribute: str
    arguments: str = ""
    flags: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What the model is called: the attribute, with its arguments."""
        return f"{self.attribute}{self.arguments}"


def target_parts(text: str) -> TargetParts | None:
    """Return the parts of a target; None where it is not of this form, as the name of a catalogue case is not."""
    for colon in re.finditer(":", text):
        named = _ATTRIBUTE.match(text, colon.end())
        if named is None or not colon.start():
            continue
        end = _behind_brackets(text, named.end())
        if end is None:
            continue
        flags = _flags(text, end)
        if flags is not None:
            return TargetParts(text[: colon.start()], named[0], text[named.end() : end], flags)
    return None


def place_of(text: str) -> str:
    """Return the module or the file of a target; empty for the name of a catalogue case."""
    parts = target_parts(text)
    return text.rpartition(":")[0] if parts is None else parts.place


def name_in(text: str) -> str:
    """Return what the model of a target is called: what is named in its place, with its arguments."""
    parts = target_parts(text)
    return text.rpartition(":")[2] if parts is None else parts.name


def _flags(text: str, start: int) -> tuple[tuple[str, str], ...] | None:
    flags = []
    while start < len(text):
        flag = _FLAG.match(text, start)
        end = None if flag is None else _behind_brackets(text, flag.end())
        if flag is None or end is None:
            return None
        flags.append((flag["name"], text[flag.end() : end]))
        start = end
    return tuple(flags)


def _behind_brackets(text: str, start: int) -> int | None:
    """Return where a bracket that opens here is closed, or here where none opens; None where it is not closed."""
    if text[start : start + 1] != "(":
        return start
    expected: list[str] = []
    quote, skipped = "", False
    for place in range(start, len(text)):
        sign = text[place]
        if quote:
            if skipped or sign == "\\":
                skipped = not skipped
            elif sign == quote:
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif sign in _PAIRS:
            expected.append(_PAIRS[sign])
        elif sign in ")]}":
            if expected.pop() != sign:
                return None
            if not expected:
                return place + 1
    return None
