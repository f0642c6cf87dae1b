"""Cases: a model under test, what its inputs must be like, and what is expected of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Unpack

from diffexport.errors import UsageError
from diffexport.subjects.cases import exclusion
from diffexport.subjects.cases.exclusion import Exclusion
from diffexport.subjects.cases.expectation import TRAITS, Assertion, Expectation, Expected, Rule, expect
from diffexport.subjects.cases.known import Known
from diffexport.values import (
    DEFAULT_TERMS,
    Call,
    Inputs,
    Mode,
    ModePattern,
    TensorSpec,
    TermOptions,
    Terms,
    parse_specs,
)

#: Makes the context manager that is entered for the length of each export.
Around = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Case:
    """A model under test. It says what it needs of its inputs and nothing about tolerances.

    Attributes:
        name: what the case is called in reports, files and on the command line.
        build: makes the ``torch.nn.Module``; called once for each process that tests it.
        inputs: one entry for each positional argument: a [TensorSpec][diffexport.values.TensorSpec] (or its text,
            ``float32[..., >=3]``) for a tensor, a Hypothesis strategy for anything else. Leave it empty when
            ``strategy`` is given.
        strategy: a Hypothesis strategy for the tuple of positional arguments or a
            [Call][diffexport.Call] with keywords, instead of ``inputs``; it is evaluated one sample at a time.
        traits: traits of the model that expectations are stated over; None: found by tracing it.
        rules: expectations of its own, tried before the general ones.
        contract: mode pattern to node kinds the graph must contain in the modes where it is to agree.
        assertions: what else has to hold of the exported model, in the modes where there is one.
        around: makes a context manager that each export happens inside of: it may register what the export
            needs, and has to take it back; what it leaves behind is a divergence.
        custom_opsets: domain to version, for ``symbolic``s in domains of their own (TorchScript exporter).
        target: the text from which another process can get the case again.
        texts: ``inputs`` as texts, where the target does not carry them itself.
        summary, origin: one line each, for ``diffexport list``.
        terms: what it asks of export and comparison besides the mode.
        extra_inputs: calls that are checked in every mode, besides what is generated.
        known: divergences accepted for it.
        exclude: modes that are not run for it.
    """

    name: str
    build: Callable[[], Any]
    inputs: tuple[TensorSpec | Any, ...] = ()
    strategy: Any = None
    traits: frozenset[str] | None = None
    rules: tuple[Rule, ...] = ()
    contract: Mapping[ModePattern, tuple[str, ...]] = field(default_factory=dict, hash=False)
    assertions: tuple[Assertion, ...] = ()
    around: Around | None = None
    custom_opsets: Mapping[str, int] = field(default_factory=dict, hash=False)
    target: str = ""
    summary: str = ""
    origin: str = ""
    texts: tuple[str, ...] = ()
    terms: Terms = DEFAULT_TERMS
    extra_inputs: tuple[Call, ...] = ()
    known: tuple[Known, ...] = ()
    exclude: tuple[Exclusion, ...] = ()

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The tensor specs among ``inputs``."""
        return tuple(entry for entry in self.inputs if isinstance(entry, TensorSpec))

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """Its own exclusions, and those that its terms entail."""
        return (exclusion.SCRIPTED, *self.exclude) if self.terms.script else self.exclude

    def expect(self, mode: Mode, traits: frozenset[str]) -> Expectation:
        """Return what should happen in ``mode``, given the traits of the model."""
        expectation = expect(mode, traits, self.rules)
        if expectation.expected not in (Expected.AGREES, Expected.MAY_REFUSE):
            return expectation
        nodes = list(expectation.nodes)
        for pattern, kinds in self.contract.items():
            if pattern.matches(mode):
                nodes += kinds
        return Expectation(expectation.expected, expectation.error, tuple(nodes), expectation.rule)


