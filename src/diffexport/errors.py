"""Errors that a person is meant to read: what was wrong, where, and what to do.

Every error the tool raises on purpose derives from [DiffexportError][]. The command line prints its text
without a traceback and leaves with its ``exit_code``; anything else that escapes is a bug in diffexport.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to ``name``, or None when nothing is close."""
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
