"""Running a model under rounding noise, and with every operator in float64.

Monte Carlo arithmetic (D. S. Parker, *Monte Carlo Arithmetic*, UCLA CSD-970002, 1997): every inexact operation is
replaced by one with a random error of the size of its rounding error, and the spread of the results over several runs
shows how much of them is rounding. An operation is *exact* where its result equals the same operation computed in
float64, and stays as it is there; so what rounds, compares or selects exact values gives one result in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffexport.arrays import Array, to_array, to_tensor
from diffexport.oracle.open_orders import OPEN_ORDERS
from diffexport.oracle.operator_rules import OperatorRule, Sums, holds
from diffexport.oracle.rounding import fineness, has_exact_mean, magnitudes, precision_of
from diffexport.oracle.rule_lookup import Operator, rule_of

WIDE = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
_NARROW = {torch.float64: torch.float32, torch.complex128: torch.complex64}
_FLOAT32 = precision_of(torch.float32)


class Noise:
    """Calls operators with noise on their inexact results.

    Args:
        seed: the same seed gives the same noise; a generator goes on where it was.

    Attributes:
        disturbed: whether any result was inexact or in an open order, so that this run may differ from eager.
        unrecomputed: names of the operators that could not be recomputed in float64; they are left without noise.
    """

    def __init__(self, seed: int | np.random.Generator) -> None:
        self._random = np.random.default_rng(seed)
        self.disturbed = False
        self.unrecomputed: set[str] = set()

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        rule = rule_of(op)
        if rule.random and rule.is_random(args, kwargs):
            # Another model draws other numbers.
            self.disturbed = True
            return op.run(*args, **kwargs)
        if rule.exact:
            result = op.run(*args, **kwargs)
            if op.base in OPEN_ORDERS:
                with torch.no_grad():
                    self.disturbed |= OPEN_ORDERS[op.base](op.named(args, kwargs), result, self._random)
            return result
        if rule.is_plain and not (kwargs or op.writes) and _are_plain(args):
            return self._elementwise(op, rule, args)
        tensors = list(tensors_in((args, tuple(kwargs.values()))))
        floats = [t for t in tensors if _is_float(t)]
        if not floats and not (rule.pointwise and tensors):
            return op.run(*args, **kwargs)
        # Before it runs: it may write into its arguments.
        recomputed = _Recomputed(op, rule, args, kwargs, floats, self._random)
        result = op.run(*args, **kwargs)
        given = set() if op.writes else {t.untyped_storage().data_ptr() for t in tensors}
        outputs = [
            t
            for t in tensors_in(result)
            if _is_float(t) and t.numel() and t.untyped_storage().data_ptr() not in given
        ]
        if not outputs:
            return result
        exact = recomputed.results()
        if exact is None or len(exact) != len(outputs):
            if not rule.stated:
                self.unrecomputed.add(op.name)
                return result
            recomputed.take_for_exact(outputs)
        for number, output in enumerate(outputs):
            self.disturbed |= recomputed.disturb(number, output)
        return result

    def _elementwise(self, op: Operator, rule: OperatorRule, args: tuple[Any, ...]) -> Any:
        """Call an operator of float32 tensors and numbers: as the general way does, in a third of the time.

        Most of arbitration is spent here.
        """
        result = op.run(*args)
        if type(result) is not Tensor or result.dtype is not torch.float32 or not result.numel():
            return result
        try:
            exact = op.run(*[a.to(torch.float64) if type(a) is Tensor else _single(a) for a in args]).numpy()
        except Exception:  # noqa: BLE001 - whatever an operator raises that has no such kernel
            self.unrecomputed.add(op.name)
            return result
        eager = result.detach().numpy()
        with np.errstate(all="ignore"):
            # Into an array, which numpy does not make of numbers with no dimensions.
            off = np.subtract(eager, exact, out=np.empty(exact.shape))
            np.abs(off, out=off)
            # NaN where a side has one or both the same infinity, infinite where one side has one.
            worst = np.maximum.reduce(off, axis=None)
            if worst == 0:
                return result
            is_exact = off == 0 if worst < np.inf else _equal(eager, exact)
            if worst != worst and is_exact.all():
                return result
            self.disturbed = True
            size = rule.amplitude(rule, (), exact, _FLOAT32)
            noise = np.asarray(self._random.uniform(-1.0, 1.0, exact.shape))
            if worst < np.inf:
                noise *= np.maximum(size, off)
                noise += exact
                np.copyto(eager, noise, where=~is_exact, casting="same_kind")
                return result
            value = exact + noise * np.where((off > size) & np.isfinite(off), off, size)
            value = np.asarray(value).astype(np.float32)
            strange = ~np.isfinite(eager) & np.isfinite(exact.astype(np.float32))
            if strange.any():
                # Eager overflows on the way.
                value = np.where(strange & (self._random.uniform(-1.0, 1.0, exact.shape) < 0), eager, value)
            np.copyto(eager, value, where=~is_exact & np.isfinite(exact))
        return result


class _Recomputed:
    """One operator in float64, from its arguments before it runs; where these are float64, also in float32."""

    def __init__(
        self,
        op: Operator,
        rule: OperatorRule,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        floats: list[Tensor],
        random: np.random.Generator,
    ) -> None:
        self._op, self._rule, self._random = op, rule, random
        #: Whether the operator computes in float64 as it is.
        self._double = bool(floats) and not any(t.dtype in WIDE for t in floats)

        def widened(tensor: Tensor) -> Tensor:
            return _widened(tensor, integers=not floats)

        self._args = mapped(args, widened)
        self._kwargs = {name: mapped(value, widened) for name, value in kwargs.items()}
        self._narrow: list[Tensor] | None = None
        if not self._double:
            self._args, self._kwargs = _single(self._args), {k: _single(v) for k, v in self._kwargs.items()}
        elif all(_same(_narrowed(t).to(t.dtype), t) for t in floats):
            self._narrow = self._run(
                mapped(args, _narrowed), {k: mapped(v, _narrowed) for k, v in kwargs.items()}
            )
        self._sums = rule.sums if rule.is_sum(args, kwargs) else None
        self._is_choice = holds(rule.choice, args, kwargs)
        #: For a sum, that of the magnitudes; for others that are not elementwise, the result of shaken arguments.
        self._other: list[Tensor] | None = None
        if self._sums is not None:
            self._other = self._run(
                magnitudes(self._args), {k: magnitudes(v) for k, v in self._kwargs.items()}
            )
        elif not rule.pointwise:
            self._other = self._run(
                mapped(self._args, self._shaken),
                {k: mapped(v, self._shaken) for k, v in self._kwargs.items()},
            )
        # What amplitudes are taken of is kept apart from what an in-place operator writes into.
        self._given = mapped(self._args, torch.clone) if op.writes else self._args
        self._exact: list[Tensor] = []

    def _run(self, args: Any, kwargs: dict[str, Any]) -> list[Tensor] | None:
        try:
            return [t for t in tensors_in(self._op.run(*args, **kwargs)) if _is_float(t) and t.numel()]
        except Exception:  # noqa: BLE001 - whatever an operator raises that has no such kernel
            return None

    def results(self) -> list[Tensor] | None:
        """Return the floating results; None if the operator cannot be run so."""
        exact = self._run(self._args, self._kwargs)
        self._exact = exact or []
        return exact

    def take_for_exact(self, outputs: list[Tensor]) -> None:
        """Let eager's own results stand for the exact ones, of an operator that cannot be run in float64."""
        self._exact = [
            tensor.detach().to(WIDE.get(tensor.dtype, tensor.dtype), copy=True) for tensor in outputs
        ]

    def _shaken(self, tensor: Tensor) -> Tensor:
        """Return an argument with relative noise: what a backward stable algorithm is the exact result of."""
        if not _is_float(tensor):
            return tensor
        unit = torch.finfo(torch.float64 if self._double else torch.float32).eps
        return tensor * (1 + unit * torch.from_numpy(np.asarray(self._uniform(tuple(tensor.shape)))))

    def _uniform(self, shape: tuple[int, ...]) -> Array:
        return self._random.uniform(-1.0, 1.0, shape)

    def disturb(self, number: int, output: Tensor) -> bool:
        """Put noise on the inexact elements of one result; return whether there are any."""
        with np.errstate(all="ignore"):
            eager = to_array(output)
            exact = np.asarray(to_array(self._exact[number]))
            wide = eager.astype(exact.dtype)
            other = None
            if self._other is not None and number < len(self._other):
                other = to_array(self._other[number])
            is_exact = self._is_exact(
                number, wide, exact, other if self._sums is not None else None, output.dtype
            )
            if is_exact.all():
                return False
            value = self._disturbed(exact, eager, wide, other, output.dtype)
            # What float64 cannot say either (NaN, an infinity) has no noise.
            value = np.where(is_exact | ~np.isfinite(exact), eager, value)
            output.copy_(to_tensor(np.ascontiguousarray(value, eager.dtype).reshape(eager.shape)))
            return True

    def _is_exact(
        self, number: int, wide: Array, exact: Array, total: Array | None, dtype: torch.dtype
    ) -> Array:
        """Return which elements have no noise; ``total`` is that of the magnitudes if the operator is a sum."""
        rule, sums = self._rule, self._sums
        if rule.stated:
            return np.zeros(wide.shape, bool)
        if self._double:
            if self._narrow is None or number >= len(self._narrow):
                return np.zeros(wide.shape, bool)
            exact = to_array(self._narrow[number]).astype(wide.dtype)
        if sums is not None and sums.transform:
            return np.full(wide.shape, total is not None and not np.abs(total).any())
        same: Array = _equal(wide, exact)
        if rule.normalises is not None and wide.shape == tuple(self._given[0].shape):
            return same & has_exact_mean(rule.normalises(self._given), dtype).reshape(wide.shape)
        if sums is not None and total is not None and not self._double:
            same = same & (total.astype(sums.accumulator(dtype)) == total)
            if same.any() and sums.exact_if_short:
                same = same & self._is_exact_sum(sums, number, total, dtype)
        return same

    def _is_exact_sum(self, sums: Sums, number: int, total: Array, dtype: torch.dtype) -> Array:
        fine = self._run(fineness(self._given), {k: fineness(v) for k, v in self._kwargs.items()})
        if fine is None or number >= len(fine) or fine[number].shape != total.shape:
            return np.zeros(total.shape, bool)
        return sums.is_exact(self._given, total, to_array(fine[number]), dtype)

    def _disturbed(
        self, exact: Array, eager: Array, wide: Array, other: Array | None, dtype: torch.dtype
    ) -> Array:
        """Return a result with noise, in the dtype of ``eager``."""
        shape = exact.shape
        if self._is_choice:
            return np.where(self._uniform(shape) < 0, eager, exact.astype(eager.dtype))
        centre = exact
        if self._sums is not None and other is not None:
            size = self._sums.amplitude(self._given, exact, other, dtype)
        else:
            size = self._rule.error(self._given, exact, dtype)
            centre = exact if other is None or other.shape != shape else other
        # Eager's own error is legal whatever the rule says.
        off = np.abs(wide - exact)
        size = np.where(off > size, np.where(np.isfinite(off), off, size), size)
        noise = self._uniform(shape)
        if np.iscomplexobj(exact):
            return np.asarray(centre + (noise + 1j * self._uniform(shape)) * size).astype(eager.dtype)
        value = np.asarray(centre + noise * size).astype(eager.dtype)
        strange = ~np.isfinite(wide) & np.isfinite(exact.astype(eager.dtype))
        if strange.any():
            # Eager overflows on the way.
            value = np.where(strange & (self._uniform(shape) < 0), eager, value)
        if self._sums is not None and other is not None and np.isrealobj(other):
            return self._overflowing(self._sums, value, exact, other, dtype)
        return value

    def _overflowing(self, sums: Sums, value: Array, exact: Array, total: Array, dtype: torch.dtype) -> Array:
        """Let sums overflow sometimes that would in another order of their terms."""
        limit = sums.overflow_limit(self._given, exact, dtype)
        if not (total > limit).any():
            return value
        up = ((total + exact) / 2 > limit) & (self._uniform(exact.shape) < -0.5)
        down = ((total - exact) / 2 > limit) & (self._uniform(exact.shape) < -0.5)
        overflown = np.where(up, np.where(down, np.nan, np.inf), -np.inf).astype(value.dtype)
        return np.where(up | down, overflown, value)


