"""Targets: what a person names on the command line, turned into a case.

``clamp`` is a catalogue case; ``package.module:attribute`` and ``path/to/file.py:attribute`` name a Case, a
``torch.nn.Module`` (instance, class or factory) or an ``autograd.Function``, which may be followed by how it is applied
(see [diffexport.subjects.targets.application][]).
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffexport.errors import (
    DiffexportError,
    TargetError,
    UnknownNameError,
    error_line,
    error_text,
)
from diffexport.processes import raised_by_code, without_copies
from diffexport.subjects import catalogue
from diffexport.subjects.cases import Case
from diffexport.subjects.targets.application import Application
from diffexport.subjects.targets.bound_constants import binding
from diffexport.subjects.targets.configured import WithWeights, called
from diffexport.subjects.targets.factories import check_factory
from diffexport.subjects.targets.importing import CannotImport, Importer, run_file
from diffexport.subjects.targets.locating import is_part_of_python
from diffexport.subjects.targets.making_cases import (
    applied,
    case_of_forward,
    generated_names,
    has_setup_context,
)
from diffexport.values import name_in, place_of

if TYPE_CHECKING:
    pass


def is_catalogue_name(text: str) -> bool:
    """Return whether the target has no ``:`` and so must be a catalogue case."""
    return ":" not in text


def resolve(
    text: str, *, inputs: Sequence[str] = (), otherwise: Sequence[str] = (), stored: bool = False
) -> Case:
    """Return the case a target names.

    Args:
        text: the target.
        inputs: tensor specs or strategies, as texts, that replace the case's own, or stand in for missing ones.
        otherwise: tensor specs for a model that comes without any, in place of float tensors of any shape.
        stored: the target stands in a file, and nobody has typed it; see
            [check_factory][diffexport.subjects.targets.factories.check_factory].

    Raises:
        UnknownNameError: no such catalogue case.
        TargetError: the module does not import, has no such attribute, or the attribute is no model.
    """
    if is_catalogue_name(text):
        if text not in catalogue.ENTRIES and ("/" in text or text.endswith(".py")):
            raise TargetError(f"{text!r} names a file without an attribute; write {text}:NAME")
        try:
            case = catalogue.load(text)
        except UnknownNameError:
            if text in catalogue.names_of_groups():
                raise TargetError(
                    f"{text!r} is a group of cases, and one case is wanted here; diffexport list shows which there are"
                ) from None
            where = " (neither a case nor a group; a model of your own is module:attr or file.py:attr)"
            raise UnknownNameError("case", text, catalogue.nameable(), where=where) from None
        return with_inputs(case, inputs)
    parts = Application.parse(text)
    if parts is not None and not parts.is_plain:
        return _applied_case(parts, text, inputs or otherwise, stored)
    module, value = _looked_up(text, stored)
    with _own_names(text, module):
        return _resolved(parts, module, value, text, inputs, otherwise, stored)


def _resolved(
    parts: Application | None,
    module: Any,
    value: Any,
    text: str,
    inputs: Sequence[str],
    otherwise: Sequence[str],
    stored: bool,
) -> Case:
    if parts is not None and (parts.arguments or parts.weights):
        return _configured_case(parts, value, module, text, inputs or otherwise, stored)
    options = getattr(value, "diffexport_test", None)
    if options is not None:
        # A test of a model: it knows how it is checked.
        tested: Case = options.case(text, inputs, otherwise)
        return tested
    if isinstance(value, Case):
        # Another process has to find it again, and by this text it can.
        return with_inputs(Case(**{**vars(value), "target": text}), inputs)
    return _as_case(value, module, text, inputs or otherwise, stored)


def declares_inputs(text: str) -> bool:
    """Return whether a target says itself what its inputs are like: a catalogue case, a Case in a module, or a test.

    Raises:
        TargetError: see [look_up][].
    """
    if is_catalogue_name(text):
        return True
    value = look_up(text)
    return isinstance(value, Case) or hasattr(value, "diffexport_test")


def look_up(text: str, *, stored: bool = False) -> Any:
    """Return the object that ``package.module:attr`` or ``file.py:attr`` names, whatever it is; imports its module.

    Args:
        text: the target.
        stored: see [resolve][].

    Raises:
        TargetError: the module does not import or has no such attribute.
    """
    return _looked_up(text, stored)[1]


def imported(text: str) -> Any:
    """Return the module of a target.

    Raises:
        TargetError: it does not import.
    """
    parts = Application.parse(text)
    if parts is None:
        return _import(place_of(text), text)
    return _import(parts.place, text, stand_in="stubs" in parts.flags)


def _looked_up(text: str, stored: bool) -> tuple[Any, Any]:
    """Return the module of a target, and what it names in it."""
    parts = Application.parse(text)
    module = imported(text)
    if parts is None:
        return module, _lookup(module, name_in(text), text)
    if ".<locals>." in parts.attribute:
        return module, _local(module, parts.attribute, text, stored)
    return module, _lookup(module, parts.attribute, text)


def _own_names(text: str, module: Any) -> Any:
    """Let texts of inputs name what stands in a target's own file: ``file.NAME``, by the file's name alone."""
    from diffexport.strategies import names_of_file

    place = place_of(text)
    return names_of_file(Path(place).stem, module) if place.endswith(".py") else contextlib.nullcontext()


def with_inputs(case: Case, inputs: Sequence[str]) -> Case:
    """Return a case with other inputs, given as texts; constants among them become part of its model.

    Raises:
        UsageError: a text does not parse.
    """
    if not inputs:
        return case
    from diffexport.strategies import split

    given = split(inputs)
    changed = {
        "inputs": given.entries,
        "form": given.form,
        "strategy": None,
        "texts": tuple(inputs),
        "build": binding(case.build, given.constants, generated_names(given)),
    }
    return Case(**{**vars(case), **changed})


def _import(place: str, text: str, *, stand_in: bool = False) -> Any:
    if not place.endswith(".py") and is_part_of_python(place):
        raise TargetError(f"target {text!r}: {place} is a part of Python, in which there is no model")
    try:
        with without_copies():
            if place.endswith(".py"):
                return _import_file(Path(place), text, stand_in)
            with _importable_from(Path.cwd()):
                return Importer().load(place).module if stand_in else importlib.import_module(place)
    except DiffexportError:
        raise
    except CannotImport as error:
        raise TargetError(f"target {text!r}: importing {place}: {error}") from error
    except raised_by_code() as error:
        raise TargetError(
            f"target {text!r}: importing {place} raises {type(error).__name__}: {error_line(error)}".rstrip(
                ": "
            )
        ) from error


def _import_file(path: Path, text: str, stand_in: bool = False) -> Any:
    if not path.is_file():
        raise TargetError(f"target {text!r}: there is no file {path}")
    loaded = _loaded(path.resolve())
    if loaded is not None:
        return loaded
    if (path.parent / "__init__.py").is_file():
        # Part of a package, whose relative imports only work by its full name.
        root = path.resolve().parent
        while (root / "__init__.py").is_file() and root.parent != root:
            root = root.parent
        name = ".".join(path.resolve().relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        with _importable_from(Path.cwd()), _importable_from(root):
            return Importer().load(name).module if stand_in else importlib.import_module(name)
    # As for a script, and for pytest: what lies beside it can be imported.
    with _importable_from(Path.cwd()), _importable_from(path.resolve().parent):
        if stand_in:
            return Importer().load_file(path, file_module_name(path)).module
        return run_file(path, file_module_name(path))


def _loaded(path: Path) -> Any:
    """Return the module that was made of a file, whatever it is called; None if there is none."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(path.name) and Path(file).resolve() == path:
            return module
    return None


def file_module_name(path: Path) -> str:
    """Return the name that a file outside any package gets as a module; in this process alone."""
    return f"diffexport_target_{path.stem}_{abs(hash(str(path.resolve()))):x}"


@contextlib.contextmanager
def _importable_from(folder: Path) -> Any:
    here = str(folder)
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added:
            with contextlib.suppress(ValueError):
                sys.path.remove(here)


def _local(module: Any, attribute: str, text: str, stored: bool) -> Any:
    """Return a class that a function defines: the function is called, and what it returns is searched."""
    factory = _lookup(module, attribute.partition(".<locals>.")[0], text)
    check_factory(factory, module, text, stored=stored)
    try:
        with without_copies():
            result = factory()
    except raised_by_code() as error:
        raise TargetError(
            f"target {text!r}: calling it raises {type(error).__name__}: {error_text(error)}"
        ) from error
    for value in _within(result, 4):
        if isinstance(value, type) and value.__qualname__ == attribute:
            return value
    raise TargetError(
        f"target {text!r}: what calling it returns does not hold {attribute.rpartition('.')[2]}"
    )


def _within(value: Any, depth: int) -> Iterator[Any]:
    """Yield a value and what it holds: items, attributes, the variables of a closure, the class of a bound method."""
    yield value
    if depth == 0 or isinstance(value, type | str | bytes):
        return
    held: list[Any] = [getattr(value, "__self__", None), getattr(value, "__wrapped__", None)]
    for cell in getattr(value, "__closure__", None) or ():
        with contextlib.suppress(ValueError):
            held.append(cell.cell_contents)
    held += value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    held += (
        getattr(value, "__dict__", {}).values() if not callable(value) or hasattr(value, "forward") else ()
    )
    for item in held:
        if item is not None and item is not value:
            yield from _within(item, depth - 1)


def _lookup(module: Any, attribute: str, text: str) -> Any:
    value = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            names = [name for name in vars(module) if not name.startswith("_")]
            error = UnknownNameError("attribute", attribute, names, where=f" in target {text!r}")
            raise TargetError(str(error))
        value = getattr(value, part)
    return value


def _applied_case(parts: Application, text: str, inputs: Sequence[str], stored: bool) -> Case:
    """Return the case of a Function that is applied otherwise than as it is."""
    module, function = _looked_up(text, stored)
    build, name = parts.builder(function), parts.attribute.rpartition(".")[2]
    with _own_names(text, module):
        return case_of_forward(
            name, build, function.forward, text, inputs, skip=int(not has_setup_context(function))
        )


def _as_case(value: Any, module: Any, text: str, inputs: Sequence[str], stored: bool) -> Case:
    import torch

    name = name_in(text)
    if isinstance(value, torch.nn.Module):
        return case_of_forward(name, lambda: value, value.forward, text, inputs)
    if isinstance(value, type) and issubclass(value, torch.nn.Module):
        return case_of_forward(name, value, value.forward, text, inputs, skip=1)
    if isinstance(value, type) and issubclass(value, torch.autograd.Function):
        context = int(not has_setup_context(value))
        return case_of_forward(name, lambda: applied(value), value.forward, text, inputs, skip=context)
    if callable(value):
        check_factory(value, module, text, stored=stored)
        try:
            with without_copies():
                built = value()
        except raised_by_code() as error:
            raise TargetError(
                f"target {text!r}: calling it raises {type(error).__name__}: {error_text(error)}"
            ) from error
        if isinstance(built, torch.nn.Module):
            return case_of_forward(name, value, built.forward, text, inputs)
        raise TargetError(f"target {text!r}: calling it gives {type(built).__name__}, not a torch.nn.Module")
    raise TargetError(
        f"target {text!r} is a {type(value).__name__}; it must be a diffexport Case, a torch.nn.Module (instance, "
        "class or factory) or an autograd.Function"
    )


def _configured_case(
    parts: Application, value: Any, module: Any, text: str, inputs: Sequence[str], stored: bool
) -> Case:
    """Return the case of a model that is made with arguments, or gets weights."""
    build = _maker(parts, value, module, text, stored)
    import torch

    if isinstance(value, type) and issubclass(value, torch.nn.Module) and not parts.weights:
        return case_of_forward(parts.name, build, value.forward, text, inputs, skip=1)
    return case_of_forward(parts.name, build, built_once(build).forward, text, inputs)


def _maker(parts: Application, value: Any, module: Any, text: str, stored: bool) -> Callable[[], Any]:
    """Return what makes a model with the arguments and the weights of its target.

    Raises:
        TargetError: it is nothing that takes them.
    """
    import torch

    is_module = isinstance(value, torch.nn.Module)
    is_function = isinstance(value, type) and issubclass(value, torch.autograd.Function)
    if (
        is_function
        or not callable(value)
        or (is_module and parts.arguments)
        or hasattr(value, "diffexport_test")
    ):
        raise TargetError(
            f"target {text!r}: arguments are for a class or a factory of models, weights for a torch.nn.Module; "
            f"{parts.attribute} is a {type(value).__name__}"
        )
    if not (is_module or (isinstance(value, type) and issubclass(value, torch.nn.Module))):
        check_factory(value, module, text, stored=stored)
    build = (lambda: value) if is_module else called(value, parts.arguments or "()", text)
    return build if parts.weights is None else WithWeights(build, parts.weights, text)


def built_once(build: Callable[[], Any]) -> Any:
    """Return the module that is made; torch's random numbers are what they were, afterwards.

    Raises:
        TargetError: it is no module, or cannot be made.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        built = build()
    if not isinstance(built, torch.nn.Module):
        raise TargetError(f"what is made is {type(built).__name__}, not a torch.nn.Module")
    return built


def made_for_inference(text: str) -> Any:
    """Return what a target names, the module itself where it says with which arguments or weights that is made.

    Raises:
        TargetError: see [look_up][].
    """
    parts = Application.parse(text)
    module, value = _looked_up(text, stored=False)
    if parts is None or not (parts.arguments or parts.weights):
        return value
    return built_once(_maker(parts, value, module, text, stored=False))


def builder_of(model: Any) -> Callable[[], Any]:
    """Return what makes the module of a model: an instance, class or factory, or an ``autograd.Function``.

    Raises:
        TargetError: it is none of these.
    """
    import torch

    if isinstance(model, torch.nn.Module):
        return lambda: model
    if isinstance(model, type) and issubclass(model, torch.autograd.Function):
        return lambda: applied(model)
    if callable(model):
        build: Callable[[], Any] = model
        return build
    raise TargetError(
        f"{model!r} is a {type(model).__name__}; it must be a torch.nn.Module (instance, class or factory) or an "
        "autograd.Function"
    )
