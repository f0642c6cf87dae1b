"""Intercepting the operators that a model runs: the one place with torch's dispatch mode and operator schemas.

Higher-order operators (``torch.cond``, ``while_loop``, ``scan``, …) take functions. They run as they do without a mode,
and what runs inside the functions is intercepted like everything else.

Operators that are made of others (composite and fused ones) reach a handler as what they are made of.

``torch.cond`` and its like compile themselves, and so does a model that calls ``torch.compile``. Nothing is compiled
while operators are intercepted: the code would be made for a process in which a mode is on, and be kept for later
calls, in which none is.

Private names used here, checked on torch 2.13.0:

- ``torch.utils._python_dispatch.TorchDispatchMode`` with ``supports_higher_order_operators``
- ``torch._C.DispatchKey``, ``torch._C._AutoDispatchBelowAutograd``
- ``torch._ops.HigherOrderOperator`` with ``py_kernels`` and ``dispatch``, ``OperatorBase``,
  ``OpOverloadPacket``, ``_higher_order_ops``
- ``torch._subclasses.FakeTensor``, ``torch._subclasses.functional_tensor.FunctionalTensor``: of tensors that have no
  values no operator is handed on
- ``torch._dynamo.reset``, where a model is the first to compile
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OperatorBase, OpOverloadPacket
from torch._subclasses import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.utils._python_dispatch import TorchDispatchMode

from diffexport.pytorch.fused import FUSED, by_parts, is_composite


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
        named: returns its arguments by name, those that are not given with their defaults.
    """

    name: str
    base: str
    is_view: bool
    is_random: bool
    is_pointwise: bool
    writes: bool
    run: Callable[..., Any]
    named: Callable[[tuple[Any, ...], Mapping[str, Any]], dict[str, Any]]


#: Calls an operator, or something else in its place, and returns what it returns.
Handler = Callable[[Op, tuple[Any, ...], Mapping[str, Any]], Any]


@contextlib.contextmanager
def intercepted(handler: Handler) -> Iterator[None]:
    """Let ``handler`` call every operator that is run inside, also inside autograd Functions.

    Functions that higher-order operators take are no exception. Nothing is compiled inside.
    """
    with _uncompiled(), _untraced(), _Intercepting(handler):
        yield


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    """Run higher-order operators below autograd, which traces their functions for a backward pass that never comes.

    It can trace only what dynamo has made of a function, and dynamo is not asked here.
    """
    owner: Any = HigherOrderOperator
    shipped = owner.dispatch

    def dispatch(self: Any, /, dispatch_key: Any, *args: Any, **kwargs: Any) -> Any:
        if dispatch_key.name.startswith("Autograd") and any(key in self.py_kernels for key in _PLAIN):
            below: Any = torch._C._AutoDispatchBelowAutograd
            with below():
                return self(*args, **kwargs)
        return shipped(self, dispatch_key, *args, **kwargs)

    owner.dispatch = dispatch
    try:
        yield
    finally:
        owner.dispatch = shipped


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    """Run what is to be compiled as it is, and keep nothing of it."""
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    try:
        yield
    finally:
        if "torch._dynamo" in sys.modules:
            # It was imported inside, too late for the stance.
            dynamo: Any = sys.modules["torch._dynamo"]
            dynamo.reset()


class _Intercepting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    # Otherwise torch raises where one is called.
    supports_higher_order_operators = True

    def __init__(self, handler: Handler) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._handler = handler

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if isinstance(func, HigherOrderOperator):
            return self._run_inside(func, args, dict(kwargs or {}))
        if types and any(issubclass(kind, FakeTensor | FunctionalTensor) for kind in types):
            # An operator that traces its functions: there are no values.
            return func(*args, **(kwargs or {}))
        whole = _parts_of(func)
        if whole is not None:
            with self:
                result = whole(args, kwargs or {})
            if result is not NotImplemented:
                return result
        return self._handler(described(func), args, kwargs or {})

    def _run_inside(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a higher-order operator, and intercept the operators that it or its functions run."""
        kernel = next((func.py_kernels[key] for key in _PLAIN if key in func.py_kernels), None)
        if kernel is not None:
            try:
                with self:
                    return kernel(*args, **kwargs)
            except AssertionError:
                # Some refuse to run in a mode; their functions do not.
                pass
        given = {name: self._inside(value) for name, value in kwargs.items()}
        return func(*self._inside(args), **given)

    def _inside(self, value: Any) -> Any:
        """Return arguments with functions that run in this mode, wherever they are called."""
        if isinstance(value, tuple | list):
            return type(value)([self._inside(item) for item in value])
        if not callable(value) or isinstance(value, _NO_FUNCTIONS):
            return value

        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return value(*args, **kwargs)

        return inside


#: What can be called and is no function of the model's.
_NO_FUNCTIONS = (torch.Tensor, OperatorBase, OpOverloadPacket, type)
#: Under which keys a higher-order operator has its plain implementation.
_PLAIN = (torch._C.DispatchKey.CompositeExplicitAutograd, torch._C.DispatchKey.CPU)


def higher_order_operators() -> Mapping[str, Any]:
    """Return every higher-order operator of this torch that is registered, by name."""
    from torch._ops import _higher_order_ops

    return dict(_higher_order_ops)


@functools.cache
def _parts_of(func: Any) -> Callable[[tuple[Any, ...], Mapping[str, Any]], Any] | None:
    """Return what runs an operator by simpler ones, from its arguments; None if it is a simple one itself."""
    name = func.name()
    if name in FUSED:
        by_name = FUSED[name]
        return lambda args, kwargs: by_name(_named(func, args, kwargs))
    # Only below autograd, in inference mode or a higher-order operator, does such a one come as a whole.
    if is_composite(func):
        return lambda args, kwargs: by_parts(func, *args, **kwargs)
    return None


def _named(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, those that are not given with their defaults."""
    parameters = func._schema.arguments
    found = {parameter.name: parameter.default_value for parameter in parameters}
    found.update(zip((parameter.name for parameter in parameters), args, strict=False))
    found.update(kwargs)
    return found


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
            named=functools.partial(_named, func),
        )
    return _DESCRIBED[func]
