"""Where regressions are kept: one folder, one file for each failure, always under the same name."""

from __future__ import annotations

from pathlib import Path

from diffexport import atomic
from diffexport.errors import RegressionFileError
from diffexport.findings.regressions.format import SUFFIX, Regression, dumps, load


def path_for(regression: Regression, folder: Path) -> Path:
    """Return where a regression belongs: its name is made from its identity alone."""
    return folder / f"{regression.identity.slug}{SUFFIX}"


def save(regression: Regression, folder: Path) -> tuple[Path, bool]:
    """Write a regression atomically; return its path and whether it was written.

    A failure that is stored already keeps its file, unless this one is smaller or the file is unreadable.

    Raises:
        OSError: the folder cannot be written.
    """
    path = path_for(regression, folder)
    if path.exists():
        try:
            if load(path).size <= regression.size:
                return path, False
        except RegressionFileError:
            pass
    text, side = dumps(regression, path.name.removesuffix(SUFFIX))
    for name, data in side.items():
        atomic.write_bytes(folder / name, data)
    atomic.write_text(path, text)
    return path, True


def remove_same(regression: Regression, folder: Path) -> None:
    """Remove the file that holds just this regression; one that holds anything else stays.

    Raises:
        OSError: there is none, or it cannot be removed.
    """
    path = path_for(regression, folder)
    text, side = dumps(regression, path.name.removesuffix(SUFFIX))
    if path.read_text(encoding="utf-8") == text:
        path.unlink()
        for name in side:
            (folder / name).unlink(missing_ok=True)


def files(paths: list[Path]) -> list[Path]:
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
