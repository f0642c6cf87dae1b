"""Overflow on the way: where eager leaves the range of its dtype though float64 does not.

``log(exp(100))`` is infinite in float32 and 100 in float64, or in an export from which both are dropped. Which of the
two an implementation gives depends on the order and the precision in which it computes, as rounding does; but no small
error explains it. So it is neither excused nor a failure: a note of its own kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array, to_array
from diffexport.oracle.noise import Widened, held, mapped, tensors_in
from diffexport.oracle.operator_rules import OperatorRule
from diffexport.oracle.rounding import magnitudes
from diffexport.oracle.rule_lookup import Operator, rule_of

#: By what share of the value of float64 an overflow moves a finite result at least; rounding seldom does.
GROSS = 2.0**-6
#: From what share of the largest number on a result counts as one that overflows: in another order of its factors.
NEARLY = 0.25


class Overflows:
    """Calls operators in float64, and puts NaN in place of what overflows, or nearly does, in a narrower dtype.

    NaN goes on from there: an output that is NaN depends on a result that overflows.

    Args:
        dtype: the real floating dtype that the model computes in.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._most = NEARLY * float(torch.finfo(dtype).max)
        self._widened = Widened()

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        rule = rule_of(op)
        if rule.exact or rule.is_random(args, kwargs):
            return self._widened(op, args, kwargs)
        given = mapped(args, held)
        options = {name: mapped(value, held) for name, value in kwargs.items()}
        floats = [t for t in tensors_in((given, tuple(options.values()))) if t.dtype is torch.float64]
        # Before it runs: it may write into its arguments.
        totals = self._totals(op, rule, given, options)
        narrow = self._run(op, given, options, self._narrowed)
        may_square = any(bool((t.abs() > math.sqrt(self._most)).any()) for t in floats)
        result = self._widened(op, given, options)
        outputs = [t for t in tensors_in(result) if t.dtype is torch.float64 and t.numel()]
        for number, output in enumerate(outputs):
            with torch.no_grad():
                over = output.abs() > self._most
                if totals is not None and number < len(totals) and totals[number].shape == output.shape:
                    assert rule.sums is not None
                    limit = NEARLY * rule.sums.overflow_limit(given, to_array(output), self._dtype)
                    over |= totals[number] > limit
                if narrow is not None and number < len(narrow) and narrow[number].shape == output.shape:
                    over |= self._moved(narrow[number].to(torch.float64), output, may_square)
                if over.any():
                    output.masked_fill_(over, math.nan)
        return result

    def _moved(self, narrow: Tensor, wide: Tensor, may_square: bool) -> Tensor:
        """Return where the operator itself overflows inside: its result is not finite, or far off."""
        moved = torch.isfinite(wide) & ~torch.isfinite(narrow)
        if may_square:
            moved |= (narrow - wide).abs() > GROSS * wide.abs() + torch.finfo(self._dtype).tiny
        return moved

    def _totals(
        self, op: Operator, rule: OperatorRule, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> list[Tensor] | None:
        """Return the sums of the magnitudes of the terms, if the operator is a sum."""
        return self._run(op, args, kwargs, magnitudes) if rule.is_sum(args, kwargs) else None

    def _run(
        self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any], change: Callable[[Any], Any]
    ) -> list[Tensor] | None:
        try:
            found = op.run(*change(args), **{name: change(value) for name, value in kwargs.items()})
            return [t for t in tensors_in(found) if t.is_floating_point() and t.numel()]
        except Exception:  # noqa: BLE001 - whatever an operator raises that has no such kernel
            return None

    def _narrowed(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(self._dtype) if value.dtype is torch.float64 else value.clone()
        if isinstance(value, tuple | list):
            return type(value)([self._narrowed(item) for item in value])
        return self._dtype if value is torch.float64 else value


def is_off(eager: Array, reference: Array) -> Array:
    """Return where eager is not what float64, finite there, gives in its dtype, by more than rounding.

    Args:
        eager: of a real floating dtype.
        reference: the same in float64.
    """
    with np.errstate(all="ignore"):
        once = reference.astype(eager.dtype).astype(np.float64)
        value = eager.astype(np.float64)
        right = (value == once) | (np.abs(value - once) <= GROSS * np.abs(once))
        off: Array = np.isfinite(reference) & ~right
        return off
