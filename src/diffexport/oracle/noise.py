"""Running a model under rounding noise, and with every operator in float64.

Monte Carlo arithmetic (D. S. Parker, *Monte Carlo Arithmetic*, UCLA CSD-970002, 1997): every inexact operation is
replaced by one with a random error of the size of its rounding error, and the spread of the results over several runs
shows how much of them is rounding. An operation is *exact* where its result equals the same operation computed in
float64, and stays as it is there; so what rounds, compares or selects exact values gives one result in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diffexport.oracle import rounding


class Operator(Protocol):
    """What is asked of an operator; [diffexport.exporters.dispatch.Op][] is one."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def base(self) -> str: ...  # noqa: D102
    @property
    def is_view(self) -> bool: ...  # noqa: D102
    @property
    def is_random(self) -> bool: ...  # noqa: D102
    @property
    def is_pointwise(self) -> bool: ...  # noqa: D102
    @property
    def writes(self) -> bool: ...  # noqa: D102
    @property
    def run(self) -> Callable[..., Any]: ...  # noqa: D102


WIDE = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
_NARROW = {torch.float64: torch.float32, torch.complex128: torch.complex64}


class Noise:
    """Calls operators with noise on their inexact results. The same seed gives the same noise.

    Attributes:
        unrecomputed: names of the operators that could not be recomputed in float64; they are left without noise.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.unrecomputed: set[str] = set()

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        if op.is_view or op.is_random or op.base in rounding.EXACT:
            return op.run(*args, **kwargs)
        tensors = list(_tensors((args, tuple(kwargs.values()))))
        floats = [t for t in tensors if _is_float(t)]
        if not floats and not (op.is_pointwise and tensors):
            return op.run(*args, **kwargs)
        # Before it runs: it may write into its arguments.
        double = not any(t.dtype in WIDE for t in floats) and bool(floats)
        wide = _Recomputed(op, args, kwargs, self._generator, double, integers=not floats)
        result = op.run(*args, **kwargs)
        own = {t.untyped_storage().data_ptr() for t in tensors} if not op.writes else set()
        outputs = [
            t for t in _tensors(result) if _is_float(t) and t.numel() and t.untyped_storage().data_ptr() not in own
        ]
        if not outputs:
            return result
        exact = wide.results()
        if exact is None or len(exact) != len(outputs):
            self.unrecomputed.add(op.name)
            return result
        for number, output in enumerate(outputs):
            output.copy_(wide.perturbed(number, output))
        return result


class _Recomputed:
    """One operator in float64, from its arguments before it runs; where these are float64, in float32."""

    def __init__(
        self,
        op: Operator,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        generator: torch.Generator,
        double: bool,
        *,
        integers: bool,
    ) -> None:
        self._op, self._generator, self._double = op, generator, double
        self._args = _mapped(args, lambda t: _widened(t, integers))
        self._kwargs = {name: _mapped(v, lambda t: _widened(t, integers)) for name, v in kwargs.items()}
        if not double:
            self._args, self._kwargs = _single(self._args), {k: _single(v) for k, v in self._kwargs.items()}
        self._narrow: list[Tensor] | None = None
        self._representable = True
        if double:
            self._narrow = self._run(
                _mapped(args, _narrowed), {name: _mapped(v, _narrowed) for name, v in kwargs.items()}
            )
            floats = [t for t in _tensors((args, tuple(kwargs.values()))) if _is_float(t)]
            self._representable = all(_same(_narrowed(t).to(t.dtype), t) for t in floats)
        self._is_sum = rounding.is_sum(op.base, kwargs)
        self._other: list[Tensor] | None = None
        if self._is_sum:
            self._other = self._run(
                rounding.magnitudes(self._args), {k: rounding.magnitudes(v) for k, v in self._kwargs.items()}
            )
        elif not op.is_pointwise:
            self._other = self._run(
                _mapped(self._args, self._shaken), {k: _mapped(v, self._shaken) for k, v in self._kwargs.items()}
            )
        # What amplitudes are taken of is kept apart from what an in-place operator writes into.
        self._given = _mapped(self._args, torch.clone) if op.writes else self._args
        self._exact: list[Tensor] | None = None

    def _run(self, args: Any, kwargs: dict[str, Any]) -> list[Tensor] | None:
        try:
            return [t for t in _tensors(self._op.run(*args, **kwargs)) if _is_float(t) and t.numel()]
        except Exception:  # noqa: BLE001 - whatever an operator raises that has no such kernel
            return None

    def results(self) -> list[Tensor] | None:
        """Return the floating results; None if the operator cannot be run so."""
        self._exact = self._run(self._args, self._kwargs)
        return self._exact

    def _shaken(self, tensor: Tensor) -> Tensor:
        """Return an argument with relative noise: what a backward stable algorithm is the exact result of."""
        if not _is_float(tensor):
            return tensor
        unit = torch.finfo(torch.float64 if self._double else torch.float32).eps
        return tensor * (1 + unit * self._uniform(tensor.shape))

    def _uniform(self, shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float64).mul_(2).sub_(1)

    def perturbed(self, number: int, output: Tensor) -> Tensor:
        """Return one result with noise where it is inexact, in its own dtype."""
        assert self._exact is not None
        exact, found = self._exact[number], output.to(self._exact[number].dtype)
        if self._double and self._narrow is not None and self._representable:
            is_exact = _equal(found, self._narrow[number].to(found.dtype))
        else:
            is_exact = torch.zeros_like(found, dtype=torch.bool) if self._double else _equal(found, exact)
        limits = torch.finfo(output.dtype)
        base = exact
        if rounding.is_choice(self._op.base, self._kwargs):
            pick = self._uniform(exact.shape) < 0
            return torch.where(is_exact | pick, output, exact.to(output.dtype))
        total = self._other[number] if self._other is not None and number < len(self._other) else None
        if self._is_sum and total is not None:
            size = rounding.sum_amplitude(self._op.base, self._given, exact, total, output.dtype)
            # Exact in every order only if the magnitudes can be summed exactly as well.
            is_exact &= total.to(rounding.accumulator(output.dtype)) == total
        else:
            size = rounding.amplitude(
                self._op.base, self._op.is_pointwise, self._given, self._kwargs, exact, output.dtype
            )
            base = exact if total is None or total.shape != exact.shape else total
        # Eager's own error is legal whatever the table says.
        off = (found - exact).abs().nan_to_num(0.0, 0.0, 0.0)
        size = torch.maximum(size, off)
        if exact.is_complex():
            noise = torch.complex(self._uniform(exact.shape), self._uniform(exact.shape))
        else:
            noise = self._uniform(exact.shape)
        value = (base + noise * size).to(output.dtype)
        if not exact.is_complex():
            value = self._at_the_edge(value, exact, total, output, limits.max)
        # What eager cannot say in float64 either (NaN, an infinity both ways) has no noise.
        return torch.where(is_exact | ~torch.isfinite(exact), output, value)

    def _at_the_edge(
        self, value: Tensor, exact: Tensor, total: Tensor | None, output: Tensor, largest: float
    ) -> Tensor:
        """Let what overflows on the way in eager, or in another order of a sum, sometimes overflow."""
        strange = ~torch.isfinite(output) & (exact.abs() <= largest)
        if strange.any():
            value = torch.where(strange & (self._uniform(exact.shape) < 0), output, value)
        if not self._is_sum or total is None:
            return value
        limit = rounding.overflow_limit(self._op.base, self._given, output.dtype, exact)
        if not bool((total > limit).any()):
            return value
        infinity = torch.full_like(value, float("inf"))
        up = ((total + exact) / 2 > limit) & (self._uniform(exact.shape) < -0.5)
        down = ((total - exact) / 2 > limit) & (self._uniform(exact.shape) < -0.5)
        value = torch.where(up, infinity, value)
        return torch.where(down, torch.where(up, infinity - infinity, -infinity), value)


class Widened:
    """Calls operators in float64 whatever they are given: the referee.

    A conversion to a narrower dtype that the model asks for is made, and its result held in float64.
    """

    def __call__(self, op: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        if op.is_view:
            return op.run(*args, **kwargs)
        if op.base == "_to_copy":
            return _mapped(op.run(*args, **kwargs), _held)
        if op.writes and any(t.dtype in WIDE for t in _tensors((args, tuple(kwargs.values())))):
            kept = args[0]
            if isinstance(kept, Tensor) and kept.dtype in WIDE:
                raise TypeError(f"{op.name} writes into a tensor of {str(kept.dtype).removeprefix('torch.')}")
        given = _mapped(args, _held)
        options = {name: _mapped(value, _held) for name, value in kwargs.items()}
        result = op.run(*given, **options)
        return result if op.writes else _mapped(result, _held)


def _held(tensor: Tensor) -> Tensor:
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


def _equal(one: Tensor, other: Tensor) -> Tensor:
    """Return where two tensors are the same, NaN the same as NaN."""
    return (one == other) | (one.isnan() & other.isnan())


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(_equal(one, other).all())


def _is_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return arguments with every tensor changed, and dtypes that are asked for widened."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)([_mapped(item, change) for item in value])
    if isinstance(value, torch.dtype):
        return WIDE.get(value, value)
    return value
