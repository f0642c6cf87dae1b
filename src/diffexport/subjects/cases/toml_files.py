"""TOML files that people write, read so that whatever is in them gives an error that names the place."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from diffexport.errors import ConfigError, one_line

#: Most bytes of such a file.
MOST_BYTES = 4 << 20
#: A number longer than Python reads.
_LONG_NUMBER = re.compile(r"[0-9a-fA-F_]{4300}")
#: Brackets that are nested deeper than anybody needs.
_MANY_BRACKETS = re.compile(r"(?:[\[{][^\[{\]}]{0,80}){100}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return what is in a TOML file.

    Raises:
        ConfigError: it cannot be read, or is no TOML; the message names the file, and the line where there is one.
    """
    try:
        text = _text_of(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read as TOML, which is UTF-8: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    except (ValueError, RecursionError) as error:
        # Of Python itself, which says nothing of the place.
        is_number = isinstance(error, ValueError)
        problem = "a number of too many digits" if is_number else "values are nested too deeply"
        where = _line(text, _LONG_NUMBER if is_number else _MANY_BRACKETS)
        raise ConfigError(f"{path}: cannot be read as TOML: {problem}{where}") from None


def _text_of(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(f"{path}: is no regular file; put a TOML file there, or nothing")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than the {MOST_BYTES >> 20} MiB that a TOML file may have")
    return data.decode("utf-8")


def _line(text: str, pattern: re.Pattern[str]) -> str:
    """Return in words which line it is that a pattern matches; empty if none."""
    match = pattern.search(text)
    if match is None:
        return ""
    start = text.rfind("\n", 0, match.start()) + 1
    return f" (line {text.count(chr(10), 0, start) + 1}: {one_line(text[start : start + 80], 60)})"
