"""Purity: what an export must leave as it was.

Private names used here, checked on torch 2.13.0; a missing one is simply not watched, since its absence
cannot make an export impure:

- ``torch.onnx._internal.torchscript_exporter._globals.GLOBALS`` and its fields.
- ``torch.jit._trace._trace_module_map``.
- ``Module._forward_hooks`` and ``Module._forward_pre_hooks``.

Registered symbolics are in [diffexport.pytorch.symbolics][].
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

from diffexport.arrays import tensors_of
from diffexport.pytorch import symbolics
from diffexport.pytorch.changes import Change, Watched
from diffexport.values import Inputs

_GLOBAL_FIELDS = (
    "export_onnx_opset_version",
    "training_mode",
    "in_onnx_export",
    "export_training",
    "operator_export_type",
    "onnx_shape_inference",
    "autograd_inlining",
)


#: Tensors of more bytes are not kept whole: their versions are, and so many elements that lie evenly spread.
WHOLE, SPREAD = 1 << 20, 4096


@dataclass(frozen=True)
class _WatchedTensor:
    """A tensor as it was: whole, or of a large one its version and some of its elements."""

    kept: torch.Tensor
    version: int | None

    @classmethod
    def seen(cls, tensor: torch.Tensor) -> _WatchedTensor:
        if _is_kept_whole(tensor):
            return cls(tensor.detach().clone(), None)
        return cls(_spread(tensor).clone(), tensor._version)

    def differs_from(self, now: torch.Tensor) -> bool:
        """Return whether the tensor in the same place is another one now, or has other elements."""
        if self.version is None or _is_kept_whole(now):
            return not _same(self.kept, now)
        return now._version != self.version or not _same(self.kept, _spread(now))


def _is_kept_whole(tensor: torch.Tensor) -> bool:
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    return not plain or tensor.is_inference() or tensor.numel() * tensor.element_size() <= WHOLE


def _spread(tensor: torch.Tensor) -> torch.Tensor:
    """Return some of a tensor's elements; other ones of one that is not contiguous, but always the same."""
    tensor = tensor.detach()
    if tensor.is_contiguous():
        return tensor.view(-1)[:: max(1, tensor.numel() // SPREAD)]
    return tensor[tuple(slice(None, None, max(1, size // 16)) for size in tensor.shape)]


@dataclass(frozen=True)
class Snapshot:
    """What was so before an export."""

    state: dict[str, _WatchedTensor]
    training: dict[str, bool]
    hooks: dict[str, int]
    attributes: dict[str, frozenset[str]]
    arguments: tuple[torch.Tensor, ...]
    rng: torch.Tensor
    python_rng: int
    ambient: dict[Watched, object]
    globals: dict[tuple[Watched, str], object]
    symbolics: symbolics.Symbolics

    @classmethod
    def take(cls, module: torch.nn.Module, inputs: Inputs) -> Snapshot:
        """Look at everything that an export has no business changing."""
        for child in module.modules():
            # A scripted module keeps its methods among its attributes from the first look on.
            getattr(child, "forward", None)
        return cls(
            state={name: _WatchedTensor.seen(value) for name, value in _state(module).items()},
            training={name: child.training for name, child in module.named_modules()},
            hooks={name: _hooks(child) for name, child in module.named_modules()},
            attributes={name: frozenset(vars(child)) for name, child in module.named_modules()},
            arguments=tuple(tensor.detach().clone() for tensor in tensors_of(inputs)),
            rng=torch.get_rng_state(),
            python_rng=hash(random.getstate()),
            ambient=_ambient(),
            globals=_exporter_globals(),
            symbolics=symbolics.registered(),
        )

    def changes(self, module: torch.nn.Module, inputs: Inputs) -> list[Change]:
        """Return what has changed since."""
        changes: list[Change] = []
        state = _state(module)
        for name in sorted(self.state.keys() | state.keys()):
            before, now = self.state.get(name), state.get(name)
            if before is None or now is None:
                changes.append(Change(Watched.STATE, name, "appeared" if before is None else "vanished"))
            elif before.differs_from(now):
                changes.append(Change(Watched.STATE, name, "its values changed"))
        for name, child in module.named_modules():
            label = name or "model"
            # It has none any more where the model has broken what sets attributes.
            training = getattr(child, "training", None)
            if name in self.training and training != self.training[name]:
                detail = f"{label}.training is now {training}"
                changes.append(Change(Watched.TRAINING_FLAG, detail=detail))
            if name in self.hooks and _hooks(child) != self.hooks[name]:
                detail = f"{label} had {self.hooks[name]}, now has {_hooks(child)}"
                changes.append(Change(Watched.HOOKS, detail=detail))
            if name in self.attributes:
                new = frozenset(vars(child)) ^ self.attributes[name]
                changes += [Change(Watched.ATTRIBUTE, attribute, f"on {label}") for attribute in sorted(new)]
        for number, (given, left) in enumerate(zip(self.arguments, tensors_of(inputs), strict=False)):
            if not _same(given, left):
                changes.append(Change(Watched.INPUT, str(number), "its values changed"))
        if not torch.equal(self.rng, torch.get_rng_state()):
            changes.append(Change(Watched.TORCH_RANDOM, detail="it advanced"))
        if hash(random.getstate()) != self.python_rng:
            changes.append(Change(Watched.PYTHON_RANDOM, detail="it advanced"))
        for watched, value in _ambient().items():
            if value != self.ambient[watched]:
                changes.append(Change(watched, detail=f"was {self.ambient[watched]}, is now {value}"))
        for (watched, name), value in _exporter_globals().items():
            earlier = self.globals.get((watched, name))
            if value != earlier:
                changes.append(Change(watched, name, f"was {earlier}, is now {value}"))
        changes += symbolics.changes(self.symbolics)
        return list(dict.fromkeys(changes))

    def restore_globals(self) -> None:
        """Put back the state that is not the module's own, so that one export cannot affect the next."""
        torch.set_rng_state(self.rng)
        torch.set_grad_enabled(bool(self.ambient[Watched.GRAD_MODE]))
        holder = _globals_object()
        for name in _GLOBAL_FIELDS:
            setting = Watched.EXPORTER_SETTING, name
            if holder is not None and setting in self.globals:
                setattr(holder, name, self.globals[setting])
        if (Watched.TRACE_MAP, "") in self.globals:
            trace: Any = torch.jit._trace
            trace._trace_module_map = self.globals[Watched.TRACE_MAP, ""]
        symbolics.restore(self.symbolics)


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _hooks(module: torch.nn.Module) -> int:
    return len(getattr(module, "_forward_hooks", ())) + len(getattr(module, "_forward_pre_hooks", ()))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _ambient() -> dict[Watched, object]:
    return {
        Watched.GRAD_MODE: torch.is_grad_enabled(),
        Watched.DEFAULT_DTYPE: torch.get_default_dtype(),
        Watched.THREADS: torch.get_num_threads(),
        Watched.IN_EXPORT: torch.onnx.is_in_onnx_export(),
    }


def _globals_object() -> Any:
    try:
        from torch.onnx._internal.torchscript_exporter import _globals
    except ImportError:
        return None
    return getattr(_globals, "GLOBALS", None)


def _exporter_globals() -> dict[tuple[Watched, str], object]:
    holder = _globals_object()
    seen: dict[tuple[Watched, str], object] = {}
    for name in _GLOBAL_FIELDS:
        if hasattr(holder, name):
            seen[Watched.EXPORTER_SETTING, name] = getattr(holder, name)
    trace = torch.jit._trace
    if hasattr(trace, "_trace_module_map"):
        seen[Watched.TRACE_MAP, ""] = trace._trace_module_map
    return seen
