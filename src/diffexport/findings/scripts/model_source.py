"""The model of a regression, as source that stands alone.

Its definition is copied from its module, with the top-level definitions this refers to and the imports they
use. Where that cannot be had (a lambda, a closure, no source) the script imports the target and says so.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import re
import symtable
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from diffexport.backends.exporters import indented
from diffexport.findings.regressions import Regression
from diffexport.findings.scripts.filled_values import MAKERS
from diffexport.findings.scripts.literals import literal
from diffexport.pytorch import PRIVATE_IMPORTS, SIZE_OBLIVIOUS_MODULE
from diffexport.subjects.cases import Case
from diffexport.subjects.targets import Application, Bound, look_up, resolve
from diffexport.values import Call

_Place = ModuleType | Path | str

_MODULES = (
    *("base64", "contextlib", "copy", "ctypes", "importlib", "importlib.util", "io", "ml_dtypes"),
    *("onnx", "onnx.reference", "onnxruntime", "os", "random", "sys", "tempfile", "torch"),
    *(SIZE_OBLIVIOUS_MODULE, "warnings", "zlib"),
)
#: What a script may import for itself, by the name it then uses.
IMPORTS = {name: f"import {name}" for name in _MODULES} | {"np": "import numpy as np", **PRIVATE_IMPORTS}
#: What else a script binds at its top level.
_FUNCTIONS = {
    "Applied",
    "WithConstants",
    "arrays",
    "as_bfloat16",
    "export",
    "load",
    "made",
    "main",
    "run_in_values",
    "spec",
    "target",
    *MAKERS,
}


class NoSourceError(Exception):
    """The source cannot be copied; the text says why."""


@dataclass(frozen=True)
class ModelSource:
    """A model as source.

    Attributes:
        imports: lines that import what the definitions use.
        definitions: top-level statements, in order.
        expression: what makes the model.
        module: the module it makes; None for a bare ``autograd.Function`` and where building it fails.
    """

    imports: list[str]
    definitions: list[str]
    expression: str
    module: Any


def model_source(regression: Regression, case: Case) -> ModelSource:
    """Copy the definition of a case's model, or import it where it cannot be copied."""
    parsed = Application.parse(regression.target)
    applied = None if parsed is None or parsed.is_plain else parsed
    build = case.build
    constants = dict(build.constants) if isinstance(build, Bound) else {}
    if applied is None:
        value = _unwrapped(build.build if isinstance(build, Bound) else build)
        if parsed is not None and (parsed.arguments or parsed.weights):
            value = look_up(f"{parsed.place}:{parsed.attribute}")
    else:
        value = look_up(regression.target)
    stored = regression.target if parsed is None else f"{parsed.place}:{parsed.attribute}"
    places = list(_places(value, stored))
    reason = "it is made by a lambda or a closure"
    for place, name in places:
        try:
            imports, definitions = copied_definitions(*_read(place), name)
            break
        except (NoSourceError, OSError, TypeError, ImportError, SyntaxError) as error:
            reason = str(error)
    else:
        imports, definitions, name = [], *_imported(places, reason)
    function = isinstance(value, type) and issubclass(value, torch.autograd.Function)
    module = None if function else _built(case)
    given, whole = arguments(Call.of(regression.export_inputs), constants)
    if isinstance(value, torch.nn.Module):
        expression = name
    elif function:
        flags = applied.flags if applied is not None else ()
        definitions += applied_definitions(name, given, whole, flags)
        expression = "Applied()"
    else:
        plain = name.removeprefix("target.") == getattr(value, "__qualname__", "")
        call = "()" if parsed is None else parsed.written_call
        expression = f"{name}{call}" if plain else f'getattr({name}, "build", {name}){call}'
    if parsed is not None and parsed.weights is not None:
        imports, definitions = [*imports, "import safetensors.torch"], [*definitions, WITH_WEIGHTS]
        expression = f"with_weights({expression}, {parsed.weights.path!r})"
    if constants and not function:
        definitions.append(with_constants(given, whole))
        expression = f"WithConstants({expression})"
    if module is not None and any(True for _ in module.parameters()):
        definitions.insert(0, "torch.manual_seed(0)  # weights may be random: those seen are not stored")
    return ModelSource(imports, definitions, expression, module)


