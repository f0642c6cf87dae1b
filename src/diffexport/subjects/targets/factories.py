"""Which callables are called for being a factory: what a target names is not just anything that can be called.

A factory is a Python function (also a decorated one, a method, a ``functools.partial`` or an object with ``__call__``)
of the module that the target names, of that one's package, or of a module beside it.
"""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path
from typing import Any

from diffexport.errors import TargetError
from diffexport.subjects.targets.locating import is_part_of_python

#: Packages that have no factories, whatever else can be called in them; and the part of one that has.
_LIBRARIES, _CATALOGUE = ("torch", "diffexport"), "diffexport.subjects.catalogue."


def check_factory(value: Any, module: Any, text: str, *, stored: bool = False) -> None:
    """Return if a callable may be called to make the model of a target.

    Args:
        value: what the target names.
        module: the module in which it was looked up.
        text: the target.
        stored: the target stands in a file, and nobody has typed it. A function of an installed package then has to
            be of a module that knows torch.

    Raises:
        TargetError: it may not be.
    """
    function = _function_of(value)
    if function is None:
        kind = type(value).__name__
        raise TargetError(
            f"target {text!r} is a {kind}, which is not called; it must be a diffexport Case, a torch.nn.Module "
            "(instance, class or a function that makes one) or an autograd.Function"
        )
    home = str(function.__module__)
    if home.partition(".")[0] in _LIBRARIES and not f"{home}.".startswith(_CATALOGUE):
        raise TargetError(f"target {text!r} is a function of {home}, which makes no models: it is not called")
    if not _belongs(home, module):
        raise TargetError(
            f"target {text!r} is a function of {home}, not of {module.__name__}: it is not called; "
            "name it where it is defined"
        )
    if stored and _is_installed(module) and not _knows_torch(function):
        raise TargetError(
            f"target {text!r} is a function of an installed module that does not know torch: it is not called"
        )


def _function_of(value: Any) -> types.FunctionType | None:
    """Return the Python function that is run where ``value`` is called; None where there is none."""
    for _ in range(16):
        if isinstance(value, types.FunctionType):
            return value
        if isinstance(value, types.MethodType):
            value = value.__func__
        elif isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, type):
            # A class that is no Module makes one by a __new__ of its own, if at all.
            value = vars(value).get("__new__")
            value = getattr(value, "__func__", value)
        elif hasattr(value, "__wrapped__"):
            value = value.__wrapped__
        else:
            value = vars(type(value)).get("__call__")
    return None


def _belongs(home: str, module: Any) -> bool:
    """Return whether a function is of a module, of its package, or of a module beside it."""
    if home == module.__name__:
        return True
    if is_part_of_python(home):
        return False
    package = module.__name__.partition(".")[0]
    if home.partition(".")[0] == package:
        return True
    one, other = (getattr(sys.modules.get(home), "__file__", None), getattr(module, "__file__", None))
    return (
        bool(one and other)
        and not _is_installed(module)
        and Path(str(one)).is_relative_to(Path(str(other)).parent)
    )


def _is_installed(module: Any) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and {"site-packages", "dist-packages"} & set(Path(file).parts) != set()


def _knows_torch(function: types.FunctionType) -> bool:
    """Return whether torch, something of it or a Module stands among the names of a function's module."""
    import torch

    for value in list(function.__globals__.values()):
        home = getattr(value, "__name__" if isinstance(value, types.ModuleType) else "__module__", "")
        if str(home).partition(".")[0] == "torch" or (
            isinstance(value, type) and issubclass(value, torch.nn.Module)
        ):
            return True
    return False
