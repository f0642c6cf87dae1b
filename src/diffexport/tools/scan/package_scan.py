"""A scan from beginning to end: discover, leave out what is done, examine the rest."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from diffexport.explore import Settings
from diffexport.infer.discovery import DiscoveredFunction, Discovery, PlaceError, discover
from diffexport.infer.recorded import NOTHING_RECORDED, Recorded
from diffexport.infer.session import Inference
from diffexport.subjects.cases import Known
from diffexport.tools.scan.examine import Job
from diffexport.tools.scan.function_status import FunctionStatus, PlaceProblem
from diffexport.tools.scan.pool import Pool
from diffexport.tools.scan.scan_events import Event, Examined, Listed, ModuleFailed, ScanFinished, ScanStarted
from diffexport.values import exporter_name
from diffexport.versions import installed


@dataclass(frozen=True)
class ScanPlan:
    """What to scan.

    Attributes:
        places: packages and paths.
        modes: as text.
        runtimes: names.
        settings: seed and strictness, and examples where they were asked for, else 0.
        known: the project's own known divergences.
        only: globs of names; empty for all.
        placeholders: globs of names of Functions that mean what their ``symbolic`` says.
        jobs: child processes; by default as many as there are processors.
        timeout: seconds for one Function, and for one import.
        listed: only discover.
        done: names of Functions whose results are there, with the digest of the source that they are of.
        recorded: calls that were seen, which tell inputs before any inference does.
    """

    places: tuple[str, ...]
    modes: tuple[str, ...]
    runtimes: tuple[str, ...]
    settings: Settings
    known: tuple[Known, ...] = ()
    only: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    jobs: int | None = None
    timeout: float = 60.0
    listed: bool = False
    done: Mapping[str, str] = field(default_factory=dict)
    recorded: Recorded = NOTHING_RECORDED


def run(plan: ScanPlan, emit: Callable[[Event], None]) -> None:
    """Scan; what was examined when it is interrupted has been emitted."""
    started = time.monotonic()
    discovered: list[Discovery] = []
    failed: list[ModuleFailed] = []
    for place in plan.places:
        try:
            discovered.append(discover(place))
        except PlaceError as error:
            failed.append(ModuleFailed(place, "", str(error)))
    wanted = [
        (function, discovery.digest) for discovery in discovered for function in _chosen(plan, discovery)
    ]
    left = [function for function, digest in wanted if plan.done.get(function.name) != digest]
    emit(
        ScanStarted(
            places=plan.places,
            functions=len(wanted),
            done=len(wanted) - len(left),
            modes=plan.modes,
            runtimes=plan.runtimes,
            seed=plan.settings.seed,
            timeout=plan.timeout,
            versions=installed(),
        )
    )
    for discovery in discovered:
        emit(Listed(discovery))
        for problem in discovery.problems:
            emit(ModuleFailed(discovery.place, str(problem.file), problem.message, PlaceProblem.UNREADABLE))
    for event in failed:
        emit(event)
    interrupted = False
    try:
        if plan.listed:
            for function in left:
                emit(Examined(function, FunctionStatus.LISTED))
        else:
            number = (os.cpu_count() or 1) if plan.jobs is None else max(plan.jobs, 1)
            exporters = dict.fromkeys(exporter_name(mode) for mode in plan.modes)
            pool = Pool(number, emit, plan.timeout, tuple(exporters))
            jobs = []
            for function in left:
                settled = _settled(function)
                if settled is not None:
                    emit(settled)
                else:
                    jobs.append(_job(plan, function))
            pool.run(jobs)
    except KeyboardInterrupt:
        interrupted = True
    emit(ScanFinished(time.monotonic() - started, interrupted))


def _chosen(plan: ScanPlan, discovery: Discovery) -> list[DiscoveredFunction]:
    return [function for function in discovery.functions if not plan.only or matches(function, plan.only)]


def matches(function: DiscoveredFunction, patterns: Sequence[str]) -> bool:
    """Return whether a Function's name, or the last part of it, matches one of several globs."""
    names = (function.name, function.qualname, function.qualname.rpartition(".")[2])
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _settled(function: DiscoveredFunction) -> Examined | None:
    """Return what there is to say of a Function whose source shows that it cannot be run; None of any other."""
    if function.abstract:
        return Examined(
            function, FunctionStatus.ABSTRACT, "neither it nor a base that was read defines forward"
        )
    return Examined(function, FunctionStatus.LOCAL, function.local) if function.local else None


def _job(plan: ScanPlan, function: DiscoveredFunction) -> Job:
    return Job(
        function,
        plan.modes,
        plan.runtimes,
        plan.settings,
        plan.known,
        plan.timeout,
        placeholder=bool(plan.placeholders) and matches(function, plan.placeholders),
        recorded=_recorded(plan, function),
    )


def _recorded(plan: ScanPlan, function: DiscoveredFunction) -> Inference | None:
    """Return how a Function was seen to be called; None where it was not, or cannot be so again."""
    seen = plan.recorded.of(function.target, function.file, function.qualname)
    return None if seen is None else seen.inference(first=False)
