"""The types of options and arguments: what is wrong with a value is said before anything is done.

A report that cannot be written, or a folder that findings cannot be kept in, is no news to have after an hour.
"""

from __future__ import annotations

import math
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import click

from diffexport.errors import shown
from diffexport.values import (
    MOST_EXAMPLES,
    MOST_JOBS,
    MOST_PATTERN,
    MOST_SECONDS,
    MOST_SEED,
    MOST_TEXT,
)


class Text(click.types.StringParamType):
    """A text that is not empty, and not longer than anything that would make sense.

    Args:
        most: how many characters it may have.
    """

    name = "text"

    def __init__(self, most: int = MOST_TEXT) -> None:
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        text = str(value)
        if not text.strip():
            self.fail("it is empty", param, ctx)
        if "\0" in text:
            self.fail(f"{shown(text)} has a NUL character in it", param, ctx)
        if len(text) > self._most:
            self.fail(f"it has {len(text):,} characters, and {self._most:,} are the most", param, ctx)
        return text


class PathText(click.Path):
    """The path of a file or folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        text = os.fsdecode(value)
        problem = "it is empty" if not text else "it has a NUL character in it" if "\0" in text else ""
        if not problem:
            try:
                os.lstat(text)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                pass
            except OSError as error:
                problem = error.strerror or str(error)
        if problem:
            self.fail(f"{shown(text)} is no path: {problem}", param, ctx)
        return Path(text)


class ReportFile(PathText):
    """The path of a file that is going to be written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, if a file can be written there."""
        path = super().convert(value, param, ctx)
        problem = why_no_file(path)
        if problem:
            self.fail(f"{shown(str(path))} cannot be written: {problem}", param, ctx)
        return path


class SaveFolder(PathText):
    """The path of a folder that files are going to be written in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, if there is a folder that can be written in, or one can be made."""
        path = super().convert(value, param, ctx)
        problem = why_no_folder(path)
        if problem:
            self.fail(f"nothing can be kept in {shown(str(path))}: {problem}", param, ctx)
        return path


class Seconds(click.FloatRange):
    """A number of seconds that is one."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=MOST_SECONDS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{shown(value)} is no number of seconds", param, ctx)
        return seconds


TEXT = Text()
#: A name, or a pattern of names.
PATTERN = Text(MOST_PATTERN)
PATH = PathText()
REPORT_FILE = ReportFile()
SAVE_FOLDER = SaveFolder()
EXAMPLES = click.IntRange(1, MOST_EXAMPLES)
SEED = click.IntRange(0, MOST_SEED)
JOBS = click.IntRange(0, MOST_JOBS)
CHILD_JOBS = click.IntRange(1, MOST_JOBS)


def why_no_file(path: Path) -> str:
    """Return why no file can be written at a path, as far as can be told without doing so; empty if one can."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return why_no_folder(_folder_of(path))
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder"
    if not os.access(path, os.W_OK):
        return "it may not be changed"
    # What is no regular file, such as a terminal or a pipe, is written to where it is.
    return why_no_folder(_folder_of(path)) if stat.S_ISREG(status.st_mode) else ""


def _folder_of(path: Path) -> Path:
    """Return the folder that a file is in, or is going to be in; of a link, that of what it leads to."""
    return path.resolve().parent if path.is_symlink() else path.parent


def why_no_folder(folder: Path) -> str:
    """Return why no files can be written in a folder, which may have to be made; empty if they can."""
    nearest = folder
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if nearest.is_symlink() and not nearest.exists():
        return f"{shown(str(nearest))} is a link that leads nowhere"
    if not nearest.is_dir():
        return f"{shown(str(nearest))} is no folder"
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return f"nothing can be written in {shown(str(nearest))} ({error.strerror or error})"
