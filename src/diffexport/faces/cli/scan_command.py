"""``diffexport scan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from diffexport import config as configuration
from diffexport.explore import Settings, applicable
from diffexport.faces.cli.chosen_runtimes import select_runtimes
from diffexport.faces.cli.interruptions import undisturbed
from diffexport.faces.cli.written_reports import report_written
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import EXIT_USAGE
from diffexport.infer.recorded import recorded_calls
from diffexport.tools.scan import (
    DEFAULT_MODES,
    DEFAULT_RUNTIMES,
    Event,
    ScanPlan,
    ScanTally,
    ScanTerminal,
    State,
    run,
    scan_document,
)
from diffexport.values import select_modes, slugify
from diffexport.versions import installed


def scan_command(
    places: Sequence[str],
    *,
    only: Sequence[str] = (),
    modes: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    examples: int | None = None,
    seed: int | None = None,
    timeout: float = 60.0,
    placeholders: Sequence[str] = (),
    json_file: Path | None = None,
    folder: Path | None = None,
    no_save: bool = False,
    strict: bool | None = None,
    resume: bool = False,
    state_file: Path | None = None,
    jobs: int | None = None,
    recorded: Path | None = None,
    listed: bool = False,
) -> int:
    """Scan and report; returns the exit code.

    Raises:
        UsageError: an unknown mode or runtime.
    """
    loaded = configuration.load()
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    selected = tuple(str(mode) for mode in select_modes(modes or DEFAULT_MODES, loaded.matrices))
    settings = Settings(
        examples=examples or 0,
        seed=loaded.seed if seed is None else seed,
        strict=loaded.strict if strict is None else strict,
    )
    ran_on = select_runtimes(runtimes or DEFAULT_RUNTIMES)
    declared = (*loaded.placeholders, *placeholders)
    calls = recorded_calls(recorded)
    state = None
    if not listed:
        options = {"timeout": timeout, "placeholders": list(declared), "recorded": repr(calls.targets)}
        file = state_file or base / ".diffexport" / f"scan-{slugify('-'.join(places))}.jsonl"
        state = _state(file, selected, ran_on, settings, options, resume=resume)
    regressions = None if no_save or listed else folder or base / loaded.regressions
    tally = ScanTally(FindingStore(regressions), state, listed)
    plan = ScanPlan(
        places=tuple(dict.fromkeys(places)),
        modes=selected,
        runtimes=ran_on,
        settings=settings,
        known=applicable(loaded.known),
        only=tuple(only),
        placeholders=declared,
        jobs=loaded.jobs if jobs is None else jobs,
        timeout=timeout,
        listed=listed,
        recorded=calls,
        done=state.done if state is not None and resume else {},
    )
    return _carry_out(plan, tally, json_file)


def _carry_out(plan: ScanPlan, tally: ScanTally, json_file: Path | None) -> int:
    """Scan, show what is found and write the report, also when interrupted; returns the exit code."""
    terminal = ScanTerminal(tally)

    def take(event: Event) -> None:
        terminal.take(event, tally.take(event))

    code = EXIT_USAGE
    try:
        run(plan, take)
    finally:
        with undisturbed():
            try:
                tally.settle()
                code = report_written(json_file, tally.exit_code, lambda: scan_document(tally))
            finally:
                terminal.finish()
    return code


def _state(
    file: Path,
    modes: Sequence[str],
    runtimes: Sequence[str],
    settings: Settings,
    options: Mapping[str, object],
    *,
    resume: bool,
) -> State:
    """Return what is remembered of a scan, read from its file if the scan is to be resumed."""
    state = State(
        file,
        {
            "versions": installed(),
            "modes": list(modes),
            "runtimes": list(runtimes),
            "examples": settings.examples,
            "seed": settings.seed,
            "strict": settings.strict,
            **options,
        },
    )
    problem = state.read() if resume else ""
    if problem:
        click.echo(f"--resume: {problem}; starting anew", err=True)
    return state
