"""Cases do not touch each other: what one changes in its process is put back before the next, and is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from diffexport.findings.events import StateChanged
from diffexport.processes import StateChanges, StateSnapshot, process_parts
from diffexport.pytorch import torch_parts

#: What changes once more what importing a target changed: it is imported once in a process, and may be worked on again.
_ON_IMPORT: dict[str, list[Callable[[], object]]] = {}


def snapshot() -> StateSnapshot:
    """Return the state of this process as it is now."""
    return StateSnapshot((*process_parts(), *torch_parts()))


class KeptApart:
    """Keeps what one case does to this process from the cases after it.

    To be made before the target is imported. Then call ``imported`` once it is, ``between_modes`` after each mode, and
    ``ended`` at the end, whatever happens.

    Args:
        target: the text that names the case.
        name: what the case is called.
    """

    def __init__(self, target: str, name: str) -> None:
        self._target, self._name = target, name
        self._told: set[str] = set()
        self._clean = snapshot()
        self._base = self._clean
        for redo in _ON_IMPORT.get(target, ()):
            with contextlib.suppress(Exception):
                redo()

    def imported(self, name: str = "") -> Iterator[StateChanged]:
        """Take what there is now for how the case wants it, until the end; tell what importing it changed.

        Args:
            name: what the case is called, where that is known only now.
        """
        self._name = name or self._name
        self._base = snapshot()
        differing = self._clean.differing(self._base)
        first = self._target not in _ON_IMPORT
        if first:
            _ON_IMPORT[self._target] = [
                part.again(before, now) for part, before, now in differing if part.put_back is not None
            ]
        for part, before, now in differing:
            for text in part.texts(before, now) if first else ():
                yield from self._tell(text, restored=part.put_back is not None)

    def between_modes(self) -> Iterator[StateChanged]:
        """Put back what was changed since the import, or since this was called last; tell it."""
        yield from self._changes(self._base.put_back())

    def ended(self) -> Iterator[StateChanged]:
        """Put everything back as it was before the case; tell what was not told."""
        yield from self._changes(self._base.put_back())
        yield from self._changes(StateChanges((), self._clean.put_back().lasting))

    def _changes(self, changes: StateChanges) -> Iterator[StateChanged]:
        for text in changes.restored:
            yield from self._tell(text, restored=True)
        for text in changes.lasting:
            yield from self._tell(text, restored=False)

    def _tell(self, text: str, *, restored: bool) -> Iterator[StateChanged]:
        if text not in self._told:
            self._told.add(text)
            yield StateChanged(self._name, text, restored)
