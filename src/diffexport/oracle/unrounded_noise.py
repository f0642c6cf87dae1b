"""Rounding noise without rounding: every operator in float64, with an error as large as its rounding may be.

Under [Noise][diffexport.oracle.noise.Noise] each result is rounded to its dtype. What is subtracted from 1 then lies on
the lattice of the numbers next to 1, and a result of that on a lattice, too, though another implementation has another
lattice or none. Here nothing is rounded: what a continuous model gives fills the range between its results, and what a
step gives (``round``, a comparison) still comes in heaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array, to_array
from diffexport.oracle.noise import Widened, held, mapped, tensors_in
from diffexport.oracle.operator_rules import OperatorRule, Sums, holds
from diffexport.oracle.rounding import magnitudes
from diffexport.oracle.rule_lookup import Operator, rule_of


class UnroundedNoise:
    """Calls operators in float64 with noise on their inexact results; what is converted to a dtype is rounded.

    Args:
        seed: the same seed gives the same noise.
        dtype: the dtype whose rounding the noise is as large as.
    """

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        self._random = np.random.default_rng(seed)
        self._dtype = dtype
        self._widened = Widened()

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        rule = rule_of(op)
        is_random = bool(rule.random) and rule.is_random(args, kwargs)
        if rule.exact or is_random or holds(rule.choice, args, kwargs):
            return self._widened(op, args, kwargs)
        given = mapped(args, held)
        options = {name: mapped(value, held) for name, value in kwargs.items()}
        floats = [t for t in tensors_in((given, tuple(options.values()))) if t.dtype is torch.float64]
        if not floats:
            return self._widened(op, args, kwargs)
        size = _Size(op, rule, given, options, self._dtype, self._random)
        result = self._widened(op, given, options)
        memory = set() if op.writes else {t.untyped_storage().data_ptr() for t in floats}
        outputs = [t for t in tensors_in(result) if t.dtype is torch.float64 and t.numel()]
        for number, output in enumerate(outputs):
            if output.untyped_storage().data_ptr() not in memory:
                size.disturb(number, output)
        return result


class _Size:
    """How far the results of one call may be off; made before it runs, since it may write into its arguments."""

    def __init__(
        self,
        op: Operator,
        rule: OperatorRule,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        dtype: torch.dtype,
        random: np.random.Generator,
    ) -> None:
        self._rule, self._dtype, self._random = rule, dtype, random
        self._sums: Sums | None = rule.sums if rule.is_sum(args, kwargs) else None
        self._args = mapped(args, torch.clone) if op.writes else args
        self._other: list[Tensor] | None = None
        if self._sums is not None:
            self._other = _run(op, magnitudes(self._args), {k: magnitudes(v) for k, v in kwargs.items()})
        elif not rule.pointwise:
            shaken = {name: mapped(value, self._shaken) for name, value in kwargs.items()}
            self._other = _run(op, mapped(self._args, self._shaken), shaken)

    def _uniform(self, shape: tuple[int, ...]) -> Array:
        return np.asarray(self._random.uniform(-1.0, 1.0, shape))

    def _shaken(self, tensor: Tensor) -> Tensor:
        if tensor.dtype is not torch.float64:
            return tensor.clone()
        unit = torch.finfo(self._dtype).eps
        return tensor * (1 + unit * torch.from_numpy(self._uniform(tuple(tensor.shape))))

    def disturb(self, number: int, output: Tensor) -> None:
        """Put noise on the elements of one result that ``dtype`` does not have."""
        with np.errstate(all="ignore"), torch.no_grad():
            exact = to_array(output).copy()
            narrow = torch.from_numpy(exact).to(self._dtype).to(torch.float64).numpy()
            still = (narrow == exact) | ~np.isfinite(exact)
            other = None
            if self._other is not None and number < len(self._other):
                other = to_array(self._other[number])
                other = other if other.shape == exact.shape else None
            centre = exact
            if self._sums is not None and other is not None:
                size = self._sums.amplitude(self._args, exact, other, self._dtype)
            else:
                size = self._rule.error(self._args, exact, self._dtype)
                centre = exact if other is None or self._sums is not None else other
            value = np.where(still, exact, centre + self._uniform(exact.shape) * size)
            output.copy_(torch.from_numpy(np.ascontiguousarray(value)).reshape(output.shape))


def _run(op: Operator, args: Any, kwargs: Mapping[str, Any]) -> list[Tensor] | None:
    try:
        found = tensors_in(op.run(*args, **kwargs))
        return [tensor for tensor in found if tensor.dtype is torch.float64 and tensor.numel()]
    except Exception:  # noqa: BLE001 - whatever an operator raises of such arguments
        return None
