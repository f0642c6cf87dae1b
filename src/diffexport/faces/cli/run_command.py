"""``diffexport run``."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from time import monotonic
from typing import Any

import click
from rich.console import Console

from diffexport import config as configuration
from diffexport.backends.runtimes import witnesses
from diffexport.explore import (
    Limits,
    RunPlan,
    Settings,
    StopAfter,
    TargetFacts,
    TargetSession,
    deliver,
    events_of,
    what_is_asked,
)
from diffexport.faces.cli.chosen_runtimes import select_runtimes
from diffexport.faces.cli.interruptions import undisturbed
from diffexport.faces.cli.limit_options import budget_of, input_scope, step_limits, with_weights
from diffexport.faces.cli.written_reports import report_written
from diffexport.findings.journal import RunJournal
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import EXIT_USAGE, Tally, Terminal, markdown_report, report_document
from diffexport.infer.recorded import Recorded, recorded_calls
from diffexport.infer.search import InferenceStatus
from diffexport.infer.session import Inference, TargetProcess
from diffexport.strategies import canonical
from diffexport.subjects.catalogue import MAIN_JOB, expand
from diffexport.subjects.targets import is_catalogue_name
from diffexport.values import MAX_ELEMENTS, Budget, counted, named_modes, select_modes

#: From this many modes on, modes that export the same model share their examples; see Settings.share.
SHARING_FROM = 500
#: Most elements of a tensor whose sizes are free, for a model of a user's.
MOST_ELEMENTS = 4096
#: What is said at the end of a run that was interrupted.
RESUMABLE = "the same command with --resume goes on from here"


def run_command(
    targets: Sequence[str],
    *,
    modes: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    examples: int | None = None,
    seed: int | None = None,
    profile: str | None = None,
    inputs: Sequence[str] = (),
    json_file: Path | None = None,
    folder: Path | None = None,
    no_save: bool = False,
    strict: bool | None = None,
    fail_fast: bool = False,
    jobs: int | None = None,
    verbose: bool = False,
    resume: bool = False,
    recorded: Path | None = None,
    output: str = "text",
    process: TargetProcess | None = None,
    begun: float | None = None,
    **limits: Any,
) -> int:
    """Run and report; returns the exit code.

    Targets are imported in ``process``, by default in this one; the time of the budget runs from ``begun`` on.

    Raises:
        UsageError: an unknown case, mode, runtime or profile, or a target whose module raises an exception.
    """
    begun = monotonic() if begun is None else begun
    loaded = configuration.load()
    chosen = configuration.profile(profile or loaded.profile)
    names = expand(with_weights(targets, limits.get("weights")) or loaded.cases or (MAIN_JOB,))
    specs, base = canonical(inputs, names), loaded.file.parent if loaded.file is not None else Path.cwd()
    texts = modes or (chosen.modes if profile else loaded.modes or chosen.modes)
    selected, ran_on = select_modes(texts, loaded.matrices), select_runtimes(runtimes or loaded.runtimes)
    given = {"examples": examples, "seed": seed, "strict": strict, "fail_fast": fail_fast, **limits}
    settings = _settings(loaded, chosen, len(selected), names, as_configured=not profile, **given)
    settings = _by_name(settings, texts, runtimes or loaded.runtimes, loaded)
    with TargetSession(process) as asked:
        facts = {name: asked.facts(name, specs) for name in names}
        calls, aside = recorded_calls(recorded), output == "markdown"
        inferences = {} if specs else inferred_inputs(facts, asked, calls, aside=aside)
    plan = RunPlan(
        *(names, selected, ran_on, settings, chosen.name, specs),
        known=loaded.known,
        exclude=loaded.exclude,
        folders=(base / loaded.regressions,),
        jobs=loaded.jobs if jobs is None else jobs,
        inferred={name: each.inputs for name, each in inferences.items()},
        alternatives={name: each.alternatives for name, each in inferences.items()},
        facts=facts,
    )
    plan = replace(plan, settings=settings.keeping_to_budget(begun))
    journal = journal_of(plan, base / ".diffexport", resume=resume)
    store = FindingStore(None if no_save else folder or base / loaded.regressions)
    return perform(
        plan, store, Tally(), json_file, verbose or chosen.name == "debug", journal, markdown=aside
    )


def _by_name(
    settings: Settings, modes: Sequence[str], runtimes: Sequence[str], loaded: configuration.Config
) -> Settings:
    """Return settings that know which modes and runtimes somebody named, and did not only bring along."""
    return replace(settings, selected=named_modes(modes, loaded.matrices), witnesses=witnesses(runtimes))


def _settings(
    loaded: configuration.Config,
    chosen: configuration.Profile,
    modes: int,
    names: Sequence[str],
    *,
    as_configured: bool,
    examples: int | None,
    seed: int | None,
    strict: bool | None,
    fail_fast: bool,
    time: str | None = None,
    rounds: int | None = None,
    **limits: Any,
) -> Settings:
    """Return how the cases of a run over so many modes are explored: as the command line says, or is configured."""
    number = examples or (loaded.examples if as_configured else None)
    of_catalogue = any(map(is_catalogue_name, names))
    # Thousands of modes are a long run that was asked for, in which those that export the same share their examples.
    default = None if number or of_catalogue or modes > SHARING_FROM else chosen.seconds
    return Settings(
        examples=number or chosen.examples_for(modes),
        block=chosen.block_for(modes),
        seed=loaded.seed if seed is None else seed,
        strict=loaded.strict if strict is None else strict,
        scope=input_scope(loaded.scope, limits),
        steps=step_limits(loaded.steps, limits),
        share=modes > SHARING_FROM,
        limits=limits_of(fail_fast),
        # The models of the catalogue are small, and what is found in them is known.
        larger_sizes=not of_catalogue,
        most_elements=MAX_ELEMENTS if of_catalogue else MOST_ELEMENTS,
        budget=budget_of(
            Budget(loaded.time, loaded.rounds, goes_on=number is None),
            None if default is None else default * len(names),
            time=time,
            rounds=rounds,
        ),
    )


def journal_of(plan: RunPlan, folder: Path, *, resume: bool) -> RunJournal:
    """Open the journal of a plan, and read it if the run is to go on with what an earlier one has done."""
    return RunJournal.open(
        folder,
        "run",
        "-".join(plan.targets),
        what_is_asked(
            plan.targets,
            {
                target: [*plan.inputs_of(target), *itertools.chain(*plan.alternatives.get(target, ()))]
                for target in plan.targets
            },
            plan.modes,
            plan.runtimes,
            plan.settings,
            (plan.profile, *plan.known, *plan.exclude),
        ),
        resume=resume,
        say=lambda text: click.echo(f"diffexport: {text}", err=True),
        cases=[plan.name_of(target) for target in plan.targets],
    )


def perform(
    plan: RunPlan,
    store: FindingStore,
    tally: Tally,
    json_file: Path | None,
    verbose: bool = False,
    journal: RunJournal | None = None,
    *,
    markdown: bool = False,
) -> int:
    """Carry out a plan, write the report and show it, also when it is interrupted; returns the exit code.

    With ``markdown`` standard output has nothing but the report; progress goes to standard error.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False) if markdown else None
    terminal = Terminal(tally, store, verbose=verbose, console=console)
    journal = journal or RunJournal.none()
    plan, json_file = replace(plan, history=journal.history), journal.report_file(json_file)
    try:
        # What was seen by then has been told, the interruption among it.
        with contextlib.suppress(KeyboardInterrupt):
            events = events_of(plan, journal.announce)
            deliver(events, store.take, journal.take, tally.take, terminal.take)
            for finding in journal.history.as_seen:
                store.retract(finding)
    finally:
        with undisturbed():
            code = EXIT_USAGE
            try:
                tally.settle()
                code = report_written(json_file, tally.exit_code, lambda: report_document(tally, store))
            finally:
                is_complete = tally.finished is not None and not tally.finished.interrupted
                to_go_on = not is_complete and journal.is_kept
                remark = RESUMABLE if to_go_on else ""
                if markdown:
                    terminal.stop()
                    click.echo(markdown_report(tally, store, verbose=verbose, remark=remark), nl=False)
                else:
                    terminal.finish(remark)
                journal.close(complete=is_complete)
    return code


