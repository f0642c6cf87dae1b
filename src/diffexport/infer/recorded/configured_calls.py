"""Which file of recorded calls counts: the one that is given, or the configured one."""

from __future__ import annotations

from pathlib import Path

from diffexport import config as configuration
from diffexport.infer.recorded.recorded_file import NOTHING_RECORDED, Recorded, load


def configured_file() -> Path | None:
    """Return the file of recorded calls that is configured, if one is.

    Raises:
        ConfigError: the configuration is wrong.
    """
    loaded = configuration.load()
    if loaded.recorded is None:
        return None
    base = loaded.file.parent if loaded.file is not None else Path.cwd()
    return base / loaded.recorded


def recorded_calls(file: Path | None = None) -> Recorded:
    """Return the calls in a file: the one that is given, or the configured one; nothing where there is neither.

    Raises:
        UsageError: it cannot be read.
    """
    path = file or configured_file()
    return NOTHING_RECORDED if path is None else load(path)
