"""Containers that packages have registered with torch: outputs of transformers, dataclasses, key-value caches.

``torch.export`` flattens them as they say themselves, and so does here whatever walks through arguments and outputs.

Private names used here, checked on torch 2.13.0: ``torch.utils._pytree.SUPPORTED_NODES``, the registered types with
``flatten_fn``, ``unflatten_fn`` and ``flatten_with_keys_fn`` each, and the ``key``, ``idx`` or ``name`` of a key.

transformers (5.24) leaves it to its users to register key-value caches, by its public function
``transformers.integrations.executorch.register_dynamic_cache_export_support``; without it ``torch.export`` refuses a
model that takes or returns one. It is called once transformers is imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from diffexport.errors import ExporterInternalsError
from diffexport.values import RegisteredContainer, follow_registered

_CACHES = "transformers.cache_utils"


def follow_containers() -> None:
    """Walk through containers from now on as they are registered with torch, those of transformers included.

    Raises:
        ExporterInternalsError: torch keeps them elsewhere.
    """
    _registered_types()
    follow_registered(_registered)
    _register_caches()


def _registered_types() -> dict[Any, Any]:
    from torch.utils import _pytree

    types = getattr(_pytree, "SUPPORTED_NODES", None)
    if not isinstance(types, dict):
        import torch

        raise ExporterInternalsError(
            f"torch {torch.__version__} has no torch.utils._pytree.SUPPORTED_NODES (checked on torch 2.13.0)"
        )
    return types


def _registered(kind: type) -> RegisteredContainer | None:
    """Return how values of a type are walked through; None where it is not registered."""
    node = _registered_types().get(kind)
    if node is None:
        return None

    def items(value: Any) -> list[tuple[Any, Any]]:
        if node.flatten_with_keys_fn is not None:
            return [(_plain_key(key), item) for key, item in node.flatten_with_keys_fn(value)[0]]
        return list(enumerate(node.flatten_fn(value)[0]))

    def rebuilt(value: Any, changed: Sequence[Any]) -> Any:
        return node.unflatten_fn(list(changed), node.flatten_fn(value)[1])

    return RegisteredContainer(items, rebuilt)


def _plain_key(key: Any) -> Any:
    for name in ("key", "idx", "name"):
        if hasattr(key, name):
            return getattr(key, name)
    return key


def _register_caches() -> None:
    if _CACHES not in sys.modules:
        return
    try:
        integration = importlib.import_module("transformers.integrations.executorch")
    except ImportError:
        # Another version, or one without what the integration needs.
        return
    register = getattr(integration, "register_dynamic_cache_export_support", None)
    caches = getattr(sys.modules[_CACHES], "DynamicCache", None)
    if register is not None and caches not in _registered_types():
        register()
