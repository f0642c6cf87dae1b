"""Find every ``autograd.Function`` of a package or path, from its source alone."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffexport.infer.discovery import marks
from diffexport.infer.discovery.places import Module, SearchedPlace, locate
from diffexport.infer.discovery.references import Index
from diffexport.infer.discovery.source_tree import Class, FunctionNode, ModuleSource, dotted


@dataclass(frozen=True)
class DiscoveredFunction:
    """One ``autograd.Function`` in source.

    Attributes:
        module: the module to import.
        qualname: as Python says it, ``Outer.Inner`` or ``make.<locals>.Inner``.
        file, line: where its class statement is.
        target: the text by which it can be had: ``module:qualname``, or ``file.py:qualname`` where the module is not
            found from the current folder.
        root: the folder that has to be on ``sys.path``; empty where none has to be added.
        parameters: of ``forward``, without ``ctx``; a leading ``*`` as written.
        symbolic, setup_context: whether it, or a base, has one.
        marks: what its source says of it, see [MARKS][diffexport.infer.discovery.marks.MARKS].
        conditional: it is defined below ``if`` or ``try``, so that it may not exist here.
        abstract: neither it nor a base has a ``forward``.
        local: why a class defined inside a function cannot be had; empty for every other.
        loose: its file belongs to no package and is loaded by path.
    """

    module: str
    qualname: str
    file: Path
    line: int
    target: str
    root: str = ""
    parameters: tuple[str, ...] = ()
    symbolic: bool = False
    setup_context: bool = False
    marks: tuple[str, ...] = ()
    conditional: bool = False
    abstract: bool = False
    local: str = ""
    loose: bool = False

    @property
    def name(self) -> str:
        """Module and qualname, which tell it from every other."""
        return f"{self.module}.{self.qualname}"


@dataclass(frozen=True)
class Problem:
    """A file that could not be looked into, and why."""

    module: str
    file: Path
    message: str


@dataclass(frozen=True)
class Discovery:
    """Everything found in one place.

    Attributes:
        place: as it was given.
        functions: by module, in the order of their lines.
        problems: files that were left out.
        files: how many there are.
        digest: changes when any of them does.
    """

    place: str
    functions: tuple[DiscoveredFunction, ...]
    problems: tuple[Problem, ...]
    files: int
    digest: str


def discover(text: str) -> Discovery:
    """Find every Function of a package (import name or name on PyPI) or below a path. Nothing is imported.

    Raises:
        PlaceError: it is not installed, not there, or holds no Python source.
    """
    place = locate(text)
    index = Index(place)
    functions = [_described(index, module, qualname) for module, qualname in index.functions()]
    problems = [
        Problem(name, place.modules[name].file, message)
        for name, message in sorted(index.problems.items())
        if name in place.wanted
    ]
    return Discovery(
        text,
        tuple(sorted(functions, key=lambda one: (one.module, one.line, one.qualname))),
        tuple(problems),
        len(place.wanted),
        _digest(place, index),
    )


def _described(index: Index, name: str, qualname: str) -> DiscoveredFunction:
    ancestry = index.ancestry(name, qualname)
    assert ancestry is not None
    source, described = ancestry[0]
    module = source.module
    forward = next((node for _, c in ancestry if (node := marks.method(c, "forward")) is not None), None)
    symbolic = _has(ancestry, "symbolic")
    setup_context = _has(ancestry, "setup_context")
    names = marks.parameters(forward) if forward is not None else ()
    before = 0 if setup_context else 1
    if forward is not None and any(dotted(one) == ["classmethod"] for one in forward.decorator_list):
        before += 1
    return DiscoveredFunction(
        module=name,
        qualname=qualname,
        file=module.file,
        line=described.line,
        target=f"{_place_of(module)}:{qualname}",
        root=str(module.root or ""),
        parameters=names[before:],
        symbolic=symbolic,
        setup_context=setup_context,
        marks=marks.of_class(index, ancestry, symbolic=symbolic),
        conditional=described.conditional,
        abstract=forward is None and not _made_at_run_time(ancestry),
        local=_local(described),
        loose=module.loose,
    )


def _place_of(module: Module) -> str:
    """Return the text by which a module is found from the current folder."""
    if module.loose or (module.root is not None and module.root != Path.cwd().resolve()):
        return _relative(module.file)
    return module.name


def _has(ancestry: Sequence[tuple[ModuleSource, Class]], name: str) -> bool:
    for source, ancestor in ancestry:
        if marks.method(ancestor, name) is not None or name in source.patched.get(ancestor.qualname, ()):
            return True
        for statement in ancestor.body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name) and target.id == name:
                        return not (
                            isinstance(statement.value, ast.Constant) and statement.value.value is None
                        )
    return False


def _made_at_run_time(ancestry: Sequence[tuple[ModuleSource, Class]]) -> bool:
    """Return whether what a class holds is not all written in it: ``type(…)``, or a forward that is assigned."""
    return any(
        not ancestor.body or "forward" in source.patched.get(ancestor.qualname, ())
        for source, ancestor in ancestry
    ) or (_has(ancestry, "forward"))


def _local(described: Class) -> str:
    """Return why a class that is defined inside a function cannot be had by calling that; empty where it can."""
    if not described.functions:
        return ""
    qualname, outer = described.functions[0]
    if len(described.functions) > 1:
        return f"defined two functions deep, in {described.functions[-1][0]}"
    required = _required(outer)
    if "." in qualname:
        return f"defined inside the method {qualname}"
    if required:
        return f"defined inside {qualname}, which needs {', '.join(required)}"
    name = described.qualname.rpartition(".")[2]
    if not any(_hands_out(node, name) for node in ast.walk(outer)):
        return f"defined inside {qualname}, which does not return it"
    return ""


def _required(function: FunctionNode) -> list[str]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = [a.arg for a in positional[: len(positional) - len(arguments.defaults)]]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return required + [argument.arg for argument, default in pairs if default is None]


def _hands_out(node: ast.AST, name: str) -> bool:
    """Return whether a statement returns the class, its ``apply``, or something that may hold it."""
    if not isinstance(node, ast.Return) or node.value is None:
        return False
    leads = dotted(node.value)
    return leads is None or leads[0] == name or len(leads) == 1


def _relative(file: Path) -> str:
    try:
        return str(file.relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(file)


def _digest(place: SearchedPlace, index: Index) -> str:
    state = hashlib.sha256()
    for name in sorted(place.modules):
        module: Module = place.modules[name]
        state.update(f"{name}\0{module.file}\0".encode())
        state.update(hashlib.sha256(index.data(name)).digest())
    return state.hexdigest()[:16]