class Widened:
    """Calls operators in float64 whatever they are given: the referee.

    A conversion to a narrower dtype that the model asks for is made, and its result held in float64.
    """

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        if op.is_view:
            return op.run(*args, **kwargs)
        if rule_of(op).converts:
            return mapped(op.run(*args, **kwargs), held)
        if op.writes and any(t.dtype in WIDE for t in tensors_in((args, tuple(kwargs.values())))):
            kept = args[0]
            if isinstance(kept, Tensor) and kept.dtype in WIDE:
                raise TypeError(f"{op.name} writes into a tensor of {str(kept.dtype).removeprefix('torch.')}")
        given = mapped(args, held)
        options = {name: mapped(value, held) for name, value in kwargs.items()}
        result = op.run(*given, **options)
        return result if op.writes else mapped(result, held)


def held(tensor: Tensor) -> Tensor:
    """Return a tensor in float64 (complex128), if it is of a narrower floating dtype."""
    return tensor.to(WIDE[tensor.dtype]) if tensor.dtype in WIDE else tensor


def _widened(tensor: Tensor, integers: bool) -> Tensor:
    """Return a copy in float64; what is float64 already, or no number with a fraction, is copied as it is."""
    if tensor.dtype in WIDE:
        return tensor.to(WIDE[tensor.dtype])
    if integers and tensor.dtype is not torch.bool and not _is_float(tensor):
        return tensor.to(torch.float64)
    return tensor.clone()


