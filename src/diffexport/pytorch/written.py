"""What an exporter has written: a model, and the files beside it where weights are external."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

#: File names and contents, the model's own first.
Files = tuple[tuple[str, bytes], ...]
_MODEL = "model.onnx"


@dataclass(frozen=True)
class Written:
    """A serialised model; ``files`` are those it was written to, where its data are external."""

    model: bytes
    files: Files = ()


def to_file(write: Callable[[Path], object], *, external: bool) -> Written:
    """Return what ``write`` writes to the path it is given and, where data may be external, beside it.

    Raises:
        Exception: whatever ``write`` raises; or what onnx does, if the data are not where the model says.
    """
    with tempfile.TemporaryDirectory(prefix="diffexport-") as folder:
        path = Path(folder, _MODEL)
        write(path)
        if not external:
            return Written(path.read_bytes())
        others = sorted(one for one in Path(folder).iterdir() if one.name != _MODEL)
        files = tuple((one.name, one.read_bytes()) for one in (path, *others))
        return Written(onnx.load(path).SerializeToString(), files)
