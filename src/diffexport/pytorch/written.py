"""What an exporter has written: a model, and the files beside it where weights are external."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

#: File names and contents, the model's own first.
Files = tuple[tuple[str, bytes], ...]
_MODEL = "model.onnx"
#: Bytes of weights from which on a model does not fit into one protobuf, which may have 2 GiB with all that is in it.
LARGE_FROM = (1 << 31) - (1 << 26)
_PIECE = 1 << 24


@dataclass(frozen=True)
class Written:
    """A serialised model; ``files`` are those it was written to, where its data are external."""

    model: bytes
    files: Files = ()


class StoredModel(bytes):
    """A serialised model whose data are too large for it: they lie in files beside its own, which is there as well.

    The folder is removed when nobody holds the model any more.

    Attributes:
        path: its file.
        digest: of everything in the folder.
        size: bytes of everything in it.
    """

    path: Path
    digest: bytes
    size: int
    _folder: _Folder

    @classmethod
    def of(cls, folder: _Folder) -> StoredModel:
        """Return the model in a folder, without reading its data into memory."""
        path = Path(folder.path, _MODEL)
        proto = onnx.load(path, load_external_data=False)
        stored = cls(proto.SerializeToString())
        stored.path, stored._folder = path, folder
        stored.digest = _digest(Path(folder.path))
        stored.size = sum(file.stat().st_size for file in Path(folder.path).iterdir())
        return stored


class _Folder:
    """A temporary folder that is removed when it is let go."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="diffexport-")
        self._end = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def path_of(model: bytes) -> Path | None:
    """Return the file of a model whose data are in files; None where all of it is in memory."""
    return model.path if isinstance(model, StoredModel) else None


def is_large(module: Any) -> bool:
    """Return whether a module has weights that do not fit into one protobuf."""
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return bool(sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) >= LARGE_FROM)


def to_file(write: Callable[[Path], object], *, external: bool, large: bool = False) -> Written:
    """Return what ``write`` writes to the path it is given and, where data may be external, beside it.

    Args:
        write: writes the model, and its data if they are external.
        external: the data are to be external, and are given as they were written.
        large: the data may be too much for memory twice: they stay in the files that they were written to.

    Raises:
        Exception: whatever ``write`` raises; or what onnx does, if the data are not where the model says.
    """
    if large:
        folder = _Folder()
        write(Path(folder.path, _MODEL))
        return Written(StoredModel.of(folder))
    with tempfile.TemporaryDirectory(prefix="diffexport-") as temporary:
        path = Path(temporary, _MODEL)
        write(path)
        if not external:
            return Written(path.read_bytes())
        others = sorted(one for one in Path(temporary).iterdir() if one.name != _MODEL)
        files = tuple((one.name, one.read_bytes()) for one in (path, *others))
        return Written(onnx.load(path).SerializeToString(), files)


def _digest(folder: Path) -> bytes:
    state = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        state.update(f"{file.name}|{file.stat().st_size}|".encode())
        with file.open("rb") as data:
            while piece := data.read(_PIECE):
                state.update(piece)
    return state.digest()
