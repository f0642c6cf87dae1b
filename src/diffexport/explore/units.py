"""Units of work: what one worker does in one go."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from diffexport.backends.model_files import Artefact
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.explore.explorer import Explorer, Settings
from diffexport.explore.file_case import case_for
from diffexport.findings.events import CaseFailed, Event, KnownReplayed
from diffexport.findings.regressions import Regression, Replay, Status, load, replay_safely
from diffexport.pipeline import Pipeline
from diffexport.pytorch import freeze_kept_tables
from diffexport.subjects.cases import Case, Exclusion, Known
from diffexport.subjects.targets import resolve
from diffexport.values import Mode


@dataclass(frozen=True)
class Unit:
    """Explore one case in some modes, or (without modes) replay the regressions of known divergences.

    Attributes:
        target: the case, as text.
        name: what the case is called in messages.
        inputs: tensor specs given on the command line.
        modes: mode texts, all of one exporter.
        known: known divergences that apply.
        folders: where the regressions of known divergences are looked for.
        artefact: the model to compare with, in place of every export.
        exclude: modes that are not run.
    """

    target: str
    name: str
    inputs: tuple[str, ...]
    modes: tuple[str, ...]
    runtimes: tuple[str, ...]
    settings: Settings
    known: tuple[Known, ...]
    folders: tuple[Path, ...] = ()
    artefact: Artefact | None = None
    exclude: tuple[Exclusion, ...] = ()


@cache
def _road() -> Pipeline:
    return Pipeline()


def forget() -> None:
    """Start anew with what is remembered between units: what a run finds must not depend on runs before it."""
    _road.cache_clear()


def warm_up() -> None:
    """Prepare a worker process: one thread per process, and torch's objects out of the collector's way."""
    import torch

    torch.set_num_threads(1)
    # A full collection walks some million objects of torch's registries, again and again; none of them dies.
    gc.collect()
    gc.freeze()
    freeze_kept_tables()


def do(unit: Unit, emit: Callable[[Event], None]) -> None:
    """Do one unit, in this process."""
    if not unit.modes:
        replay_known(unit, emit)
        return
    road = _road()
    try:
        if unit.artefact is None:
            case = resolve(unit.target, inputs=unit.inputs)
        else:
            case = case_for(unit.target, unit.inputs, unit.artefact)
            road = Pipeline.of_file(unit.artefact)
    except DiffexportError as error:
        emit(CaseFailed(unit.name, str(error)))
        return
    case = replace(case, exclude=(*case.exclude, *unit.exclude))
    explorer = Explorer(case, unit.runtimes, unit.settings, unit.known, emit=emit, road=road)
    explorer.explore([Mode.parse(text) for text in unit.modes])


def speaks_of(entry: Known, regression: Regression, result: Replay) -> bool:
    """Return whether what a replay showed is what the entry accepts."""
    if result.divergence is None:
        return True
    runtime = regression.identity.runtime
    return entry.accepts(regression.case, regression.mode, runtime, result.divergence)


def replay_known(unit: Unit, emit: Callable[[Event], None]) -> None:
    """Replay the regression of every known divergence of the unit."""
    for entry in unit.known:
        replay_entry(entry, unit.folders, _road(), emit)


def replay_entry(
    entry: Known,
    folders: Sequence[Path],
    road: Pipeline,
    emit: Callable[[Event], None],
    case: Case | None = None,
) -> None:
    """Replay the regression of a known divergence; ``case`` is its model, where it cannot be found by its target."""
    path = next((f / entry.regression for f in folders if (f / entry.regression).is_file()), None)
    if path is None:
        places = ", ".join(str(folder) for folder in folders)
        message = f"its regression is not in {places}; restore the file or remove the entry"
        emit(KnownReplayed(entry.id, entry.regression, "error", message))
        return
    try:
        regression = load(path)
        result = replay_safely(regression, road, case)
    except RegressionFileError as error:
        emit(KnownReplayed(entry.id, entry.regression, "error", str(error)))
        return
    if result.status is Status.FIXED and entry.may_agree:
        emit(KnownReplayed(entry.id, entry.regression, "diverges", "agrees on this machine, as it may"))
    elif result.status is Status.FIXED:
        message = (
            f"fixed upstream: remove this entry ({entry.source or 'known divergences'}, id {entry.id!r})"
        )
        emit(KnownReplayed(entry.id, entry.regression, "fixed", message))
    elif result.status is Status.ERROR:
        emit(KnownReplayed(entry.id, entry.regression, "error", result.message))
    elif not speaks_of(entry, regression, result):
        message = "its regression shows another failure than the entry speaks of; tie it to the right one"
        emit(KnownReplayed(entry.id, entry.regression, "error", message))
    else:
        emit(KnownReplayed(entry.id, entry.regression, "diverges", result.message))
