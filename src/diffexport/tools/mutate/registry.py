"""The mutators: what each is called, what it does, and whether it plants a bug or an equivalent change."""

from __future__ import annotations

import enum
import fnmatch
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from diffexport.errors import UsageError, suggestion
from diffexport.tools.mutate.surgery import Draft
from diffexport.values import Severity

Edit = Callable[[Draft], None]
#: Yields every place a mutator has in a model, with what it does there to a copy of it.
Sites = Callable[[Draft], Iterator[tuple[str, Edit]]]


@dataclass(frozen=True)
class Mutator:
    """One kind of change.

    Attributes:
        name: what ``--only`` selects.
        summary: one line.
        sites: where it can be applied.
        control: the change is an equivalent one, to the last bit.
        severity: NOTE for what only a strict check is to catch.
        types: its point is a wrong type, so that onnx.checker may reject the model.
    """

    name: str
    summary: str
    sites: Sites
    control: bool = False
    severity: Severity = Severity.FAILURE
    types: bool = False


@dataclass(frozen=True, eq=False)
class Mutant:
    """A model with one change."""

    mutator: Mutator
    where: str
    model: bytes


@dataclass(frozen=True, eq=False)
class Candidate:
    """A change that may make a mutant.

    Attributes:
        mutator: what changes.
        where: the place, in words.
        make: returns the changed model; None where there is none. It may export, and so take the process along.
    """

    mutator: Mutator
    where: str
    make: Callable[[], bytes | None]


class MutantVerdict(enum.StrEnum):
    """What the check said of a mutant; the text is that of reports."""

    #: Of a bug: the check reports it.
    CAUGHT = "caught"
    #: Of a bug that is not reported: it cannot be told from the original.
    EQUIVALENT = "equivalent"
    #: Of a bug that is not reported: it can be told from the original.
    MISSED = "missed"
    #: Of a control: the check does not report it.
    PASSED = "passed"
    #: Of a control: the check reports it.
    FALSE_ALARM = "false-alarm"


#: What may be said of a bug.
BUG_VERDICTS = (MutantVerdict.CAUGHT, MutantVerdict.EQUIVALENT, MutantVerdict.MISSED)

_MUTATORS: dict[str, Mutator] = {}
#: The modules that define mutators; importing them registers these.
_MODULES = (
    "operator_mutators",
    "constant_mutators",
    "value_mutators",
    "shape_mutators",
    "interface_mutators",
    "controls",
)


def register(mutator: Mutator) -> None:
    """Add a mutator; names are unique."""
    assert mutator.name not in _MUTATORS, mutator.name
    _MUTATORS[mutator.name] = mutator


def bug(
    name: str, summary: str, *, severity: Severity = Severity.FAILURE, types: bool = False
) -> Callable[[Sites], Sites]:
    """Register a function over sites as the mutator of a bug."""

    def decorate(sites: Sites) -> Sites:
        register(Mutator(name, summary, sites, severity=severity, types=types))
        return sites

    return decorate


def control(name: str, summary: str) -> Callable[[Sites], Sites]:
    """Register a function over sites as the mutator of an equivalent change."""

    def decorate(sites: Sites) -> Sites:
        register(Mutator(name, summary, sites, control=True))
        return sites

    return decorate


@functools.cache
def mutators() -> Mapping[str, Mutator]:
    """Return every mutator by name, bugs before controls."""
    for module in _MODULES:
        importlib.import_module(f"diffexport.tools.mutate.{module}")
    return dict(sorted(_MUTATORS.items(), key=lambda item: (item[1].control, item[0])))


def select(patterns: Sequence[str], others: Sequence[str] = ()) -> frozenset[str]:
    """Return the names that match one of some globs; all if there is no glob.

    Args:
        patterns: the globs.
        others: names besides those of [mutators][] that may be matched.

    Raises:
        UsageError: a glob matches nothing.
    """
    names = (*mutators(), *others)
    chosen: set[str] = set()
    for pattern in patterns:
        matching = fnmatch.filter(names, pattern)
        if not matching:
            raise UsageError(f"no mutator is called {pattern!r}{suggestion(pattern, names)}")
        chosen.update(matching)
    return frozenset(chosen or names)


def mutants(draft: Draft, chosen: Sequence[Mutator]) -> Iterator[Mutant]:
    """Yield every valid mutant of a model once; what changes nothing, or is no valid model, is left out."""
    seen = {draft.bytes}
    for candidate in candidates(draft, chosen):
        model = candidate.make()
        if model is None or model in seen:
            continue
        seen.add(model)
        if candidate.mutator.types or is_valid(model):
            yield Mutant(candidate.mutator, candidate.where, model)


def candidates(draft: Draft, chosen: Sequence[Mutator]) -> Iterator[Candidate]:
    """Yield every change of a model, always in the same order; what it makes may be no valid model, or one twice."""
    for mutator in chosen:
        for where, edit in mutator.sites(draft):
            yield Candidate(mutator, where, functools.partial(draft.changed, edit))


def is_valid(model: bytes) -> bool:
    """Return whether onnx.checker accepts a model."""
    try:
        onnx.checker.check_model(onnx.load_model_from_string(model), full_check=True)
    except Exception:  # noqa: BLE001 - the checker raises its own and protobuf's errors
        return False
    return True