def with_constants(given: str, whole: str) -> str:
    """Return the definition of a module that calls another one with constants among the arguments."""
    start = indented("def __init__(self, inner):", "super().__init__()", "self.inner = inner")
    forward = indented(f"def forward(self, {given}):", f"return self.inner({whole})")
    return indented("class WithConstants(torch.nn.Module):", start, "", forward)


#: Gives a model the weights in a file.
WITH_WEIGHTS = indented(
    "def with_weights(model, path):", "safetensors.torch.load_model(model, path)", "return model"
)


@dataclass(frozen=True)
class Function:
    """A function of a case as source: lines that import, top-level statements in order, and its name."""

    imports: list[str]
    definitions: list[str]
    name: str


def function_source(function: Any) -> Function:
    """Copy the definition of a function that a case has besides its model; a stub where it cannot be copied."""
    reason = "it is made by a lambda or a closure"
    for place, name in _places(function, ""):
        try:
            return Function(*copied_definitions(*_read(place), name), name)
        except (NoSourceError, OSError, TypeError, ImportError, SyntaxError) as error:
            reason = str(error)
    name = getattr(function, "__name__", "")
    name = name if name.isidentifier() else "function"
    called = getattr(function, "__qualname__", name)
    text = textwrap.fill(f"The source of {called} could not be copied: {reason}.", 98)
    stub = indented(f"def {name}(*args):", f'raise NotImplementedError("put {name} here")')
    return Function([], [f"{textwrap.indent(text, '# ')}\n{stub}"], name)


def arguments(call: Call, constants: Mapping[int | str, Any]) -> tuple[str, str]:
    """Return the parameters of a forward, and all arguments that it calls with, constants in their places."""
    given = [f"x{number}" for number in range(len(call.args))]
    whole = list(given)
    for place, value in sorted((key, value) for key, value in constants.items() if isinstance(key, int)):
        whole.insert(place, literal(value))
    whole += [f"{name}={name}" for name in call.kwargs]
    whole += [f"{key}={literal(value)}" for key, value in constants.items() if isinstance(key, str)]
    return ", ".join([*given, *call.kwargs]), ", ".join(whole)


def applied_definitions(name: str, given: str, whole: str, flags: Sequence[str]) -> list[str]:
    """Return the definition of a module that applies a Function; flags as in ``application``."""
    lines = ["del " + name + ".symbolic"] if "without-symbolic" in flags else []
    body, through = [], []
    if "parameter" in flags:
        one = "self.one = torch.nn.Parameter(torch.ones(()))"
        body.append(indented("def __init__(self):", "super().__init__()", one) + "\n")
        through = [
            f"{x} = {x} * self.one.to({x}.dtype) if {x}.is_floating_point() else {x}"
            for x in given.split(", ")
        ]
    body.append(indented(f"def forward(self, {given}):", *through, f"return {name}.apply({whole})"))
    return [*lines, indented("class Applied(torch.nn.Module):", *body)]


def _unwrapped(build: Any) -> Any:
    """Return the module instance or Function that [resolve][diffexport.subjects.targets.resolve] put into a closure."""
    if inspect.isfunction(build) and build.__module__ == resolve.__module__:
        inside = list(inspect.getclosurevars(build).nonlocals.values())
        return inside[0] if len(inside) == 1 else build
    return build


def _built(case: Case) -> Any:
    try:
        module = case.build()
    except Exception:  # noqa: BLE001 - a script for a model that cannot be built is still of use
        return None
    return module if isinstance(module, torch.nn.Module) else None


