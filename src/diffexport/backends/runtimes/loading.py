"""Runtimes: what executes an ONNX model. One module per runtime; nothing outside touches onnxruntime.

Names, simplest first: ``ort-disabled``, ``ort-basic``, ``ort-extended``, ``ort-layout``, ``ort-all`` (ONNX
Runtime on the CPU at each graph optimisation level) and ``reference`` (onnx's ReferenceEvaluator).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from diffexport.errors import UnknownNameError
from diffexport.values import RUNTIMES

__all__ = ["RUNTIMES", "LoadError", "RunError", "Session", "available", "family", "load", "select"]


class Session(Protocol):
    """A loaded model."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Return every output, as numpy arrays, for named input arrays.

        Raises:
            RunError: the runtime raised.
        """


class LoadError(Exception):
    """The runtime refused to load the model; the text is its own."""


class RunError(Exception):
    """The runtime raised while running the model; the text is its own."""


def available() -> tuple[str, ...]:
    """Return the runtimes that the installed versions offer."""
    from diffexport.backends.runtimes import onnxruntime_cpu

    return tuple(name for name in RUNTIMES if name == "reference" or onnxruntime_cpu.offers(name))


def load(runtime: str, model: bytes, files: Sequence[tuple[str, bytes]] = ()) -> Session:
    """Load a serialised model.

    Args:
        runtime: one of [RUNTIMES][].
        model: the ``ModelProto``.
        files: names and contents of the model's own file and of those beside it; if there are any, they are loaded.

    Raises:
        LoadError: the runtime refuses it.
        UnknownNameError: there is no such runtime.
    """
    if not files:
        return _load(runtime, model)
    with tempfile.TemporaryDirectory(prefix="diffexport-") as folder:
        for name, data in files:
            Path(folder, name).write_bytes(data)
        return _load(runtime, str(Path(folder, files[0][0])))


def _load(runtime: str, model: bytes | str) -> Session:
    if runtime == "reference":
        from diffexport.backends.runtimes import reference

        return reference.load(model)
    from diffexport.backends.runtimes import onnxruntime_cpu

    if not onnxruntime_cpu.offers(runtime):
        raise UnknownNameError("runtime", runtime, available())
    return onnxruntime_cpu.load(runtime, model)


def family(runtime: str) -> str:
    """Return ``ort`` or ``reference``: runtimes of one family share their kernels."""
    return runtime.partition("-")[0]


def select(names: Iterable[str]) -> tuple[str, ...]:
    """Return the runtimes that ``names`` stand for: names, ``all``, or ``ort`` for the whole family.

    Raises:
        UnknownNameError: there is no such runtime.
    """
    chosen: dict[str, None] = {}
    for name in names:
        offered = available()
        if name == "all":
            chosen.update(dict.fromkeys(offered))
        elif name == "ort":
            chosen.update(dict.fromkeys(n for n in offered if family(n) == "ort"))
        elif name in offered:
            chosen[name] = None
        else:
            raise UnknownNameError("runtime", name, ("all", "ort", *offered))
    return tuple(name for name in RUNTIMES if name in chosen)
