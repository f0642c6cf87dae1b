"""Intercepting the operators that a model runs: the one place with torch's dispatch mode and operator schemas."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True, eq=False)
class Op:
    """One operator as torch dispatches it, below autograd.

    Attributes:
        name: with namespace and overload, for people: ``aten::exp_.default``.
        base: what it computes, whichever way it writes the result: ``exp`` for ``exp``, ``exp_`` and ``exp.out``;
            operators of other namespaces keep theirs (``mine::exp``).
        is_view: its result shares the memory of an argument.
        is_random: it draws random numbers.
        is_pointwise: each element of the result depends on one element of each argument.
        writes: it changes an argument.
        run: calls it.
    """

    name: str
    base: str
    is_view: bool
    is_random: bool
    is_pointwise: bool
    writes: bool
    run: Callable[..., Any]


#: Calls an operator, or something else in its place, and returns what it returns.
Handler = Callable[[Op, tuple[Any, ...], Mapping[str, Any]], Any]


@contextlib.contextmanager
def intercepted(handler: Handler) -> Iterator[None]:
    """Let ``handler`` call every operator that is run inside, also inside autograd Functions."""
    with _Intercepting(handler):
        yield


class _Intercepting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, handler: Handler) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._handler = handler

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._handler(described(func), args, kwargs or {})


_DESCRIBED: dict[Any, Op] = {}


def described(func: Any) -> Op:
    """Return what is known of an operator overload."""
    if func not in _DESCRIBED:
        schema = func._schema
        namespace, _, plain = schema.name.partition("::")
        writes = schema.is_mutable
        if writes and plain.endswith("_") and not plain.endswith("__"):
            plain = plain[:-1]
        _DESCRIBED[func] = Op(
            name=f"{schema.name}.{schema.overload_name or 'default'}",
            base=plain if namespace == "aten" else f"{namespace}::{plain}",
            is_view=bool(func.is_view),
            is_random=torch.Tag.nondeterministic_seeded in func.tags,
            is_pointwise=torch.Tag.pointwise in func.tags,
            writes=writes,
            run=func,
        )
    return _DESCRIBED[func]