def limits_of(fail_fast: bool) -> Limits:
    """Return when a run ends."""
    return Limits(stop_after=StopAfter.FIRST_FINDING if fail_fast else StopAfter.NOTHING)


def inferred_inputs(
    facts: Mapping[str, TargetFacts], asked: TargetSession, recorded: Recorded, *, aside: bool = False
) -> dict[str, Inference]:
    """Work out how to call the targets that do not say so themselves, and show it as it can be pasted.

    What was recorded of a target goes before what can be inferred.
    Where that fails it is said, too, and left to the run: the other targets are tested all the same. With
    ``aside`` standard error is where it is said.
    """
    inferred: dict[str, Inference] = {}
    for name, each in facts.items():
        if each.declares_inputs or each.problem:
            continue
        seen = recorded.of(name)
        if seen is not None and seen.problem:
            click.echo(f"{name}: {counted(seen.calls, 'recorded call')}, but {seen.problem}", err=aside)
        inference = (seen.inference() if seen is not None else None) or asked.infer(name)
        if inference.inputs:
            inferred[name] = inference
            click.echo(shown(inference), err=aside)
        else:
            # Without inputs it is given float tensors, and the run says what comes of that.
            click.echo(
                f"{name}: no inputs could be inferred ({inference.status}): {inference.message}", err=aside
            )
    return inferred


def _how(inference: Inference) -> str:
    return (
        f"as in {counted(inference.tried, 'recorded call')}"
        if inference.source == "recorded calls"
        else "inferred"
    )


def shown(inference: Inference) -> str:
    """Return what was inferred, and how to say so."""
    options = " ".join(f"--input {quote(text)}" for text in inference.inputs)
    lines = [
        f"{inference.target}: inputs {_how(inference)}: {inference.call}",
        f"    to keep or change them: {options}",
    ]
    lines += [f"    also tested with: {', '.join(texts)}" for texts in inference.alternatives]
    if inference.status is not InferenceStatus.INFERRED:
        lines.append(f"    {inference.status}: {inference.status.meaning}")
    return "\n".join([*lines, *(f"    note: {note}" for note in inference.notes)])
