"""Many runs under rounding noise at once, where a model does nothing but work element by element.

The model is run once, as it is, and every operator is written down. If each is elementwise, or hands on what it is
given, then running them again on tensors with one more dimension in front is as many runs as that dimension is long,
each with noise of its own, at the cost of a few.

What an operator trace gives may excuse a difference and is never evidence of one: Python between the operators is not
run again, and a model that looks at values without torch's knowing (``.numpy()``, ``.tolist()``) may give more than
its trace does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffexport.arrays import Array, to_array
from diffexport.oracle.noise import Noise, tensors_in
from diffexport.oracle.rule_lookup import Operator, rule_of

#: Most elements of one operator's result, over all runs.
MOST_ELEMENTS = 1 << 18


@dataclass(frozen=True)
class _Step:
    op: Operator
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Tensor


class OperatorTrace:
    """A handler of operators that runs each as it is and writes it down.

    Attributes:
        usable: whether everything so far can be run many times at once.
    """

    def __init__(self) -> None:
        self.usable = True
        self._steps: list[_Step] = []
        # The steps keep their results alive, so that neither identities nor addresses are used twice.
        self._results: set[int] = set()
        self._addresses: set[int] = set()

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        result = op.run(*args, **kwargs)
        if self.usable:
            given = list(tensors_in((args, tuple(kwargs.values()))))
            self.usable = (
                not (op.writes or rule_of(op).is_random(args, kwargs))
                and type(result) is Tensor
                and all(map(self._is_known, given))
            )
            # What is computed from no tensor is a constant, as inputs and views of inputs are.
            depends = any(id(tensor) in self._results for tensor in given)
            if self.usable and given and (depends or not op.is_view):
                self.usable = _is_repeatable(op, args, kwargs, given, result)
                self._steps.append(_Step(op, args, kwargs, result))
                self._results.add(id(result))
                self._addresses.add(result.untyped_storage().data_ptr())
        return result

    def _is_known(self, tensor: Tensor) -> bool:
        """Return whether a tensor is the result of a step, or has nothing to do with any."""
        return id(tensor) in self._results or tensor.untyped_storage().data_ptr() not in self._addresses

    def replay(self, noise: Noise, count: int, outputs: Sequence[Tensor]) -> list[Array] | None:
        """Return what ``count`` runs under noise give for each output, of shape (count, elements).

        Returns:
            None where that cannot be said, or nothing is inexact.
        """
        if not self.usable or not all(map(self._is_known, outputs)):
            return None
        if any(step.result.numel() * count > MOST_ELEMENTS for step in self._steps):
            return None
        try:
            with torch.no_grad():
                runs = self._run_again(noise, count)
                if runs is None or noise.unrecomputed or not noise.disturbed:
                    return None
                many = [_many(runs, tensor, count, tensor.dim()) for tensor in outputs]
                return [to_array(tensor).reshape(count, -1) for tensor in many]
        except Exception:  # noqa: BLE001 - whatever an operator raises that wants a certain number of dimensions
            return None

    def _run_again(self, noise: Noise, count: int) -> dict[int, Tensor] | None:
        """Return for each tensor, by identity, what it is in ``count`` runs; None if that has another form."""
        runs: dict[int, Tensor] = {}
        for step in self._steps:
            rank = step.result.dim()
            args = tuple([_many(runs, v, count, rank) if isinstance(v, Tensor) else v for v in step.args])
            result = args[0] if step.op.is_view else noise(step.op, args, step.kwargs)
            if result.dtype is not step.result.dtype or tuple(result.shape) != (count, *step.result.shape):
                return None
            runs[id(step.result)] = result
        return runs


def _many(runs: Mapping[int, Tensor], tensor: Tensor, count: int, rank: int) -> Tensor:
    """Return a tensor in every run, its own dimensions the last of ``rank``.

    What is no step's result is the same in all.
    """
    in_runs = runs.get(id(tensor))
    if in_runs is None:
        in_runs = tensor.detach().expand(count, *tensor.shape)
    if tensor.dim() == rank:
        return in_runs
    return in_runs.reshape(count, *[1] * (rank - tensor.dim()), *tensor.shape)


def _is_repeatable(
    op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: Sequence[Tensor], result: Tensor
) -> bool:
    """Return whether an operator does the same to tensors with one more dimension in front."""
    rule = rule_of(op)
    if op.is_view:
        return rule.hands_on and (result.shape, result.dtype) == (given[0].shape, given[0].dtype)
    if sum(isinstance(value, Tensor) for value in args) < len(given):
        return False
    # Where dtypes differ, those of tensors without dimensions count for less, and here they would have one.
    numbers = [tensor for tensor in given if tensor.dtype is not torch.bool]
    alike = len({tensor.dtype for tensor in numbers}) <= 1 or all(tensor.dim() for tensor in numbers)
    return (bool(rule.pointwise) and alike) or (rule.converts and not kwargs.keys() - {"dtype"})
