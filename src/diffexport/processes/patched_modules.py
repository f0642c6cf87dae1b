"""Functions and classes of other packages' modules that are replaced, which everything after it would meet."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from diffexport.processes.process_state import Part

#: Modules whose functions and classes are looked at, and whose classes' methods are, too.
_MODULES = (
    *(
        "builtins",
        "os",
        "sys",
        "time",
        "random",
        "math",
        "json",
        "io",
        "copy",
        "threading",
        "subprocess",
        "tempfile",
    ),
    *("numpy", "numpy.random", "numpy.linalg", "numpy.testing"),
    *("torch", "torch.autograd", "torch.functional", "torch.jit", "torch.export", "torch.fx", "torch.linalg"),
    *("torch.nn", "torch.nn.functional", "torch.nn.init", "torch.onnx", "torch.onnx.utils", "torch.random"),
    *("torch.fft", "torch.special", "torch.library", "torch.serialization", "torch.overrides"),
    *("onnx", "onnx.checker", "onnx.helper", "onnx.numpy_helper", "onnx.shape_inference", "onnx.reference"),
    *("onnxruntime", "onnxscript", "hypothesis"),
)
#: Packages all of whose modules are looked at.
_PACKAGES = ("diffexport.",)
#: Classes whose methods are looked at besides, by module.
_CLASSES: Mapping[str, tuple[str, ...]] = {
    "torch": ("Tensor",),
    "torch.autograd": ("Function",),
    "torch.nn": ("*",),
    "onnxruntime": ("InferenceSession",),
    "onnx.reference": ("ReferenceEvaluator",),
}
#: Packages that replace functions of their own.
_LIBRARIES = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "numpy",
    "diffexport",
    "hypothesis",
    "_pytest",
    "pluggy",
)

#: For each module or class: its attributes that are functions, classes or modules.
_State = dict[tuple[str, str], tuple[Any, dict[str, Any]]]


def patched_modules() -> Part:
    """Return the part of a process's state that consists of the functions and classes of well-known modules."""
    return Part("modules", _ModuleState, _put_back, _told, _redo)


class _ModuleState:
    """The functions and classes of well-known modules that are loaded at this time."""

    def __init__(self) -> None:
        names = [name for name in _MODULES if name in sys.modules]
        names += [name for name in sys.modules if name.startswith(_PACKAGES)]
        self.modules = {name: sys.modules[name] for name in names}
        self.attributes: _State = {}
        for name, module in self.modules.items():
            inside = getattr(module, "__dict__", None)
            if not isinstance(inside, dict):
                continue
            self.attributes[name, ""] = module, inside.copy()
            for wanted in _CLASSES.get(name, ()):
                for attribute in list(inside) if wanted == "*" else [wanted]:
                    value = inside.get(attribute)
                    if isinstance(value, type):
                        self.attributes[name, attribute] = value, dict(value.__dict__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ModuleState) and not any(True for _ in self.replaced(other))

    __hash__ = None  # type: ignore[assignment]

    def replaced(self, now: _ModuleState) -> Iterator[tuple[str, Any, str, Any, Any]]:
        """Yield what was replaced since: its name, who holds it, under which name, what it was and what it is.

        What a library does to itself does not count, nor what is new.
        """
        for name, module in self.modules.items():
            if now.modules.get(name) is not module and not _by_library(now.modules.get(name)):
                yield f"sys.modules[{name!r}]", sys.modules, name, module, now.modules.get(name)
        for key, (holder, before) in self.attributes.items():
            after = now.attributes.get(key)
            if after is None or after[0] is not holder:
                continue
            current = after[1]
            for attribute, value in before.items():
                present = current.get(attribute, _GONE)
                if present is value or not _counts(value) or _by_library(present):
                    continue
                if holder is not sys or not attribute.startswith("last_"):
                    yield ".".join(filter(None, (*key, attribute))), holder, attribute, value, present
            if isinstance(holder, type):
                for attribute in current.keys() - before.keys():
                    present = current[attribute]
                    if _inherited(holder, attribute) and not _by_library(present):
                        yield ".".join((*key, attribute)), holder, attribute, _GONE, present


def _inherited(kind: type, attribute: str) -> bool:
    """Return whether a class has a method from another class, so that one of its own hides that."""
    return any(attribute in base.__dict__ and _counts(base.__dict__[attribute]) for base in kind.__mro__[1:])


class _Gone:
    """Stands for an attribute that is there no more."""


_GONE = _Gone()


def _counts(value: Any) -> bool:
    """Return whether an attribute is code rather than a variable, which may change by itself."""
    return callable(value) or isinstance(value, types.ModuleType | staticmethod | classmethod | property)


def _by_library(value: Any) -> bool:
    """Return whether code is of one of the packages that replace functions of their own, by its file."""
    inner = getattr(value, "__func__", getattr(value, "fget", value))
    code = getattr(inner, "__code__", None)
    if code is not None:
        return bool(code.co_filename.startswith(_folders()))
    if isinstance(value, types.ModuleType | type):
        name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
        return name.partition(".")[0] in _LIBRARIES
    return False


@cache
def _folders() -> tuple[str, ...]:
    """Return the folders that these packages are in."""
    places = [getattr(sys.modules.get(name), "__file__", None) for name in _LIBRARIES]
    return tuple(os.path.dirname(place) + os.sep for place in places if place)


def _put_back(before: _ModuleState) -> None:
    for _, holder, attribute, value, _ in list(before.replaced(_ModuleState())):
        _set(holder, attribute, value)


def _set(holder: Any, attribute: str, value: Any) -> None:
    if holder is sys.modules:
        sys.modules[attribute] = value
    elif value is _GONE:
        delattr(holder, attribute)
    else:
        setattr(holder, attribute, value)


def _redo(before: _ModuleState, now: _ModuleState) -> Callable[[], None]:
    """Return what replaces the same things in the same way."""
    replaced = list(before.replaced(now))

    def redo() -> None:
        for _, holder, attribute, _, value in replaced:
            _set(holder, attribute, value)

    return redo


def _told(before: _ModuleState, now: _ModuleState) -> Iterator[str]:
    names = [name for name, *_ in before.replaced(now)]
    yield from (f"replaces {name}" for name in names[:5])
    if len(names) > 5:
        yield f"replaces {len(names) - 5} more functions and classes"
