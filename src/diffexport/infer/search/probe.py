"""Probes: one call of the model under test, bounded in time, whatever it does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diffexport.errors import error_line
from diffexport.infer.evidence import Subject
from diffexport.values import leaves

#: Longest time for a single call, in seconds.
PER_CALL = 2.0


class CallTimeout(BaseException):
    """A probe took too long. Not an Exception: code that is probed must not swallow it."""


@dataclass(frozen=True, eq=False)
class CallOutcome:
    """What a call gave: its output, or what it raised; ``arguments`` where the caller wants them kept."""

    output: Any = None
    error: BaseException | None = None
    arguments: tuple[Any, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether it returned."""
        return self.error is None

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors among the outputs."""
        return [leaf for leaf in leaves(self.output) if isinstance(leaf, torch.Tensor)]

    @property
    def finite(self) -> bool:
        """Whether all numbers of the output are finite."""
        try:
            return all(
                bool(torch.isfinite(t).all()) for t in self.tensors if t.is_floating_point() or t.is_complex()
            )
        except (
            RuntimeError,
            NotImplementedError,
            TypeError,
        ):  # a dtype without isfinite, a subclass with opinions
            return True

    @property
    def gives_back(self) -> bool:
        """Whether every output is an argument, unchanged."""
        given = [leaf for leaf in leaves(self.arguments) if isinstance(leaf, torch.Tensor)]
        return bool(self.tensors) and all(any(_alike(out, one) for one in given) for out in self.tensors)

    @property
    def reason(self) -> str:
        """The error in one line."""
        if self.error is None:
            return ""
        return f"{type(self.error).__name__}: {error_line(self.error)}".rstrip(": ")


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or not (readable(one) and readable(other)):
        return False
    try:
        return bool(torch.equal(one, other))
    except (RuntimeError, NotImplementedError, TypeError):
        return False


class Prober:
    """Calls a model until its time is over.

    Attributes:
        tried: how many calls were made.
        slow: how many of them took too long.
    """

    def __init__(self, subject: Subject, seconds: float, per_call: float = PER_CALL) -> None:
        self.subject = subject
        self.tried = self.slow = 0
        self._end = time.monotonic() + seconds
        self._started = time.monotonic()
        self._per_call = min(per_call, max(seconds / 2, 0.05))
        self._process = os.getpid()

    @property
    def seconds(self) -> float:
        """Seconds since the first probe could be made."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return self.left <= 0

    def call(self, arguments: Sequence[Any], seed: int = 0, *, copied: bool = True) -> CallOutcome:
        """Call the model with copies of the arguments (unless ``copied`` is False), torch's seed set."""
        if copied:
            arguments = [clone(argument) for argument in arguments]
        self.tried += 1
        # Not torch.manual_seed, whose first call imports the compiler, which takes seconds.
        torch.default_generator.manual_seed(seed)
        try:
            with _alarm(max(min(self._per_call, self.left), 0.01)):
                output = self.subject.module(*arguments)
        except CallTimeout as error:
            self.slow += 1
            _forget_half_imported()
            return CallOutcome(error=error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too: the model may raise whatever it likes
            return CallOutcome(error=error)
        finally:
            if os.getpid() != self._process:
                # The model forked, and this is the child: the parent goes on.
                os._exit(0)
        outcome = CallOutcome(output)
        if not all(map(readable, outcome.tensors)):
            return CallOutcome(error=RuntimeError("it returns a tensor whose memory it has given back"))
        return outcome


def _forget_half_imported() -> None:
    """Have imported anew what an import was interrupted in: parts of a package that is not there itself.

    A package that is imported again finds these, and does not get them as its attributes.
    """
    for name in sorted(sys.modules):
        parent = name.rpartition(".")[0]
        if parent and parent not in sys.modules:
            del sys.modules[name]


def readable(tensor: torch.Tensor) -> bool:
    """Return whether the storage of a tensor holds it: code may have emptied that, and to read it crashes."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or not tensor.numel():
        return True
    try:
        last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
        needed = (tensor.storage_offset() + last + 1) * tensor.element_size()
        return tensor.untyped_storage().nbytes() >= needed
    except (RuntimeError, NotImplementedError):  # a subclass that has none
        return True


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise [CallTimeout][] in this thread after a time, where signals can; native code that never returns goes on."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        # Again and again: code that is probed may catch everything once.
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        raise CallTimeout(f"it took longer than {seconds:.1f} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def clone(value: Any) -> Any:
    """Return a copy of a tensor or of a tuple or list of them; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (tuple, list):
        return type(value)(clone(item) for item in value)
    return value


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Put back what probed code may change in torch: random state, default dtype, whether gradients are recorded."""
    dtype, grad, state = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_rng_state(state)
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic)


def tensor_of(shape: Sequence[int], dtype: str, domain: str, number: int = 0) -> torch.Tensor:
    """Return an ordinary tensor, another one for each ``number``.

    Args:
        shape: its shape.
        dtype: its dtype.
        domain: ``any`` (about -2 to 2; integers from -3 to 6), ``positive`` (0.2 to 2), ``unit`` (0 to 1), ``index``
            (0 or 1), ``mask`` (the same), ``length`` (1 or 2, the larger first).
        number: seed.
    """
    source = torch.Generator().manual_seed(1000 + number)
    kind: torch.dtype = getattr(torch, dtype)
    size = tuple(shape)
    if kind is torch.bool:
        return torch.rand(size, generator=source) < 0.6
    if kind.is_complex:
        return torch.complex(torch.randn(size, generator=source), torch.randn(size, generator=source)).to(
            kind
        )
    if kind.is_floating_point:
        if domain == "unit":
            values = 0.05 + 0.9 * torch.rand(size, generator=source)
        elif domain == "positive":
            values = 0.2 + 1.8 * torch.rand(size, generator=source)
        else:
            values = torch.randn(size, generator=source)
        return values.to(kind)
    if domain == "length":
        return torch.randint(1, 3, size, generator=source).sort(descending=True).values.to(kind)
    low, high = (0, 2) if domain in ("index", "mask") else (0 if kind in (torch.uint8,) else -3, 7)
    return torch.randint(low, high, size, generator=source).to(kind)
