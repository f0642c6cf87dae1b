"""What a module keeps from call to call: its tensors and attributes before a run, to be looked at again after it."""

from __future__ import annotations

import operator
import types
from collections.abc import Collection, Iterator
from typing import Any

import torch

#: Tensors of at most so many elements are kept whole, of larger ones so many elements that lie evenly spread.
_WHOLE, _SPREAD = 4096, 64
#: How deep, and at how many places, objects that a module keeps are looked into.
_DEPTH, _PLACES = 4, 4096
#: Attributes that every module has: hooks and flags, which no run changes.
_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module())) - {"_parameters", "_buffers", "_modules"}
#: What is equal by value.
_VALUES = (bool, int, float, complex, str, bytes, type(None))
#: What is not looked into.
_OPAQUE = (type, types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType, *_VALUES)


class TensorState:
    """One tensor as it is now: its version, and its elements or some of them."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self._version = _version(tensor)
        elements = _elements(tensor)
        self._elements = None if elements is None else elements.clone()

    def is_changed(self) -> bool:
        """Return whether it was written to since."""
        if _version(self.tensor) != self._version:
            return True
        if self._elements is None:
            return False
        now = _elements(self.tensor)
        return now is None or not (torch.equal(now, self._elements) or _equal_with_nan(now, self._elements))


class KeptState:
    """The state of a module as it is now, at every place of it, each with a name such as ``layer.hidden``.

    Lists, dictionaries, sets and objects that it keeps are looked into. What lies outside of it is not.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        #: Each dictionary or list with what is in it; by reference, so that no other object gets its identity.
        self._holders: list[tuple[str, Any, tuple[Any, ...], tuple[Any, ...]]] = []
        self._tensors: dict[int, tuple[str, TensorState]] = {}
        self._met: set[int] = set()
        self._owned: list[object] = []
        for name, child in module.named_modules():
            self._look_at_module(name, child)

    def is_changed(self) -> bool:
        """Return whether anything changed since; asked after each run, so that it takes the shortest way to no."""
        for _, holder, keys, values in self._holders:
            if holder.__class__ is dict:
                if not values and not holder:
                    continue
                same = len(holder) == len(values) and tuple(holder) == keys
                now: Collection[Any] = holder.values()
            else:
                now_keys, now = _content(holder)
                same = now_keys == keys
            if not same or not all(map(operator.is_, now, values)):
                return any(True for _ in self.changes())
        # Not by any(…), which makes a generator for every run.
        for _, state in self._tensors.values():  # noqa: SIM110
            if state.is_changed():
                return True
        return False

    def changes(self) -> Iterator[str]:
        """Yield the names of what changed since."""
        for name, holder, keys, values in self._holders:
            now_keys, now = _content(holder)
            # By identity first: what is compared by value may be a tensor.
            if len(now) == len(values) and all(map(operator.is_, now, values)) and now_keys == keys:
                continue
            before, after = dict(zip(keys, values, strict=True)), dict(zip(now_keys, now, strict=True))
            for key in {**before, **after}:
                if key not in before or key not in after or not _same(before[key], after[key]):
                    yield _joined(name, key)
        for name, state in self._tensors.values():
            if state.is_changed():
                yield name

    def _look_at_module(self, name: str, module: torch.nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            return  # what it keeps for itself comes and goes with each look
        own = vars(module)
        self._hold(name, own)
        for kept in ("_parameters", "_buffers"):
            held = own.get(kept)
            if isinstance(held, dict):
                self._hold(name, held)
                for key, value in held.items():
                    self._look_at(_joined(name, key), value, 0)
        for key, value in own.items():
            if key not in _OF_EVERY_MODULE and not key.startswith(("_parameters", "_buffers", "_modules")):
                self._look_at(_joined(name, key), value, 0)

    def _look_at(self, name: str, value: Any, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            self._tensors.setdefault(id(value), (name, TensorState(value)))
            return
        if (
            isinstance(value, (*_OPAQUE, torch.nn.Module))
            or id(value) in self._met
            or depth > _DEPTH
            or len(self._met) > _PLACES
        ):
            return
        self._met.add(id(value))
        self._owned.append(value)
        holder = value if isinstance(value, list | dict | set | tuple) else getattr(value, "__dict__", None)
        if not isinstance(holder, list | dict | set | tuple):
            return
        if not isinstance(holder, tuple):
            self._hold(name, holder)
        for key, item in zip(*_content(holder), strict=True):
            self._look_at(_joined(name, key), item, depth + 1)

    def _hold(self, name: str, holder: Any) -> None:
        self._holders.append((name, holder, *_content(holder)))


def _content(holder: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the keys and the values of a dictionary, or the positions and the items of a list, set or tuple."""
    if isinstance(holder, dict):
        return tuple(holder), tuple(holder.values())
    items = tuple(sorted(holder, key=id)) if isinstance(holder, set) else tuple(holder)
    return tuple(range(len(items))), items


def _joined(name: str, key: Any) -> str:
    text = key if isinstance(key, str) else f"[{key!r}]"
    return f"{name}{'' if text.startswith('[') or not name else '.'}{text}"


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    plain = (*_VALUES, tuple)
    try:
        return type(one) is type(other) and isinstance(one, plain) and bool(one == other)
    except Exception:  # noqa: BLE001 - a tuple of tensors, or of anything else
        return False


def _version(tensor: torch.Tensor) -> int:
    try:
        return tensor._version
    except (RuntimeError, AttributeError):
        return 0  # made in inference mode


def _elements(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a tensor's elements, or some of them; None for what is no plain dense tensor."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        return None
    try:
        if tensor.device.type == "meta":
            return None
        if tensor.numel() <= _WHOLE:
            return tensor.detach()
        if not tensor.is_contiguous():
            return None
        return tensor.detach().view(-1)[:: tensor.numel() // _SPREAD]
    except (RuntimeError, NotImplementedError):
        return None


def _equal_with_nan(one: torch.Tensor, other: torch.Tensor) -> bool:
    if (
        one.shape != other.shape
        or one.dtype != other.dtype
        or not (one.is_floating_point() or one.is_complex())
    ):
        return False
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
