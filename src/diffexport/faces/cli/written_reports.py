"""Reports are written before anything else is said, and somewhere else if not where they should be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from diffexport import atomic
from diffexport.findings.reports import EXIT_USAGE


def report_written(path: Path | None, code: int, document: Callable[[], dict[str, Any]]) -> int:
    """Write a report; where that is not possible, write it to another place and say so.

    Args:
        path: where to; None writes nothing.
        code: the exit code that the report tells of.
        document: makes the report.

    Returns:
        the exit code, which is not 0 where the report is not in its place.
    """
    if path is None:
        return code
    content = document()
    try:
        atomic.write_json(path, content)
        return code
    except OSError as error:
        text = f"diffexport: the report could not be written: {path}: {error.strerror or error}"
    content["exit_code"] = code or EXIT_USAGE
    name = f"{path.stem[:60] or 'report'}-{os.getpid()}.json"
    for folder in (Path.cwd() / ".diffexport", Path(tempfile.gettempdir()) / "diffexport"):
        try:
            atomic.write_json(folder / name, content)
        except OSError:
            continue
        text += f"; it is in {folder / name} instead"
        break
    click.echo(text, err=True)
    return code or EXIT_USAGE
