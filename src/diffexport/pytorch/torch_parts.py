"""The parts of a process's state that are torch's: defaults, switches, random numbers, hooks for everything.

Private names used here, checked on torch 2.13.0; what is missing is not watched:

- ``torch.nn.modules.module._global_…_hooks``.
- ``torch.overrides._get_current_function_mode_stack``,
  ``torch.utils._python_dispatch._get_current_dispatch_mode_stack``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch

from diffexport.processes import Part

_HOOKS = (
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_forward_hooks_always_called",
    "_global_parameter_registration_hooks",
    "_global_buffer_registration_hooks",
    "_global_module_registration_hooks",
)


@cache
def torch_parts() -> tuple[Part, ...]:
    """Return the parts, each of which can be read in a few microseconds."""
    return (
        Part("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Part("the default device", _default_device, _set_default_device),
        Part("the number of torch's threads", torch.get_num_threads, torch.set_num_threads),
        Part("the number of torch's threads between operators", torch.get_num_interop_threads),
        Part("whether algorithms are deterministic", _deterministic, _set_deterministic),
        Part("how cuDNN is used", _cudnn, _set_cudnn),
        Part(
            "the precision of float32 products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        Part("whether gradients are recorded", torch.is_grad_enabled, _set_grad),
        Part("whether this is inference mode", torch.is_inference_mode_enabled),
        Part("what autocast does", _autocast, _set_autocast, _autocast_changes),
        Part("whether autograd looks for anomalies", torch.is_anomaly_enabled, _set_anomaly),
        Part(
            "whether denormal numbers are flushed",
            _flushes,
            torch.set_flush_denormal,
        ),
        Part("torch's random numbers", _Generator, lambda before: before.put_back(), _seeding),
        Part("hooks for every module", _hooks, _set_hooks, "registers hooks for every module"),
        Part("modes that torch functions run in", _modes, None, "leaves torch in another mode"),
    )


def _default_device() -> str:
    return str(torch.get_default_device())


def _set_default_device(before: str) -> None:
    # To set "cpu" would leave a mode behind that was not there.
    torch.set_default_device(None if before == "cpu" else before)


def _deterministic() -> tuple[bool, bool, bool]:
    settings: Any = torch.utils.deterministic
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        settings.fill_uninitialized_memory,
    )


def _set_deterministic(before: tuple[bool, bool, bool]) -> None:
    if _deterministic()[:2] != before[:2]:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    settings: Any = torch.utils.deterministic
    settings.fill_uninitialized_memory = before[2]


def _cudnn() -> tuple[bool, bool, bool]:
    backend = torch.backends.cudnn
    return backend.enabled, backend.benchmark, backend.deterministic


def _set_cudnn(before: tuple[bool, bool, bool]) -> None:
    backend = torch.backends.cudnn
    backend.enabled, backend.benchmark, backend.deterministic = before


def _set_grad(before: bool) -> None:
    torch.set_grad_enabled(before)


def _autocast() -> tuple[Any, ...]:
    return (
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
    )


def _autocast_changes(before: tuple[Any, ...], now: tuple[Any, ...]) -> Iterable[str]:
    """Tell nothing of the cache: the TorchScript exporter leaves it off when an export fails."""
    return () if before[:2] == now[:2] else ("changes what autocast does",)


def _set_autocast(before: tuple[Any, ...]) -> None:
    torch.set_autocast_enabled("cpu", before[0])
    torch.set_autocast_dtype("cpu", before[1])
    torch.set_autocast_cache_enabled(before[2])


def _set_anomaly(before: bool) -> None:
    torch.autograd.set_detect_anomaly(before)


def _flushes() -> bool:
    """Return whether the smallest numbers count as zero."""
    return not bool((torch.tensor(1e-310, dtype=torch.float64) * 1).ne(0))


class _Generator:
    """The state of torch's global random numbers on the processor."""

    def __init__(self) -> None:
        self.state, self.seed = torch.get_rng_state(), torch.initial_seed()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Generator) and torch.equal(self.state, other.state)

    __hash__ = None  # type: ignore[assignment]

    def put_back(self) -> None:
        """Make it so again."""
        torch.set_rng_state(self.state)


def _seeding(before: _Generator, now: _Generator) -> Iterable[str]:
    """Tell that random numbers were seeded; that some were drawn is nothing to tell."""
    return () if before.seed == now.seed else (f"seeds torch's random numbers with {now.seed}",)


def _hooks() -> dict[str, dict[Any, Any]]:
    module = torch.nn.modules.module
    return {name: dict(hooks) for name in _HOOKS if (hooks := getattr(module, name, None)) is not None}


def _set_hooks(before: dict[str, dict[Any, Any]]) -> None:
    for name, hooks in before.items():
        present = getattr(torch.nn.modules.module, name)
        present.clear()
        present.update(hooks)


def _modes() -> tuple[int, int]:
    """Return how many modes functions and operators of torch run in; the default device is no such mode."""
    functions, operators = 0, 0
    overrides: Any = torch.overrides
    if hasattr(overrides, "_get_current_function_mode_stack"):
        stack = overrides._get_current_function_mode_stack()
        functions = sum(1 for mode in stack if type(mode).__name__ != "DeviceContext")
    dispatch: Any = getattr(torch.utils, "_python_dispatch", None)
    if dispatch is not None and hasattr(dispatch, "_get_current_dispatch_mode_stack"):
        operators = len(dispatch._get_current_dispatch_mode_stack())
    return functions, operators
