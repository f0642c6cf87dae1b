"""What texts may say of a user's own things: names of a file that is no module, and instances by their attributes."""

from __future__ import annotations

import contextlib
import contextvars
import operator
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffexport.errors import UsageError, error_text, shown

_OF_FILE: contextvars.ContextVar[tuple[str, Any] | None] = contextvars.ContextVar("of_file", default=None)


@contextlib.contextmanager
def names_of_file(stem: str, module: Any) -> Iterator[None]:
    """Let ``stem.NAME`` in texts stand for what a file holds that is no part of a package, meanwhile.

    Args:
        stem: how the file is called, without ``.py``.
        module: what was made of it.
    """
    token = _OF_FILE.set((stem, module))
    try:
        yield
    finally:
        _OF_FILE.reset(token)


class _Unlooked(type):
    """The type of what stands for anything in a file that is not imported here."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls


class _AnythingInFile(metaclass=_Unlooked):
    """Stands for whatever a text names in a file."""


def names_of_files_unlooked(targets: Iterable[str]) -> contextlib.AbstractContextManager[None]:
    """Let ``file.NAME`` in texts stand for something, meanwhile, without importing the first file among targets."""
    files = [target.partition(".py:")[0] for target in targets if ".py:" in target]
    return names_of_file(Path(files[0]).name, _AnythingInFile) if files else contextlib.nullcontext()


def named_in_file(name: str) -> tuple[Any, ...]:
    """Return what a dotted name stands for in that file, alone in a tuple; nothing where it is no name of it."""
    of_file = _OF_FILE.get()
    root, _, attribute = name.partition(".")
    if of_file is None or root != of_file[0] or not attribute:
        return ()
    try:
        return (operator.attrgetter(attribute)(of_file[1]),)
    except AttributeError:
        return ()


def instance_of(kind: Any, attributes: Mapping[str | None, Any], text: str) -> Any:
    """Return an object of a class with these attributes; the class is not called, and none of its code is run.

    Raises:
        UsageError: that is no class that can be had so.
    """
    if not isinstance(kind, type) or None in attributes:
        raise UsageError(f"{shown(text)}: instance(…) takes a class, and attributes by name")
    if hasattr(kind, "__del__") or any(str(name).startswith("__") for name in attributes):
        raise UsageError(
            f"{shown(text)}: {kind.__name__} runs code of its own when it goes, or has hidden attributes"
        )
    try:
        made: Any = object.__new__(kind)
        for name, value in attributes.items():
            object.__setattr__(made, str(name), value)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{shown(text)}: {error_text(error)}") from None
    return made
