"""What other packages add: objects that they announce as entry points, found by name and loaded when first asked for.

Names are known without importing anything. Each object stands under its own name in a [Registry][]; those of diffexport
itself are rows of a table there, so that nothing about them differs but who made them.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

from diffexport.errors import PlugInError, UnknownNameError, error_text

T = TypeVar("T")
#: The package that the rows of a registry's own table belong to.
BUILT_IN = "diffexport"


class Registry(Generic[T]):
    """Objects by name: those of a table, and those of entry points of a group.

    Args:
        group: of the entry points; the name of one is the name of the object it leads to.
        what: what the objects are called in messages: ``runtime``.
        table: for each built-in name where the object is, as ``package.module:attribute``.
        problem: takes a name and the object, and returns how that breaks the protocol, empty if it keeps to it. Called
            once for each object of another package.
    """

    def __init__(
        self, group: str, what: str, table: Mapping[str, str], problem: Callable[[str, Any], str]
    ) -> None:
        self.group, self.what, self.table = group, what, dict(table)
        self._problem = problem
        self._loaded: dict[str, T] = {}
        self._broken: dict[str, PlugInError] = {}

    @functools.cached_property
    def _entry_points(self) -> dict[str, list[metadata.EntryPoint]]:
        """Entry points by name, in the order of the names of the packages that have them."""
        by_name: dict[str, list[metadata.EntryPoint]] = {}
        for entry_point in sorted(metadata.entry_points(group=self.group), key=_package_of):
            by_name.setdefault(entry_point.name, []).append(entry_point)
        return dict(sorted(by_name.items()))

    def names(self) -> tuple[str, ...]:
        """Return every name, the built-in ones first and in their order; nothing is imported."""
        return (*self.table, *(name for name in self._entry_points if name not in self.table))

    def package(self, name: str) -> str:
        """Return the name of the distribution that a name is from."""
        return BUILT_IN if name in self.table else _package_of(self._entry_points[name][0])

    def get(self, name: str) -> T:
        """Return the object of a name, importing it if that has not been done.

        Raises:
            UnknownNameError: there is no such name.
            PlugInError: the package that claims the name does not deliver; the same error each time.
        """
        if name in self._loaded:
            return self._loaded[name]
        if name in self._broken:
            raise self._broken[name]
        try:
            loaded = self._import(name)
        except PlugInError as error:
            self._broken[name] = error
            raise
        return self._loaded.setdefault(name, loaded)

    def _import(self, name: str) -> T:
        if name in self.table:
            module, _, attribute = self.table[name].partition(":")
            built_in: T = getattr(importlib.import_module(module), attribute)
            return built_in
        if name not in self._entry_points:
            raise UnknownNameError(self.what, name, self.names())
        entry_point, *others = self._entry_points[name]
        if others:
            packages = " and ".join(dict.fromkeys(map(_package_of, (entry_point, *others))))
            raise PlugInError(f"{self.what} {name!r} cannot be used: it is claimed twice, by {packages}")
        try:
            loaded: Any = entry_point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - another's module may raise anything
            raise self.error(name, f"loading {entry_point.value} raises {said(error)}") from None
        problem = self._problem(name, loaded)
        if problem:
            raise self.error(name, f"{entry_point.value} keeps no promise of a {self.what}: {problem}")
        return loaded  # type: ignore[no-any-return]

    def error(self, name: str, text: str) -> PlugInError:
        """Return the error that says what is wrong with the object of a name, and whose it is."""
        return PlugInError(
            f"{self.what} {name!r} of the package {self.package(name)!r} cannot be used: {text}"
        )

    def is_built_in(self, name: str) -> bool:
        """Return whether a name is one of diffexport's own."""
        return name in self.table

    def reject(self, name: str, text: str) -> PlugInError:
        """Remember that the object of a name turned out to be of no use, and return the error that says so."""
        self._loaded.pop(name, None)
        self._broken[name] = self.error(name, text)
        return self._broken[name]

    def every_added(self) -> Iterator[tuple[str, T | PlugInError]]:
        """Yield the names that other packages add, with the object or what is wrong with it; all are imported."""
        return self.every(self.names()[len(self.table) :])

    def every(self, names: Iterable[str] | None = None) -> Iterator[tuple[str, T | PlugInError]]:
        """Yield names (by default all) with the object, or with what is wrong with it; they are imported."""
        for name in self.names() if names is None else names:
            try:
                yield name, self.get(name)
            except PlugInError as error:
                yield name, error

    def problems(self) -> tuple[str, ...]:
        """Return one line for each object known to be of no use: two of one name, or what failed when loaded."""
        lines = [
            f"{self.what} {name!r} of the package {_package_of(entry_point)!r} is left out: "
            f"diffexport has one of that name"
            for name in self.table
            for entry_point in self._entry_points.get(name, ())
        ]
        for name, entry_points in self._entry_points.items():
            if name not in self.table and len(entry_points) > 1 and name not in self._broken:
                packages = " and ".join(dict.fromkeys(map(_package_of, entry_points)))
                lines.append(f"{self.what} {name!r} is left out: it is claimed twice, by {packages}")
        return (*lines, *map(str, self._broken.values()))

    def forget(self) -> None:
        """Forget what was found installed, so that it is looked for again."""
        self.__dict__.pop("_entry_points", None)
        self._loaded.clear()
        self._broken.clear()


def said(error: BaseException) -> str:
    """Return type and text of an error on one line."""
    return " ".join(f"{type(error).__name__}: {error_text(error)}".split())


def missing_parts(loaded: Any, parts: Mapping[str, type | tuple[type, ...] | None]) -> str:
    """Return which attributes an object lacks, or has of the wrong type; empty if none.

    Args:
        loaded: the object.
        parts: for each attribute its type, or None where it has to be callable.
    """
    for name, kind in parts.items():
        try:
            value = getattr(loaded, name)
        except Exception as error:  # noqa: BLE001 - a property of another package's may raise anything
            lacks = isinstance(error, AttributeError)
            return f"it has no {name!r}" if lacks else f"its {name!r} raises {said(error)}"
        if kind is None and not callable(value):
            return f"its {name!r} cannot be called; it is {value!r}"
        if kind is not None and not isinstance(value, kind):
            wanted = kind.__name__ if isinstance(kind, type) else " or ".join(one.__name__ for one in kind)
            return f"its {name!r} is no {wanted}; it is {value!r}"
    return ""


def _package_of(entry_point: metadata.EntryPoint) -> str:
    distribution = entry_point.dist
    return "" if distribution is None else str(distribution.name)
