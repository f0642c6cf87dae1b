"""What texts in a stored regression may name: what is of torch or of the target's modules; dtypes of numpy and onnx."""

from __future__ import annotations

import operator
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffexport.errors import UsageError
from diffexport.strategies import NameRule, anything_named, names_in_text
from diffexport.subjects.targets import file_of, imported, is_catalogue_name
from diffexport.values import DEFAULT_REGRESSION_SIZE, place_of

_DTYPE = re.compile(
    r"(?:numpy\.(?:bool_?|u?int(?:8|16|32|64)|(?:float|complex)\d+)|onnx\.TensorProto(?:\.\w+)?)"
)
#: How a file that is no part of a package is called as a module, in one process alone.
_OF_FILE = re.compile(r"diffexport_target_(?P<stem>\w+)_[0-9a-f]+")
_CATALOGUE = "diffexport.subjects.catalogue"


class StoredName:
    """An argument that has a name outside of torch, before it is looked up: that would import what it is in."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredName) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


def is_of_libraries(text: str) -> bool:
    """Return whether all names in a text are of torch, or dtypes of numpy and onnx, so that nothing has to be imported.

    Raises:
        UsageError: it does not parse.
    """
    return all(_is_of_torch(name) or _DTYPE.fullmatch(name) for name in names_in_text(text))


def _is_of_torch(name: str) -> bool:
    return name.partition(".")[0] == "torch"


def of_libraries(largest: int = DEFAULT_REGRESSION_SIZE) -> NameRule:
    """Return the rule by which nothing can be named but what is of torch, and dtypes of numpy and onnx."""
    return NameRule(_of_library, largest)


def of_target(target: str, largest: int = DEFAULT_REGRESSION_SIZE) -> NameRule:
    """Return the rule by which that can be named, and what is of the target's own modules."""
    return NameRule(_OwnNames(target), largest)


def _of_library(name: str) -> Any:
    """Return what a dotted name stands for.

    Raises:
        UsageError: it is not of torch, or of another module that can be reached from there.
    """
    if _DTYPE.fullmatch(name):
        return anything_named(name)
    if not _is_of_torch(name):
        raise UsageError(f"{name!r} is neither of torch nor of the target's own modules")
    if "__" in name:
        raise UsageError(f"{name!r} is nothing that an argument can be")
    import torch

    value: Any = torch
    for part in name.split(".")[1:]:
        if not hasattr(value, part):
            raise UsageError(f"there is nothing of the name {name!r}")
        value = getattr(value, part)
        if isinstance(value, types.ModuleType) and not _is_of_torch(value.__name__):
            raise UsageError(f"{name!r} leads out of torch, to {value.__name__}")
    home = getattr(value, "__module__", None) if callable(value) else None
    if isinstance(home, str) and home not in ("builtins",) and not _is_of_torch(home):
        raise UsageError(f"{name!r} is not of torch, but of {home}")
    return value


@dataclass(frozen=True)
class _OwnNames:
    """Looks names up that are of torch or of a target's own modules: its package, or what lies beside its file."""

    target: str

    def __call__(self, name: str) -> Any:
        if _is_of_torch(name) or _DTYPE.fullmatch(name):
            return _of_library(name)
        if not _is_own(self.target, name):
            raise UsageError(f"{name!r} is neither of torch nor of the own modules of {self.target}")
        if is_catalogue_name(self.target):
            return anything_named(name)
        root, _, attribute = name.partition(".")
        place = place_of(self.target)
        if place.endswith(".py") and _is_of_file(Path(place), root):
            try:
                return operator.attrgetter(attribute)(imported(self.target))
            except AttributeError:
                raise UsageError(f"there is nothing of the name {name!r}") from None
        return _looked_up(self.target, name)


def check_own(target: str, text: str) -> None:
    """Return if all that a text names is of torch or of the target's own modules, as far as their places tell that.

    Raises:
        UsageError: it is not, or it does not parse.
    """
    for name in names_in_text(text):
        if not (_is_of_torch(name) or _DTYPE.fullmatch(name) or _is_own(target, name)):
            raise UsageError(f"{name!r} is neither of torch nor of the own modules of {target}")


def _is_own(target: str, name: str) -> bool:
    if "__" in name.partition(".")[2]:
        # What Python keeps there is no argument.
        return False
    place, root = place_of(target), name.partition(".")[0]
    if is_catalogue_name(target):
        return name.startswith(f"{_CATALOGUE}.")
    if not place.endswith(".py"):
        return root == place.partition(".")[0]
    return _is_of_file(Path(place), root) or _is_beside(Path(place), root)


def _is_of_file(place: Path, root: str) -> bool:
    of_file = _OF_FILE.fullmatch(root)
    return root == place.stem or (of_file is not None and of_file["stem"] == place.stem)


def _is_beside(place: Path, root: str) -> bool:
    """Return whether a module lies beside a file, or in the package that this is part of."""
    file = file_of(root, (place.resolve().parent, Path.cwd()))
    package = place.resolve().parent
    while (package / "__init__.py").is_file() and package.parent != package:
        package = package.parent
    return file is not None and file.resolve().is_relative_to(package)


def _looked_up(target: str, name: str) -> Any:
    """Return what a dotted name stands for, where it is of a module that the target's module can import."""
    imported(target)
    value = anything_named(name)
    home = sys.modules.get(str(getattr(value, "__module__", "")))
    root = name.partition(".")[0]
    if isinstance(value, types.ModuleType) or (
        callable(value) and home is not None and home.__name__.partition(".")[0] not in (root, "torch")
    ):
        raise UsageError(f"{name!r} is not of {root}")
    return value
