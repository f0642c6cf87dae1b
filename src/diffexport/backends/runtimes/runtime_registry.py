"""Which runtimes there are, by name and family; those of other packages are checked before they are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from diffexport.backends.runtimes.guarded import GuardedRuntime, check_added
from diffexport.backends.runtimes.runtime_protocol import Runtime
from diffexport.errors import PlugInError, UnavailableRuntimeError, UnknownNameError
from diffexport.values import (
    RUNTIME_REGISTRY,
    RUNTIMES,
    built_in_runtime_choices,
    members_of_added_family,
    runtime_choices,
)

#: Runtimes of other packages with what guards them.
_CHECKED: dict[str, tuple[Runtime, Runtime]] = {}


def runtime_of(name: str) -> Runtime:
    """Return the runtime of a name, whether it is available or not.

    Raises:
        UnknownNameError: there is no such runtime.
        PlugInError: the package that has it raises when imported, or does not keep to the protocol.
    """
    runtime: Runtime = RUNTIME_REGISTRY.get(name)
    if RUNTIME_REGISTRY.is_built_in(name):
        return runtime
    checked, guarded = _CHECKED.get(name, (None, runtime))
    if checked is not runtime:
        guarded = cast(Runtime, GuardedRuntime(runtime))
        check_added(guarded)
        _CHECKED[name] = runtime, guarded
    return guarded


def available() -> tuple[str, ...]:
    """Return the runtimes that ``all`` stands for, as far as the installed versions offer them; simplest first."""
    return tuple(name for name in RUNTIMES if not runtime_of(name).unavailable())


def family(name: str) -> str:
    """Return the family of a runtime: those of one family share their kernels."""
    return runtime_of(name).family


def compared_with(name: str) -> tuple[str, ...]:
    """Return the runtimes that tell what is wrong with one: those of [available][] and of its own family, in order."""
    own = family(name)
    names = dict.fromkeys((*available(), *_of_family(own), name))
    return tuple(sorted(names, key=lambda one: (runtime_of(one).order, one)))


def _of_family(wanted: str) -> tuple[str, ...]:
    """Return the available runtimes of a family; other packages' are imported where none of diffexport's is of it."""
    own = tuple(name for name in RUNTIME_REGISTRY.table if family(name) == wanted)
    return tuple(
        name for name in own or members_of_added_family(wanted) if not runtime_of(name).unavailable()
    )


def select(names: Iterable[str]) -> tuple[str, ...]:
    """Return the runtimes that ``names`` stand for, simplest first: names, ``all``, or the name of a family.

    ``all`` are ONNX Runtime's levels on the CPU and the reference evaluator; any other has to be asked for by its
    name or that of its family.

    Raises:
        UnknownNameError: there is no such runtime.
        UnavailableRuntimeError: it is not available as things are installed; the message says why.
        PlugInError: another package's runtime that is asked for by its name is of no use.
    """
    chosen: dict[str, None] = {}
    for name in names:
        chosen.update(dict.fromkeys(available() if name == "all" else _named(name)))
    return tuple(sorted(chosen, key=lambda one: (runtime_of(one).order, one)))


def witnesses(names: Iterable[str]) -> tuple[str, ...]:
    """Return which of the runtimes that ``names`` stand for are only witnesses.

    These are reference evaluators that no name is that of: ``all`` brings them along.

    Raises:
        UsageError: see [select][].
    """
    given = tuple(names)
    return tuple(name for name in select(given) if name not in given and runtime_of(name).is_reference)


def _named(name: str) -> tuple[str, ...]:
    if name in RUNTIME_REGISTRY.names():
        reason = runtime_of(name).unavailable()
        if reason:
            raise UnavailableRuntimeError(name, reason)
        return (name,)
    if name not in built_in_runtime_choices() and not members_of_added_family(name):
        raise UnknownNameError("runtime", name, runtime_choices())
    return _of_family(name)


def every_runtime() -> list[tuple[str, Runtime | PlugInError]]:
    """Return each runtime that is registered, in order, with what is wrong with it where it is of no use."""
    usable: list[tuple[str, Runtime | PlugInError]] = []
    broken: list[tuple[str, Runtime | PlugInError]] = []
    for name in RUNTIME_REGISTRY.names():
        try:
            usable.append((name, runtime_of(name)))
        except PlugInError as error:
            broken.append((name, error))
    usable.sort(key=lambda pair: (cast(Runtime, pair[1]).order, pair[0]))
    return usable + broken
