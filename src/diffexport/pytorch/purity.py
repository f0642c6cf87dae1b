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
from diffexport.values import Inputs

#: What the TorchScript exporter leaves behind by itself, of which no exported model depends, begins like this.
STALE = ("GLOBALS.", symbolics.BY_ITSELF)

_GLOBAL_FIELDS = (
    "export_onnx_opset_version",
    "training_mode",
    "in_onnx_export",
    "export_training",
    "operator_export_type",
    "onnx_shape_inference",
    "autograd_inlining",
)


@dataclass(frozen=True)
class Snapshot:
    """What was so before an export."""

    state: dict[str, torch.Tensor]
    training: dict[str, bool]
    hooks: dict[str, int]
    attributes: dict[str, frozenset[str]]
    arguments: tuple[torch.Tensor, ...]
    rng: torch.Tensor
    python_rng: int
    ambient: dict[str, object]
    globals: dict[str, object]
    symbolics: symbolics.Symbolics

    @classmethod
    def take(cls, module: torch.nn.Module, inputs: Inputs) -> Snapshot:
        """Look at everything that an export has no business changing."""
        for child in module.modules():
            # A scripted module keeps its methods among its attributes from the first look on.
            getattr(child, "forward", None)
        return cls(
            state={name: value.detach().clone() for name, value in _state(module).items()},
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

    def changes(self, module: torch.nn.Module, inputs: Inputs) -> list[tuple[str, str]]:
        """Return what has changed since, as pairs of a stable name and a detail for a person."""
        found: list[tuple[str, str]] = []
        state = _state(module)
        for name in sorted(self.state.keys() | state.keys()):
            before, now = self.state.get(name), state.get(name)
            if before is None or now is None:
                found.append((f"parameter or buffer {name}", "appeared" if before is None else "vanished"))
            elif not _same(before, now):
                found.append((f"parameter or buffer {name}", "its values changed"))
        for name, child in module.named_modules():
            label = name or "model"
            if name in self.training and child.training != self.training[name]:
                found.append(("training flag", f"{label}.training is now {child.training}"))
            if name in self.hooks and _hooks(child) != self.hooks[name]:
                found.append(("forward hooks", f"{label} had {self.hooks[name]}, now has {_hooks(child)}"))
            if name in self.attributes:
                new = frozenset(vars(child)) ^ self.attributes[name]
                found += [(f"attribute {attribute}", f"on {label}") for attribute in sorted(new)]
        for number, (given, left) in enumerate(zip(self.arguments, tensors_of(inputs), strict=False)):
            if not _same(given, left):
                found.append((f"input x{number}", "its values changed"))
        if not torch.equal(self.rng, torch.get_rng_state()):
            found.append(("torch's random state", "it advanced"))
        if hash(random.getstate()) != self.python_rng:
            found.append(("Python's random state", "it advanced"))
        for name, value in _ambient().items():
            if value != self.ambient[name]:
                found.append((name, f"was {self.ambient[name]}, is now {value}"))
        for name, value in _exporter_globals().items():
            if value != self.globals.get(name):
                found.append((name, f"was {self.globals.get(name)}, is now {value}"))
        found += symbolics.changes(self.symbolics)
        return list(dict.fromkeys(found))

    def restore_globals(self) -> None:
        """Put back the state that is not the module's own, so that one export cannot affect the next."""
        torch.set_rng_state(self.rng)
        torch.set_grad_enabled(bool(self.ambient["grad mode"]))
        holder = _globals_object()
        for name in _GLOBAL_FIELDS:
            if holder is not None and f"GLOBALS.{name}" in self.globals:
                setattr(holder, name, self.globals[f"GLOBALS.{name}"])
        if "torch.jit._trace._trace_module_map" in self.globals:
            trace: Any = torch.jit._trace
            trace._trace_module_map = self.globals["torch.jit._trace._trace_module_map"]
        symbolics.restore(self.symbolics)


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _hooks(module: torch.nn.Module) -> int:
    return len(getattr(module, "_forward_hooks", ())) + len(getattr(module, "_forward_pre_hooks", ()))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _ambient() -> dict[str, object]:
    return {
        "grad mode": torch.is_grad_enabled(),
        "default dtype": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "torch.onnx.is_in_onnx_export()": torch.onnx.is_in_onnx_export(),
    }


def _globals_object() -> Any:
    try:
        from torch.onnx._internal.torchscript_exporter import _globals
    except ImportError:
        return None
    return getattr(_globals, "GLOBALS", None)


def _exporter_globals() -> dict[str, object]:
    holder = _globals_object()
    seen: dict[str, object] = {}
    for name in _GLOBAL_FIELDS:
        if hasattr(holder, name):
            seen[f"GLOBALS.{name}"] = getattr(holder, name)
    trace = torch.jit._trace
    if hasattr(trace, "_trace_module_map"):
        seen["torch.jit._trace._trace_module_map"] = trace._trace_module_map
    return seen