def _places(value: Any, text: str) -> Iterator[tuple[_Place, str]]:
    """Yield where the model may be defined and under what name: its own module, then the stored target."""
    name = getattr(value, "__qualname__", "")
    module = sys.modules.get(getattr(value, "__module__", ""))
    if module is not None and getattr(module, name, None) is value:
        yield module, name
    place, _, name = text.rpartition(":")
    if place and all(part.isidentifier() for part in name.split(".")):
        yield Path(place) if place.endswith(".py") else place, name


def _read(place: _Place) -> tuple[str, str]:
    """Return source and package of a module."""
    if isinstance(place, Path):
        return place.read_text(encoding="utf-8"), ""
    module = importlib.import_module(place) if isinstance(place, str) else place
    if module.__name__.partition(".")[0] == "torch":
        raise NoSourceError("it is part of torch")
    return inspect.getsource(module), module.__package__ or ""


def _imported(places: list[tuple[_Place, str]], reason: str) -> tuple[list[str], str]:
    """Return the lines that import the target, and the expression for it."""
    reason = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", reason)
    comment = textwrap.indent(textwrap.fill(f"The model's source could not be copied: {reason}.", 98), "# ")
    place, name = places[-1] if places else ("diffexport", "")
    module = place.__name__ if isinstance(place, ModuleType) else str(place)
    if isinstance(place, Path):
        lines = [
            f'spec = importlib.util.spec_from_file_location("target", {module!r})',
            "target = importlib.util.module_from_spec(spec)",
            'sys.modules["target"] = target',
            "spec.loader.exec_module(target)",
        ]
    elif module.partition(".")[0] == "diffexport":
        stub = indented("def target():", 'raise NotImplementedError("put the model here")')
        return [f"{comment}\n{stub}"], "target"
    else:
        lines = ['sys.path.insert(0, "")', f"target = importlib.import_module({module!r})"]
    return ["\n".join((comment, *lines))], f"target.{name}"


