"""Which classes derive from ``torch.autograd.Function``: names followed through aliases, modules and packages."""

from __future__ import annotations

import ast
import enum
import functools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from diffexport.infer.discovery.places import Module, PlaceError, SearchedPlace, package
from diffexport.infer.discovery.source_tree import Class, ModuleSource, SourceError, base_names, dotted, parse

#: Names that end a search: the class itself, wherever torch makes it available, and what torch derives from it.
_FUNCTION = re.compile(
    r"torch\.(autograd\.|autograd\.function\.)(Function|_SingleLevelFunction|InplaceFunction|NestedIOFunction)"
)
#: Most parts of a name, and most names one leads to, before it is given up: two may lead to each other, ever longer.
_PARTS, _HOPS = 10, 60


class NameKind(enum.Enum):
    """What a name leads to."""

    CLASS = enum.auto()
    FUNCTION = enum.auto()
    MODULE = enum.auto()
    #: An extension module that belongs to the place.
    NATIVE = enum.auto()
    #: Something in a module that is not read.
    OUTSIDE = enum.auto()
    #: Something that the module it should be in does not define.
    MISSING = enum.auto()


@dataclass(frozen=True)
class Name:
    """Where a name leads: a class or function in a module that was read, or a dotted name outside all of these."""

    kind: NameKind
    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The absolute dotted name."""
        return f"{self.module}.{self.name}" if self.module else self.name


@dataclass
class Index:
    """The modules of one place, parsed when they are asked for; other packages are read where a base leads there."""

    place: SearchedPlace
    problems: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, ModuleSource | None] = field(default_factory=dict)
    _others: dict[str, Mapping[str, Module]] = field(default_factory=dict)
    _names: dict[tuple[str, str], Name | None] = field(default_factory=dict)
    _depth: int = 0
    _ancestry: dict[tuple[str, str], tuple[tuple[ModuleSource, Class], ...] | None] = field(
        default_factory=dict
    )

    @functools.cached_property
    def _tops(self) -> frozenset[str]:
        return frozenset(name.partition(".")[0] for name in self.place.modules)

    def data(self, name: str) -> bytes:
        """Return the bytes of a module's file; none where it cannot be read."""
        try:
            return self.place.modules[name].file.read_bytes()
        except OSError as error:
            self.problems.setdefault(name, f"cannot be read: {error.strerror or error}")
            return b""

    def source(self, name: str) -> ModuleSource | None:
        """Return a module as names; None where there is none, or it does not parse."""
        if name not in self._sources:
            self._sources[name] = None
            module = self.place.modules.get(name)
            if module is None:
                module = self._elsewhere(name)
            if module is not None:
                self._sources[name] = self._parse(name, module)
        return self._sources[name]

    def _parse(self, name: str, module: Module) -> ModuleSource | None:
        try:
            return parse(module, module.file.read_bytes())
        except OSError as error:
            self.problems.setdefault(name, f"cannot be read: {error.strerror or error}")
        except SourceError as error:
            if name in self.place.modules:
                self.problems.setdefault(name, f"cannot be parsed: {error}")
        return None

    def _elsewhere(self, name: str) -> Module | None:
        """Return a module of another installed package; torch ends every search and is not read for that."""
        top = name.partition(".")[0]
        if top == "torch" or top in self._tops or top in sys.stdlib_module_names:
            return None
        if top not in self._others:
            try:
                elsewhere = package(top)
            except PlaceError:
                elsewhere = None
            self._others[top] = elsewhere.modules if elsewhere is not None else {}
        return self._others[top].get(name)

    def lookup(self, source: ModuleSource, parts: list[str], scope: str = "") -> Name | None:
        """Return where a dotted name leads that is used in a module, inside ``scope`` (a qualname with its dot)."""
        first, rest = parts[0], parts[1:]
        for prefix in _scopes(scope):
            if prefix + first in source.classes:
                return self._attribute(source, prefix + first, rest)
        for prefix in _scopes(scope):
            if prefix + first in source.functions:
                return Name(NameKind.FUNCTION, source.module.name, prefix + first)
        # Names are followed in circles where modules import each other's: what is being looked for is not there.
        key = (source.module.name, ".".join(parts))
        if key not in self._names:
            self._names[key] = None
            if len(parts) > _PARTS or self._depth > _HOPS:
                return None
            self._depth += 1
            self._names[key] = self._follow(source, first, rest)
            self._depth -= 1
        return self._names[key]

    def _follow(self, source: ModuleSource, first: str, rest: list[str]) -> Name | None:
        """Return where a name leads that a module gets from elsewhere."""
        if first in source.imports:
            return self.absolute([*source.imports[first].split("."), *rest])
        for expression in source.aliases.get(first, ()):
            for name in base_names(expression):
                if name[0] != first:
                    leads = self.lookup(source, [*name, *rest])
                    if leads is not None:
                        return leads
        submodule = f"{source.module.name}.{first}"
        if source.module.is_package and (submodule in self.place.modules or submodule in self.place.native):
            return self.absolute([*submodule.split("."), *rest])
        for star in source.stars:
            outside = Name(NameKind.OUTSIDE, "", ".".join([star, first, *rest]))
            if _FUNCTION.fullmatch(outside.dotted):
                return outside
            leads = self.absolute([*star.split("."), first, *rest])
            if leads is not None and leads.kind not in (NameKind.MISSING, NameKind.OUTSIDE):
                return leads
        return None

    def absolute(self, parts: list[str]) -> Name | None:
        """Return where an absolute dotted name leads."""
        if _FUNCTION.fullmatch(".".join(parts)):
            return Name(NameKind.OUTSIDE, "", ".".join(parts))
        for length in range(len(parts), 0, -1):
            module, rest = ".".join(parts[:length]), parts[length:]
            if module in self.place.native:
                return Name(NameKind.NATIVE, "", ".".join(parts))
            source = self.source(module)
            if source is None:
                continue
            if not rest:
                return Name(NameKind.MODULE, "", module)
            return self.lookup(source, rest) or Name(NameKind.MISSING, "", ".".join(parts))
        return Name(NameKind.OUTSIDE, "", ".".join(parts))

    def _attribute(self, source: ModuleSource, qualname: str, rest: list[str]) -> Name:
        while rest and f"{qualname}.{rest[0]}" in source.classes:
            qualname, rest = f"{qualname}.{rest[0]}", rest[1:]
        return Name(NameKind.CLASS, source.module.name, ".".join([qualname, *rest]))

    def ancestry(self, module: str, qualname: str) -> tuple[tuple[ModuleSource, Class], ...] | None:
        """Return a Function's class and its bases that were read, nearest first; None for any other class."""
        key = (module, qualname)
        if key not in self._ancestry:
            self._ancestry[key] = None  # of a class that is its own base
            self._ancestry[key] = self._find_ancestry(module, qualname)
        return self._ancestry[key]

    def _find_ancestry(self, module: str, qualname: str) -> tuple[tuple[ModuleSource, Class], ...] | None:
        source = self.source(module)
        described = source.classes.get(qualname) if source is not None else None
        if source is None or described is None:
            return None
        ancestry: list[tuple[ModuleSource, Class]] = [(source, described)]
        is_function = _FUNCTION.fullmatch(f"{module}.{qualname}") is not None
        scope = qualname.rpartition(".")[0]
        for expression in described.bases:
            for name in base_names(expression):
                base = self.lookup(source, name, f"{scope}." if scope else "")
                if base is None:
                    continue
                if _FUNCTION.fullmatch(base.dotted):
                    is_function = True
                elif base.kind is NameKind.CLASS:
                    above = self.ancestry(base.module, base.name)
                    if above is not None:
                        is_function = True
                        ancestry += above
                    else:
                        ancestry += self._mixins(base)
        return tuple(ancestry) if is_function else None

    def _mixins(self, base: Name, seen: frozenset[Name] = frozenset()) -> list[tuple[ModuleSource, Class]]:
        """Return a class that is no Function with its bases: what it defines is inherited all the same."""
        source = self.source(base.module)
        mixin = source.classes.get(base.name) if source is not None else None
        if source is None or mixin is None or base in seen:
            return []
        mixins = [(source, mixin)]
        for expression in mixin.bases:
            for name in base_names(expression):
                above = self.lookup(source, name, "")
                if above is not None and above.kind is NameKind.CLASS:
                    mixins += self._mixins(above, seen | {base})
        return mixins

    def functions(self) -> Iterator[tuple[str, str]]:
        """Yield module and qualname of every Function of the modules that were asked for.

        Only files that can matter are parsed: those that mention a Function, then those that mention one of the
        names under which what was found there is known, until nothing new is.
        """
        waiting = {name: self.data(name) for name in sorted(self.place.modules)}
        words: set[str] = {"Function", "InplaceFunction", "NestedIOFunction", "_SingleLevelFunction"}
        names: set[str] = set()
        functions: set[tuple[str, str]] = set()
        while words:
            pattern = re.compile(rb"\b(" + b"|".join(re.escape(w.encode()) for w in sorted(words)) + rb")\b")
            read = [name for name, data in waiting.items() if pattern.search(data)]
            names |= words
            for name in read:
                del waiting[name]
                self.source(name)
            words = set().union(*(self._known_as(name, functions) for name in read)) - names
        yield from sorted(key for key in functions if key[0] in self.place.wanted)

    def _known_as(self, module: str, functions: set[tuple[str, str]]) -> set[str]:
        """Note the Functions of a module; return the names under which it has Functions."""
        source = self.source(module)
        if source is None:
            return set()
        names = set()
        for qualname in source.classes:
            if self.ancestry(module, qualname) is not None:
                if not _FUNCTION.fullmatch(f"{module}.{qualname}"):
                    functions.add((module, qualname))
                names.add(qualname.rpartition(".")[2])
        for alias in (*source.imports, *source.aliases):
            leads = self.lookup(source, [alias])
            if leads is not None and (
                _FUNCTION.fullmatch(leads.dotted)
                or (leads.kind is NameKind.CLASS and self.ancestry(leads.module, leads.name) is not None)
            ):
                names.add(alias)
        return names


def _scopes(scope: str) -> list[str]:
    """Return the scopes that a name is looked for in, innermost first."""
    scopes = [scope] if scope else []
    while scope:
        scope = scope.rstrip(".").rpartition(".")[0]
        scope = f"{scope}." if scope else ""
        scopes.append(scope)
    return scopes or [""]


def referred(node: ast.AST) -> Iterator[list[str]]:
    """Yield every dotted name that is read below a node."""
    for inner in ast.walk(node):
        name = dotted(inner) if isinstance(inner, ast.Attribute | ast.Name) else None
        if name is not None:
            yield name
