"""Errors that a person is meant to read: what was wrong, where, and what to do.

Every error the tool raises on purpose derives from [DiffexportError][]. The command line prints its text
without a traceback and leaves with its ``exit_code``; anything else that escapes is a bug in diffexport.
"""

from __future__ import annotations

import difflib
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
