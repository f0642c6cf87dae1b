"""``diffexport replay`` and ``diffexport show``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from diffexport import config as configuration
from diffexport.errors import UsageError
from diffexport.explore import Judged, Replayer, StoredRules
from diffexport.faces.cli.limit_options import regression_size, step_limits
from diffexport.findings.regressions import files
from diffexport.subjects import catalogue

#: What would move the cursor of a terminal, or cannot be written to one.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def replay_command(
    paths: Sequence[Path],
    verbose: bool,
    *,
    allow_outside: bool = False,
    largest: str | None = None,
    limits: Mapping[str, Any] | None = None,
) -> int:
    """Replay files and folders; returns the exit code.

    Args:
        paths: files and folders; empty: those that are configured.
        verbose: show more of what diverges.
        allow_outside: targets may be files outside of the project.
        largest: what the tensors of one file may take, as a text.
        limits: those of the steps, by the names of their options.

    Raises:
        UsageError: a path does not exist, or there is nothing to replay.
    """
    loaded = configuration.load()
    steps = step_limits(loaded.steps, limits or {})
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    if not paths:
        default = base / loaded.regressions
        paths = [default] if default.is_dir() else [catalogue.regressions_folder()]
    for path in paths:
        if not _exists(path):
            raise UsageError(f"there is no file or folder {printable(str(path))}")
    regressions = files(list(paths))
    if not regressions:
        raise UsageError(f"no regression files in {', '.join(map(str, paths))}")
    rules = _rules(loaded, allow_outside, largest)
    results, left_out = [], 0
    with Replayer(loaded.known, rules, steps) as replayer:
        for path in regressions:
            judged = replayer.judge(path)
            _show(judged, verbose)
            if judged.elsewhere:
                left_out += 1
            else:
                results.append(judged)
    return _closing(results, left_out)


def _rules(loaded: configuration.Config, allow_outside: bool, largest: str | None) -> StoredRules:
    project = loaded.file.parent if loaded.file is not None else Path.cwd()
    return StoredRules(None if allow_outside else project, regression_size(loaded.regression_size, largest))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def printable(text: str) -> str:
    """Return a text as a terminal can show it: what is in a file, or the name of one, may be anything."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _show(judged: Judged, verbose: bool) -> None:
    status = "LEFT OUT" if judged.elsewhere else judged.status
    click.echo(f"{status:<15} {printable(judged.path.name)}")
    if judged.note:
        click.echo(f"                {printable(judged.note)}")
    if (verbose or judged.elsewhere or not judged.as_expected) and judged.message:
        lines = judged.message.splitlines()
        if judged.is_error and not verbose:
            lines = [" ".join(lines)]
        for line in lines[: 20 if verbose else 2]:
            click.echo(f"                {printable(line)[:300]}")


def _closing(results: list[Judged], left_out: int) -> int:
    counts = Counter(str(judged.status) for judged in results)
    if not results:
        click.echo(f"nothing was replayed: {left_out} LEFT OUT")
        return 2
    click.echo(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))
    if any(not judged.as_expected and not judged.is_error for judged in results):
        return 1
    return 2 if any(judged.is_error for judged in results) else 0


def show_command(
    file: Path,
    *,
    allow_outside: bool = False,
    largest: str | None = None,
    limits: Mapping[str, Any] | None = None,
) -> str:
    """Return the standalone script for a regression file, of which nothing is executed.

    Raises:
        RegressionFileError: the file cannot be read, or there is no script for it.
    """
    loaded = configuration.load()
    steps = step_limits(loaded.steps, limits or {})
    with Replayer((), _rules(loaded, allow_outside, largest), steps) as replayer:
        return replayer.script(file)
