"""ONNX Runtime on the CPU, at each graph optimisation level."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime

from diffexport.arrays import BFLOAT16
from diffexport.backends.runtimes.loading import LoadError, RunError
from diffexport.backends.runtimes.outputs import flat

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
        values = (*session.get_inputs(), *session.get_outputs())
        self._bfloat16 = any(value.type == "tensor(bfloat16)" for value in values)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        try:
            if self._bfloat16:
                values = {name: _ort_value(array) for name, array in feeds.items()}
                return [_array(value) for value in self._session.run_with_ort_values(None, values)]
            return flat(self._session.run(self.outputs, feeds))
        except Exception as error:
            raise RunError(str(error)) from error


# In arrays, ONNX Runtime takes no bfloat16 ("Numpy_type 256 can't be converted to MLDataType") and returns none
# ("No corresponding Numpy type for Tensor Type"); in values of its own it does both. Seen on 1.24.4 and 1.31.1.


def _ort_value(array: Any) -> Any:
    """Return an array as a value of ONNX Runtime's own."""
    plain = np.ascontiguousarray(array).reshape(np.shape(array))
    if plain.dtype != BFLOAT16:
        return onnxruntime.OrtValue.ortvalue_from_numpy(plain)
    number = onnx.TensorProto.BFLOAT16
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(plain.view(np.uint16), number)


def _array(value: Any) -> Any:
    """Return a copy of what is in a value of ONNX Runtime's own."""
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    shape = value.shape()
    data = ctypes.string_at(value.data_ptr(), math.prod(shape) * BFLOAT16.itemsize)
    return np.frombuffer(data, np.uint16).view(BFLOAT16).reshape(shape)


def load(name: str, model: bytes | str) -> _Session:
    """Load a model, serialised or from the path of its file; one thread, since the tensors are small.

    Raises:
        LoadError: ONNX Runtime refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[name])
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # What fails is raised; printed as well, it would stand between the lines of a report.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LoadError(str(error)) from error
    return _Session(session)
