"""Which rule an operator has, and rules that people state for operators of their own."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import replace as with_changes
from typing import Any, Never, Protocol

import numpy as np
import torch

from diffexport.errors import UsageError, suggestion
from diffexport.oracle.operator_rules import (
    GENERAL,
    POINTWISE,
    VIEW,
    ByKind,
    Condition,
    OperatorRule,
    Stated,
    Sums,
    Units,
)
from diffexport.oracle.operators import OPERATORS
from diffexport.oracle.random_operators import RANDOM_IF
from diffexport.oracle.rounding import Args, Kwargs, reduced_terms


class Operator(Protocol):
    """What is asked of an operator; [diffexport.pytorch.dispatch.Op][] is one."""

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
    @property
    def named(self) -> Callable[[Args, Kwargs], dict[str, Any]]: ...  # noqa: D102
    def __hash__(self) -> int: ...


#: The rules that were stated by people, by the name of the operator; they go before the table.
_STATED: dict[str, OperatorRule] = {}

_NAME = re.compile(r"[A-Za-z_]\w*::[A-Za-z_]\w*")
_ACCUMULATORS = (torch.float16, torch.float32, torch.float64)


@functools.cache
def rule_of(op: Operator) -> OperatorRule:
    """Return the rule of an operator: a stated one, its row, or the rule of its kind, completed by torch's tags."""
    row = _STATED.get(op.base) or OPERATORS.get(op.base)
    if row is None:
        row = VIEW if op.is_view else POINTWISE if op.is_pointwise else GENERAL
    return with_changes(
        row,
        exact=row.exact or op.is_view,
        pointwise=op.is_pointwise if row.pointwise is None else row.pointwise,
        random=_randomness(op) if row.random is None else row.random,
    )


def _randomness(op: Operator) -> Condition:
    """Return for which calls an operator draws random numbers, as far as torch says it."""
    if not op.is_random or op.base not in RANDOM_IF:
        return op.is_random
    test = RANDOM_IF[op.base]
    return lambda args, kwargs: test(op.named(args, kwargs))


#: The keywords of [operator_rule][] that say something of an operator, in their order.
_OPTIONS = ("amplitude", "exact", "choice", "sums", "average", "accumulate", "pointwise", "random")


def operator_rule(
    name: str,
    *,
    amplitude: float | Callable[[Args, Any, float], Any] | None = None,
    exact: bool = False,
    choice: bool | Callable[[Args, Kwargs], bool] = False,
    sums: bool | Callable[[Args, Any], int] = False,
    average: bool = False,
    accumulate: torch.dtype | None = None,
    pointwise: bool | None = None,
    random: bool | Callable[[Args, Kwargs], bool] | None = None,
    replace: bool = False,
    **unknown: Never,
) -> None:
    """State how a custom operator rounds, for the oracle.

    Call it where the operator is defined: the rule then holds in every process that imports the module. A second call
    for the same name takes the place of the first. ``eps`` is the distance of 1 to the next number of the dtype of the
    result: eps × \\|result\\| is one to two units in the last place (ulp). What holds without a rule: docs/oracle.md.

    Args:
        name: the operator without overload, ``"mine::op"``, which is for all of them.
        amplitude: how far a legal result may be from the exact one, either way: a number of eps × \\|result\\|, or a
            function ``(args, result, eps)`` that returns the largest error, in the result's own unit, as a number or
            an array that broadcasts with ``result``. ``args`` is the tuple of arguments by position, tensors in
            float64 among them; ``result`` a float64 (complex128 if complex) array of the shape of the result. It holds
            for every element, also where eager happens to be exact.
        exact: it moves, selects or compares values: no other result is legal.
        choice: it rounds to an integer inside: legal results are eager's and that of float64, and nothing between. A
            function ``(args, kwargs)`` says for which calls.
        sums: each element is a sum of products, so that the operator of the magnitudes of its arguments gives the sum
            of the terms' magnitudes; its error is eps × that sum × (1 + √n)/2, and it is exact where every order of
            the terms gives the same. True takes for n how many elements of the largest argument there are for each
            of the result; a function ``(args, result)`` returns n.
        average: the sum is divided by n.
        accumulate: the dtype of sums: torch.float16, float32 or float64; None: the wider of float32 and the result's.
        pointwise: each element of the result depends on one element of each argument, in tensors of any number of
            dimensions that broadcast; None if ``torch.Tag.pointwise`` says so.
        random: it draws random numbers and has no other noise; a function ``(args, kwargs)`` says for which calls;
            None if ``torch.Tag.nondeterministic_seeded`` says so.
        replace: let the rule take the place of the built-in one of an ATen operator.

    Raises:
        UsageError: a name that is none, or is of an ATen operator (without ``replace``, or of one that does not exist);
            an unknown keyword; an amplitude that is negative, infinite or NaN; keywords that contradict each other; an
            accumulator of another dtype; no keyword that says anything.
    """
    given = (amplitude is not None, exact, choice, sums, average, accumulate is not None)
    stated = (*given, pointwise is not None, random is not None)
    _refuse_unknown(name, unknown, [*_OPTIONS, "replace"])
    base = _base(name, replace)
    _refuse_contradictions(name, [option for option, value in zip(_OPTIONS, stated, strict=True) if value])
    rounding = ByKind() if amplitude is None else _amplitude(name, amplitude)
    summed = _sums(name, sums, average, accumulate) if sums else None
    states_size = amplitude is not None
    _STATED[base] = OperatorRule(exact, choice, summed, None, rounding, pointwise, random, stated=states_size)
    rule_of.cache_clear()


