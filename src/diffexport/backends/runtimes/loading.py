"""Loading a model into a runtime, with the files beside it where it has any."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from diffexport.backends.runtimes.runtime_protocol import Session
from diffexport.backends.runtimes.runtime_registry import runtime_of
from diffexport.errors import UnavailableRuntimeError
from diffexport.pytorch import path_of


def load(runtime: str, model: bytes, files: Sequence[tuple[str, bytes]] = ()) -> Session:
    """Load a serialised model.

    Args:
        runtime: the name of one, see [select][].
        model: the ``ModelProto``.
        files: names and contents of the model's own file and of those beside it; if there are any, they are loaded.

    Raises:
        LoadError: the runtime refuses it.
        UnknownNameError: there is no such runtime.
        UnavailableRuntimeError: it is not available as things are installed.
    """
    loader = runtime_of(runtime)
    reason = loader.unavailable()
    if reason:
        raise UnavailableRuntimeError(runtime, reason)
    path = path_of(model)
    if path is not None:
        return loader.load(str(path))
    if not files:
        return loader.load(model)
    with tempfile.TemporaryDirectory(prefix="diffexport-") as folder:
        for name, data in files:
            Path(folder, name).write_bytes(data)
        return loader.load(str(Path(folder, files[0][0])))
