"""What is loaded into the recorded command: it writes down what Functions and modules are called with.

This file is run by itself in whichever Python the command uses, so it imports nothing but the standard library, and torch
once the command has. It changes nothing of what the command does: what fails in here is counted and left, tensors are
looked at and never written to, and no random number is drawn.

Each process writes a file of its own: one JSON document on each line, of a target, or of a call of one. A later line of
the same number takes the place of an earlier one.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.machinery
import json
import os
import sys
import threading
import time
from typing import Any

FOLDER_VARIABLE, MODULES_VARIABLE = "DIFFEXPORT_RECORD_FOLDER", "DIFFEXPORT_RECORD_MODULES"
#: Stands in texts for the module of what is called, which may be a file that is run.
OWN = "own_module"
#: Most different calls of one target that are kept, and most elements of a tensor whose values are looked at.
_CALLS, _ELEMENTS = 200, 1 << 22
#: After so many calls of a target the values of only every so many-th are looked at.
_EACH, _THEN_EVERY = 100, 25
#: Seconds that looking may take in all; then calls are counted only. And seconds between two writes.
_SECONDS, _PAUSE = 30.0, 1.0


class Recorder:
    """Takes calls, and writes them to the file of this process.

    Args:
        folder: where the file is to be.
        modules: which modules are recorded: patterns of ``module:Class``.
    """

    def __init__(self, folder: str, modules: list[str]) -> None:
        self._folder, self._modules = folder, modules
        self._lock, self._busy = threading.RLock(), threading.local()
        self._wanted: dict[type, bool] = {}
        self._built: Any = None
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._targets: dict[str, dict[str, Any]] = {}
        self._calls: dict[tuple[str, str], dict[str, Any]] = {}
        self._dirty: dict[str, dict[str, Any]] = {}
        self._spent = self._written = 0.0

    def install(self, torch: Any) -> None:
        """Have torch tell of every ``autograd.Function.apply``, and of every call of a module that is wanted."""
        import weakref

        self._torch, self._built = torch, weakref.WeakKeyDictionary()
        function = torch.autograd.Function
        applied = vars(function).get("apply")
        if isinstance(applied, classmethod):
            original = applied.__func__

            def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
                self.note("function", cls, args, kwargs)
                return original(cls, *args, **kwargs)

            apply.__doc__, apply.__wrapped__ = original.__doc__, original  # type: ignore[attr-defined]
            function.apply = classmethod(apply)
        if self._modules:
            self._install_modules(torch.nn.Module)
        atexit.register(self.write)

    def _install_modules(self, base: Any) -> None:
        called, made = base.__call__, base.__init__

        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if self._is_wanted(type(module)):
                self.note("module", type(module), args, kwargs, module)
            return called(module, *args, **kwargs)

        def make(module: Any, *args: Any, **kwargs: Any) -> None:
            if self._is_wanted(type(module)):
                self._note_built(module)
            made(module, *args, **kwargs)

        base.__call__, base.__init__ = call, make

    def _is_wanted(self, kind: type) -> bool:
        known = self._wanted.get(kind)
        if known is None:
            known = self._wanted[kind] = any(_matches(kind, pattern) for pattern in self._modules)
        return known

    def _note_built(self, module: Any) -> None:
        """Remember with which arguments a module is being built, from the frame of its own ``__init__``."""
        try:
            frame, found = sys._getframe(2), None
            while frame is not None and frame.f_code.co_name == "__init__":
                names = frame.f_code.co_varnames
                if not names or frame.f_locals.get(names[0]) is not module:
                    break
                found, frame = frame, frame.f_back  # type: ignore[assignment]
            if found is not None:
                self._built[module] = _arguments_of(found, _Describer(self._torch, type(module)))
        except Exception:  # noqa: BLE001 - the command goes on as if nothing had been
            return

    def note(self, kind: str, owner: Any, args: Any, kwargs: Any, module: Any = None) -> None:
        """Write down one call."""
        if getattr(self._busy, "now", False):
            return
        self._busy.now = True
        started = time.perf_counter()
        try:
            with self._lock:
                if os.getpid() != self._process:
                    self._begin()  # a copy that was forked off has a file of its own
                self._note(kind, owner, args, kwargs, module)
                if started - self._written > _PAUSE:
                    self.write()
        except Exception:  # noqa: BLE001 - the command goes on as if nothing had been
            return
        finally:
            self._busy.now = False
            self._spent += time.perf_counter() - started

    def _note(self, kind: str, owner: Any, args: Any, kwargs: Any, module: Any) -> None:
        describer = _Describer(self._torch, owner)
        key = f"{kind} {owner.__module__}.{owner.__qualname__}"
        build = self._built.get(module) if module is not None else None
        if build is not None:
            key += json.dumps(build)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = {
                "kind": kind,
                "id": len(self._targets),
                "calls": 0,
                **_place_of(owner),
            }
            target.update({"build": build} if module is not None else {})
            target["parameters"] = _parameters(owner, kind)
        target["calls"] += 1
        self._dirty[key] = {"target": target}
        seen = target["calls"]
        looks = self._spent < _SECONDS and (seen <= _EACH or seen % _THEN_EVERY == 0)
        if not looks and seen > _EACH:
            return
        call = {
            "args": [describer.describe(value, looks) for value in args],
            "kwargs": {name: describer.describe(value, looks) for name, value in kwargs.items()},
        }
        shown = json.dumps(_without_values(call), sort_keys=True)
        known = self._calls.get((key, shown))
        if known is None:
            number = sum(1 for other, _ in self._calls if other == key)
            if number >= _CALLS:
                target["more"] = target.get("more", 0) + 1
                return
            known = self._calls[key, shown] = {"call": number, "of": target["id"], "times": 0, **call}
        else:
            _merge(known, call)
        known["times"] += 1
        self._dirty[f"{key} {known['call']}"] = known

    def write(self) -> None:
        """Append what is new to the file."""
        with self._lock:
            if os.getpid() != self._process or not self._dirty:
                return
            self._written = time.perf_counter()
            try:
                # Targets stand before calls of them.
                lines = sorted(self._dirty.values(), key=lambda one: "call" in one)
                text = "".join(json.dumps(line) + "\n" for line in lines)
                path = os.path.join(self._folder, f"{self._process}.jsonl")
                with open(path, "a", encoding="utf-8") as file:
                    file.write(text)
            except Exception:  # noqa: BLE001 - a full disk is no matter of the command's
                return
            self._dirty = {}


class _Describer:
    """Says of arguments what they are, and of what is no tensor by which text it can be had again.

    Args:
        torch: the module.
        owner: the class that is called; what stands in its module is named without it.
    """

    def __init__(self, torch: Any, owner: Any) -> None:
        self._torch, self._owner = torch, owner
        self._left = 400

    def describe(self, value: Any, looks: bool) -> dict[str, Any]:
        """Return what an argument is, as plain data.

        Args:
            value: the argument.
            looks: look at the values of tensors.
        """
        if isinstance(value, self._torch.Tensor):
            return self._tensor(value, looks)
        if (
            type(value) in (tuple, list)
            and value
            and all(isinstance(one, self._torch.Tensor) for one in value)
        ):
            return {"tensors": [self._tensor(one, looks) for one in value], "kind": type(value).__name__}
        try:
            return {"text": self.text(value)}
        except _LostError as lost:
            return {"lost": str(lost)}
        except Exception as error:  # noqa: BLE001 - of whatever a user's class does
            return {
                "lost": f"is {_article(type(value).__name__)}, which raises {type(error).__name__} when looked at"
            }

    def _tensor(self, tensor: Any, looks: bool) -> dict[str, Any]:
        described: dict[str, Any] = {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": [int(size) for size in tensor.shape],
            "requires_grad": bool(tensor.requires_grad),
        }
        if tensor.layout is not self._torch.strided or type(tensor).__module__.partition(".")[0] not in (
            "torch",
        ):
            return {
                "lost": f"is {_article(type(tensor).__name__)} of layout {tensor.layout}, no plain dense tensor"
            }
        if not tensor.is_contiguous():
            described["strides"] = [int(stride) for stride in tensor.stride()]
        if looks and tensor.device.type == "cpu" and 0 < tensor.numel() <= _ELEMENTS:
            described.update(self._values(tensor))
        return described

    def _values(self, tensor: Any) -> dict[str, Any]:
        torch = self._torch
        if tensor.dtype is torch.bool or tensor.is_complex() or tensor.is_quantized:
            return {}
        with torch.no_grad():
            flat = tensor.detach()
            if not tensor.is_floating_point():
                return {"low": int(flat.min()), "high": int(flat.max()), "seen": int(tensor.numel())}
            wide = flat.to(torch.float64)
            finite = wide[torch.isfinite(wide)]
            if not finite.numel():
                return {"strange": True}
            seen = {"low": float(finite.min()), "high": float(finite.max()), "seen": int(finite.numel())}
            return {**seen, "strange": True} if finite.numel() < wide.numel() else seen

    def text(self, value: Any, depth: int = 0) -> str:
        """Return the text of a value, in the form in which inputs are declared.

        Raises:
            _LostError: there is none; the text says what it is.
        """
        self._left -= 1
        if depth > 6 or self._left < 0:
            raise _LostError("is nested too deeply, or too large")
        torch = self._torch
        if value is None or type(value) in (bool, int, str, bytes):
            return repr(value)
        if type(value) in (float, complex):
            return _number(value)
        if type(value) in (tuple, list, set, dict) or isinstance(value, torch.Size):
            try:
                return self._container(value, depth)
            except _LostError:
                name = self._name_of(value)
                if name is None:
                    raise
                return name
        if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
            return str(value)
        if isinstance(value, torch.device):
            return f"torch.device({str(value)!r})"
        if isinstance(value, torch.Tensor):
            return self._small_tensor(value)
        return self._object(value, depth)

    def _container(self, value: Any, depth: int) -> str:
        if type(value) is dict:
            pairs = [f"{self.text(k, depth + 1)}: {self.text(v, depth + 1)}" for k, v in value.items()]
            return f"{{{', '.join(pairs)}}}"
        if type(value) is set:
            if not value:
                raise _LostError("is an empty set")
            return f"{{{', '.join(sorted(self.text(item, depth + 1) for item in value))}}}"
        inside = ", ".join(self.text(item, depth + 1) for item in value)
        if type(value) is list:
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"

    def _small_tensor(self, tensor: Any) -> str:
        if tensor.numel() > 64 or tensor.is_complex() or tensor.layout is not self._torch.strided:
            raise _LostError(f"holds a tensor of {tensor.numel()} elements")
        return f"torch.tensor({self.text(tensor.detach().tolist())}, dtype={tensor.dtype})"

    def _object(self, value: Any, depth: int) -> str:
        import enum

        kind = type(value)
        name = self._name_of(value)
        if name is not None:
            return name
        if callable(value) and getattr(value, "__qualname__", ""):
            raise _LostError(f"is {value.__qualname__}, which has no name in a module")
        owner = self._name_of(kind)
        if owner is None:
            raise _LostError(
                f"is {_article(kind.__name__)}, whose class has no name in a module that can be imported"
            )
        if isinstance(value, enum.Enum):
            return f"{owner}.{value.name}"
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            items = [f"{n}={self.text(v, depth + 1)}" for n, v in zip(value._fields, value, strict=True)]
            return f"{owner}({', '.join(items)})"
        if isinstance(value, self._torch.nn.Module):
            return self._module(value, owner)
        return self._by_attributes(value, owner, depth)

    def _module(self, value: Any, owner: str) -> str:
        if any(True for _ in value.parameters()) or any(True for _ in value.buffers()):
            raise _LostError(f"is {_article(type(value).__name__)}, a module with weights of its own")
        shown = repr(value)
        if not type(value).__module__.startswith("torch.nn") or "\n" in shown:
            raise _LostError(
                f"is {_article(type(value).__name__)}, a module that does not say how it was built"
            )
        return owner + shown.removeprefix(type(value).__name__)

    def _by_attributes(self, value: Any, owner: str, depth: int) -> str:
        """Return the text of an instance with the same attributes, whose class is not called for it."""
        kind = type(value)
        if not kind.__flags__ & (1 << 9) or kind.__new__ is not object.__new__:
            raise _LostError(f"is {_article(kind.__name__)}, of a type that is not written in Python")
        names = [name for parent in kind.__mro__ for name in _slots(parent)]
        held = {name: getattr(value, name) for name in names if hasattr(value, name)}
        held.update(getattr(value, "__dict__", {}))
        items = []
        for name, item in held.items():
            try:
                items.append(f"{name}={self.text(item, depth + 1)}")
            except _LostError as lost:
                raise _LostError(f"is {_article(kind.__name__)}, whose attribute {name} {lost}") from None
            if not name.isidentifier():
                raise _LostError(f"is {_article(kind.__name__)} with an attribute {name!r}")
        return f"instance({', '.join((owner, *items))})"

    def _name_of(self, value: Any) -> str | None:
        """Return the name of what stands in a module; one of the owner's module is not preceded by it."""
        import types

        places = [getattr(value, "__module__", None), type(value).__module__, self._owner.__module__]
        if isinstance(value, types.ModuleType):
            return value.__name__ if sys.modules.get(value.__name__) is value else None
        own = getattr(value, "__qualname__", None)
        for place in dict.fromkeys(places):
            module = sys.modules.get(place or "")
            if module is None:
                continue
            found = None
            if isinstance(own, str) and "<" not in own and _looked_up(module, own) is value:
                found = own
            else:
                same = (n for n, item in list(vars(module).items()) if item is value and n.isidentifier())
                found = next(same, None)
            if found is None:
                continue
            if place == self._owner.__module__:
                return f"{OWN}.{found}"
            return None if place == "__main__" else found if place == "builtins" else f"{place}.{found}"
        return None


