"""``diffexport record``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from diffexport.errors import UsageError, visible
from diffexport.findings.reports import EXIT_OK, EXIT_USAGE
from diffexport.infer.recorded import DEFAULT_FILE, RecordedTarget, configured_file, store
from diffexport.tools.record import RecordedRun, record
from diffexport.values import counted


def record_command(command: Sequence[str], *, modules: Sequence[str] = (), file: Path | None = None) -> int:
    """Run a command, write what it called and show it; returns the exit code.

    Raises:
        UsageError: there is no such command, a pattern is none, or the file cannot be written.
    """
    for pattern in modules:
        if not pattern.strip(":") or pattern.startswith(":"):
            raise UsageError(
                f"--module {pattern!r} names no module; write for instance 'package.layers:Attention'"
            )
    run = record(command, modules)
    path = file or configured_file() or DEFAULT_FILE
    recorded = run.recorded
    if recorded.targets:
        store(recorded, path)
        _show(run, path)
    if run.problem:
        kept = (
            f"what it called until then is in {path}" if recorded.targets else "it had called nothing by then"
        )
        click.echo(f"diffexport: {run.problem}; {kept}", err=True)
    elif not recorded.targets:
        click.echo(f"diffexport: {_nothing(command, modules)}", err=True)
    return EXIT_OK if recorded.targets and not run.problem else EXIT_USAGE


def _nothing(command: Sequence[str], modules: Sequence[str]) -> str:
    asked = f" and no module that matches {', '.join(modules)}" if modules else ""
    more = "" if modules else "; modules are recorded where --module names them"
    return (
        f"the command {shlex.join(command)} called no autograd.Function{asked}, so that there is nothing to record"
        f"{more} (a Python that is started with -I, -E or -S cannot be recorded)"
    )


def _show(run: RecordedRun, path: Path) -> None:
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    table = Table(title="recorded calls", title_justify="left", title_style="dim")
    for name in ("target", "calls", "inputs"):
        table.add_column(name, overflow="fold")
    targets = run.recorded.targets
    for one in targets:
        table.add_row(escape(visible(one.target)), str(one.calls), escape(visible(_inputs(one))))
    console.print(table)
    for one in targets:
        for note in one.notes:
            console.print(escape(visible(f"{one.target}: {note}")))
    ready = sum(1 for one in targets if one.inputs)
    whole = counted(len(targets), "target")
    again = whole if ready == len(targets) else f"{ready} of {whole}"
    console.print(f"\n{again} can be called again: {escape(str(path))}")
    if ready:
        first = next(one.target for one in targets if one.inputs)
        command = f"diffexport run {shlex.quote(first)} --recorded {shlex.quote(str(path))}"
        console.print(escape(visible(f"to test one of them: {command}")))


def _inputs(target: RecordedTarget) -> str:
    return "\n".join(target.inputs) if target.inputs else target.problem
