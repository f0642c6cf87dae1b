"""ONNX Runtime on the CPU, at each graph optimisation level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from diffexport.runtimes import LoadError, RunError

_LEVELS = {
    "ort-disabled": "ORT_DISABLE_ALL",
    "ort-basic": "ORT_ENABLE_BASIC",
    "ort-extended": "ORT_ENABLE_EXTENDED",
    "ort-layout": "ORT_ENABLE_LAYOUT",
    "ort-all": "ORT_ENABLE_ALL",
}


def offers(name: str) -> bool:
    """Return whether the installed ONNX Runtime has the level (``ort-layout`` came with 1.22)."""
    return name in _LEVELS and hasattr(onnxruntime.GraphOptimizationLevel, _LEVELS[name])


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = tuple(value.name for value in session.get_inputs())
        self.outputs = tuple(value.name for value in session.get_outputs())

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        try:
            # numpy collapses 0-d results into scalars in places; the comparison wants arrays.
            return [np.asarray(value) for value in self._session.run(self.outputs, feeds)]
        except Exception as error:
            raise RunError(str(error)) from error


def load(name: str, model: bytes) -> _Session:
    """Load a model; one thread, since the tensors are small.

    Raises:
        LoadError: ONNX Runtime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[name])
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LoadError(str(error)) from error
    return _Session(session)
