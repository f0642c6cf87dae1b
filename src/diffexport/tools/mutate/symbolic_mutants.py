"""Wrong symbolics: bugs planted in the ``symbolic`` of an autograd.Function, before the export.

Every call of ``g.op`` in the ``symbolic`` of a Function that the model applies is made with another operator, with its
operands exchanged, or with a number a thousandth off, one at a time. What the TorchScript exporter makes of it is the
mutant.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from diffexport.tools.mutate.operator_mutators import SIBLINGS
from diffexport.tools.mutate.registry import Candidate, Mutator

NAME = "wrong-symbolic"
MUTATOR = Mutator(
    NAME,
    "another operator, exchanged operands or a wrong number in a Function's symbolic",
    lambda _draft: iter(()),
)

#: One call of ``g.op``: operator, inputs, attributes.
_Call = tuple[str, tuple[Any, ...], dict[str, Any]]
_Change = Callable[[_Call], _Call]


class _ChangingGraph:
    """Stands for the exporter's graph: notes each operator that is made, and makes one of them otherwise."""

    def __init__(
        self, graph: Any, whose: str, calls: list[tuple[str, _Call]], change: tuple[int, _Change] | None
    ) -> None:
        self._graph, self._whose, self._calls, self._change = graph, whose, calls, change

    def op(self, operator: str, *inputs: Any, **attributes: Any) -> Any:
        call = (operator, inputs, attributes)
        if self._change is not None and self._change[0] == len(self._calls):
            call = self._change[1](call)
        self._calls.append((self._whose, call))
        return self._graph.op(call[0], *call[1], **call[2])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)


def candidates(export: Callable[[], bytes | None]) -> Iterator[Candidate]:
    """Yield each change of each operator that a ``symbolic`` makes, always in the same order.

    Args:
        export: exports the model anew; None where that fails.
    """
    with _watched(None) as calls:
        original = export()

    def changed(number: int, change: _Change) -> bytes | None:
        with _watched((number, change)):
            model = export()
        return None if model == original else model

    for number, (whose, call) in enumerate(list(calls)):
        for what, change in _changes(call):
            make = functools.partial(changed, number, change)
            yield Candidate(MUTATOR, f"{whose}.symbolic, {call[0]}{what}", make)


def _changes(call: _Call) -> Iterator[tuple[str, _Change]]:
    operator, inputs, attributes = call
    domain, _, name = operator.rpartition("::")
    for sibling in SIBLINGS.get(name, ()) if domain in ("", "onnx") else ():
        yield f" → {sibling}", lambda c, sibling=sibling: (sibling, c[1], c[2])  # type: ignore[misc]
    if len(inputs) == 2:
        yield " with operands exchanged", lambda c: (c[0], c[1][::-1], c[2])
    for key, value in attributes.items():
        if isinstance(value, float) and key.endswith("_f"):
            yield f" with {key}={value * 1.001}", lambda c, key=key: (c[0], c[1], _off(c[2], key))  # type: ignore[misc]
        elif isinstance(value, torch.Tensor) and value.is_floating_point() and key.endswith("_t"):
            yield f" with {key} off", lambda c, key=key: (c[0], c[1], _off(c[2], key))  # type: ignore[misc]


def _off(attributes: dict[str, Any], key: str) -> dict[str, Any]:
    return {**attributes, key: attributes[key] * 1.001 if attributes[key] is not None else None}


@contextlib.contextmanager
def _watched(change: tuple[int, _Change] | None) -> Iterator[list[tuple[str, _Call]]]:
    """Have every Function's ``symbolic`` work on a [_ChangingGraph][]; yields the list of what it makes."""
    calls: list[tuple[str, _Call]] = []
    before: list[tuple[Any, Any]] = []
    for function in set(_subclasses(torch.autograd.Function)):
        if "symbolic" in vars(function):
            before.append((function, vars(function)["symbolic"]))
            function.symbolic = staticmethod(_wrapped(function.symbolic, function.__name__, calls, change))
    try:
        yield calls
    finally:
        for function, symbolic in before:
            function.symbolic = symbolic


def _wrapped(
    symbolic: Callable[..., Any],
    whose: str,
    calls: list[tuple[str, _Call]],
    change: tuple[int, _Change] | None,
) -> Callable[..., Any]:
    def call(graph: Any, *inputs: Any, **options: Any) -> Any:
        return symbolic(_ChangingGraph(graph, whose, calls, change), *inputs, **options)

    return call


def _subclasses(cls: Any) -> Iterator[Any]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
