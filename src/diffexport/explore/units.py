"""Units of work: what one worker does in one go."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from diffexport import processes
from diffexport.backends.model_files import Artefact
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.explore.alternating import AlternatingExplorer
from diffexport.explore.explorer import Explorer
from diffexport.explore.file_case import case_for
from diffexport.explore.kept_apart import KeptApart
from diffexport.explore.sample_checks import Announce
from diffexport.explore.settings import Settings
from diffexport.explore.turns import Turn
from diffexport.findings.events import (
    CaseFailed,
    Event,
    Finding,
    KnownReplayed,
    KnownStatus,
    ModeFinished,
)
from diffexport.findings.regressions import Regression, Replay, Status, load, replay_safely
from diffexport.pipeline import FatalCheck, Pipeline
from diffexport.processes import STEPS, StepTooLong
from diffexport.pytorch import freeze_kept_tables
from diffexport.subjects.cases import Case, Exclusion, Known
from diffexport.subjects.targets import resolve
from diffexport.values import Identity, Mode


@dataclass(frozen=True)
class Unit:
    """Explore one case in some modes, or (without modes) replay the regressions of known divergences.

    Without modes and with what others have carried over, only the health of the case is judged.

    Attributes:
        target: the case, as text.
        name: what the case is called in messages.
        inputs: tensor specs given on the command line.
        alternatives: other inputs that it is explored with as well.
        modes: all of one exporter.
        known: known divergences that apply.
        folders: where the regressions of known divergences are looked for.
        artefact: the model to compare with, in place of every export.
        exclude: modes that are not run.
        carried: what modes that are done have left for those here, see [ModeFinished][].
        before: findings that were made of it before; they are not made again.
        suspects: divergences that were seen in a process that has ended, and that no findings were made of.
        fatal: checks that are not to be made, because they end the process or do not end.
        turn: the turn to take of the one mode; None explores the modes in one go.
        shard: tells apart the units of one case that are explored in turns.
        generation: changes when what is remembered of the unit in a process does not count any more; within one
            generation ``carried``, ``before``, ``suspects`` and ``fatal`` are those of its first turn.
    """

    target: str
    name: str
    inputs: tuple[str, ...]
    modes: tuple[Mode, ...]
    runtimes: tuple[str, ...]
    settings: Settings
    known: tuple[Known, ...]
    folders: tuple[Path, ...] = ()
    artefact: Artefact | None = None
    exclude: tuple[Exclusion, ...] = ()
    carried: tuple[Mapping[str, Any], ...] = ()
    before: tuple[Finding, ...] = ()
    suspects: tuple[Finding, ...] = ()
    fatal: tuple[FatalCheck, ...] = ()
    turn: Turn | None = None
    generation: int = 0
    shard: str = ""
    alternatives: tuple[tuple[str, ...], ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells units of one run apart that are explored in turns."""
        return self.target, self.name, self.inputs, self.shard


@cache
def _pipeline() -> Pipeline:
    return Pipeline()


def forget() -> None:
    """Start anew with what is remembered between units: what a run finds must not depend on runs before it."""
    _pipeline.cache_clear()
    _EXPLORERS.clear()


def warm_up() -> None:
    """Prepare a process that is going to export all the time."""
    import torch  # noqa: F401 - what is loaded is prepared

    processes.warm_up()
    freeze_kept_tables()


def do(unit: Unit, send: Callable[[Event], None]) -> None:
    """Do one unit in this process, sending everything that happens, in order, to another."""
    for event in events_of_unit(unit, send):
        send(event)


def events_of_unit(unit: Unit, announce: Announce) -> Iterator[Event]:
    """Do one unit, in this process; see [Explorer.explore][] for what is announced."""
    if not unit.modes and not unit.carried:
        yield from (replay_entry(entry, unit.folders, _pipeline()) for entry in unit.known)
        return
    STEPS.limits = unit.settings.steps
    kept_apart = KeptApart(unit.target, unit.name)
    try:
        if unit.turn is None:
            yield from _events_of_case(unit, announce, kept_apart)
        else:
            yield from _events_of_turn(unit, unit.turn, announce, kept_apart)
    finally:
        left = list(kept_apart.ended())
    yield from left
    STEPS.end()


#: The explorers of units that are explored in turns, with their generation.
_EXPLORERS: dict[tuple[Any, ...], tuple[int, Explorer | AlternatingExplorer]] = {}


