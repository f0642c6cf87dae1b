"""Import a module of which something does not import, and say what was stood in for. In a child process alone.

A dependency that is missing gets a stand-in; a package whose ``__init__`` fails is made hollow: its submodules are the
real ones, what its ``__init__`` defines is not there. A module that fails itself is not helped.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffexport.errors import error_line
from diffexport.subjects.targets.stand_ins import StandIns, seal

#: Most things that are stood in for on the way to one module.
_MOST = 24


class CannotImport(Exception):
    """A module that cannot be imported; the text says why, and names what is missing.

    Attributes:
        missing: the dependency that is not installed; empty if it is something else.
    """

    def __init__(self, message: str, missing: str = "") -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True)
class Imported:
    """A module, and what it took.

    Attributes:
        module: the module.
        missing: modules that are not installed and have stand-ins.
        hollow: packages whose ``__init__`` was left out, each with why.
    """

    module: Any
    missing: tuple[str, ...] = ()
    hollow: tuple[tuple[str, str], ...] = ()


class Importer:
    """Imports modules one after the other; what was stood in for once stays so.

    Args:
        skip: packages whose ``__init__`` must not be run, each with why: it was seen to hang or to end the process.
        announce: called with the name of each module before it is imported, ancestors first.
    """

    def __init__(
        self, skip: Sequence[tuple[str, str]] = (), announce: Callable[[str], None] = lambda _: None
    ) -> None:
        self._skip = dict(skip)
        self._announce = announce
        self._stand_ins = StandIns()
        self._why: dict[str, str] = {}

    def load(self, name: str) -> Imported:
        """Import a module by its dotted name.

        Raises:
            CannotImport: it raises, or its file is gone.
        """
        parts = name.split(".")
        seal(False)
        try:
            for length in range(1, len(parts) + 1):
                self._load_one(".".join(parts[:length]), is_ancestor=length < len(parts))
            return Imported(sys.modules[name], tuple(self._stand_ins.missing), tuple(self._why.items()))
        finally:
            seal(True)

    def load_file(self, file: Path, name: str) -> Imported:
        """Load a file that belongs to no package.

        Raises:
            CannotImport: it raises, or is gone.
        """
        seal(False)
        try:
            self._announce(name)
            for _ in range(_MOST):
                try:
                    return Imported(run_file(file, name), tuple(self._stand_ins.missing))
                except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs whatever code
                    if not self._stand_in_for(error, name):
                        raise CannotImport(why(error), missing_name(error)) from None
            raise CannotImport("more is missing than can be stood in for")
        finally:
            seal(True)

    def _load_one(self, name: str, *, is_ancestor: bool) -> None:
        if name in sys.modules:
            return
        if name in self._skip:
            if not is_ancestor:
                raise CannotImport(self._skip[name])
            self._hollow(name, self._skip[name])
        self._announce(name)
        for _ in range(_MOST):
            try:
                importlib.import_module(name)
                return
            except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs whatever code
                if self._stand_in_for(error, name):
                    continue
                if not is_ancestor or name in self._why:
                    raise CannotImport(why(error), missing_name(error)) from None
                self._hollow(name, why(error))
        raise CannotImport("more is missing than can be stood in for")

    def _stand_in_for(self, error: BaseException, name: str) -> bool:
        """Stand in for what an import did not find; return whether that is worth another try."""
        missing = missing_name(error)
        if (
            not missing
            or missing in self._stand_ins.missing
            or missing.partition(".")[0] == name.partition(".")[0]
        ):
            return False
        self._stand_ins.missing.append(missing)
        self._stand_ins.install()
        return True

    def _hollow(self, name: str, reason: str) -> None:
        """Leave out the ``__init__`` of a package."""
        spec = importlib.util.find_spec(name)
        locations = spec.submodule_search_locations if spec is not None else None
        if not locations:
            raise CannotImport(reason)
        self._why[name] = reason
        self._stand_ins.hollow[name] = tuple(locations)
        self._stand_ins.install()


def run_file(file: Path, name: str) -> Any:
    """Return a file run as a module of this name; the one that is there if it was run before.

    Raises:
        Exception: whatever it raises.
    """
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None or not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if name in sys.modules:
        return sys.modules[name]
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def missing_name(error: BaseException) -> str:
    """Return the module that an import did not find because it is not installed; empty for any other error.

    An error that was caught and raised again in other words speaks through its cause.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModuleNotFoundError) and seen.name:
            return seen.name
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ""


def why(error: BaseException) -> str:
    """Return an error in one line."""
    missing = missing_name(error)
    if missing:
        return f"{missing} is not installed"
    return f"{type(error).__name__}: {error_line(error)}".rstrip(": ")
