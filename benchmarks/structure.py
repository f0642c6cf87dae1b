"""How the package is laid out, in figures: folders, imports between them, cycles, sizes, repeated names.

Run by hand: ``python benchmarks/structure.py [--root FOLDER] [--json FILE] [--check] [-v]``. Only source text is
read; nothing is imported from the package. ``--check`` exits with 1 where a goal is missed, ``-v`` lists what each
figure counts. Wrong use, and a file that does not parse, exit with 2.

A *room* is a folder that holds modules, and its *face* is its ``__init__``. Other rooms may import from the face only.
The loose modules at the top of the package belong to no room and may be imported by all.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from source_tree import Package, Source, UsageError

LONGEST_FUNCTION = 60
LONGEST_FILE = 450
#: Names of files that are a contract and may therefore occur more than once.
REPEATABLE = {"__init__.py", "__main__.py", "child.py"}
#: The one folder at the top of the package in which private names of torch may stand.
PRIVATE_HOME = "pytorch"
#: Variable names that say nothing about what the variable holds.
VAGUE = ("found", "own", "made")

_PRIVATE = re.compile(r"\btorch(?:\.\w+)*\._(?!_)\w+")
_PRIVATE_IMPORT = re.compile(r"\bfrom\s+torch[\w.]*\s+import\s+(?:\([^)]*\b|[^\n(]*\b)(_(?!_)\w+)")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: its name in the JSON report.
        title: its name in the table.
        value: the figure.
        most: the largest value that meets the goal; None where there is no goal.
        items: what was counted, a line each.
    """

    key: str
    title: str
    value: int
    most: int | None
    items: Sequence[str]

    @property
    def is_met(self) -> bool:
        """Whether the goal is met; true where there is none."""
        return self.most is None or self.value <= self.most


def top_modules(package: Package) -> list[str]:
    """Return the files at the top of the package."""
    return [source.path.name for source in package.modules.values() if len(source.path.parts) == 2]


def top_folders(package: Package) -> list[str]:
    """Return the folders at the top of the package."""
    return sorted(path.name for path in package.root.iterdir() if path.is_dir() and path.name[0] not in "._")


def past_faces(package: Package) -> list[str]:
    """Return the imports of a module inside a room from outside that room; one for each statement and module."""
    reached = set()
    for source in (*package.modules.values(), *package.stubs.values()):
        touched = [(imported.line, package.touched(imported)) for imported in source.imports]
        for line, module in (*touched, *_attributes(package, source)):
            room = package.modules[module].folder if package.is_module(module) else package.root.name
            if room != package.root.name and not f"{source.folder}.".startswith(f"{room}."):
                reached.add((str(source.path), line, module))
    return [f"{path}:{line} imports {module}" for path, line, module in sorted(reached)]


