"""How the arguments of a model are arranged into a call: by position, by name, inside of lists, tuples and dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffexport.errors import UsageError
from diffexport.values.call import Call, Inputs, Path, path_text


@dataclass(frozen=True)
class Slot:
    """The place of one generated argument in a call, by its number."""

    number: int


@dataclass(frozen=True, eq=False)
class CallForm:
    """A call with a [Slot][] in the place of each generated argument, numbered in the order of flattening.

    Attributes:
        call: containers are lists, tuples and dicts.
    """

    call: Call

    @classmethod
    def of_names(cls, names: Sequence[str]) -> CallForm | None:
        """Return the form of arguments with names, empty for positional ones; None where all are positional."""
        if not any(names):
            return None
        count = names.count("")
        keywords = {name: Slot(number) for number, name in enumerate(names) if name}
        return cls(Call([Slot(number) for number in range(count)], keywords))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments of the call, empty for positional ones."""
        return ("",) * len(self.call.args) + tuple(self.call.kwargs)

    def call_of(self, values: Sequence[Any]) -> Call:
        """Return the call with these values in the slots."""
        return Call(_filled(self.call.args, values), _filled(self.call.kwargs, values))

    def values_of(self, inputs: Inputs) -> tuple[Any, ...]:
        """Return the values that stand in the slots.

        Raises:
            UsageError: the call is of another form.
        """
        given = Call.of(inputs)
        found = dict(_matched(self.call.args, given.args, ("args",)))
        found |= dict(_matched(self.call.kwargs, given.kwargs, ("kwargs",)))
        return tuple(found[number] for number in range(len(found)))

    def texts(self, entries: Iterable[Any]) -> tuple[str, ...]:
        """Return a text for each argument of the call, its name included."""
        shown = [str(entry) for entry in entries]
        positional = tuple(_text(item, shown) for item in self.call.args)
        return positional + tuple(f"{name}={_text(item, shown)}" for name, item in self.call.kwargs.items())


def _filled(form: Any, values: Sequence[Any]) -> Any:
    if isinstance(form, Slot):
        return values[form.number]
    if isinstance(form, dict):
        return {key: _filled(item, values) for key, item in form.items()}
    return type(form)(_filled(item, values) for item in form)


def _matched(form: Any, given: Any, at: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number of each slot with what stands there."""
    if isinstance(form, Slot):
        yield form.number, given
        return
    if isinstance(form, Mapping):
        fits = isinstance(given, Mapping) and set(given) == set(form)
        pairs = [(key, item) for key, item in form.items()]
    else:
        fits = isinstance(given, tuple | list) and len(given) == len(form)
        pairs = list(enumerate(form))
    if not fits:
        raise UsageError(f"the arguments are of another form than they are declared in, at {path_text(at)}")
    for key, item in pairs:
        yield from _matched(item, given[key], (*at, key))


def _text(form: Any, shown: Sequence[str]) -> str:
    if isinstance(form, Slot):
        return shown[form.number]
    if isinstance(form, dict):
        return f"{{{', '.join(f'{key!r}: {_text(item, shown)}' for key, item in form.items())}}}"
    inside = ", ".join(_text(item, shown) for item in form)
    if isinstance(form, list):
        return f"[{inside}]"
    return f"({inside},)" if len(form) == 1 else f"({inside})"
