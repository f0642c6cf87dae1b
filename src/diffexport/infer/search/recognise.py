"""What a model does besides returning tensors: draws random numbers, keeps state, changes its inputs.

Seen by calling it several times: with one seed and with two, with the same input before and after others.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from diffexport.infer.evidence import DISTRIBUTED, RANDOM, Subject
from diffexport.infer.search.inference_status import InferenceStatus
from diffexport.infer.search.probe import CallOutcome, Prober, clone, readable
from diffexport.values import leaves


@dataclass
class Behaviour:
    """What was seen: a status where it is a particular one, and notes."""

    status: InferenceStatus = InferenceStatus.INFERRED
    notes: list[str] = field(default_factory=list)


def behaviour(prober: Prober, make: Callable[[int], Sequence[Any]]) -> Behaviour:
    """Call a model on a few ordinary inputs and say what is particular about it.

    Args:
        prober: calls the model.
        make: gives the arguments, others for each number.
    """
    seen = Behaviour()
    before = _state(prober.subject)
    first = None
    for number in range(3):
        arguments = list(make(number))
        given = [clone(argument) for argument in arguments]
        one = prober.call(arguments, seed=1, copied=False)
        if not one.ran:
            continue
        if any(not _same(a, b) for a, b in zip(leaves(arguments), leaves(given), strict=False)):
            seen.status = InferenceStatus.MUTATES_INPUT
        _aliases(one, arguments, seen)
        result = [clone(tensor) for tensor in one.tensors]
        again = prober.call(given, seed=1)
        other = prober.call(given, seed=2)
        if first is None:
            first = (given, result)
        if again.ran and not _equal(result, again):
            seen.status = InferenceStatus.STATEFUL if seen.status is InferenceStatus.INFERRED else seen.status
        elif again.ran and other.ran and not _equal(result, other):
            seen.status = InferenceStatus.RANDOM
    if first is not None and seen.status is InferenceStatus.INFERRED:
        later = prober.call(first[0], seed=1)
        if later.ran and not _equal(first[1], later):
            seen.status = InferenceStatus.STATEFUL
    if seen.status is InferenceStatus.MUTATES_INPUT:
        seen.notes.append("it changes an input in place")
    changed = _changed(before, _state(prober.subject))
    if changed:
        seen.notes.append(f"calling it changes {', '.join(changed)}")
    if first is not None:
        _gradients(prober, first[0], seen)
    calls = _called(prober.subject)
    if calls & RANDOM and seen.status is InferenceStatus.INFERRED:
        seen.notes.append(
            f"its source draws random numbers ({', '.join(sorted(calls & RANDOM))}), which was not seen to matter"
        )
    if calls & DISTRIBUTED:
        seen.notes.append(f"its source uses a process group ({', '.join(sorted(calls & DISTRIBUTED))})")
    return seen


def _aliases(outcome: CallOutcome, arguments: Sequence[Any], seen: Behaviour) -> None:
    tensors = [leaf for leaf in leaves(list(arguments)) if isinstance(leaf, torch.Tensor)]
    for number, output in enumerate(outcome.tensors):
        for given in tensors:
            same = output.numel() and _address(output) == _address(given) and output.shape == given.shape
            note = f"output {number} is an input, unchanged"
            if same and _same(output, given) and note not in seen.notes:
                seen.notes.append(note)
    others = [
        type(leaf).__name__
        for leaf in leaves(outcome.output)
        if not isinstance(leaf, torch.Tensor) and leaf is not None
    ]
    note = f"it also returns what is no tensor ({', '.join(dict.fromkeys(others))})"
    if others and note not in seen.notes:
        seen.notes.append(note)


def _address(tensor: torch.Tensor) -> int:
    try:
        return tensor.data_ptr()
    except (RuntimeError, NotImplementedError):  # a subclass without storage
        return id(tensor)


def _gradients(prober: Prober, arguments: Sequence[Any], seen: Behaviour) -> None:
    """Note whether inputs that require gradients make a difference."""
    wanting = [_requiring(argument) for argument in arguments]
    if not any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves(wanting)):
        return
    outcome = prober.call(wanting)
    if not outcome.ran:
        seen.notes.append(f"it raises where inputs require gradients: {outcome.reason}")
        return
    floating = [t for t in outcome.tensors if t.is_floating_point() or t.is_complex()]
    if floating and not any(tensor.requires_grad for tensor in floating):
        seen.notes.append("its outputs are not differentiable")


def _requiring(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex()):
        # Not a leaf: Functions that mark an input dirty refuse those.
        return value.detach().clone().requires_grad_().clone()
    return value


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return True
    if one.shape != other.shape or one.dtype != other.dtype or not (readable(one) and readable(other)):
        return False
    try:
        return bool(torch.equal(torch.nan_to_num(one.detach()), torch.nan_to_num(other.detach())))
    except (RuntimeError, NotImplementedError, TypeError):
        return True


def _equal(result: Sequence[torch.Tensor], outcome: CallOutcome) -> bool:
    return len(result) == len(outcome.tensors) and all(map(_same, result, outcome.tensors))


def _state(subject: Subject) -> dict[str, Any]:
    """Return what a call may change without saying so: attributes of the class, simple globals of its module."""
    state: dict[str, Any] = {}
    for name, value in vars(subject.owner).items():
        if not name.startswith("__"):
            state[f"{subject.owner.__name__}.{name}"] = _mark(value)
    for name, value in subject.globals.items():
        if not name.startswith("__"):
            state[f"the global {name}"] = _mark(value)
    return state


def _mark(value: Any) -> Any:
    """Return something that differs once a value has been replaced or changed in the usual ways."""
    if isinstance(value, torch.Tensor):
        return (id(value), value._version)
    if isinstance(value, bool | int | float | str | None.__class__):
        return value
    return (id(value), len(value)) if type(value) in (list, dict, set) else id(value)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name, mark in after.items() if name not in before or before[name] != mark][:3]


def _called(subject: Subject) -> set[str]:
    """Return the names of everything that the forward calls."""
    if subject.tree is None:
        return set()
    calls = [node.func for node in ast.walk(subject.tree) if isinstance(node, ast.Call)]
    return {
        f.attr if isinstance(f, ast.Attribute) else f.id
        for f in calls
        if isinstance(f, ast.Attribute | ast.Name)
    }


def uses_process_group(subject: Subject) -> bool:
    """Return whether the forward calls functions of torch.distributed."""
    return bool(_called(subject) & DISTRIBUTED)
