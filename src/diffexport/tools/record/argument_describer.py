"""What is loaded into the recorded command beside the recorder: it says of arguments what they are.

Like the recorder, it imports nothing but the standard library.
"""

from __future__ import annotations

import enum
import math
import sys
import types
from typing import Any

#: Stands in texts for the module of what is called, which may be a file that is run.
OWN = "own_module"
#: Most elements of a tensor whose values are looked at, and of one inside of another value; most parts of a value.
_LOOKED_AT, _SMALL, _PARTS = 1 << 22, 64, 400
#: The flag of a class that is written in Python.
_OF_PYTHON = 1 << 9


class Describer:
    """Says of arguments what they are, and of what is no tensor by which text it can be had again.

    Args:
        torch: the module.
        owner: the class that is called; what stands in its module is named without it.
    """

    def __init__(self, torch: Any, owner: Any) -> None:
        self._torch, self._owner = torch, owner
        self._left = _PARTS

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
        except LostError as lost:
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
        if looks and tensor.device.type == "cpu" and 0 < tensor.numel() <= _LOOKED_AT:
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
            LostError: there is none; the text says what it is.
        """
        self._left -= 1
        if depth > 6 or self._left < 0:
            raise LostError("is nested too deeply, or too large")
        torch = self._torch
        if value is None or type(value) in (bool, int, str, bytes):
            return repr(value)
        if type(value) in (float, complex):
            return _number(value)
        if type(value) in (tuple, list, set, dict) or isinstance(value, torch.Size):
            try:
                return self._container(value, depth)
            except LostError:
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
                raise LostError("is an empty set")
            return f"{{{', '.join(sorted(self.text(item, depth + 1) for item in value))}}}"
        inside = ", ".join(self.text(item, depth + 1) for item in value)
        if type(value) is list:
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"

    def _small_tensor(self, tensor: Any) -> str:
        if tensor.numel() > _SMALL or tensor.is_complex() or tensor.layout is not self._torch.strided:
            raise LostError(f"holds a tensor of {tensor.numel()} elements")
        return f"torch.tensor({self.text(tensor.detach().tolist())}, dtype={tensor.dtype})"

    def _object(self, value: Any, depth: int) -> str:
        kind = type(value)
        name = self._name_of(value)
        if name is not None:
            return name
        if callable(value) and hasattr(value, "__qualname__"):
            raise LostError(f"is {value.__qualname__}, which has no name in a module")
        owner = self._name_of(kind)
        if owner is None:
            raise LostError(
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
            raise LostError(f"is {_article(type(value).__name__)}, a module with weights of its own")
        shown = repr(value)
        if not type(value).__module__.startswith("torch.nn") or "\n" in shown:
            raise LostError(
                f"is {_article(type(value).__name__)}, a module that does not say how it was built"
            )
        return owner + shown.removeprefix(type(value).__name__)

    def _by_attributes(self, value: Any, owner: str, depth: int) -> str:
        """Return the text of an instance with the same attributes, whose class is not called for it."""
        kind = type(value)
        maker: Any = kind.__new__
        if not kind.__flags__ & _OF_PYTHON or maker is not object.__new__:
            raise LostError(f"is {_article(kind.__name__)}, of a type that is not written in Python")
        names = [name for parent in kind.__mro__ for name in _slots(parent)]
        held = {name: getattr(value, name) for name in names if hasattr(value, name)}
        held.update(getattr(value, "__dict__", {}))
        items = []
        for name, item in held.items():
            try:
                items.append(f"{name}={self.text(item, depth + 1)}")
            except LostError as lost:
                raise LostError(f"is {_article(kind.__name__)}, whose attribute {name} {lost}") from None
            if not name.isidentifier():
                raise LostError(f"is {_article(kind.__name__)} with an attribute {name!r}")
        return f"instance({', '.join((owner, *items))})"

    def _name_of(self, value: Any) -> str | None:
        """Return the name of what stands in a module; one of the owner's module is not preceded by it."""
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


class LostError(Exception):
    """Why something cannot be had again by a text."""


def _number(value: Any) -> str:
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
