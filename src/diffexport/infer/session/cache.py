"""What was inferred before, as JSON in ``.diffexport/inferred/``; what cannot be read is as if it were not there.

The key is a digest of the target, of the source files around it (path, size, time of change) and of the versions of all
that matters, so that an entry is never wrong for having been forgotten.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from diffexport import atomic
from diffexport.infer.session.inference import Inference
from diffexport.values import place_of
from diffexport.versions import installed

#: Raised whenever inference finds other things than before.
VERSION = 2
_FOLDER = Path(".diffexport") / "inferred"


def key(target: str, asked: Sequence[str], folder: Path | None = None) -> Path | None:
    """Return the file in which the inference of a target is kept; None where its source is not found.

    Args:
        target: the target.
        asked: whatever else the result depends on.
        folder: where it is looked for, and the entry kept.
    """
    base = folder or Path.cwd()
    files = list(source_files(target, base))
    if not files:
        return None
    digest = hashlib.sha256(json.dumps([VERSION, target, *asked, sorted(installed().items())]).encode())
    for file in files:
        with suppress(OSError):
            status = file.stat()
            digest.update(f"{file}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    return base / _FOLDER / f"{digest.hexdigest()[:32]}.json"


def source_files(target: str, base: Path) -> Iterator[Path]:
    """Yield the source files around a target: its own, or those of its package; none where they are not found."""
    place = place_of(target)
    if place.endswith(".py"):
        file = base / place
        if file.is_file():
            yield file.resolve()
        return
    top = place.partition(".")[0]
    for entry in (str(base), *sys.path):
        package, module = Path(entry or base) / top, Path(entry or base) / f"{top}.py"
        if package.is_dir() and any(package.glob("*.py")):
            yield from sorted(package.rglob("*.py"))
            return
        if module.is_file():
            yield module
            return


def load(file: Path | None) -> Inference | None:
    """Return the inference that a file holds; None where there is none, or it is damaged."""
    if file is None:
        return None
    try:
        return Inference.from_document(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def store(file: Path | None, inference: Inference) -> None:
    """Keep an inference; a folder that cannot be written is no reason to fail."""
    if file is None:
        return
    with suppress(OSError):
        ignore = file.parent.parent / ".gitignore"
        if not ignore.exists():
            atomic.write_text(ignore, "*\n")
        atomic.write_text(file, json.dumps(inference.document(), indent=2) + "\n")
