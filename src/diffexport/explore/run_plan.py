"""A run over several cases: which units of work there are, and who does them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from diffexport.backends.model_files import Artefact
from diffexport.explore.driver import drive
from diffexport.explore.quiet_events import quietly
from diffexport.explore.resuming import units_left
from diffexport.explore.sample_checks import Announce
from diffexport.explore.settings import Settings
from diffexport.explore.target_facts import TargetFacts, plain_name
from diffexport.explore.turns import TurnOrder, order_of_use
from diffexport.explore.units import Unit, forget
from diffexport.explore.worker_tasks import Task
from diffexport.explore.workers import in_this_process, run_parallel
from diffexport.findings.events import CaseFailed, Event, RunStarted
from diffexport.findings.journal import NOTHING_DONE, History
from diffexport.processes import limited_steps
from diffexport.subjects import catalogue
from diffexport.subjects.cases import Exclusion, Known, load_known
from diffexport.subjects.targets import is_catalogue_name
from diffexport.values import Mode, describe, in_order
from diffexport.versions import installed


@dataclass(frozen=True)
class RunPlan:
    """What to run.

    Attributes:
        targets: catalogue names or ``module:attr``/``file.py:attr`` texts.
        modes: in any order.
        runtimes: names.
        settings: how each case is explored, and when that ends.
        profile: the profile's name, for the record.
        inputs: tensor specs from the command line, for every target.
        known: the project's own known divergences, besides the catalogue's.
        exclude: the project's own exclusions.
        folders: where their regressions are.
        jobs: worker processes; 0 does everything in this one.
        artefact: a model to compare the one target with, in place of exports; ``modes`` is then its own.
        inferred: what the inputs of targets are like that declare none, where ``inputs`` are not given.
        alternatives: other inputs that those targets are tested with as well.
        history: what an earlier run of the same has done.
        facts: what is known of targets that are not of the catalogue. Nothing here imports them.
    """

    targets: tuple[str, ...]
    modes: tuple[Mode, ...]
    runtimes: tuple[str, ...]
    settings: Settings
    profile: str = "dev"
    inputs: tuple[str, ...] = ()
    known: tuple[Known, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    folders: tuple[Path, ...] = ()
    jobs: int | None = None
    artefact: Artefact | None = None
    inferred: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alternatives: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    history: History = NOTHING_DONE
    facts: Mapping[str, TargetFacts] = field(default_factory=dict)

    def inputs_of(self, target: str) -> tuple[str, ...]:
        """Return what the inputs of a target are to be like, as far as the plan says."""
        return self.inputs or self.inferred.get(target, ())

    def facts_of(self, target: str) -> TargetFacts:
        """Return what is known of a target: its name at least."""
        return self.facts.get(target) or TargetFacts(plain_name(target))

    def name_of(self, target: str) -> str:
        """Return what a target's case is called."""
        return self.facts_of(target).name


def shipped_for(target: str) -> tuple[Known, ...]:
    """Return the shipped known divergences that may be met in a target.

    Those of a catalogue case concern that case, and no model of a user's that happens to have its name.
    """
    shipped = applicable(load_known(catalogue.known_file()))
    if target in catalogue.ENTRIES:
        return shipped
    return tuple(entry for entry in shipped if entry.cases == ("*",))


def applicable(known: Sequence[Known]) -> tuple[Known, ...]:
    """Return the entries that are for the installed versions."""
    return tuple(entry for entry in known if entry.applies_to(installed()))


def events_of(plan: RunPlan, announce: Announce | None = None) -> Generator[Event, None, None]:
    """Carry out a plan; see [drive][] for what is given and announced, and for what an interruption does.

    Raises:
        ConfigError: the catalogue's file of known divergences is broken.
    """
    return drive(
        lambda tell: _carry_out(plan, tell),
        stop_after=plan.settings.limits.stop_after,
        announce=announce,
        earlier=plan.history.suspects,
        deadline=plan.settings.limits.deadline,
    )


