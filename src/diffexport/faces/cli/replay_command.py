"""``diffexport replay`` and ``diffexport show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from diffexport import config as configuration
from diffexport.errors import UsageError
from diffexport.explore import Judged, judge_file, tied_entries
from diffexport.faces.cli.limit_options import step_limits
from diffexport.findings.regressions import case_of, files, load
from diffexport.findings.scripts import standalone_script
from diffexport.subjects import catalogue


def replay_command(paths: Sequence[Path], verbose: bool, limits: Mapping[str, Any] | None = None) -> int:
    """Replay files and folders; returns the exit code.

    Raises:
        UsageError: a path does not exist, or there is nothing to replay.
    """
    loaded = configuration.load()
    step_limits(loaded.steps, **(limits or {}))
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    if not paths:
        default = base / loaded.regressions
        paths = [default] if default.is_dir() else [catalogue.regressions_folder()]
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
    found = files(list(paths))
    if not found:
        raise UsageError(f"no regression files in {', '.join(map(str, paths))}")
    tied = tied_entries(loaded.known)
    results = []
    for path in found:
        judged = judge_file(path, tied)
        if judged.elsewhere:
            click.echo(f"{'LEFT OUT':<15} {path.name}\n                {judged.message}")
            continue
        results.append(judged)
        click.echo(f"{judged.status:<15} {path.name}")
        if judged.note:
            click.echo(f"                {judged.note}")
        if (verbose or not judged.as_expected) and judged.message:
            for line in judged.message.splitlines()[: 20 if verbose else 2]:
                click.echo(f"                {line[:300]}")
    return _closing(results)


def _closing(results: list[Judged]) -> int:
    from collections import Counter

    counts = Counter(str(judged.status) for judged in results)
    click.echo(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))
    if any(not judged.as_expected and not judged.is_error for judged in results):
        return 1
    return 2 if any(judged.is_error for judged in results) else 0


def show_command(file: Path) -> str:
    """Return the standalone script for a regression file.

    Raises:
        RegressionFileError: the file cannot be read.
        TargetError: its model cannot be found.
    """
    regression = load(file)
    return standalone_script(regression, case_of(regression))
