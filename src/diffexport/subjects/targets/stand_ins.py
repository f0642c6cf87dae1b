"""Stand-ins for what is not installed, so that a module that only mentions it can be imported. In a child process.

While a module is imported a stand-in goes along with nearly everything: it can be subclassed, called, used as a
decorator, indexed and compared. Once that is over, whoever calls it is told what is missing.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

_sealed = False


class _Meta(type):
    """Makes every attribute of a stand-in another stand-in."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return absent(f"{cls.__dict__.get('_absent', cls.__name__)}.{name}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "_absent" not in cls.__dict__:
            # A class of the package's own that derives from what is missing.
            return super().__call__(*args, **kwargs)
        if _sealed:
            raise ModuleNotFoundError(f"{cls.__dict__['_absent']} is used, which is not installed")
        if len(args) == 1 and not kwargs and isinstance(args[0], type | types.FunctionType):
            return args[0]
        return absent(f"{cls.__dict__['_absent']}()")

    def __getitem__(cls, _key: Any) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__

    def __bool__(cls) -> bool:
        return False

    def __lt__(cls, other: Any) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __lt__


def absent(name: str) -> Any:
    """Return a stand-in for what has this dotted name."""
    return _Meta(name.rpartition(".")[2], (), {"_absent": name, "__module__": name.rpartition(".")[0]})


class _AbsentModule(types.ModuleType):
    """A stand-in for a module; every submodule of it can be imported."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__version__ = "0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return absent(f"{self.__name__}.{name}")


class _HollowPackage(types.ModuleType):
    """A package without what its ``__init__`` would define; its submodules are the real ones."""


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for missing modules, and hollow packages for those whose ``__init__`` does not run."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.hollow: dict[str, Sequence[str]] = {}

    def find_spec(
        self,
        name: str,
        path: Any = None,  # noqa: ARG002 - the protocol's
        target: Any = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a stand-in."""
        if name in self.hollow:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if any(name == one or name.startswith(f"{one}.") for one in self.missing):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Make the stand-in."""
        if spec.name in self.hollow:
            module = _HollowPackage(spec.name)
            module.__path__ = list(self.hollow[spec.name])
            spec.submodule_search_locations = list(self.hollow[spec.name])
            return module
        return _AbsentModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run nothing."""

    def install(self) -> None:
        """Be asked before anything else."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)


def seal(sealed: bool) -> None:
    """Let stand-ins refuse to be called, or go along with it."""
    global _sealed
    _sealed = sealed
