"""``diffexport mutate``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from diffexport import config as configuration
from diffexport.explore import Settings, TargetFacts, TargetSession, applicable, shipped_for, what_is_asked
from diffexport.faces.cli.chosen_runtimes import select_runtimes
from diffexport.faces.cli.interruptions import undisturbed
from diffexport.faces.cli.limit_options import budget_of, input_scope, step_limits, with_weights
from diffexport.faces.cli.run_command import RESUMABLE
from diffexport.faces.cli.written_reports import report_written
from diffexport.infer.session import TargetProcess
from diffexport.strategies import canonical
from diffexport.subjects.cases import Known
from diffexport.subjects.catalogue import MAIN_JOB, expand
from diffexport.tools.mutate import (
    MUTATOR,
    NAME,
    JobReport,
    MutationJob,
    MutationJournal,
    MutationTally,
    mutation_document,
    mutation_line,
    mutation_lines,
    mutators,
    run,
    select,
)
from diffexport.values import Budget, Mode, counted, select_modes

#: The plainest mode of each exporter with free dimensions, which leaves most to be planted.
MODES = ("torchscript,dynamic=true", "dynamo,dynamic=true")
#: The graph is what is changed: one level of ONNX Runtime, and the evaluator that shares nothing with it.
RUNTIMES = ("ort-disabled", "reference")
#: Samples in an example are as many as in a run of the default matrix.
EXAMPLES, BLOCK = 200, 8


def mutate_command(
    targets: Sequence[str],
    *,
    modes: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    examples: int | None = None,
    most: int | None = None,
    time: str | None = None,
    seed: int | None = None,
    inputs: Sequence[str] = (),
    only: Sequence[str] = (),
    json_file: Path | None = None,
    strict: bool | None = None,
    jobs: int | None = None,
    listed: bool = False,
    resume: bool = False,
    process: TargetProcess | None = None,
    **limits: Any,
) -> int:
    """Plant, check, judge and report; returns the exit code.

    Args:
        process: where targets are imported; by default in this process.

    Raises:
        UsageError: an unknown case, mode, runtime or mutator, or a target that does not import.
    """
    if listed:
        return _list()
    loaded = configuration.load()
    specs = canonical(inputs)
    names = expand(with_weights(targets, limits.get("weights")) or loaded.cases or (MAIN_JOB,))
    with TargetSession(process) as asked:
        facts = {name: asked.facts(name, specs) for name in names}
    chosen = select(only, (NAME,))
    selected = select_modes(modes or MODES, loaded.matrices)
    settings = Settings(
        examples=examples or EXAMPLES,
        block=BLOCK,
        seed=loaded.seed if seed is None else seed,
        strict=loaded.strict if strict is None else strict,
        scope=input_scope(loaded.scope, limits),
        steps=step_limits(loaded.steps, limits),
        shrink=False,
    )
    ran_on = select_runtimes(runtimes or RUNTIMES)
    seconds = _seconds(time)
    todo = [
        replace(job, most=most, seconds=seconds)
        for job in _jobs(facts, specs, selected, ran_on, settings, applicable(loaded.known), chosen)
    ]
    tally = _tally(todo, selected, ran_on, settings)
    inputs_of, accepted = dict.fromkeys(names, specs), (sorted(chosen), most, seconds, *loaded.known)
    asked_for = what_is_asked(names, inputs_of, selected, ran_on, settings, accepted)
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    journal = MutationJournal(base / ".diffexport", asked_for, resume=resume, say=_say)
    _carry_out(todo, tally, jobs, journal)
    return _reported(tally, json_file, journal)


def _tally(
    todo: Sequence[MutationJob], modes: Sequence[Mode], runtimes: tuple[str, ...], settings: Settings
) -> MutationTally:
    return MutationTally(
        [job.name for job in todo[:: max(len(modes), 1)]],
        [str(mode) for mode in modes],
        runtimes,
        settings.examples,
        settings.seed,
        settings.strict,
        settings.scope,
    )


def _seconds(time: str | None) -> float | None:
    """Return the seconds that a text means; None: no limit.

    Raises:
        UsageError: it is no time.
    """
    budget = budget_of(Budget(), None, time=time, rounds=None)
    return None if budget is None else budget.seconds


def _say(text: str) -> None:
    click.echo(f"diffexport: {text}", err=True)


def _reported(tally: MutationTally, json_file: Path | None, journal: MutationJournal) -> int:
    """Write the report, then show it; returns the exit code."""
    with undisturbed():
        code = report_written(json_file, tally.exit_code, lambda: mutation_document(tally))
        for text in mutation_lines(tally):
            click.echo(text)
        if tally.interrupted:
            click.echo(f"interrupted: {RESUMABLE}")
        journal.close(complete=not tally.interrupted)
    return code


def _jobs(
    facts: Mapping[str, TargetFacts],
    specs: tuple[str, ...],
    modes: Sequence[Mode],
    runtimes: tuple[str, ...],
    settings: Settings,
    known: Sequence[Known],
    only: frozenset[str],
) -> list[MutationJob]:
    """Return one job for each target in each mode."""
    return [
        MutationJob(
            target,
            each.name,
            specs,
            str(mode),
            runtimes,
            settings,
            (*known, *shipped_for(target)),
            only,
            each.problem,
        )
        for target, each in facts.items()
        for mode in modes
    ]


def _carry_out(
    todo: Sequence[MutationJob], tally: MutationTally, jobs: int | None, journal: MutationJournal
) -> None:
    """Do every job that is left, or as many as there are until interrupted, and say so of each."""
    click.echo(
        f"diffexport mutate: {', '.join(tally.cases)}; {', '.join(tally.modes)}; on {', '.join(tally.runtimes)}, "
        f"{counted(tally.examples, 'example')} each, seed {tally.seed}"
        + ("" if tally.scope.is_everything else f"; inputs: {tally.scope}")
    )

    def take(report: JobReport) -> None:
        journal.keep(report)
        tally.reports.append(report)
        click.echo(mutation_line(report))

    started = perf_counter()
    left = journal.left(todo)
    tally.reports += journal.reports
    try:
        run(left, (os.cpu_count() or 1) if jobs is None else jobs, take)
    except KeyboardInterrupt:
        tally.interrupted = True
    tally.seconds = perf_counter() - started
    tally.reports.sort(key=lambda report: (tally.cases.index(report.case), tally.modes.index(report.mode)))


def _list() -> int:
    every = {**mutators(), NAME: MUTATOR}
    width = max(map(len, every))
    for title, control in (("bugs", False), ("controls", True)):
        click.echo(f"{title}:")
        for name, mutator in sorted(every.items()):
            if mutator.control is control:
                note = "  (a note)" if mutator.severity.value == "note" else ""
                click.echo(f"  {name:<{width}}  {mutator.summary}{note}")
    return 0