def _narrowed(tensor: Tensor) -> Tensor:
    return tensor.to(_NARROW[tensor.dtype]) if tensor.dtype in _NARROW else tensor.clone()


def _single(value: Any) -> Any:
    """Return arguments with Python numbers as precise as eager takes them beside tensors of float32."""
    if isinstance(value, float):
        with np.errstate(over="ignore"):
            return float(np.float32(value))
    if isinstance(value, Tensor) and value.dim() == 0 and value.dtype is torch.float64:
        return value.to(torch.float32).to(torch.float64)
    if isinstance(value, tuple | list):
        return type(value)([_single(item) for item in value])
    return value


def _equal(one: Any, other: Any) -> Any:
    """Return where two arrays or tensors are the same, NaN the same as NaN."""
    return (one == other) | ((one != one) & (other != other))


def _are_plain(args: tuple[Any, ...]) -> bool:
    """Return whether arguments are float32 tensors, at least one, and numbers."""
    any_tensor = False
    for argument in args:
        kind = type(argument)
        if kind is Tensor:
            if argument.dtype is not torch.float32:
                return False
            any_tensor = True
        elif kind is not float and kind is not int:
            return False
    return any_tensor


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(_equal(one, other).all())


def _is_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples and lists, as operators take and return them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return arguments with every tensor changed, and dtypes that are asked for widened."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)([mapped(item, change) for item in value])
    if isinstance(value, torch.dtype):
        return WIDE.get(value, value)
    return value
