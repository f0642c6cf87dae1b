"""What a person points at — a package or a path — as modules with their files; nothing is imported.

A package is looked up by import name (only its top level, which runs nothing) or by the name it has on PyPI.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from diffexport.errors import UsageError, suggestion

#: Folders that hold no source of the project's own.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


class PlaceError(UsageError):
    """A package that is not installed, or a path that is not there or holds no Python."""


@dataclass(frozen=True)
class Module:
    """A module that is there to be read.

    Attributes:
        name: dotted name to import it by.
        file: its source.
        root: the folder that has to be on ``sys.path``; None where the interpreter finds it as it is.
        loose: it is a file outside any package and is loaded by path.
    """

    name: str
    file: Path
    root: Path | None = None
    loose: bool = False

    @property
    def is_package(self) -> bool:
        """Whether it is the ``__init__`` of a package."""
        return self.file.name == "__init__.py"


@dataclass(frozen=True)
class SearchedPlace:
    """The modules that a package or path stands for.

    Attributes:
        name: as given.
        modules: by dotted name; also those that are only there to be followed into.
        wanted: names of those that were asked for.
        native: extension modules, by dotted name.
    """

    name: str
    modules: Mapping[str, Module]
    wanted: frozenset[str]
    native: frozenset[str] = field(default=frozenset())


def locate(text: str) -> SearchedPlace:
    """Return what a package name or a path stands for.

    Raises:
        PlaceError: it is neither installed nor there, or holds no Python source.
    """
    path = Path(text).expanduser()
    if text.endswith(".py") or os.sep in text or "/" in text or text in (".", "..", "~"):
        return _path(text, path)
    if re.fullmatch(r"[\w.\-]+", text) is None:
        raise PlaceError(f"{text!r} is neither the name of a package nor a path")
    if path.is_dir() and not (path / "__init__.py").is_file():
        # A plain folder is a package as well, to Python; to a person it is where packages are.
        spec = _spec(text) if text.isidentifier() else None
        if spec is None or spec.origin is None:
            return _path(text, path)
    places = [place for place in (_package(name, text) for name in _import_names(text)) if place is not None]
    if places:
        return _merged(text, places)
    if path.exists():
        return _path(text, path)
    raise PlaceError(
        f"package {text!r} is not installed, and there is no such file or folder; install it, put it on PYTHONPATH, "
        f"or give a path{suggestion(text, _installed_names())}"
    )


def package(name: str) -> SearchedPlace | None:
    """Return the top-level package or module of an import name; None where there is none with source."""
    return _package(name, name)


def _merged(text: str, places: Sequence[SearchedPlace]) -> SearchedPlace:
    modules = {name: module for place in places for name, module in place.modules.items()}
    return SearchedPlace(
        text,
        modules,
        frozenset().union(*(place.wanted for place in places)),
        frozenset().union(*(place.native for place in places)),
    )


def _import_names(text: str) -> Iterator[str]:
    """Yield the import names that ``text`` may stand for: itself, or those of a distribution."""
    if all(part.isidentifier() for part in text.split(".")) and _spec(text.partition(".")[0]) is not None:
        yield text
        return
    wanted = _normalised(text)
    yield from sorted(
        name
        for name, distributions in metadata.packages_distributions().items()
        if any(_normalised(one) == wanted for one in distributions) and name.isidentifier()
    )


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed_names() -> list[str]:
    return sorted({name for names in metadata.packages_distributions().values() for name in names})


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of a top-level name, the current folder included."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    finally:
        if added:
            sys.path.remove(here)


def _package(name: str, text: str) -> SearchedPlace | None:
    top = name.partition(".")[0]
    spec = _spec(top)
    if spec is None:
        return None
    modules: dict[str, Module] = {}
    native: set[str] = set()
    locations = [Path(place) for place in spec.submodule_search_locations or ()]
    for location in locations:
        root = _root(location.parent)
        for file in _files(location):
            dotted = _dotted(top, file.relative_to(location))
            if file.suffix == ".py":
                modules.setdefault(dotted, Module(dotted, file, root))
            else:
                native.add(dotted)
    if not locations and spec.origin is not None:
        file = Path(spec.origin)
        if file.suffix == ".py" and file.is_file():
            modules[top] = Module(top, file, _root(file.parent))
        elif file.is_file():
            native.add(top)
    wanted = frozenset(n for n in modules if n == name or n.startswith(name + "."))
    if not wanted and name != top:
        raise PlaceError(f"package {top!r} is installed, but has no module {name!r}")
    if not wanted:
        if not native:
            return None
        raise PlaceError(f"package {text!r} is installed, but holds no Python source (only compiled modules)")
    return SearchedPlace(text, modules, wanted, frozenset(native))


def _root(folder: Path) -> Path | None:
    """Return the folder if it has to be added to ``sys.path`` to import from it."""
    known = {Path(entry or ".").resolve() for entry in sys.path}
    return None if folder.resolve() in known else folder.resolve()


def _dotted(top: str, relative: Path) -> str:
    parts = [*relative.parent.parts, relative.name.partition(".")[0]]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join([top, *parts])


def _files(folder: Path) -> Iterator[Path]:
    """Yield the Python and extension modules below a folder, sorted."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            if name.endswith((".py", ".so", ".pyd")) and not name.startswith("."):
                yield Path(place, name)


def _path(text: str, path: Path) -> SearchedPlace:
    if not path.exists():
        raise PlaceError(f"there is no file or folder {text}")
    path = path.resolve()
    modules: dict[str, Module] = {}
    native: set[str] = set()
    wanted: set[str] = set()
    tops: set[Path] = set()
    for file in [path] if path.is_file() else _files(path):
        root = _package_root(file.parent)
        if root == file.parent:
            if file.suffix == ".py":
                # Loaded by path: two of one name in two folders, or one named like a library, are different modules.
                name = file.stem if file.stem not in modules else ".".join(file.relative_to(path).parts)
                modules[name] = Module(name, file, root, loose=True)
                wanted.add(name)
            continue
        top = root / Path(*file.relative_to(root).parts[:1])
        dotted = _dotted(top.name, file.relative_to(top))
        if file.suffix == ".py":
            modules.setdefault(dotted, Module(dotted, file, _root(root)))
            wanted.add(dotted)
        else:
            native.add(dotted)
        tops.add(top)
    # Bases may stand in the rest of a package of which a part was given.
    for top in tops:
        for file in _files(top) if path != top and path not in top.parents else ():
            dotted = _dotted(top.name, file.relative_to(top))
            if file.suffix == ".py":
                modules.setdefault(dotted, Module(dotted, file, _root(top.parent)))
            else:
                native.add(dotted)
    if not wanted:
        raise PlaceError(f"{text} holds no Python source")
    return SearchedPlace(text, modules, frozenset(wanted), frozenset(native))


def _package_root(folder: Path) -> Path:
    """Return the nearest folder at or above ``folder`` that is no package."""
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder
