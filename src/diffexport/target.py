"""Targets: what a person names on the command line, turned into a case.

``clamp`` is a catalogue case; ``package.module:attribute`` and ``path/to/file.py:attribute`` name a Case, a
``torch.nn.Module`` (instance, class or factory) or an ``autograd.Function``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffexport import catalogue
from diffexport.case import Case, make_case
from diffexport.errors import DiffexportError, TargetError, UnknownNameError


def is_catalogue_name(text: str) -> bool:
    """Return whether the target has no ``:`` and so must be a catalogue case."""
    return ":" not in text


def resolve(text: str, *, inputs: Sequence[str] = (), otherwise: Sequence[str] = ()) -> Case:
    """Return the case a target names.

    Args:
        text: the target.
        inputs: tensor specs that replace the case's own, or stand in for missing ones.
        otherwise: tensor specs for a model that comes without any, in place of float tensors of any shape.

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
        return _with_inputs(case, inputs)
    place, _, attribute = text.rpartition(":")
    value = _lookup(_import(place, text), attribute, text)
    if isinstance(value, Case):
        # Another process has to find it again, and by this text it can.
        return _with_inputs(Case(**{**vars(value), "target": text}), inputs)
    return _as_case(value, text, inputs or otherwise)


def _with_inputs(case: Case, inputs: Sequence[str]) -> Case:
    if not inputs:
        return case
    from diffexport.spec import parse_specs

    return Case(**{**vars(case), "inputs": parse_specs(inputs), "strategy": None})


def _import(place: str, text: str) -> Any:
    try:
        if place.endswith(".py"):
            return _import_file(Path(place), text)
        with _current_folder_importable():
            return importlib.import_module(place)
    except DiffexportError:
        raise
    except (Exception, SystemExit) as error:
        lines = str(error).strip().splitlines()
        raise TargetError(
            f"target {text!r}: importing {place} raises {type(error).__name__}: {lines[0] if lines else ''}"
        ) from error


def _import_file(path: Path, text: str) -> Any:
    if not path.is_file():
        raise TargetError(f"target {text!r}: there is no file {path}")
    name = f"diffexport_target_{path.stem}_{abs(hash(str(path.resolve()))):x}"
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with _current_folder_importable():
            specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _current_folder_importable() -> Any:
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added:
            with contextlib.suppress(ValueError):
                sys.path.remove(here)


def _lookup(module: Any, attribute: str, text: str) -> Any:
    value = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            names = [name for name in vars(module) if not name.startswith("_")]
            error = UnknownNameError("attribute", attribute, names, where=f" in target {text!r}")
            raise TargetError(str(error))
        value = getattr(value, part)
    return value


def _as_case(value: Any, text: str, inputs: Sequence[str]) -> Case:
    import torch

    name = text.rpartition(":")[2]
    if isinstance(value, torch.nn.Module):
        return _case(name, lambda: value, value.forward, text, inputs)
    if isinstance(value, type) and issubclass(value, torch.nn.Module):
        return _case(name, value, value.forward, text, inputs, skip=1)
    if isinstance(value, type) and issubclass(value, torch.autograd.Function):
        context = int(not _has_setup_context(value))
        return _case(name, lambda: applied(value), value.forward, text, inputs, skip=context)
    if callable(value):
        try:
            built = value()
        except (Exception, SystemExit) as error:
            raise TargetError(
                f"target {text!r}: calling it raises {type(error).__name__}: {error}"
            ) from error
        if isinstance(built, torch.nn.Module):
            return _case(name, value, built.forward, text, inputs)
        raise TargetError(f"target {text!r}: calling it gives {type(built).__name__}, not a torch.nn.Module")
    raise TargetError(
        f"target {text!r} is a {type(value).__name__}; it must be a diffexport Case, a torch.nn.Module (instance, "
        "class or factory) or an autograd.Function"
    )


def applied(function: Any) -> Any:
    """Return a module whose forward applies an ``autograd.Function``."""
    import torch

    class Applied(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            return function.apply(*args)

    Applied.__name__ = Applied.__qualname__ = f"Applied{function.__name__}"
    return Applied()


def _has_setup_context(function: Any) -> bool:
    import torch

    return bool(function.setup_context is not torch.autograd.Function.setup_context)


def _case(name: str, build: Any, forward: Any, text: str, inputs: Sequence[str], *, skip: int = 0) -> Case:
    if not inputs:
        # Without a declaration each required argument is taken to be a float tensor of any shape.
        count = len(_required(forward)[skip:])
        if count == 0:
            raise TargetError(
                f"target {text!r}: its forward has no required argument, so there is nothing to generate; "
                "say what it takes with --input, for instance --input 'float32[N, 3]'"
            )
        inputs = ["float32[...]"] * count
    return make_case(name, build, inputs=inputs, target=text)


def _required(forward: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        parameter.name
        for parameter in inspect.signature(forward).parameters.values()
        if parameter.kind in kinds and parameter.default is inspect.Parameter.empty
    ]