class _LostError(Exception):
    """Why something cannot be had again by a text."""


def _number(value: Any) -> str:
    import math

    if type(value) is complex:
        return f"complex({_number(value.real)}, {_number(value.imag)})"
    return repr(value) if math.isfinite(value) else f"float('{value}')"


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _slots(kind: Any) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if not name.startswith("__"))


def _looked_up(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def _place_of(owner: Any) -> dict[str, Any]:
    """Return where a class is: its module, as it is imported, its file, and its name there."""
    module = sys.modules.get(owner.__module__)
    name, file = owner.__module__, getattr(module, "__file__", None)
    spec = getattr(module, "__spec__", None)
    if name == "__main__":
        name = spec.name if spec is not None else ""
    return {"module": name, "file": os.path.abspath(file) if file else "", "qualname": owner.__qualname__}


def _parameters(owner: Any, kind: str) -> list[list[Any]]:
    """Return name and kind of each parameter of a forward, and the text of its default."""
    import inspect

    try:
        parameters = list(inspect.signature(owner.forward).parameters.values())
    except (TypeError, ValueError):
        return []
    skipped = 1
    if kind == "function":
        own = getattr(owner, "setup_context", None)
        base = getattr(sys.modules["torch"].autograd.Function, "setup_context", None)
        skipped = int(own is base)
    described = []
    for one in parameters[skipped:]:
        default = "" if one.default is one.empty else repr(one.default)
        plain = one.default is None or type(one.default) in (bool, int, float, str)
        described.append([one.name, one.kind.name, default if plain else ""])
    return described


def _arguments_of(frame: Any, describer: _Describer) -> dict[str, Any]:
    """Return the arguments that a function was called with, by name, from its frame."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    names = list(code.co_varnames[1:count])
    given = {
        name: describer.describe(frame.f_locals[name], False) for name in names if name in frame.f_locals
    }
    described: dict[str, Any] = {"named": given}
    place = count
    if code.co_flags & 0x04:
        described["rest"] = [
            describer.describe(v, False) for v in frame.f_locals.get(code.co_varnames[place], ())
        ]
        place += 1
    if code.co_flags & 0x08:
        more = frame.f_locals.get(code.co_varnames[place], {})
        given.update({name: describer.describe(value, False) for name, value in more.items()})
    return described


def _matches(kind: type, pattern: str) -> bool:
    import fnmatch

    place, _, name = pattern.partition(":")
    module = sys.modules.get(kind.__module__)
    file = os.path.basename(getattr(module, "__file__", None) or "")
    places = (kind.__module__, file, getattr(getattr(module, "__spec__", None), "name", "") or "")
    given = os.path.basename(place) if place.endswith(".py") else place
    return any(fnmatch.fnmatchcase(one, given) for one in places if one) and (
        not name or fnmatch.fnmatchcase(kind.__qualname__, name)
    )


def _without_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _without_values(v) for k, v in value.items() if k not in ("low", "high", "seen", "strange")
        }
    return [_without_values(item) for item in value] if isinstance(value, list) else value


def _merge(known: Any, call: Any) -> None:
    """Widen the ranges of values of a call by those of one that is otherwise the same."""
    if isinstance(known, dict) and isinstance(call, dict):
        for name, choose in (("low", min), ("high", max)):
            if name in call:
                known[name] = choose(known.get(name, call[name]), call[name])
        if "seen" in call:
            known["seen"] = known.get("seen", 0) + call["seen"]
        if call.get("strange"):
            known["strange"] = True
        for key, held in known.items():
            if isinstance(held, dict | list):
                _merge(held, call.get(key))
    elif isinstance(known, list) and isinstance(call, list):
        for one, other in zip(known, call, strict=False):
            _merge(one, other)


class _AfterTorch(importlib.abc.MetaPathFinder):
    """Finds torch as it would be found without it, and has the recorder installed once torch is there."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ANN401
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        for finder in sys.meta_path if spec is None else ():
            spec = spec or getattr(finder, "find_spec", lambda *_: None)(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run, recorder = spec.loader.exec_module, self._recorder

        def exec_module(module: Any) -> None:
            run(module)
            try:
                recorder.install(module)
            except Exception:  # noqa: BLE001 - the command goes on as if nothing had been
                return

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def begin() -> None:
    """Record in this process, if it was asked for, from when it imports torch."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or "torch" in sys.modules:
        return
    modules = json.loads(os.environ.get(MODULES_VARIABLE) or "[]")
    sys.meta_path.insert(0, _AfterTorch(Recorder(folder, modules)))
