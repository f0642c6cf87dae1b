"""Copies of a model for runs and exports, which share its large weights for as long as nobody writes to them."""

from __future__ import annotations

import copy
import hashlib
import types
from collections.abc import Iterator
from typing import Any

import torch

from diffexport.pipeline.kept_state import TensorState

#: Tensors from this many bytes on are shared; smaller ones are copied.
SHARED_FROM = 1 << 20
#: Tensors of at most so many bytes are read whole when a digest of them is asked for.
_READ_WHOLE = 1 << 26


def copy_of(module: torch.nn.Module, *, share: bool = True) -> torch.nn.Module:
    """Return a copy of a module, with the memory of its large parameters and buffers unless ``share`` is false.

    The parameters are other objects all the same: what gives one of them other memory, as ``double`` does, leaves
    those of ``module`` as they are.
    """
    memo: dict[int, Any] = {}
    if share:
        # The twins are kept by the memo, and the originals by the module.
        memo = {id(tensor): _twin(tensor) for _, tensor in large_tensors(module)}
    return copy.deepcopy(module, memo)


def in_mode(module: torch.nn.Module, training: bool | None) -> torch.nn.Module:
    """Put a module into training mode or eval mode; None leaves it, and each module in it, as it was built."""
    if training is not None and any(child.training != training for child in module.modules()):
        # Not by its result: a module that defines train may forget to give itself back.
        module.train(training)
    return module


def heeds_training(module: torch.nn.Module) -> bool:
    """Return whether the code of a module's class, or of one that it inherits from, speaks of ``training``."""
    if isinstance(module, torch.jit.ScriptModule):
        return "training" in str(getattr(module, "code", ""))
    for parent in type(module).__mro__:
        if parent in (torch.nn.Module, object):
            continue
        for value in vars(parent).values():
            function = getattr(value, "__func__", value)
            if isinstance(function, types.FunctionType) and "training" in _names_in(function.__code__):
                return True
    return False


def _names_in(code: types.CodeType) -> set[str]:
    """Return the attributes and globals that some code speaks of, nested functions included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def large_tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the parameters and buffers of a module that its copies share, by name."""
    for child in module.modules():
        if isinstance(child, torch.jit.ScriptModule):
            return
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if _is_shareable(tensor):
            yield name, tensor


class SharedWeights:
    """Watches the tensors that copies of a module share, by their versions and by digests of their elements."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._states = [(name, TensorState(tensor)) for name, tensor in large_tensors(module)]
        self._digests = {name: digest_of(state.tensor) for name, state in self._states}

    def changed(self, *, whole: bool = False) -> list[str]:
        """Return the names of those that were written to since.

        Args:
            whole: read every element, of all but very large tensors; else a few.
        """
        return [
            name
            for name, state in self._states
            if state.is_changed() or (whole and digest_of(state.tensor) != self._digests[name])
        ]

    def same_as(self, other: SharedWeights) -> bool:
        """Return whether another model, as it was when it began to be watched, had the same weights as this one."""
        return self._digests == other._digests


def digest_of(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Return what tells a tensor from others: dtype, shape, a digest of its elements, or of some of a large one."""
    flat = tensor.detach().reshape(-1)
    bytes_in_all = flat.numel() * flat.element_size()
    if bytes_in_all > _READ_WHOLE:
        flat = flat[:: bytes_in_all // _READ_WHOLE + 1]
    data: Any = flat.contiguous().view(torch.uint8).numpy()
    return str(tensor.dtype), tuple(tensor.shape), hashlib.blake2b(data, digest_size=16).digest()


def _is_shareable(tensor: torch.Tensor) -> bool:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        return False
    if tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() >= SHARED_FROM


def _twin(tensor: torch.Tensor) -> torch.Tensor:
    """Return another tensor with the same memory, and the same attributes."""
    twin: torch.Tensor
    if isinstance(tensor, torch.nn.Parameter):
        twin = torch.nn.Parameter(tensor.detach(), tensor.requires_grad)
    else:
        twin = tensor.detach().requires_grad_(tensor.requires_grad)
    vars(twin).update(vars(tensor))
    return twin
