"""Errors that a person is meant to read: what was wrong, where, and what to do.

Every error the tool raises on purpose derives from [DiffexportError][]. The command line prints its text
without a traceback and leaves with its ``exit_code``; anything else that escapes is a bug in diffexport.
"""

from __future__ import annotations

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Iterable
from typing import Any

#: Most characters of a message; of one that is longer the middle is left out.
_LONGEST = 4000
#: Most characters of a name that is compared with others, to suggest one.
_LONGEST_NAME = 200
#: Characters that would change how a terminal shows what is around them, by their category.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlong = 60


class DiffexportError(Exception):
    """Base of every error raised on purpose. ``exit_code`` is what the command line leaves with."""

    exit_code = 2


class UsageError(DiffexportError):
    """The tool was asked for something that cannot be."""


class UnknownNameError(UsageError):
    """A name (case, mode option, runtime, profile, configuration key) that does not exist."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        self.what, self.name = what, name
        self.known = tuple(known)
        super().__init__(f"unknown {what} {name!r}{where}{suggestion(name, self.known)}")


class InvalidModeError(UsageError, ValueError):
    """A mode text or combination of options that no exporter honours."""


class TargetError(UsageError):
    """A model target that cannot be imported or is not a model."""


class FixtureTargetError(TargetError):
    """The model of a test is made from fixtures, so that only pytest can make it."""


class ConfigError(UsageError):
    """A configuration that does not validate; the message names file, key and value."""


class RegressionFileError(DiffexportError):
    """A regression file that cannot be read: truncated, of a newer version, or edited into nonsense."""


class UntestableError(DiffexportError):
    """Nothing could be compared: the model raises in eager on every input, or no input was generated."""


class UnavailableRuntimeError(UsageError):
    """A runtime that cannot be used as things are installed; the message says why."""

    def __init__(self, runtime: str, reason: str) -> None:
        super().__init__(f"runtime {runtime!r} is not available: {reason}")


class PlugInError(UsageError):
    """A package registers a runtime or an exporter that cannot be used; the message names the package."""


class ExporterInternalsError(DiffexportError):
    """A private name of torch that this version of diffexport relies on is gone."""


#: The most characters of a text of somebody else's that are kept: a whole message, and one line of it.
LONGEST_TEXT, LONGEST_LINE = 20_000, 1_000
#: Colours as torch has them in its messages, and characters that are not shown as they are.
_NOT_SHOWN = re.compile(r"\x1b\[[\d;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def error_text(error: BaseException) -> str:
    """Return the text of an error that any code may have raised, fit to be kept and shown.

    One whose text raises, too, has a text that says so. See [shortened][] for what is done to long ones.
    """
    try:
        text = str(error)
    except BaseException as problem:  # noqa: BLE001 - whatever a __str__ of somebody else's raises
        text = f"(its text raises {type(problem).__name__})"
    return shortened(text)


def error_line(error: BaseException) -> str:
    """Return the first line of [error_text][], which is empty where an error says nothing."""
    lines = error_text(error).strip().splitlines()
    return shortened(lines[0], LONGEST_LINE) if lines else ""


def shortened(text: str, most: int = LONGEST_TEXT) -> str:
    """Return a text with at most so many characters, and how many more there were; all of them can be written as UTF-8.

    Control characters, but for ends of lines, tabs and colours, and lone surrogates are shown by their number.
    """
    more = len(text) - most
    if more > 0:
        text = text[:most]
    text = _NOT_SHOWN.sub(_in_ascii, text)
    return f"{text}… ({more} characters more)" if more > 0 else text


def _in_ascii(match: re.Match[str]) -> str:
    character = match[0]
    return character if len(character) > 1 else ascii(character)[1:-1]


def shown(value: Any) -> str:
    """Return what a person wrote as Python shows it, short however large or nested it is."""
    return _SHORT.repr(value)


def plain_text(text: str) -> str:
    """Return a text as it may be printed: control characters escaped, the middle left out where it is very long."""
    left_out = len(text) - _LONGEST
    if left_out > 0:
        half = _LONGEST // 2
        text = f"{text[:half]} [… {left_out:,} characters left out …] {text[-half:]}"
    return visible(text)


def visible(text: str) -> str:
    """Return a text with control characters escaped, but for the ends of lines and tabs."""
    if text.isprintable():
        return text
    return "".join([sign if sign in "\n\t" or _is_seen(sign) else _escaped(sign) for sign in text])


def one_line(text: str, most: int = 300) -> str:
    """Return a text of another program as one line of limited length, control characters escaped."""
    line = " ".join(text[: 4 * most].split())
    line = line if len(line) <= most else f"{line[:most]}…"
    return "".join([sign if _is_seen(sign) else _escaped(sign) for sign in line])


def _is_seen(sign: str) -> bool:
    return sign.isprintable() or unicodedata.category(sign) not in _UNSEEN


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to ``name``, or None when nothing is close."""
    if len(name) > _LONGEST_NAME:
        return None
    matches = difflib.get_close_matches(str(name), [str(item) for item in known], n=1, cutoff=0.5)
    return matches[0] if matches else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known name, and all of them when they are few."""
    known = [str(item) for item in known]
    close = nearest(name, known)
    text = f"; did you mean {close!r}?" if close else ""
    if known and (len(known) <= 16 or not close):
        text += f" (known: {', '.join(known[:40])}{', …' if len(known) > 40 else ''})"
    return text
