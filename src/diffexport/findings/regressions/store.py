"""Where regressions are kept: one folder, one file for each failure, always under the same name.

A regression is there as a whole or not at all, whenever a process is killed and however many write. Side files are
called by their content and are never changed; the regression file is written last, and refers to those of one writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from diffexport import atomic
from diffexport.errors import RegressionFileError
from diffexport.findings.regressions.folder_lock import locked
from diffexport.findings.regressions.format import Regression, dumps, load
from diffexport.findings.regressions.listing import SUFFIX
from diffexport.findings.regressions.sweeping import sweep

#: How often a regression is written whose side files somebody else removes, which takes that there are no locks.
_ATTEMPTS = 5


def path_for(regression: Regression, folder: Path) -> Path:
    """Return where a regression belongs: its name is made from its identity alone."""
    return folder / f"{regression.identity.slug}{SUFFIX}"


def save(regression: Regression, folder: Path) -> tuple[Path, bool]:
    """Write a regression, whole or not at all; return its path and whether it was written.

    A failure that is stored already keeps its file, unless this one is smaller, or as small and has faces that are
    not named there, or the file is unreadable. Side files
    that no regression in the folder refers to any more are removed.

    Raises:
        OSError: the folder cannot be written.
        RegressionFileError: an argument cannot be stored, or something that is no file is in the way.
    """
    path = path_for(regression, folder)
    text, side = dumps(regression, path.name.removesuffix(SUFFIX))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RegressionFileError(
            f"a text with half of a surrogate pair, {error.object[error.start]!a}, cannot be in a regression file"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as alone:
        if path.exists():
            if not path.is_file():
                raise RegressionFileError(f"{path} is in the way: it is no file")
            try:
                stored = load(path)
                same = stored.size == regression.size
                if stored.size <= regression.size and not (
                    same and set(regression.faces) - set(stored.faces)
                ):
                    return path, False
            except RegressionFileError:
                pass
        for _ in range(_ATTEMPTS):
            if _written(path, text, side):
                break
        else:
            raise OSError(f"{path}: its side files are removed as fast as they are written")
        sweep(folder, locked=alone)
    return path, True


def _written(path: Path, text: str, side: Mapping[str, bytes]) -> bool:
    """Write a regression file behind its side files; return whether all of them are there."""
    try:
        for name, data in side.items():
            atomic.write_bytes(path.with_name(name), data)
        atomic.write_text(path, text)
    except FileNotFoundError:
        # Somebody who has a lock took what this process was writing without one for abandoned.
        if not path.parent.is_dir():
            raise
        return False
    return all(path.with_name(name).is_file() for name in side)


def remove_same(regression: Regression, folder: Path) -> None:
    """Remove the file that holds just this regression; one that holds anything else stays.

    Raises:
        OSError: there is none, or it cannot be removed.
    """
    path = path_for(regression, folder)
    text, _ = dumps(regression, path.name.removesuffix(SUFFIX))
    with locked(folder) as alone:
        if path.read_text(encoding="utf-8") == text:
            path.unlink()
            sweep(folder, locked=alone)