def _events_of_turn(unit: Unit, turn: Turn, announce: Announce, kept_apart: KeptApart) -> Iterator[Event]:
    """Take one turn of a mode, with the explorer of the turns before where it is still of use."""
    generation, explorer = _EXPLORERS.get(unit.key, (None, None))
    if explorer is None or generation != unit.generation:
        explorer = yield from _explorer_of(unit, kept_apart)
        if explorer is None:
            return
        _EXPLORERS[unit.key] = unit.generation, explorer
    else:
        yield from kept_apart.imported(explorer.case.name)
    if unit.modes:
        yield from explorer.take_turn(unit.modes[0], turn, announce)
    else:
        yield from explorer.explore((), announce)


def _explorer_of(
    unit: Unit, kept_apart: KeptApart
) -> Generator[Event, None, Explorer | AlternatingExplorer | None]:
    """Return what explores the case of a unit; None if it cannot be had, which is said."""
    try:
        case = case_of_unit(unit)
        others = [case_of_unit(replace(unit, inputs=inputs)) for inputs in unit.alternatives]
    except DiffexportError as error:
        yield CaseFailed(unit.name, str(error))
        return None
    except StepTooLong:
        text = f"importing {unit.target} does not end within {unit.settings.steps.import_seconds:g} s"
        yield CaseFailed(unit.name, text)
        return None
    yield from kept_apart.imported(case.name)
    findings: dict[Identity, Any] = {finding.identity: finding for finding in unit.before}

    def explorer(
        of: Case, carried: Sequence[Mapping[str, Any]], suspects: Sequence[Finding] = ()
    ) -> Explorer:
        return Explorer(
            of,
            unit.runtimes,
            unit.settings,
            unit.known,
            pipeline=_pipeline() if unit.artefact is None else Pipeline.of_file(unit.artefact),
            findings=findings,
            fatal=unit.fatal,
            carried=carried,
            suspects=suspects,
        )

    main = explorer(case, unit.carried, unit.suspects)
    return AlternatingExplorer(main, [explorer(other, ()) for other in others]) if others else main


def _events_of_case(unit: Unit, announce: Announce, kept_apart: KeptApart) -> Iterator[Event]:
    explorer = yield from _explorer_of(unit, kept_apart)
    for event in () if explorer is None else explorer.explore(unit.modes, announce):
        yield event
        if isinstance(event, ModeFinished):
            yield from kept_apart.between_modes()


def case_of_unit(unit: Unit) -> Case:
    """Return the case that a unit is about, with what the project excludes of it.

    Raises:
        DiffexportError: its target names none, or none of its inputs are in scope.
    """
    STEPS.begin("import", case=unit.name, mode="")
    if unit.artefact is None:
        case = resolve(unit.target, inputs=unit.inputs)
    else:
        case = case_for(unit.target, unit.inputs, unit.artefact)
    return replace(case, exclude=(*case.exclude, *unit.exclude)).within(unit.settings.scope)


def speaks_of(entry: Known, regression: Regression, result: Replay) -> bool:
    """Return whether what a replay showed is what the entry accepts."""
    if result.divergence is None:
        return True
    runtime = regression.identity.runtime
    return entry.accepts(regression.case, regression.mode, runtime, result.divergence)


def replay_entry(
    entry: Known, folders: Sequence[Path], pipeline: Pipeline, case: Case | None = None
) -> KnownReplayed:
    """Replay the regression of a known divergence; ``case`` is its model, where it cannot be found by its target."""
    status, message = _replayed(entry, folders, pipeline, case)
    return KnownReplayed(entry.id, entry.regression, status, message)


def _replayed(
    entry: Known, folders: Sequence[Path], pipeline: Pipeline, case: Case | None
) -> tuple[KnownStatus, str]:
    path = next((f / entry.regression for f in folders if (f / entry.regression).is_file()), None)
    if path is None:
        places = ", ".join(str(folder) for folder in folders)
        return KnownStatus.ERROR, f"its regression is not in {places}; restore the file or remove the entry"
    try:
        regression = load(path)
        result = replay_safely(regression, pipeline, case)
    except RegressionFileError as error:
        return KnownStatus.ERROR, str(error)
    if result.status is Status.FIXED and entry.may_agree:
        return KnownStatus.DIVERGES, "agrees on this machine, as it may"
    if result.status is Status.FIXED:
        source = entry.source or "known divergences"
        return KnownStatus.FIXED, f"fixed upstream: remove this entry ({source}, id {entry.id!r})"
    if result.status is Status.ERROR:
        return KnownStatus.ERROR, result.message
    if not speaks_of(entry, regression, result):
        message = "its regression shows another failure than the entry speaks of; tie it to the right one"
        return KnownStatus.ERROR, message
    return KnownStatus.DIVERGES, result.message
