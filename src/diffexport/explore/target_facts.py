"""What a target is, as far as those have to know who do not import it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from diffexport.backends.model_files import Artefact
from diffexport.errors import DiffexportError, error_line
from diffexport.explore.file_case import case_for
from diffexport.explore.kept_apart import kept_apart
from diffexport.processes import raised_by_code, without_copies
from diffexport.subjects.cases import Case, Exclusion, Known
from diffexport.subjects.targets import declares_inputs, is_catalogue_name, resolve
from diffexport.values import name_in


@dataclass(frozen=True)
class TargetFacts:
    """What is known of a target without importing it.

    Attributes:
        name: what its case is called.
        declares_inputs: it says itself what its inputs are like.
        known: the known divergences that stand on the case.
        exclusions: the modes that are not run for it.
        parameters: the names of what its model's forward takes, where they were asked for and can be told.
        problem: why it cannot be tested; empty otherwise.
        lost: it is no wrong name that is the problem: importing the target ended the process, or did not end.
    """

    name: str
    declares_inputs: bool = True
    known: tuple[Known, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    parameters: tuple[str, ...] = ()
    problem: str = ""
    lost: bool = False


def plain_name(target: str) -> str:
    """Return what a target is called of which nothing is known."""
    return target if is_catalogue_name(target) else name_in(target)


def facts_of(
    target: str,
    inputs: Sequence[str] = (),
    artefact: Artefact | None = None,
    wants_parameters: bool = False,
) -> TargetFacts:
    """Return what there is to know of a target, which is imported in this process; a problem is one of the facts.

    Args:
        target: as text.
        inputs: tensor specs from the command line.
        artefact: a model that it is to be compared with.
        wants_parameters: the names of the parameters of its forward are asked for; its model is built then.
    """
    try:
        with without_copies():
            with kept_apart(target):
                declares = declares_inputs(target)
            with kept_apart(target):
                case = (
                    resolve(target, inputs=inputs) if artefact is None else case_for(target, inputs, artefact)
                )
                parameters = _parameters(case) if wants_parameters else ()
    except DiffexportError as error:
        return _problem(target, str(error), error.__cause__)
    except raised_by_code() as error:
        text = f"target {target!r}: looking it up raises {type(error).__name__}: {error_line(error)}"
        return _problem(target, text, error)
    return TargetFacts(_plain(case.name), declares, case.known, case.exclusions, parameters)


def _problem(target: str, text: str, cause: BaseException | None) -> TargetFacts:
    """Return that a target cannot be had, because of what its code raised if ``cause`` is something."""
    if isinstance(cause, MemoryError):
        text = f"{text.rstrip(': ')}: memory ran out; the process may have more with --memory"
    elif cause is None or isinstance(cause, Exception):
        return TargetFacts(plain_name(target), problem=text)
    return TargetFacts(target, problem=text, lost=True)


def _parameters(case: Case) -> tuple[str, ...]:
    """Return the names of the model's parameters; none where they cannot be told."""
    try:
        return tuple(map(_plain, inspect.signature(case.build().forward).parameters))
    except DiffexportError:
        raise
    except raised_by_code():
        return ()


def _plain(text: str) -> str:
    """Return a text as one of Python's own, whatever type it has in the module of a user's."""
    return "".join(str.__iter__(text))
