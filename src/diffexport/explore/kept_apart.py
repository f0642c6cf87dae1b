"""Cases do not touch each other: what one changes in its process is put back before the next, and is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from diffexport.findings.events import Event, ModeFinished, StateChanged
from diffexport.processes import StateChanges, StateSnapshot, process_parts
from diffexport.pytorch import torch_parts
from diffexport.values import place_of

#: What changes once more what importing a module changed: it is imported once in a process, and its targets are worked
#: on several times.
_ON_IMPORT: dict[str, list[Callable[[], object]]] = {}


def snapshot() -> StateSnapshot:
    """Return the state of this process as it is now."""
    return StateSnapshot((*process_parts(), *torch_parts()))


@contextlib.contextmanager
def kept_apart(target: str) -> Iterator[None]:
    """Import a target inside; what that changes is put back, and will be there whenever the target is worked on."""
    state = KeptApart(target, target)
    try:
        yield
        list(state.imported())
    finally:
        list(state.ended())


def apart(name: str, events: Iterator[Event]) -> Iterator[Event]:
    """Give the events of exploring a case that is imported already; what it changes is put back after each mode.

    Args:
        name: what the case is called.
        events: what happens.
    """
    state = KeptApart("", name)
    left: list[StateChanged] = []
    try:
        for event in events:
            yield event
            if isinstance(event, ModeFinished):
                yield from state.between_modes()
    finally:
        left += state.ended()
    yield from left


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

    def imported(self, name: str = "") -> Iterator[StateChanged]:
        """Take what there is now for how the case wants it, until the end; tell what importing it changed.

        Args:
            name: what the case is called, where that is known only now.
        """
        self._name = name or self._name
        place = place_of(self._target) or self._target
        for redo in _ON_IMPORT.get(place, ()):
            with contextlib.suppress(Exception):
                redo()
        self._base = snapshot()
        differing = self._clean.differing(self._base)
        _ON_IMPORT[place] = [
            part.again(before, now) for part, before, now in differing if part.put_back is not None
        ]
        for part, before, now in differing:
            for text in part.texts(before, now):
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