def _carry_out(plan: RunPlan, announce: Announce) -> Iterator[Event]:
    yield RunStarted(
        cases=tuple(map(plan.name_of, plan.targets)),
        modes=len(plan.modes),
        runtimes=plan.runtimes,
        examples=plan.settings.examples,
        seed=plan.settings.seed,
        profile=plan.profile,
        strict=plan.settings.strict,
        versions=installed(),
        artefact=plan.artefact.path if plan.artefact is not None else "",
        asked=tuple(map(str, plan.modes)),
        budget=plan.settings.budget,
        ends=plan.settings.limits.deadline.wall,
        scope=plan.settings.scope,
    )
    for target in plan.targets:
        facts = plan.facts_of(target)
        if facts.problem:
            yield CaseFailed(facts.name, facts.problem)
    plan = replace(plan, targets=tuple(t for t in plan.targets if not plan.facts_of(t).problem))
    yield from plan.history.events()
    jobs = os.cpu_count() or 1 if plan.jobs is None else plan.jobs
    tasks = _tasks(plan)
    if jobs:
        yield from run_parallel(tasks, jobs, plan.settings.limits.deadline)
        return
    forget()
    with limited_steps(plan.settings.steps):
        yield from quietly(in_this_process(tasks, announce, plan.settings.limits.deadline))


def _tasks(plan: RunPlan) -> list[Task]:
    """Return what there is to do, in turns where the plan has a budget."""
    if plan.settings.budget is None:
        return [Task(unit) for unit in units_left(_units(plan), plan.history)]
    tasks = []
    for unit in _units(plan):
        if not unit.modes:
            tasks += [Task(left) for left in units_left([unit], plan.history)]
            continue
        for shard in _shards(unit):
            task = Task(shard, turns=TurnOrder(shard.modes, shard.settings))
            task.go_on(plan.history)
            tasks.append(task)
    return tasks


def _shards(unit: Unit) -> list[Unit]:
    """Return units that are explored in turns side by side; how many follows from the modes alone.

    Exports that take long are divided among two workers.
    """
    modes = order_of_use(unit.modes)
    count = 1 if modes[0].description.is_cheap else min(2, len(modes))
    exporter = modes[0].exporter
    return [
        replace(unit, modes=tuple(modes[number::count]), shard=f"{exporter}/{number}")
        for number in range(count)
    ]


def _units(plan: RunPlan) -> list[Unit]:
    shipped = applicable(load_known(catalogue.known_file()))
    of_project = applicable((*plan.known, *_of_cases(plan)))
    folders = (*plan.folders, catalogue.regressions_folder())
    units = []
    names = [plan.name_of(target) for target in plan.targets]
    to_replay = [entry for entry in of_project if _concerns(entry, names, plan)]
    if plan.artefact is not None:
        # Regressions replay exports, which this run makes none of.
        to_replay = []
    elif any(is_catalogue_name(target) for target in plan.targets):
        to_replay += [entry for entry in shipped if _concerns(entry, names, plan)]
    # Heaviest first: strict capture, then non-strict, then TorchScript, at milliseconds an export.
    exporters = in_order(mode.exporter for mode in plan.modes)
    for exporter in sorted(exporters, key=lambda name: -describe(name).cost):
        modes = tuple(mode for mode in plan.modes if mode.exporter == exporter)
        for target, name in zip(plan.targets, names, strict=True):
            if modes:
                entries = (*applicable(plan.known), *shipped_for(target))
                units.append(
                    Unit(
                        target,
                        name,
                        plan.inputs_of(target),
                        modes,
                        plan.runtimes,
                        plan.settings,
                        entries,
                        (),
                        plan.artefact,
                        plan.exclude,
                        alternatives=() if plan.inputs else tuple(plan.alternatives.get(target, ())),
                    )
                )
    if to_replay:
        replays = Unit(
            "", "known divergences", (), (), plan.runtimes, plan.settings, tuple(to_replay), folders
        )
        units.insert(0, replays)
    return units


def _of_cases(plan: RunPlan) -> list[Known]:
    """Return the known divergences that stand on the cases of a plan; the catalogue's are in its file."""
    facts = [plan.facts_of(target) for target in plan.targets]
    return [replace(entry, cases=(each.name,)) for each in facts for entry in each.known]


def _concerns(entry: Known, names: Sequence[str], plan: RunPlan) -> bool:
    """Return whether anything this run does could meet the entry."""
    return (
        any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in entry.cases)
        and any(entry.modes.matches(mode) for mode in plan.modes)
        and any(fnmatch.fnmatchcase(name, pattern) for name in plan.runtimes for pattern in entry.runtimes)
    )
