"""What the source of a target says of its model, while nothing of it is imported.

Names are followed through the file, and through imports to other files, by their text alone. What cannot be known so is
left for the script to find out when a person runs it.
"""

from __future__ import annotations

import ast
import enum
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffexport.errors import RegressionFileError
from diffexport.findings.regressions import read_regular
from diffexport.subjects.targets import file_of

#: How many names and files are followed.
_DEPTH = 12
#: Bytes of source that are read.
_LARGEST = 16 << 20
#: What of diffexport makes a case or a test, with where among the arguments the model stands.
_MAKERS = {"make_case": 1, "Case": 1, "test": 0}


class ModelForm(enum.Enum):
    """What a model is, as far as its source says."""

    FUNCTION = "an autograd.Function"
    CALLED = "a class or a function, which is called for the model"
    ASSIGNED = "something that was assigned: the model, or what is called for it"
    UNKNOWN = "anything"


@dataclass(frozen=True)
class SourceFile:
    """A file of source.

    Attributes:
        path: the file.
        module: its dotted name; empty outside of any package.
        package: of which its relative imports are.
        text: what is in it.
    """

    path: Path
    module: str
    package: str
    text: str

    @classmethod
    def of(cls, place: str) -> SourceFile:
        """Return the source of a module, or of a file.

        Raises:
            LookupError: there is none that can be read.
        """
        if place.endswith(".py"):
            path, module = Path(place), _module_of(Path(place))
        else:
            if place.partition(".")[0] == "torch":
                raise LookupError("it is part of torch")
            located = file_of(place, (Path.cwd(),))
            if located is None:
                raise LookupError(f"there is no source file of {place}")
            path, module = located, place
        try:
            text = importlib.util.decode_source(read_regular(path, _LARGEST))
        except (RegressionFileError, SyntaxError, ValueError) as error:
            raise LookupError(f"{path}: {error}") from None
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        return cls(path, module, package, text)


def _module_of(path: Path) -> str:
    """Return the dotted name of a file that is part of a package; empty for others."""
    path = path.resolve()
    names, folder = [] if path.name == "__init__.py" else [path.stem], path.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names) if folder != path.parent else ""


@dataclass(frozen=True)
class WrittenModel:
    """A model as its source describes it.

    Attributes:
        form: what it is.
        file: where its definition stands; None where that is not known.
        name: what it is called there.
        forward: the parameters that it is called with; None where they are not known.
        inputs: the texts of its inputs, where its case or test declares them so.
    """

    form: ModelForm
    file: SourceFile | None
    name: str
    forward: inspect.Signature | None = None
    inputs: tuple[str, ...] = ()


def written_model(place: str, attribute: str) -> WrittenModel:
    """Return what the source says of a target; the reason why it says nothing is the text of the error.

    Raises:
        LookupError: there is no source, or it does not parse.
    """
    return _described(SourceFile.of(place), attribute, _DEPTH)


