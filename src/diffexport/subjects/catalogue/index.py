"""The built-in cases, in groups. Its index imports neither torch nor Hypothesis, so that listing is instant."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from diffexport.errors import UnknownNameError
from diffexport.subjects.cases import Case
from diffexport.subjects.catalogue.entries import ENTRIES, CatalogueEntry

__all__ = [
    "ALL",
    "ENTRIES",
    "GROUPS",
    "MAIN_JOB",
    "CatalogueEntry",
    "every",
    "expand",
    "known_file",
    "load",
    "nameable",
    "names_of_groups",
    "regressions_folder",
]

#: The groups with what is in them.
GROUPS: Mapping[str, str] = {
    "seeds": "the eight models of PyTorch's own autograd-Function export test: the main job",
    "upstream": "what PyTorch's other export tests do with autograd Functions",
    "issues": "autograd Functions from PyTorch's issues",
    "patterns": "how libraries write autograd Functions",
}
#: The group that a run without a target is over.
MAIN_JOB = "seeds"
#: Stands for every group.
ALL = "all"


def load(name: str) -> Case:
    """Return a case by name.

    Raises:
        UnknownNameError: there is no such case.
    """
    if name not in ENTRIES:
        raise UnknownNameError("case", name, ENTRIES)
    cases: dict[str, Case] = importlib.import_module(ENTRIES[name].module).CASES
    return cases[name]


def every(*groups: str) -> Iterator[Case]:
    """Yield every case of some groups, or of all of them.

    Raises:
        UnknownNameError: there is no such group.
    """
    for group in groups:
        if group not in names_of_groups():
            raise UnknownNameError("group", group, names_of_groups())
    for name in expand(groups or (ALL,)):
        yield load(name)


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Return targets with each group replaced by the names of its cases, without repeats."""
    targets: dict[str, None] = {}
    for name in names:
        if name in names_of_groups():
            targets |= {e.name: None for e in ENTRIES.values() if name in (ALL, e.group)}
        else:
            targets[name] = None
    return tuple(targets)


def names_of_groups() -> tuple[str, ...]:
    """Return what stands for several cases."""
    return (*GROUPS, ALL)


def nameable() -> tuple[str, ...]:
    """Return every name that a target may have: cases and groups."""
    return (*names_of_groups(), *ENTRIES)


def known_file() -> Path:
    """Return the file of the catalogue's known divergences."""
    return Path(__file__).with_name("known.toml")


def regressions_folder() -> Path:
    """Return the folder of the regressions that the known divergences are tied to.

    Installed, it lies inside the package; in a checkout, under ``tests/regressions``.
    """
    installed = Path(__file__).with_name("regressions")
    if installed.is_dir():
        return installed
    return Path(__file__).parents[4] / "tests" / "regressions" / "catalogue"
