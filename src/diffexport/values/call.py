"""What a model is called with, and the one way to walk through nested containers of arguments and outputs.

Containers are tuples (named ones too), lists, dicts, dataclasses, and what is registered with torch as one;
everything else is a leaf. The order is the one in which exporters flatten: as written, dicts in the order of their
keys' insertion (torch 2.13, all of them), what is registered as it says itself.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from diffexport.errors import UsageError

#: Where a leaf stands: ``("args", 0, "mask")``.
Path = tuple[Any, ...]


@dataclass(frozen=True, eq=False, init=False)
class Call:
    """The arguments of one call of a model.

    A plain tuple of positional arguments is accepted wherever a call is, and means ``Call(args)``. The same
    tensor or array in two places is one tensor for the model, too.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments, in the order in which they are given.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __init__(self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        # One is made for every sample.
        vars(self).update(args=tuple(args), kwargs=dict(kwargs or ()))

    @classmethod
    def of(cls, inputs: Inputs) -> Call:
        """Return the call that ``inputs`` stand for: itself, or positional arguments.

        Raises:
            UsageError: it is a single tensor, array, dict or text instead of a sequence of arguments.
        """
        if isinstance(inputs, cls):
            return inputs
        if isinstance(inputs, dict):
            raise UsageError(
                "inputs must be a tuple of positional arguments; write Call((), {…}) for keywords"
            )
        if isinstance(inputs, str) or hasattr(inputs, "ndim"):
            raise UsageError("inputs must be a tuple of positional arguments; write (x,) for a single tensor")
        return cls(tuple(cast(Iterable[Any], inputs)))

    def plain(self) -> tuple[Any, ...] | Call:
        """Return the tuple of positional arguments where there are no others, else the call itself."""
        return self if self.kwargs else self.args


#: What is accepted as the inputs of a model.
Inputs = Sequence[Any] | Call


@dataclass(frozen=True, eq=False)
class RegisteredContainer:
    """How the values of a type are walked through that is registered as a container.

    Attributes:
        items: what is in a value, with its keys.
        rebuilt: makes a copy of a value with other items.
    """

    items: Callable[[Any], list[tuple[Any, Any]]]
    rebuilt: Callable[[Any, Sequence[Any]], Any]


#: Returns how the values of a type are walked through; None where it is not registered.
LookUp = Callable[[type], RegisteredContainer | None]
_LOOK_UPS: list[LookUp] = []


def follow_registered(look_up: LookUp) -> None:
    """Walk from now on through the containers that ``look_up`` knows as well."""
    if look_up not in _LOOK_UPS:
        _LOOK_UPS.append(look_up)


#: Packages whose containers are walked through without any registration.
_PLAIN = ("builtins", "collections", "numpy", "torch")


@functools.lru_cache(maxsize=256)
def _may_be_registered(kind: Any) -> bool:
    return kind.__module__.partition(".")[0] not in _PLAIN


def _registered(kind: type) -> RegisteredContainer | None:
    if not _may_be_registered(kind):
        return None
    for look_up in _LOOK_UPS:
        found = look_up(kind)
        if found is not None:
            return found
    return None


def path_text(path: Path) -> str:
    """Return a path as one would write it behind a value: ``past_key_values[0].keys``."""
    text = "".join(f".{key}" if isinstance(key, str) else f"[{key!r}]" for key in path)
    return text.removeprefix(".")


def paths(value: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every leaf with where it stands, in the order in which exporters flatten."""
    inside = _items(value)
    if inside is None:
        yield at, value
        return
    for key, item in inside:
        yield from paths(item, (*at, key))


def leaves(value: Any) -> Iterator[Any]:
    """Yield every leaf."""
    return (leaf for _, leaf in paths(value))


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy with every leaf changed; a leaf that stands in two places is changed once, for both."""
    done: dict[int, Any] = {}

    def rebuilt(value: Any) -> Any:
        inside = _items(value)
        if inside is None:
            if id(value) not in done:
                # The leaf is kept beside its copy: another object cannot get its id meanwhile.
                done[id(value)] = change(value), value
            return done[id(value)][0]
        items = {key: rebuilt(item) for key, item in inside}
        registered = _registered(type(value))
        if registered is not None:
            return registered.rebuilt(value, list(items.values()))
        if isinstance(value, dict):
            # Copied, for the sake of its type.
            same = copy.copy(value)
            same.update(items)
            return same
        if isinstance(value, tuple | list):
            named = hasattr(value, "_fields")
            return type(value)(*items.values()) if named else type(value)(items.values())
        return dataclasses.replace(value, **items)

    return rebuilt(value)


def _items(value: Any) -> list[tuple[Any, Any]] | None:
    """Return what is in a container with its keys; None for what is none."""
    registered = _registered(type(value))
    if registered is not None:
        return registered.items(value)
    kind = _container(type(value))  # type: ignore[arg-type]  # mypy: a type is not hashable
    if kind is None:
        return None
    if kind == "dict":
        return list(value.items())
    if kind == "sequence":
        return list(enumerate(value))
    return [
        (declared.name, getattr(value, declared.name))
        for declared in dataclasses.fields(value)
        if declared.init
    ]


@functools.lru_cache(maxsize=256)
def _container(kind: Any) -> str | None:
    """Return which sort of container the values of a type are; None for none."""
    if issubclass(kind, dict):
        return "dict"
    if issubclass(kind, tuple | list):
        return "sequence"
    return "dataclass" if dataclasses.is_dataclass(kind) else None
