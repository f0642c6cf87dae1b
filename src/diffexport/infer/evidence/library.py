"""The source files around a model, read once: where a word occurs, and every node with what encloses it."""

from __future__ import annotations

import ast
import re
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Scope = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
#: Files beyond this many, or larger than this, are not read.
_MOST_FILES, _LARGEST = 4000, 1_000_000


@dataclass(frozen=True, eq=False)
class LocatedSource:
    """A file as a syntax tree; ``module`` is the module it was imported as, if it was."""

    path: Path
    tree: ast.Module
    module: types.ModuleType | None
    _placed: list[tuple[ast.AST, tuple[Scope, ...]]] = field(default_factory=list)

    def placed(self) -> list[tuple[ast.AST, tuple[Scope, ...]]]:
        """Return every node with the classes and functions around it, the outermost first."""
        if not self._placed:
            self._placed.extend(_placed(self.tree))
        return self._placed


def _placed(tree: ast.AST) -> Iterator[tuple[ast.AST, tuple[Scope, ...]]]:
    waiting: list[tuple[ast.AST, tuple[Scope, ...]]] = [(tree, ())]
    while waiting:
        node, around = waiting.pop()
        inside = (*around, node) if isinstance(node, Scope) else around
        children = [(child, inside) for child in ast.iter_child_nodes(node)]
        yield from children
        waiting.extend(reversed(children))


class Library:
    """The Python files under some folders."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._texts: dict[Path, str] | None = None
        self._sources: dict[Path, LocatedSource | None] = {}

    def _read(self) -> dict[Path, str]:
        if self._texts is None:
            self._texts = {}
            for path in self._files():
                try:
                    if path.stat().st_size <= _LARGEST:
                        self._texts[path] = path.read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue
        return self._texts

    def _files(self) -> list[Path]:
        files: dict[Path, None] = {}
        for root in self._roots:
            for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
                if len(files) < _MOST_FILES and not any(part.startswith(".") for part in path.parts[1:]):
                    files.setdefault(path)
        return list(files)

    def mentioning(self, word: str, *, called: bool = False) -> Iterator[LocatedSource]:
        """Yield the files in which a word occurs (``called``: before a parenthesis), as far as they can be parsed."""
        whole = rf"\b{re.escape(word)}"
        pattern = re.compile(rf"(?<!def )(?<!class ){whole}\(" if called else rf"{whole}\b")
        for path, text in self._read().items():
            if word in text and pattern.search(text):
                source = self._source(path, text)
                if source is not None:
                    yield source

    def _source(self, path: Path, text: str) -> LocatedSource | None:
        if path not in self._sources:
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._sources[path] = None
            else:
                self._sources[path] = LocatedSource(path, tree, _imported(path))
        return self._sources[path]


def _imported(path: Path) -> types.ModuleType | None:
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return module
    return None


def around(model: type) -> tuple[Path, ...]:
    """Return where the call sites of a class are to be looked for: its top package, or its file."""
    module = sys.modules.get(model.__module__)
    file = getattr(module, "__file__", None)
    if not file or module is None:
        return ()
    top = sys.modules.get(model.__module__.partition(".")[0])
    folders = list(getattr(top, "__path__", ()))
    if folders and "." in model.__module__:
        return tuple(Path(folder) for folder in folders)
    return (Path(file),)
