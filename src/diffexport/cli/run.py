"""``diffexport run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from diffexport import config as configuration
from diffexport import matrix
from diffexport.catalogue import ENTRIES, MAIN_JOB, expand
from diffexport.engine.events import Event
from diffexport.engine.explore import Settings
from diffexport.engine.run import Plan
from diffexport.engine.run import run as run_plan
from diffexport.report import json_report
from diffexport.report.summary import EXIT_USAGE, Summary
from diffexport.report.terminal import Terminal
from diffexport.runtimes import select as select_runtimes
from diffexport.spec import parse_specs
from diffexport.target import is_catalogue_name, resolve

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
) -> int:
    """Run and report; returns the exit code.

    Raises:
        UsageError: an unknown case, mode, runtime or profile, or a target that does not import.
    """
    loaded = configuration.load()
    chosen = configuration.profile(profile or loaded.profile)
    specs = tuple(str(spec) for spec in parse_specs(inputs))
    names = expand(tuple(targets) or loaded.cases or (MAIN_JOB,))
    check_targets(names, specs)
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    regressions = folder or base / loaded.regressions
    texts = modes or (chosen.modes if profile else loaded.modes or chosen.modes)
    selected = matrix.select(texts, loaded.matrices)
    plan = Plan(
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
            share=len(selected) > SHARING_FROM,
        ),
        profile=chosen.name,
        inputs=specs,
        known=loaded.known,
        folders=(base / loaded.regressions,),
        jobs=loaded.jobs if jobs is None else jobs,
        fail_fast=fail_fast,
    )
    return perform(
        plan, Summary(None if no_save else regressions), json_file, verbose or chosen.name == "debug"
    )


def perform(plan: Plan, summary: Summary, json_file: Path | None, verbose: bool = False) -> int:
    """Carry out a plan, show it and write the report, also when it is interrupted; returns the exit code."""
    terminal = Terminal(summary, verbose=verbose)

    def take(event: Event) -> None:
        summary.take(event)
        terminal.take(event)

    written = True
    try:
        run_plan(plan, take)
    finally:
        terminal.finish()
        written = json_file is None or write_report(lambda: json_report.write(summary, json_file))
    return summary.exit_code if written else summary.exit_code or EXIT_USAGE


def write_report(write: Callable[[], None]) -> bool:
    """Write a report; says so and returns False if it cannot be written."""
    try:
        write()
    except OSError as error:
        click.echo(f"diffexport: the report could not be written: {error}", err=True)
        return False
    return True


def check_targets(names: Sequence[str], specs: tuple[str, ...]) -> None:
    """Fail on the first target that does not exist, before anything is run."""
    for name in names:
        if not (is_catalogue_name(name) and name in ENTRIES):
            resolve(name, inputs=specs)
