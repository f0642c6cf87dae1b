"""Which files are stored regressions; nothing of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: How the names of stored regressions end.
SUFFIX = ".diffexport.json"


def files(paths: Sequence[Path]) -> list[Path]:
    """Return the regression files among ``paths``, folders searched through, sorted by name.

    A file that is named is returned as it is; whether it exists is for whoever reads it.
    """
    regressions: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            regressions.update(dict.fromkeys(sorted(path.rglob(f"*{SUFFIX}"))))
        else:
            regressions[path] = None
    return list(regressions)