def is_class(module: str, name: str) -> bool:
    """Return whether the source of a module says that a name in it is a class."""
    try:
        return isinstance(_definition(ast.parse(SourceFile.of(module).text).body, name), ast.ClassDef)
    except (LookupError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _described(file: SourceFile, name: str, depth: int) -> WrittenModel:
    unknown = WrittenModel(ModelForm.UNKNOWN, file, name)
    try:
        body = ast.parse(file.text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise LookupError(f"{file.path} does not parse: {error}") from None
    node = _definition(body, name)
    if depth == 0 or node is None:
        return unknown
    if isinstance(node, ast.ClassDef):
        forward = _method(body, node, "forward", depth)
        if _is_function(body, node, forward, depth):
            return WrittenModel(ModelForm.FUNCTION, file, name)
        return WrittenModel(ModelForm.CALLED, file, name, None if forward is None else _signature(forward))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        inputs = next((_inputs(d) for d in node.decorator_list if isinstance(d, ast.Call)), ())
        return WrittenModel(ModelForm.CALLED, file, name, _returned(file, body, node, depth), inputs)
    if isinstance(node, ast.ImportFrom | ast.Import):
        return _elsewhere(file, node, name, depth) or unknown
    return _assigned(file, name, getattr(node, "value", None), depth)


def _definition(body: Sequence[ast.stmt], name: str) -> ast.stmt | None:
    """Return the last statement that binds a name, which may be inside of classes: ``Outer.Inner``."""
    first, _, rest = name.partition(".")
    binding = None
    for node in body:
        if first in _bound(node):
            binding = node
    if not rest:
        return binding
    return _definition(binding.body, rest) if isinstance(binding, ast.ClassDef) else None


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _assigned(file: SourceFile, name: str, value: ast.expr | None, depth: int) -> WrittenModel:
    """Return what a name stands for that something is assigned to."""
    plain = WrittenModel(ModelForm.ASSIGNED, file, name)
    if isinstance(value, ast.Lambda):
        return WrittenModel(ModelForm.CALLED, file, name)
    if isinstance(value, ast.Name):
        return _described(file, value.id, depth - 1)
    if not isinstance(value, ast.Call):
        return plain
    maker = ast.unparse(value.func).rpartition(".")[2]
    if maker in _MAKERS:
        given = {key.arg: key.value for key in value.keywords}
        place = _MAKERS[maker]
        positional = value.args[place] if len(value.args) > place else None
        model = given.get("build", given.get("model", positional))
        if not isinstance(model, ast.Name):
            return WrittenModel(ModelForm.UNKNOWN, file, name, None, _inputs(value))
        return replace(_described(file, model.id, depth - 1), inputs=_inputs(value))
    if isinstance(value.func, ast.Name):
        called = _described(file, value.func.id, depth - 1)
        return replace(plain, forward=called.forward)
    return plain


def _elsewhere(
    file: SourceFile, node: ast.ImportFrom | ast.Import, name: str, depth: int
) -> WrittenModel | None:
    """Return what a name stands for that is imported; None where its source is not to be had."""
    if isinstance(node, ast.Import):
        return None
    first, dot, rest = name.partition(".")
    alias = next(alias for alias in node.names if (alias.asname or alias.name) == first)
    try:
        module = importlib.util.resolve_name("." * node.level + (node.module or ""), file.package)
        return _described(SourceFile.of(module), f"{alias.name}{dot}{rest}", depth - 1)
    except (LookupError, ImportError, ValueError):
        return None


def _inputs(call: ast.Call) -> tuple[str, ...]:
    """Return the texts that a call of diffexport declares inputs by; empty where it does not, or not by texts."""
    declared = next((key.value for key in call.keywords if key.arg == "inputs"), None)
    try:
        texts = ast.literal_eval(declared) if declared is not None else ()
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ()
    usable = isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)
    return tuple(texts) if usable else ()


def _bases(body: Sequence[ast.stmt], node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    for base in node.bases:
        definition = _definition(body, ast.unparse(base))
        if isinstance(definition, ast.ClassDef):
            yield definition


def _is_function(body: Sequence[ast.stmt], node: ast.ClassDef, forward: Any, depth: int) -> bool:
    """Return whether a class is an ``autograd.Function``: by the names of its bases, or its static ``forward``."""
    if forward is not None:
        return any(ast.unparse(one) == "staticmethod" for one in forward.decorator_list)
    if any(ast.unparse(base).endswith("Function") for base in node.bases):
        return True
    return depth > 0 and any(_is_function(body, base, None, depth - 1) for base in _bases(body, node))


def _method(body: Sequence[ast.stmt], node: ast.ClassDef, name: str, depth: int) -> ast.FunctionDef | None:
    """Return the definition of a method, which may stand in a base of the same file."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == name:
            return inner
    if depth == 0:
        return None
    inherited = (_method(body, base, name, depth - 1) for base in _bases(body, node) if base is not node)
    return next((one for one in inherited if one is not None), None)


def _returned(
    file: SourceFile, body: Sequence[ast.stmt], node: ast.FunctionDef | ast.AsyncFunctionDef, depth: int
) -> inspect.Signature | None:
    """Return the parameters of the model that a factory returns, where it says ``return Model(…)``."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Call):
            called = ast.unparse(inner.value.func)
            if isinstance(_definition(body, called), ast.ClassDef):
                return _described(file, called, depth - 1).forward
    return None


class _NotLiteral:
    """The default of a parameter that its source does not write down as a literal."""


def _signature(node: ast.FunctionDef) -> inspect.Signature | None:
    """Return the parameters of a method without ``self``."""
    kinds, given = inspect.Parameter, node.args
    parameters: list[inspect.Parameter] = []
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    for arg, default in zip(positional, defaults, strict=True):
        kind = kinds.POSITIONAL_ONLY if arg in given.posonlyargs else kinds.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(arg.arg, kind, default=_default(default)))
    if given.vararg is not None:
        parameters.append(inspect.Parameter(given.vararg.arg, kinds.VAR_POSITIONAL))
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        parameters.append(inspect.Parameter(arg.arg, kinds.KEYWORD_ONLY, default=_default(default)))
    if given.kwarg is not None:
        parameters.append(inspect.Parameter(given.kwarg.arg, kinds.VAR_KEYWORD))
    try:
        return inspect.Signature(parameters[1:] if positional else parameters)
    except ValueError:
        return None


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return inspect.Parameter.empty
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NotLiteral()
