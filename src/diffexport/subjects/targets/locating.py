"""Where the module of a target lies, without importing anything of it, its packages included."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import sysconfig
from pathlib import Path

from diffexport.errors import TargetError
from diffexport.subjects.targets.application import Application
from diffexport.values import place_of


def spec_of(module: str, folders: tuple[Path, ...] = ()) -> importlib.machinery.ModuleSpec | None:
    """Return where a module is, by its dotted name; None where there is none. Nothing is imported.

    Args:
        folders: where to look before ``sys.path``.
    """
    root, *rest = module.split(".")
    path = [*map(str, folders), *sys.path]
    spec = importlib.machinery.PathFinder.find_spec(root, path)
    if spec is None:
        try:
            spec = importlib.util.find_spec(root)
        except (ImportError, ValueError, AttributeError):
            return None
    name = root
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec


def file_of(module: str, folders: tuple[Path, ...] = ()) -> Path | None:
    """Return the source file of a module, see [spec_of][]; None where it has none."""
    spec = spec_of(module, folders)
    if spec is None or not spec.has_location or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def is_part_of_python(module: str) -> bool:
    """Return whether a name is that of a module of the standard library, and no file of the same name hides that."""
    root = module.partition(".")[0]
    if root not in sys.stdlib_module_names:
        return False
    spec = importlib.machinery.PathFinder.find_spec(root, [str(Path.cwd()), *sys.path])
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    standard = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    packages = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    for place in filter(None, places):
        inside = any(Path(place).is_relative_to(folder) for folder in standard)
        if not inside or any(Path(place).is_relative_to(folder) for folder in packages):
            return False
    return True


def check_inside(text: str, folder: Path) -> None:
    """Return if a target is no file, or one below a folder; of its weights likewise.

    Raises:
        TargetError: its file lies elsewhere, also through a link.
    """
    parts = Application.parse(text)
    place = place_of(text)
    files = [("file", place)] if place.endswith(".py") else []
    if parts is not None and parts.weights is not None:
        files.append(("file of weights", parts.weights.path))
    for what, file in files:
        try:
            inside = Path(file).resolve().is_relative_to(folder.resolve())
        except (OSError, RuntimeError, ValueError):
            inside = False
        if not inside:
            raise TargetError(
                f"target {text!r}: its {what} lies outside of {folder}; --allow-outside lets it be run"
            )
