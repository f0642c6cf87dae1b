"""The files of a package as syntax trees: what each imports, and which module a name comes from."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class UsageError(Exception):
    """The folder is no package, or one of its files cannot be read; the text says which and why."""


@dataclass(frozen=True)
class Import:
    """One name that an import statement takes from a module, or a module that it imports.

    Attributes:
        base: the dotted name behind ``from`` or ``import``; relative ones are made absolute.
        name: the name behind ``from … import``; empty for ``import base``, ``*`` for all names.
        bound: what it is called in the importing file.
        line: where it stands.
        for_types: it stands below ``if TYPE_CHECKING`` and is not carried out.
        inside: it stands in a function or a class, so that it binds no name of the module.
    """

    base: str
    name: str
    bound: str
    line: int
    for_types: bool
    inside: bool


@dataclass(frozen=True)
class Source:
    """A file of the package.

    Attributes:
        name: the dotted name of the module; that of the folder for an ``__init__``.
        path: the file, relative to the folder that holds the package.
        text: what is in it.
        tree: the same as a syntax tree.
    """

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_face(self) -> bool:
        """Whether it is an ``__init__``."""
        return self.path.stem == "__init__"

    @property
    def folder(self) -> str:
        """The dotted name of the folder that the file lies in."""
        return ".".join(self.path.parent.parts)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import in the file, also those inside functions."""
        return tuple(self._imports_in(self.tree.body, for_types=False, inside=False))

    def _imports_in(self, nodes: Iterable[ast.AST], *, for_types: bool, inside: bool) -> Iterator[Import]:
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    yield Import(alias.name, "", bound, node.lineno, for_types, inside)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node.module or "", node.level)
                for alias in node.names:
                    bound = alias.asname or alias.name
                    yield Import(base, alias.name, bound, node.lineno, for_types, inside)
            elif isinstance(node, ast.If) and _is_type_checking(node.test):
                yield from self._imports_in(node.body, for_types=True, inside=inside)
                yield from self._imports_in(node.orelse, for_types=for_types, inside=inside)
            else:
                within = inside or isinstance(node, _SCOPES)
                yield from self._imports_in(ast.iter_child_nodes(node), for_types=for_types, inside=within)

    def _absolute(self, module: str, level: int) -> str:
        if not level:
            return module
        parts = self.folder.split(".")
        return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])

    @cached_property
    def definitions(self) -> frozenset[str]:
        """The names that the file itself defines at its top level; imported ones are none of them."""
        names: set[str] = set()
        for node in self.tree.body:
            if isinstance(node, _SCOPES):
                names.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(
                    part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
                )
        return frozenset(names)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


@dataclass(frozen=True)
class Package:
    """The files of a package.

    Attributes:
        root: its folder.
        modules: every ``.py`` file by the dotted name of its module.
        stubs: every ``__init__.pyi`` by the dotted name of its folder. A lazy face says there what it exports.
    """

    root: Path
    modules: Mapping[str, Source]
    stubs: Mapping[str, Source] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Package:
        """Read the package in a folder.

        Raises:
            UsageError: it is no package, or a file cannot be read or does not parse.
        """
        root = root.resolve()
        if not (root / "__init__.py").is_file():
            raise UsageError(f"{root} is not the folder of a package: it has no __init__.py")
        sources = [_read(path, root) for path in sorted(root.rglob("*.py"))]
        stubs = [_read(path, root) for path in sorted(root.rglob("__init__.pyi"))]
        return cls(
            root, {source.name: source for source in sources}, {source.name: source for source in stubs}
        )

    def is_module(self, name: str) -> bool:
        """Return whether a dotted name is that of a file other than an ``__init__``."""
        return name in self.modules and not self.modules[name].is_face

    def definer(self, base: str, name: str) -> str:
        """Return the module of the package that defines ``name`` of ``base``; empty where it is none of this package.

        Faces are looked through: it is the module that a face has the name from, not the face.
        """
        return self._definer(base, name, frozenset())

    def _definer(self, base: str, name: str, seen: frozenset[tuple[str, str]]) -> str:
        if base not in self.modules:
            return ""
        if not name or self.is_module(base) or (base, name) in seen:
            return base
        seen |= {(base, name)}
        exported = self._exports(base).get(name)
        if exported is not None:
            return self._definer(exported.base, exported.name, seen)
        if name in self.modules[base].definitions:
            return base
        for imported in self.modules[base].imports:
            if imported.name == "*":
                defined = self._definer(imported.base, name, seen)
                if defined and name in self.modules[defined].definitions:
                    return defined
        return f"{base}.{name}" if f"{base}.{name}" in self.modules else base

    def _exports(self, face: str) -> dict[str, Import]:
        """Return what a face has from elsewhere, by name; its own modules, imported as such, are left out."""
        sources = filter(None, (self.modules[face], self.stubs.get(face)))
        return {
            imported.bound: imported
            for source in sources
            for imported in source.imports
            if not imported.inside
            and imported.name not in ("", "*")
            and f"{imported.base}.{imported.name}" not in self.modules
        }

    def touched(self, imported: Import) -> str:
        """Return the module whose file an import names, faces not looked through; empty for one outside the package."""
        return self.member(imported.base, imported.name) or (
            imported.base if imported.base in self.modules else ""
        )

    def member(self, base: str, name: str) -> str:
        """Return the file in the folder ``base`` that its attribute ``name`` is; empty where it is anything else."""
        inner = f"{base}.{name}"
        if inner not in self.modules or name in self._exports(base) or name in self.modules[base].definitions:
            return ""
        return inner


def _read(path: Path, root: Path) -> Source:
    relative = path.relative_to(root.parent)
    parts = relative.parent.parts if path.stem == "__init__" else relative.with_suffix("").parts
    try:
        text = path.read_text(encoding="utf-8")
        return Source(".".join(parts), relative, text, ast.parse(text))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from None
