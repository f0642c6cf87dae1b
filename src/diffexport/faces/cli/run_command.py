"""``diffexport run``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import click

from diffexport import config as configuration
from diffexport.explore import (
    Limits,
    RunPlan,
    Settings,
    StopAfter,
    TargetFacts,
    TargetSession,
    deliver,
    events_of,
)
from diffexport.faces.cli.chosen_runtimes import select_runtimes
from diffexport.faces.cli.limit_options import step_limits
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import EXIT_USAGE, Tally, Terminal, write_report
from diffexport.infer.search import InferenceStatus
from diffexport.infer.session import Inference, TargetProcess
from diffexport.strategies import canonical
from diffexport.subjects.catalogue import MAIN_JOB, expand
from diffexport.values import select_modes

#: From this many modes on, modes that export the same model share their examples; see Settings.share.
SHARING_FROM = 500


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
    process: TargetProcess | None = None,
    **limits: Any,
) -> int:
    """Run and report; returns the exit code.

    Args:
        process: where targets are imported; by default in this process.

    Raises:
        UsageError: an unknown case, mode, runtime or profile, or a target whose module raises an exception.
    """
    loaded = configuration.load()
    chosen = configuration.profile(profile or loaded.profile)
    specs = canonical(inputs)
    names = expand(tuple(targets) or loaded.cases or (MAIN_JOB,))
    asked = TargetSession(process)
    facts = {name: asked.facts(name, specs) for name in names}
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    regressions = folder or base / loaded.regressions
    texts = modes or (chosen.modes if profile else loaded.modes or chosen.modes)
    selected = select_modes(texts, loaded.matrices)
    plan = RunPlan(
        targets=names,
        modes=selected,
        runtimes=select_runtimes(runtimes or loaded.runtimes),
        settings=Settings(
            examples=examples
            or (loaded.examples if not profile else None)
            or chosen.examples_for(len(selected)),
            block=chosen.block_for(len(selected)),
            seed=loaded.seed if seed is None else seed,
            strict=loaded.strict if strict is None else strict,
            steps=step_limits(loaded.steps, **limits),
            share=len(selected) > SHARING_FROM,
            limits=limits_of(fail_fast),
        ),
        profile=chosen.name,
        inputs=specs,
        known=loaded.known,
        exclude=loaded.exclude,
        folders=(base / loaded.regressions,),
        jobs=loaded.jobs if jobs is None else jobs,
        inferred={} if specs else inferred_inputs(facts, asked),
        facts=facts,
    )
    asked.close()
    return perform(
        plan,
        FindingStore(None if no_save else regressions),
        Tally(),
        json_file,
        verbose or chosen.name == "debug",
    )


def perform(
    plan: RunPlan, store: FindingStore, tally: Tally, json_file: Path | None, verbose: bool = False
) -> int:
    """Carry out a plan, show it and write the report, also when it is interrupted; returns the exit code."""
    terminal = Terminal(tally, store, verbose=verbose)
    written = True
    try:
        # What was seen by then has been told, the interruption among it.
        with contextlib.suppress(KeyboardInterrupt):
            deliver(events_of(plan), store.take, tally.take, terminal.take)
    finally:
        terminal.finish()
        written = json_file is None or write_safely(lambda: write_report(tally, store, json_file))
    return tally.exit_code if written else tally.exit_code or EXIT_USAGE


def limits_of(fail_fast: bool) -> Limits:
    """Return when a run ends."""
    return Limits(stop_after=StopAfter.FIRST_FINDING if fail_fast else StopAfter.NOTHING)


def write_safely(write: Callable[[], None]) -> bool:
    """Write a report; says so and returns False if it cannot be written."""
    try:
        write()
    except OSError as error:
        click.echo(f"diffexport: the report could not be written: {error}", err=True)
        return False
    return True


def inferred_inputs(facts: Mapping[str, TargetFacts], asked: TargetSession) -> dict[str, tuple[str, ...]]:
    """Work out how to call the targets that do not say so themselves, and show it as it can be pasted.

    Where that fails it is said, too, and left to the run: the other targets are tested all the same.
    """
    inferred: dict[str, tuple[str, ...]] = {}
    for name, each in facts.items():
        if each.declares_inputs or each.problem:
            continue
        inference = asked.infer(name)
        if inference.inputs:
            inferred[name] = inference.inputs
            click.echo(shown(inference))
        else:
            # Without inputs it is given float tensors, and the run says what comes of that.
            click.echo(f"{name}: no inputs could be inferred ({inference.status}): {inference.message}")
    return inferred


def shown(inference: Inference) -> str:
    """Return what was inferred, and how to say so."""
    options = " ".join(f"--input {quote(text)}" for text in inference.inputs)
    lines = [
        f"{inference.target}: inputs inferred: {inference.call}",
        f"    to keep or change them: {options}",
    ]
    if inference.status is not InferenceStatus.INFERRED:
        lines.append(f"    {inference.status}: {inference.status.meaning}")
    return "\n".join([*lines, *(f"    note: {note}" for note in inference.notes)])
