"""State that all code of a process shares: looked at before somebody else's code runs, and put back after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from diffexport.processes.builtin_names import builtin_names, put_back_builtins, taken_replaced


class SameObject:
    """An object that is compared by identity: a handler, a stream, a function."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameObject) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


class _NotReadable:
    """Stands for the value of a part that could not be read."""


_NOT_READABLE = _NotReadable()


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the state of a process.

    Attributes:
        name: what it is, behind "changes": ``the working directory``.
        read: returns its value; an earlier value is asked by ``==`` whether it is the same.
        put_back: gives it an earlier value; None where that cannot be done.
        told: what it means that it has another value, in words: a text, which is empty where nobody needs to know, or
            what returns texts for the earlier and the present value. By default the present value is told.
        redo: returns for an earlier and a later value what makes the change again; by default the later value is put
            back.
    """

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object] | None = None
    told: Callable[[Any, Any], Iterable[str]] | str | None = None
    redo: Callable[[Any, Any], Callable[[], object]] | None = None

    def value(self) -> Any:
        """Return its value, or what stands for one that cannot be read."""
        try:
            return self.read()
        except Exception:  # noqa: BLE001 - what is read may have been broken by whatever code ran
            return _NOT_READABLE

    def texts(self, before: Any, now: Any) -> tuple[str, ...]:
        """Return in words how an earlier value became the present one."""
        if now is _NOT_READABLE:
            return (f"breaks {self.name}",)
        if self.told is None:
            return (f"changes {self.name} to {now}",)
        if isinstance(self.told, str):
            return (self.told,) if self.told else ()
        return tuple(self.told(before, now))

    def restored(self, before: Any) -> bool:
        """Put an earlier value back; return whether it is there again."""
        if self.put_back is not None:
            try:
                self.put_back(before)
            except Exception:  # noqa: BLE001 - it may have become impossible, or was broken
                return False
        return _same(before, self.value())

    def again(self, before: Any, now: Any) -> Callable[[], object]:
        """Return what makes once more a change that was seen."""
        return self.redo(before, now) if self.redo is not None else partial(self.restored, now)


def _same(before: Any, now: Any) -> bool:
    """Return whether a value is the same as an earlier one, which is asked; not, if it cannot tell any more."""
    try:
        return bool(before == now)
    except Exception:  # noqa: BLE001 - what compares may have been broken by whatever code ran
        return False


@dataclass(frozen=True)
class StateChanges:
    """What was not as before, in words.

    Attributes:
        restored: what is as before again.
        lasting: what is not, so that the process should do nothing else any more.
    """

    restored: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()


class StateSnapshot:
    """The state of a process at one time.

    Args:
        parts: what is looked at.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._builtins = builtin_names()
        self._values = [(part, value) for part in parts if (value := part.value()) is not _NOT_READABLE]

    def put_back(self) -> StateChanges:
        """Make everything as it was at the time of this snapshot; return what was not so."""
        put_back_builtins(self._builtins)
        restored = [f"replaces builtins.{name}" for name in taken_replaced()]
        lasting: list[str] = []
        for part, before in self._values:
            now = part.value()
            if _same(before, now):
                continue
            texts = part.texts(before, now)
            (restored if part.restored(before) else lasting).extend(texts)
        return StateChanges(tuple(restored), tuple(lasting))

    def differing(self, later: StateSnapshot) -> list[tuple[Part, Any, Any]]:
        """Return each part that had another value in a later snapshot, with both values."""
        values = {id(part): value for part, value in later._values}
        return [
            (part, before, values.get(id(part), _NOT_READABLE))
            for part, before in self._values
            if not _same(before, values.get(id(part), _NOT_READABLE))
        ]