def make_case(
    name: str,
    build: Callable[[], Any],
    *,
    inputs: Sequence[str | TensorSpec | Any] = (),
    strategy: Any = None,
    traits: Sequence[str] | None = None,
    rules: Sequence[Rule] = (),
    contract: Mapping[str, Sequence[str]] | None = None,
    assertions: Sequence[Assertion] = (),
    around: Around | None = None,
    custom_opsets: Mapping[str, int] | None = None,
    target: str = "",
    summary: str = "",
    origin: str = "",
    texts: Sequence[str] = (),
    extra_inputs: Sequence[Inputs] = (),
    known: Sequence[Known] = (),
    exclude: Mapping[str, str] | Sequence[Exclusion] = (),
    **terms: Unpack[TermOptions],
) -> Case:
    """Make a [Case][] from texts; see there for the arguments, and [Terms][diffexport.Terms] for the others.

    Args:
        exclude: mode pattern to the reason why such modes are not run.

    Raises:
        UsageError: no name, both or neither of ``inputs`` and ``strategy``, an unknown trait, a spec that
            does not parse, an unknown option, an exclusion without a reason, an ``around`` that is not callable, a
            custom opset that is no positive number.
    """
    if not name:
        raise UsageError("a case needs a name")
    agreed = Terms.of(terms)
    inputs = _listed(name, inputs)
    if bool(inputs) == (strategy is not None):
        raise UsageError(f"case {name!r}: give either inputs or strategy, one of them")
    _check_inputs(name, inputs)
    _check_export(name, traits, around, custom_opsets)
    parsed = iter(parse_specs([entry for entry in inputs if isinstance(entry, str | TensorSpec)]))
    return Case(
        name=name,
        build=build,
        inputs=tuple(next(parsed) if isinstance(e, str | TensorSpec) else e for e in inputs),
        strategy=strategy,
        traits=None if traits is None else frozenset(traits),
        rules=tuple(rules),
        contract={ModePattern.parse(text): tuple(kinds) for text, kinds in (contract or {}).items()},
        assertions=tuple(assertions),
        around=around,
        custom_opsets=dict(custom_opsets or {}),
        target=target or name,
        summary=summary,
        origin=origin,
        texts=tuple(texts),
        terms=agreed,
        extra_inputs=extra_calls(extra_inputs),
        known=tuple(known),
        exclude=exclusion.exclusions_of(exclude),
    )


def _check_inputs(name: str, inputs: Sequence[Any]) -> None:
    for entry in inputs:
        if not isinstance(entry, str | TensorSpec) and not hasattr(entry, "example"):
            raise UsageError(
                f"case {name!r}: input {entry!r} is neither a tensor spec nor a Hypothesis strategy; for a "
                "constant write hypothesis.strategies.just(...)"
            )


def _check_export(
    name: str,
    traits: Sequence[str] | None,
    around: Around | None,
    custom_opsets: Mapping[str, int] | None,
) -> None:
    for trait in traits or ():
        if trait not in TRAITS:
            raise UsageError(f"case {name!r}: unknown model trait {trait!r} (known: {', '.join(TRAITS)})")
    if around is not None and (not callable(around) or isinstance(around, AbstractContextManager)):
        raise UsageError(
            f"case {name!r}: around={around!r} does not make a context manager; give what does, for instance a "
            "function decorated with contextlib.contextmanager, without calling it: there are several exports"
        )
    for domain, version in (custom_opsets or {}).items():
        if not domain or type(version) is not int or version < 1:
            raise UsageError(
                f"case {name!r}: custom_opsets takes a domain and a version ≥ 1, not {domain!r}: {version!r}"
            )


def _listed(name: str, inputs: Any) -> Sequence[Any]:
    if isinstance(inputs, str | TensorSpec) or not isinstance(inputs, Sequence):
        raise UsageError(
            f"case {name!r}: inputs={inputs!r} must be a list, one entry for each argument; write [{inputs!r}]"
        )
    return inputs


def extra_calls(extra: Sequence[Inputs]) -> tuple[Call, ...]:
    """Return the calls that ``extra_inputs`` stands for.

    Raises:
        UsageError: it is one call instead of a list of calls, or one of them is a single tensor.
    """
    if isinstance(extra, str | dict | Call) or hasattr(extra, "ndim"):
        raise UsageError("extra_inputs must be a list of calls; write [(x, y)] for one call of two arguments")
    try:
        return tuple(Call.of(one) for one in extra)
    except (TypeError, UsageError) as error:
        raise UsageError(f"extra_inputs must be a list of calls, such as [(x, y)]: {error}") from None
