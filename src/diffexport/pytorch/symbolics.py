"""Symbolics that are registered with the TorchScript exporter, for everyone, until they are taken back.

Private names used here, checked on torch 2.13.0; if one is gone nothing is known to be registered:

- ``torch.onnx._internal.torchscript_exporter.registration.registry`` with its ``_registry``, a dict from operator to a
  group of functions, whose ``_functions`` has the custom ones in ``_overrides``, by opset. A group stays when the
  last of its functions is taken back. ``register`` and ``unregister`` take an empty domain, too.

For each Function with a ``symbolic`` that it exports, the exporter itself registers that under an empty domain, and
leaves it there. Nothing ever looks it up: to be a leak without consequences it is told apart
([is_by_itself][diffexport.pytorch.changes.Change]).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diffexport.pytorch.changes import Change, Watched

#: Custom symbolics by operator (``prim::PythonOp``) and the opset they are registered for.
Symbolics = Mapping[tuple[str, int], Callable[..., Any]]


def registered() -> Symbolics:
    """Return every custom symbolic that is registered now."""
    try:
        from torch.onnx._internal.torchscript_exporter.registration import registry

        found: dict[tuple[str, int], Callable[..., Any]] = {}
        # Of some hundred operators hardly any has one; this is done several times for each export.
        for name, group in registry._registry.items():
            overrides: Any = group._functions._overrides
            if overrides:
                found.update(((name, opset), function) for opset, function in overrides.items())
    except (ImportError, AttributeError):
        return {}
    return found


def is_registered(operator: str) -> bool:
    """Return whether there is a custom symbolic for an operator."""
    return any(name == operator for name, _ in registered())


def changes(before: Symbolics) -> list[Change]:
    """Return what is registered otherwise than before."""
    now = registered()
    found = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) is now.get(key):
            continue
        state = "is still registered" if key not in before else "was replaced" if key in now else "is gone"
        found.append(Change(Watched.SYMBOLIC, key[0], f"the one for opset {key[1]} {state}"))
    return found


def restore(before: Symbolics) -> None:
    """Register exactly what was registered before."""
    now = registered()
    if now == before:
        return
    # There is something registered, so that the names are there. The public functions refuse an empty domain.
    from torch.onnx._internal.torchscript_exporter.registration import registry

    for name, opset in now.keys() - before.keys():
        registry.unregister(name, opset)
    for (name, opset), function in before.items():
        if now.get((name, opset)) is not function:
            registry.register(name, opset, function, custom=True)
