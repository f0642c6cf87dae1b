"""One source file as names: what it imports, which classes and functions it defines, where each name comes from."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from diffexport.infer.discovery.places import Module

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class SourceError(Exception):
    """A file that cannot be parsed; the text says why and where."""


@dataclass
class Class:
    """A class statement (or ``type(name, bases, body)``).

    Attributes:
        qualname: as Python would say it: ``Outer.Inner``, ``make.<locals>.Inner``.
        bases: its base expressions.
        line: of the statement.
        body: what stands in it.
        functions: the functions it stands in, outermost first, each with its qualname.
        conditional: it stands below ``if``, ``try``, ``with`` or a loop.
    """

    qualname: str
    bases: list[ast.expr]
    line: int
    body: list[ast.stmt]
    functions: tuple[tuple[str, FunctionNode], ...] = ()
    conditional: bool = False


@dataclass
class ModuleSource:
    """What is written in one module, without a look at any other.

    Attributes:
        imports: local name to the absolute dotted name it stands for.
        stars: modules whose every name is imported.
        aliases: name to the expressions assigned to it at module level or in a class or function.
        classes: by qualname; the first of several (in branches) stands for all.
        functions: by qualname.
        patched: names of attributes assigned to a class from outside it, by the class's name.
    """

    module: Module
    imports: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    aliases: dict[str, list[ast.expr]] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    functions: dict[str, FunctionNode] = field(default_factory=dict)
    patched: dict[str, set[str]] = field(default_factory=dict)


def parse(module: Module, data: bytes) -> ModuleSource:
    """Parse a file; encoding cookies and byte order marks are honoured.

    Raises:
        SourceError: it is not Python of this version.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's strings
            tree = ast.parse(data, filename=str(module.file))
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        raise SourceError(f"{where}{error.msg}") from None
    except (ValueError, RecursionError, MemoryError, LookupError) as error:
        raise SourceError(f"{type(error).__name__}: {error}") from None
    source = ModuleSource(module)
    try:
        _StatementReader(source).read(tree.body)
    except RecursionError:
        raise SourceError("nested too deeply to be read") from None
    return source


class _StatementReader:
    """Walks through statements; expressions are not looked into."""

    def __init__(self, source: ModuleSource) -> None:
        self._source = source

    def read(
        self,
        body: list[ast.stmt],
        scope: str = "",
        functions: tuple[tuple[str, FunctionNode], ...] = (),
        conditional: bool = False,
    ) -> None:
        source = self._source
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                qualname = scope + statement.name
                described = Class(
                    qualname, statement.bases, statement.lineno, statement.body, functions, conditional
                )
                source.classes.setdefault(qualname, described)
                self.read(statement.body, f"{qualname}.", functions, conditional)
            elif isinstance(statement, FunctionNode):
                qualname = scope + statement.name
                source.functions.setdefault(qualname, statement)
                inside = (*functions, (qualname, statement))
                self.read(statement.body, f"{qualname}.<locals>.", inside, False)
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement)
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                self._assign(statement, scope, functions, conditional)
            else:
                for inner in _blocks(statement):
                    self.read(inner, scope, functions, True)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        source = self._source
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.asname:
                    source.imports.setdefault(alias.asname, alias.name)
                else:
                    top = alias.name.partition(".")[0]
                    source.imports.setdefault(top, top)
            return
        base = absolute(source.module, statement.module or "", statement.level)
        for alias in statement.names:
            if alias.name == "*":
                source.stars.append(base)
            else:
                source.imports.setdefault(alias.asname or alias.name, f"{base}.{alias.name}".lstrip("."))

    def _assign(
        self,
        statement: ast.Assign | ast.AnnAssign,
        scope: str,
        functions: tuple[tuple[str, FunctionNode], ...],
        conditional: bool,
    ) -> None:
        source, value = self._source, statement.value
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                bases = _made_by_type(value)
                if bases is not None:
                    qualname = scope + target.id
                    described = Class(qualname, bases, statement.lineno, [], functions, conditional)
                    source.classes.setdefault(qualname, described)
                elif isinstance(value, ast.Name | ast.Attribute | ast.IfExp):
                    source.aliases.setdefault(target.id, []).append(value)
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                source.patched.setdefault(target.value.id, set()).add(target.attr)


def _made_by_type(value: ast.expr) -> list[ast.expr] | None:
    """Return the bases of ``type("Name", (Base,), {…})``; None where it is something else."""
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "type"
        and len(value.args) == 3
        and isinstance(value.args[1], ast.Tuple)
    ):
        return value.args[1].elts
    return None


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of a compound statement."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block
    for handler in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield handler.body


def absolute(module: Module, name: str, level: int) -> str:
    """Return the absolute name of an import in a module; ``level`` counts leading dots."""
    if not level:
        return name
    parts = module.name.split(".")
    if not module.is_package:
        parts.pop()
    parts = parts[: len(parts) - (level - 1)]
    return ".".join([*parts, name] if name else parts)


def dotted(expression: ast.AST) -> list[str] | None:
    """Return the parts of a plain dotted name; None for any other expression."""
    parts: list[str] = []
    while isinstance(expression, ast.Attribute):
        parts.append(expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return None
    return [expression.id, *reversed(parts)]


def base_names(expression: ast.expr) -> Iterator[list[str]]:
    """Yield the dotted names that a base expression may stand for: both branches, what a helper wraps."""
    name = dotted(expression)
    if name is not None:
        yield name
    elif isinstance(expression, ast.IfExp):
        yield from base_names(expression.body)
        yield from base_names(expression.orelse)
    elif isinstance(expression, ast.Subscript):
        yield from base_names(expression.value)
    elif isinstance(expression, ast.Call):
        for argument in expression.args:
            yield from base_names(argument)


def calls(nodes: list[Any]) -> Iterator[ast.Call]:
    """Yield every call below some nodes."""
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call):
                yield inner
