"""Cases: a model under test, what its inputs must be like, and what is expected of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from diffexport.errors import UsageError
from diffexport.strategies import is_nested, read_nested
from diffexport.subjects.cases import exclusion
from diffexport.subjects.cases.exclusion import Exclusion
from diffexport.subjects.cases.expectation import TRAITS, Assertion, Expectation, Expected, Rule, expect
from diffexport.subjects.cases.known import Known
from diffexport.values import (
    DEFAULT_TERMS,
    Call,
    CallForm,
    Inputs,
    InputScope,
    Mode,
    ModePattern,
    Slot,
    TensorSpec,
    TermOptions,
    Terms,
    counted,
    parse_specs,
    split_names,
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
        form: how ``inputs`` are arranged into a call, by name or inside of lists, tuples and dicts; None where each is
            a positional argument.
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
        as_built: run and export the model as it is built, training mode and all; by default in eval mode, unless the
            export mode asks for another.
        empty_examples: export it on tensors without elements, too.
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
    form: CallForm | None = field(default=None, hash=False)
    as_built: bool = False
    empty_examples: bool = False

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The tensor specs among ``inputs``."""
        return tuple(entry for entry in self.inputs if isinstance(entry, TensorSpec))

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """Its own exclusions, and those that its terms entail."""
        return (exclusion.SCRIPTED, *self.exclude) if self.terms.script else self.exclude

    def within(self, scope: InputScope) -> Case:
        """Return the same case with the inputs that are in scope; what a strategy gives is left as it is.

        Raises:
            UsageError: nothing of an input is left.
        """
        case = replace(self, empty_examples=True) if scope.empty_examples else self
        if scope.is_everything:
            return case
        entries = [entry.within(scope) if isinstance(entry, TensorSpec) else entry for entry in self.inputs]
        return replace(case, inputs=tuple(entries))

    @property
    def input_texts(self) -> tuple[str, ...]:
        """A text for each argument, with the name that it is given by; what is no spec as it is shown."""
        return tuple(map(str, self.inputs)) if self.form is None else self.form.texts(self.inputs)

    def call_of(self, values: Sequence[Any]) -> Inputs:
        """Return the call with a value for each of ``inputs``; a tuple where all are positional."""
        return tuple(values) if self.form is None else self.form.call_of(values)

    def values_of(self, inputs: Inputs) -> tuple[Any, ...]:
        """Return the values of a call, one for each of ``inputs``: the reverse of [call_of][].

        Raises:
            UsageError: it has other arguments.
        """
        if self.form is not None:
            return self.form.values_of(inputs)
        call = Call.of(inputs)
        if call.kwargs or len(call.args) != len(self.inputs):
            raise UsageError(
                f"case {self.name!r} takes {counted(len(self.inputs), 'positional argument')} and no others"
            )
        return call.args

    def speaks_of(self, inputs: Inputs) -> bool:
        """Return whether a call has the arguments that ``inputs`` speak of."""
        try:
            self.values_of(inputs)
        except UsageError:
            return False
        return True

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
    inputs: Sequence[str | TensorSpec | Any] | Mapping[str, Any] | Call = (),
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
    as_built: bool = False,
    empty_examples: bool = False,
    **terms: Unpack[TermOptions],
) -> Case:
    """Make a [Case][] from texts; see there for the arguments, and [Terms][diffexport.Terms] for the others.

    Args:
        inputs: a list, texts with names (``mask=bool[B]``), a dict by name, or a [Call][]; entries may be nested.

    Raises:
        UsageError: no name, both or neither of ``inputs`` and ``strategy``, or one of the others is wrong.
    """
    if not name:
        raise UsageError("a case needs a name")
    form, inputs = _arranged(name, inputs)
    _check_inputs(name, inputs, strategy)
    _check_export(name, traits, around, custom_opsets)
    parsed = iter(parse_specs([entry for entry in inputs if isinstance(entry, str | TensorSpec)]))
    return Case(
        name=name,
        build=build,
        inputs=tuple(next(parsed) if isinstance(e, str | TensorSpec) else e for e in inputs),
        form=form,
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
        terms=Terms.of(terms),
        extra_inputs=extra_calls(extra_inputs),
        known=tuple(known),
        exclude=exclusion.exclusions_of(exclude),
        as_built=as_built,
        empty_examples=empty_examples,
    )


def _check_inputs(name: str, inputs: Sequence[Any], strategy: Any) -> None:
    if bool(inputs) == (strategy is not None):
        raise UsageError(f"case {name!r}: give either inputs or strategy, one of them")
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


def _arranged(name: str, inputs: Any) -> tuple[CallForm | None, Sequence[Any]]:
    """Return how inputs are arranged into a call, None where all are positional, and the inputs in a row."""
    if isinstance(inputs, str | TensorSpec) or not isinstance(inputs, Sequence | Mapping | Call):
        raise UsageError(
            f"case {name!r}: inputs={inputs!r} must be a list, one entry for each argument; write [{inputs!r}]"
        )
    entries: list[Any] = []

    def slots(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {key: slots(item) for key, item in entry.items()}
        if type(entry) in (list, tuple) and entry:
            return type(entry)(slots(item) for item in entry)
        if isinstance(entry, str) and is_nested(entry):
            return read_nested(entry, slots)
        entries.append(entry)
        return Slot(len(entries) - 1)

    if isinstance(inputs, Mapping):
        inputs = Call((), inputs)
    if isinstance(inputs, Call):
        names = ("",) * len(inputs.args) + tuple(map(str, inputs.kwargs))
        rests = [*inputs.args, *inputs.kwargs.values()]
    else:
        names, texts = split_names([entry if isinstance(entry, str) else "" for entry in inputs])
        rests = [text if isinstance(entry, str) else entry for entry, text in zip(inputs, texts, strict=True)]
    given = [slots(entry) for entry in rests]
    count = names.count("")
    if not any(names) and all(isinstance(item, Slot) for item in given):
        return None, entries
    return CallForm(Call(given[:count], dict(zip(names[count:], given[count:], strict=True)))), entries


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
