"""Expectations: what a mode should do with a model, and the rules that say so.

The rules reproduce what the exporters document or have been measured to do with autograd.Functions, so
that "the export refuses" is a pass where it has to refuse, and a failure where it has not. They are over
*traits of the model*:

``opaque-function``   the model applies a Function without ``symbolic``
``symbolic-function`` the model applies a Function with ``symbolic``
``unsupported-op``    a Function's forward uses an ATen op the TorchScript exporter has no symbolic for
``aten-ops``          an ATen op occurs outside any Function (ONNX_ATEN leaves it as ``aten::ATen``)
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from diffexport.errors import UsageError, error_text, suggestion
from diffexport.values import Mode, ModePattern

TRAITS = ("opaque-function", "symbolic-function", "unsupported-op", "aten-ops")


class Expected(enum.StrEnum):
    """What should happen."""

    AGREES = "agrees"
    MAY_REFUSE = "may-refuse"
    REFUSES = "refuses"
    UNLOADABLE = "unloadable"
    INVALID = "invalid"


@dataclass(frozen=True)
class Expectation:
    """What should happen in one mode.

    Attributes:
        expected: the export succeeds and agrees; it does that or refuses; it refuses; it succeeds, leaves node
            kinds no runtime knows, and every runtime refuses to load it; or it succeeds and onnx.checker rejects the
            model, which is then not run. What may refuse may also leave operators of other domains than the
            standard ones, which runtimes then refuse.
        error: a regular expression: for REFUSES and MAY_REFUSE found in the error's type and text, for INVALID in
            the checker's.
        nodes: node kinds (``prim::PythonOp``; standard ones without domain) that the graph must contain.
        rule: the name of the rule this comes from.
    """

    expected: Expected = Expected.AGREES
    error: str = ""
    nodes: tuple[str, ...] = ()
    rule: str = "everything else agrees"

    def refuses_with(self, message: str) -> bool:
        """Return whether ``message`` is the refusal that is expected."""
        may = self.expected in (Expected.REFUSES, Expected.MAY_REFUSE)
        return may and re.search(self.error, message) is not None

    def rejected_with(self, message: str) -> bool:
        """Return whether ``message`` is what onnx.checker is expected to reject the model with."""
        return self.expected is Expected.INVALID and re.search(self.error, message) is not None


@dataclass(frozen=True)
class Assertion:
    """Something that has to hold of the exported model, whatever becomes of it at run time.

    Attributes:
        name: what has to hold, in a few words.
        modes: the modes it has to hold in.
        test: takes the ``onnx.ModelProto`` and returns what is wrong, empty if nothing is.
    """

    name: str
    modes: ModePattern
    test: Callable[[Any], str]

    def problem(self, model: Any) -> str:
        """Return what is wrong with a model, also where the test itself raises; empty if nothing is."""
        try:
            return self.test(model)
        except Exception as error:  # noqa: BLE001 - a test may trip over a graph that it does not expect
            return f"the test raises {type(error).__name__}: {error_text(error)}"


def assertion(name: str, modes: str, test: Callable[[Any], str]) -> Assertion:
    """Make an [Assertion][] from the text of a mode pattern.

    Raises:
        UsageError: it has no name.
        InvalidModeError: a mode pattern that does not parse.
    """
    if not name:
        raise UsageError("an assertion needs a name: what has to hold of the exported model, in a few words")
    return Assertion(name, ModePattern.parse(modes), test)


@dataclass(frozen=True)
class Rule:
    """An expectation for the modes of a pattern and the models with (and without) given traits."""

    name: str
    modes: ModePattern
    expectation: Expectation
    requires: frozenset[str] = field(default=frozenset())
    forbids: frozenset[str] = field(default=frozenset())

    def applies(self, mode: Mode, traits: frozenset[str]) -> bool:
        """Return whether the rule speaks about this mode of a model with these traits."""
        return self.requires <= traits and not self.forbids & traits and self.modes.matches(mode)


def rule(
    name: str,
    modes: str,
    expected: str,
    *,
    error: str = "",
    nodes: Iterable[str] = (),
    requires: Iterable[str] = (),
    forbids: Iterable[str] = (),
) -> Rule:
    """Make a [Rule][] from texts.

    Raises:
        UsageError: an unknown trait or expectation, or a regular expression that does not compile.
        InvalidModeError: a mode pattern that does not parse.
    """
    requires, forbids = frozenset(requires), frozenset(forbids)
    for trait in requires | forbids:
        if trait not in TRAITS:
            raise UsageError(f"rule {name!r}: unknown model trait {trait!r}{suggestion(trait, TRAITS)}")
    try:
        outcome = Expected(expected)
        re.compile(error)
    except ValueError:
        raise UsageError(
            f"rule {name!r}: unknown expectation {expected!r}{suggestion(expected, list(Expected))}"
        ) from None
    except re.error as problem:
        raise UsageError(f"rule {name!r}: error={error!r} is not a regular expression: {problem}") from None
    return Rule(
        name, ModePattern.parse(modes), Expectation(outcome, error, tuple(nodes), name), requires, forbids
    )


_OPAQUE = ("opaque-function",)
_FUNCTIONS = "torchscript,export_modules_as_functions=true"

#: The rules for every model, first match first. Measured over the full matrix on torch 2.13.
RULES: tuple[Rule, ...] = (
    rule(
        "modules as functions cannot hold a half-inlined Function",
        f"{_FUNCTIONS},autograd_inlining=true,operator_export_type=ONNX_FALLTHROUGH|ONNX_ATEN",
        "refuses",
        error=r"uses\(\)\.empty\(\) INTERNAL ASSERT FAILED",
        requires=_OPAQUE,
    ),
    rule(
        "modules as functions hit an internal assert on a Python operator",
        f"{_FUNCTIONS},autograd_inlining=false,operator_export_type=ONNX",
        "refuses",
        error=r"INTERNAL ASSERT FAILED",
        requires=_OPAQUE,
    ),
    rule(
        "modules as functions carry the Python operator along",
        f"{_FUNCTIONS},autograd_inlining=false",
        "unloadable",
        nodes=("prim::PythonOp",),
        requires=_OPAQUE,
    ),
    rule(
        "FALLTHROUGH leaves the Python operator",
        "torchscript,operator_export_type=ONNX_FALLTHROUGH",
        "unloadable",
        nodes=("prim::PythonOp",),
        requires=_OPAQUE,
    ),
    rule(
        "without inlining a Function needs a symbolic",
        "torchscript,autograd_inlining=false",
        "refuses",
        error=r"Couldn't export Python operator",
        requires=_OPAQUE,
    ),
    rule(
        "ONNX_ATEN refuses a Python operator",
        "torchscript,operator_export_type=ONNX_ATEN",
        "refuses",
        error=r"Couldn't export Python operator",
        requires=_OPAQUE,
    ),
    rule(
        "modules as functions cannot hold an unsupported operator",
        f"{_FUNCTIONS},operator_export_type=ONNX",
        "refuses",
        error=r"uses\(\)\.empty\(\) INTERNAL ASSERT FAILED",
        requires=("unsupported-op",),
    ),
    rule(
        "an unsupported operator is refused",
        "torchscript,operator_export_type=ONNX",
        "refuses",
        error=r"Couldn't export operator aten::|is not supported",
        requires=("unsupported-op",),
    ),
    rule(
        "ATEN_FALLBACK leaves the unsupported operator",
        "torchscript,operator_export_type=ONNX_ATEN_FALLBACK",
        "unloadable",
        nodes=("org.pytorch.aten::ATen",),
        requires=("unsupported-op",),
    ),
    rule(
        "ONNX_ATEN leaves every ATen operator",
        "torchscript,operator_export_type=ONNX_ATEN",
        "unloadable",
        nodes=("org.pytorch.aten::ATen",),
        requires=("aten-ops",),
        forbids=_OPAQUE,
    ),
)

AGREES = Expectation()


def expect(mode: Mode, traits: frozenset[str], case_rules: Iterable[Rule] = ()) -> Expectation:
    """Return what should happen in ``mode`` with a model of these traits; a case's own rules go first."""
    for candidate in (*case_rules, *RULES):
        if candidate.applies(mode, traits):
            return candidate.expectation
    return AGREES