def _attributes(package: Package, source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and module of each ``folder.module`` in the code where ``folder`` was imported."""
    bound = {}
    for imported in source.imports:
        touched = package.touched(imported) if imported.name else imported.bound
        if touched in package.modules:
            bound[imported.bound] = touched
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            head, *attributes = ast.unparse(node).split(".")
            module = bound.get(head, "")
            for attribute in attributes:
                module = package.member(module, attribute) if module in package.modules else ""
            if module:
                yield node.lineno, module


def dependencies(package: Package) -> dict[str, set[str]]:
    """Return which modules each module needs when it runs: imports for type checkers are left out.

    A name that is imported from a face counts as an import of the module that defines it. That every import also runs
    the ``__init__`` of the folders above is left out.
    """
    edges: dict[str, set[str]] = {name: set() for name in package.modules}
    for name, source in package.modules.items():
        for imported in source.imports:
            if not imported.for_types:
                edges[name].add(package.definer(imported.base, imported.name))
        edges[name] -= {"", name}
    return edges


def cycles(package: Package) -> list[str]:
    """Return the groups of modules each of which needs every other one, each with a shortest way round."""
    edges = dependencies(package)
    reachable = {name: _reachable(edges, name) for name in edges}
    groups = {
        frozenset(other for other in reachable[name] if name in reachable[other])
        for name in edges
        if name in reachable[name]
    }
    described = []
    for group in sorted(groups, key=sorted):
        way = min((_way_round(edges, name, group) for name in sorted(group)), key=len)
        described.append(f"{len(group)} modules: {', '.join(sorted(group))}; {' → '.join(way)}")
    return described


def _reachable(edges: Mapping[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    pending = list(edges[start])
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += edges[name]
    return reached


def _way_round(edges: Mapping[str, set[str]], start: str, group: frozenset[str]) -> list[str]:
    """Return a shortest way from a module back to itself inside a group."""
    ways = [[start]]
    visited = {start}
    for way in ways:
        for following in sorted(edges[way[-1]] & group):
            if following == start:
                return [*way, start]
            if following not in visited:
                visited.add(following)
                ways.append([*way, following])
    raise AssertionError(f"{start} is in no cycle")


def long_functions(package: Package) -> list[str]:
    """Return the functions that are too long, decorators not counted."""
    long = []
    for source in package.modules.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{source.path}:{node.lineno} {node.name}: {lines} lines")
    return long


def long_files(package: Package) -> list[str]:
    """Return the files that are too long."""
    lengths = {source.path: len(source.text.splitlines()) for source in package.modules.values()}
    return [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST_FILE]


def repeated_files(package: Package) -> list[str]:
    """Return the file names that occur more than once."""
    places = defaultdict(list)
    for source in package.modules.values():
        if source.path.name not in REPEATABLE:
            places[source.path.name].append(source.path.parent.as_posix())
    return _repeated(places)


def repeated_classes(package: Package) -> list[str]:
    """Return the class names that occur more than once, also inside functions and classes.

    A leading underscore makes no other name: ``Plan`` and ``_Plan`` are taken for one. Models of the catalogue do not
    count: two that bear one name are what a case there is about.
    """
    places = defaultdict(list)
    for source in package.modules.values():
        if "/subjects/catalogue/" in str(source.path):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{source.path}:{node.lineno}")
    return _repeated(places)


def _repeated(places: Mapping[str, list[str]]) -> list[str]:
    return [
        f"{name}: {', '.join(where)}"
        for name, where in sorted(places.items(), key=lambda item: (-len(item[1]), item[0]))
        if len(where) > 1
    ]


def array_aliases(package: Package) -> list[str]:
    """Return the places that define a type of the name ``Array``."""
    places = []
    for source in package.modules.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Assign):
                targets: list[ast.AST] = list(node.targets)
            elif isinstance(node, ast.AnnAssign):
                targets = [node.target]
            elif type(node).__name__ == "TypeAlias":  # `type Array = …`, which Python 3.11 does not have
                targets = [node.name]  # type: ignore[attr-defined]
            else:
                continue
            if any(isinstance(target, ast.Name) and target.id == "Array" for target in targets):
                places.append(f"{source.path}:{node.lineno}")  # type: ignore[attr-defined]
    return places


def private_names(package: Package) -> list[str]:
    """Return the private names of torch outside [PRIVATE_HOME][], wherever they stand: code, texts, comments."""
    places = []
    for source in package.modules.values():
        if source.path.parts[1] == PRIVATE_HOME:
            continue
        matches = [(match.start(), match[0]) for match in _PRIVATE.finditer(source.text)]
        matches += [
            (match.start(), match[1])
            for match in _PRIVATE_IMPORT.finditer(source.text)
            if not _PRIVATE.search(match[0])
        ]
        for start, name in sorted(matches):
            places.append(f"{source.path}:{source.text.count(chr(10), 0, start) + 1} {name}")
    return places


def vague_names(package: Package) -> list[str]:
    """Return the files with the number of times that a variable or parameter of a name in [VAGUE][] is bound."""
    counts: Counter[tuple[str, str]] = Counter()
    for source in package.modules.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            else:
                name = node.arg if isinstance(node, ast.arg) else ""
            if name in VAGUE:
                counts[name, str(source.path)] += 1
    return [f"{name} × {number} in {path}" for (name, path), number in counts.most_common()]


def figures(package: Package) -> list[Figure]:
    """Return every figure of a package."""

    def listed(key: str, title: str, most: int | None, items: Sequence[str]) -> Figure:
        return Figure(key, title, len(items), most, items)

    vague = vague_names(package)
    uses = {
        name: sum(int(line.split()[2]) for line in vague if line.startswith(f"{name} ")) for name in VAGUE
    }
    return [
        listed("top_modules", "modules at the top", 8, top_modules(package)),
        listed("top_folders", "folders at the top", 14, top_folders(package)),
        listed("past_faces", "imports past a face", 0, past_faces(package)),
        listed("cycles", "import cycles", 0, cycles(package)),
        listed("long_functions", f"functions over {LONGEST_FUNCTION} lines", 0, long_functions(package)),
        listed("long_files", f"files over {LONGEST_FILE} lines", 0, long_files(package)),
        listed("repeated_files", "file names that occur twice", 0, repeated_files(package)),
        listed("repeated_classes", "class names that occur twice", 0, repeated_classes(package)),
        listed("array_aliases", "definitions of Array", 1, array_aliases(package)),
        listed("private_names", f"private names of torch outside {PRIVATE_HOME}/", 0, private_names(package)),
        *(
            Figure(
                f"named_{name}",
                f"variables of the name {name}",
                number,
                None,
                [line for line in vague if line.startswith(f"{name} ")],
            )
            for name, number in uses.items()
        ),
    ]


def show(measured: Sequence[Figure], *, verbose: bool) -> None:
    """Print the table and, if wanted, what each figure counts."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table("", "figure", "goal", "", box=box.SIMPLE_HEAD)
    table.columns[1].justify = table.columns[2].justify = "right"
    for figure in measured:
        goal = "" if figure.most is None else f"≤ {figure.most}" if figure.most else "0"
        table.add_row(figure.title, str(figure.value), goal, "" if figure.is_met else "missed")
    console.print(table)
    for figure in measured if verbose else ():
        console.print(f"{figure.title}: {figure.value}", markup=False)
        for item in figure.items:
            console.print(f"  {item}", markup=False)


def report(measured: Sequence[Figure]) -> str:
    """Return the figures as JSON."""
    document = {
        figure.key: {
            "figure": figure.value,
            "at_most": figure.most,
            "met": figure.is_met,
            "items": list(figure.items),
        }
        for figure in measured
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    default = Path(__file__).resolve().parent.parent / "src" / "diffexport"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=default, help="the folder of the package")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("-v", "--verbose", action="store_true", help="list what each figure counts")
    options = parser.parse_args(arguments)
    try:
        measured = figures(Package.read(options.root))
        if options.json:
            options.json.write_text(report(measured), encoding="utf-8")
    except (UsageError, OSError) as error:
        print(f"structure: {error}", file=sys.stderr)
        return 2
    show(measured, verbose=options.verbose)
    missed = [figure.title for figure in measured if not figure.is_met]
    if options.check and missed:
        print(f"goals missed: {', '.join(missed)}")
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