def importing_definitions(place: str, name: str, reason: str) -> tuple[list[str], str]:
    """Return the lines that import a target, and the expression for it.

    Args:
        place: a file or a module.
        name: what is in it.
        reason: why its source cannot be copied.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        return _imported([], reason)
    return _imported([(Path(place) if place.endswith(".py") else place, name)], reason)


def root_of(line: str) -> str:
    """Return the top-level package that an import line names."""
    return line.split()[1].partition(".")[0]


# Copying definitions.

_IMPORT = (ast.Import, ast.ImportFrom)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)
_NOISE = re.compile(r"[ \t]*#\s*(?:noqa|type:\s*ignore|pragma:|pylint:).*")


def copied_definitions(source: str, package: str, name: str) -> tuple[list[str], list[str]]:
    """Return the imports and the definitions that ``name`` needs, in source order.

    Raises:
        NoSourceError: it is not defined at the top level, or what it needs cannot stand alone.
        SyntaxError: the source does not parse.
    """
    body = _without_registration(ast.parse(source).body)
    needed, names = _closure(body, name)
    definitions = [node for node in needed if not isinstance(node, _IMPORT)]
    parts = [part for node in definitions for part in ast.walk(node)]
    inner = [ast.unparse(part) for part in parts if isinstance(part, _IMPORT)]
    imports: dict[str, str] = {}
    for node in needed:
        imports |= _imports(node, names, package)
    unfit = [line for line in (*imports.values(), *inner) if line.split()[1].startswith(("diffexport", "."))]
    if unfit:
        raise NoSourceError(f"it needs {unfit[0]!r}")
    other = {bound for bound, line in imports.items() if line not in (IMPORTS.get(bound), f"import {bound}")}
    taken = set().union(other, *map(_bound, definitions)) & (_FUNCTIONS | IMPORTS.keys())
    if taken:
        raise NoSourceError(f"its module and this script both define {', '.join(sorted(taken))}")
    if "from __future__ import annotations" in source and _defers(parts, imports):
        imports["annotations"] = "from __future__ import annotations"
    return list(imports.values()), _texts(source.split("\n"), definitions)


def _without_registration(body: list[ast.stmt]) -> list[ast.stmt]:
    """Leave out ``if __name__ == …`` and decorators that come from diffexport."""
    kept = [node for node in body if not (isinstance(node, ast.If) and "__name__" in _used(node.test))]
    ours = [node for node in kept if isinstance(node, _IMPORT) and root_of(ast.unparse(node)) == "diffexport"]
    registering = set().union(*map(_bound, ours))
    for node in kept:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            node.decorator_list = [d for d in node.decorator_list if not _used(d) & registering]
    return kept


def _closure(body: list[ast.stmt], name: str) -> tuple[list[ast.stmt], set[str]]:
    """Return the top-level statements that define or change what ``name`` needs, and every name needed."""
    bound = {node: _bound(node) for node in body}
    if not any(name in names for names in bound.values()):
        raise NoSourceError(f"{name} is not defined at the top level of its module")
    needed: set[ast.stmt] = set()
    names: set[str] = set()
    pending = {name}
    while pending:
        wanted = pending.pop()
        names.add(wanted)
        binding = {node for node in body if wanted in bound[node]}
        if not binding and not hasattr(builtins, wanted):
            binding = {node for node in body if "*" in bound[node]}
        elif not all(isinstance(node, _IMPORT) for node in binding):
            # name.attribute = ..., name[...] = ..., name.register(...), @name.register
            binding |= {node for node in body if re.match(rf"@?{wanted}[.\[]", ast.unparse(node))}
        needed |= binding
        pending |= set().union(*(_used(node) for node in binding if not isinstance(node, _IMPORT)))
        pending -= names
    return [node for node in body if node in needed], names


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, _IMPORT):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    symbols = symtable.symtable(ast.unparse(node), "source", "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def _used(node: ast.AST) -> set[str]:
    """Return the names of the module that are referred to, at any depth."""
    top = symtable.symtable(ast.unparse(node), "source", "exec")
    tables, names = [top], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        symbols = [symbol for symbol in table.get_symbols() if symbol.is_referenced()]
        names |= {symbol.get_name() for symbol in symbols if table is top or symbol.is_global()}
    return names


def _imports(node: ast.stmt, names: set[str], package: str) -> dict[str, str]:
    """Return one line for each needed name that ``node`` imports."""
    if not isinstance(node, _IMPORT) or getattr(node, "module", "") == "__future__":
        return {}
    start = ""
    if isinstance(node, ast.ImportFrom):
        start = f"from {importlib.util.resolve_name('.' * node.level + (node.module or ''), package)} "
    lines = {
        alias.asname or alias.name.partition(".")[0]: f"{start}import {ast.unparse(alias)}"
        for alias in node.names
    }
    return {bound: line for bound, line in lines.items() if bound in names or bound == "*"}


def _defers(parts: Iterable[ast.AST], imports: Mapping[str, str]) -> bool:
    """Return whether evaluating the annotations may fail: they hold more than imports and builtins."""
    annotations = [getattr(part, field, None) for part in parts for field in ("annotation", "returns")]
    inside = [node for annotation in annotations if annotation is not None for node in ast.walk(annotation)]
    names = {node.id for node in inside if isinstance(node, ast.Name)}
    quoted = any(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in inside)
    return quoted or not names <= imports.keys() | vars(builtins).keys()


def _texts(lines: list[str], definitions: Iterable[ast.stmt]) -> list[str]:
    """Return the source of each definition; simple statements that follow each other stay together."""
    texts: list[str] = []
    together = False
    for node in definitions:
        decorators = [f"@{ast.unparse(decorator)}" for decorator in getattr(node, "decorator_list", ())]
        text = _NOISE.sub("", "\n".join((*decorators, *lines[node.lineno - 1 : node.end_lineno])))
        simple = isinstance(node, _SIMPLE)
        texts[-1:] = [f"{texts[-1]}\n{text}"] if simple and together else [*texts[-1:], text]
        together = simple
    return texts
