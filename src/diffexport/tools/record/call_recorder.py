"""What is loaded into the recorded command: it writes down what Functions and modules are called with.

This file is run by itself in whichever Python the command uses. So it imports nothing but the standard library, and
waits for the command to import torch. It changes nothing of what the command does: what fails in here is left, tensors
are looked at and never written to, and no random number is drawn.

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
#: Most different calls of one target that are kept.
_CALLS = 200
#: After so many calls of a target the values of only every so many-th are looked at.
_EACH, _THEN_EVERY = 100, 25
#: Seconds that looking may take in all; then calls are counted only. And seconds between two writes.
_SECONDS, _PAUSE = 30.0, 1.0


class Recorder:
    """Takes calls, and writes them to the file of this process.

    Args:
        folder: where the file is to be.
        modules: which modules are recorded: patterns of ``module:Class``.
        describer: makes what describes arguments, of torch and the class that is called.
    """

    def __init__(self, folder: str, modules: list[str], describer: Any) -> None:
        self._folder, self._modules, self._describer = folder, modules, describer
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
                self._built[module] = _arguments_of(found, self._describer(self._torch, type(module)))
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
        describer = self._describer(self._torch, owner)
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


def _arguments_of(frame: Any, describer: Any) -> dict[str, Any]:
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

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
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


def begin(describer: Any) -> None:
    """Record in this process, if that was asked for, from when it imports torch.

    Args:
        describer: the class that describes arguments.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or "torch" in sys.modules:
        return
    modules = json.loads(os.environ.get(MODULES_VARIABLE) or "[]")
    sys.meta_path.insert(0, _AfterTorch(Recorder(folder, modules, describer)))