def _refuse_unknown(name: str, unknown: dict[str, Any], known: list[str]) -> None:
    for keyword in unknown:
        raise UsageError(
            f"operator_rule({name!r}): there is no keyword {keyword!r}{suggestion(keyword, known)}"
        )


def _base(name: str, replace: bool) -> str:
    """Return the name as operators have it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"operator_rule({name!r}): an operator is named 'namespace::operator', without overload,"
            " for instance 'mine::op'"
        )
    namespace, _, plain = name.partition("::")
    if plain.endswith("_") and not plain.endswith("__"):
        raise UsageError(f"operator_rule({name!r}): {name[:-1]!r} is for the operator that writes, too")
    if namespace != "aten":
        return name
    if not hasattr(torch.ops.aten, plain):
        raise UsageError(f"operator_rule({name!r}): torch has no such operator")
    if not replace:
        raise UsageError(
            f"operator_rule({name!r}): how ATen operators round is built in;"
            " replace=True puts this rule in its place"
        )
    return plain


def _refuse_contradictions(name: str, given: list[str]) -> None:
    if not given:
        raise UsageError(
            f"operator_rule({name!r}) says nothing: give amplitude, exact, choice, sums, pointwise or random"
        )
    kinds = [option for option in ("exact", "choice", "sums", "amplitude") if option in given]
    if len(kinds) > 1:
        raise UsageError(f"operator_rule({name!r}): {kinds[0]} and {kinds[1]} contradict each other")
    for option in ("average", "accumulate"):
        if option in given and "sums" not in given:
            raise UsageError(f"operator_rule({name!r}): {option} is for sums")


def _amplitude(name: str, amplitude: float | Callable[[Args, Any, float], Any]) -> Units | Stated:
    if callable(amplitude):
        return Stated(amplitude)
    if not isinstance(amplitude, int | float | np.number) or isinstance(amplitude, bool):
        raise UsageError(
            f"operator_rule({name!r}): amplitude is a number of eps or a function, not {amplitude!r}"
        )
    if not math.isfinite(amplitude) or amplitude < 0:
        raise UsageError(
            f"operator_rule({name!r}): amplitude={amplitude} is not a finite number of at least 0"
        )
    return Units(float(amplitude))


def _sums(
    name: str, sums: bool | Callable[[Args, Any], int], average: bool, accumulate: torch.dtype | None
) -> Sums:
    if accumulate is not None and accumulate not in _ACCUMULATORS:
        known = ", ".join(map(str, _ACCUMULATORS))
        raise UsageError(f"operator_rule({name!r}): accumulate={accumulate} is none of {known}")
    terms = sums if callable(sums) else reduced_terms
    return Sums(terms, average=average, limited_by_terms=average, accumulate=accumulate)
