"""Sessions of ONNX Runtime, whichever provider executes them, and how a script makes one."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime

from diffexport.arrays import BFLOAT16
from diffexport.backends.runtimes.outputs import flat
from diffexport.backends.runtimes.runtime_protocol import LoadError, RunError, RuntimeScript

#: The provider that is always there.
CPU = "CPUExecutionProvider"


class OrtSession:
    """A model loaded by ONNX Runtime."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = tuple(value.name for value in session.get_inputs())
        self.outputs = tuple(value.name for value in session.get_outputs())
        values = (*session.get_inputs(), *session.get_outputs())
        self._bfloat16 = any(value.type == "tensor(bfloat16)" for value in values)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Return the outputs as arrays.

        Raises:
            RunError: ONNX Runtime raises.
        """
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


def load_session(model: bytes | str, level: str, provider: str = CPU) -> OrtSession:
    """Load a model, serialised or from the path of its file; one thread, since the tensors are small.

    Args:
        model: what to load.
        level: name of a ``GraphOptimizationLevel``.
        provider: what executes the nodes; those that it cannot execute go to the CPU.

    Raises:
        LoadError: ONNX Runtime refuses the model, or cannot start the provider and would leave it out in silence.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # What fails is raised; printed as well, it would stand between the lines of a report.
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=list(dict.fromkeys((provider, CPU))))
        used = session.get_providers()
        loaded = OrtSession(session)
    except Exception as error:
        raise LoadError(str(error)) from error
    if provider not in used:
        raise LoadError(f"ONNX Runtime cannot start {provider} and falls back to {', '.join(used)}")
    return loaded


def session_script(level: str, provider: str = CPU) -> RuntimeScript:
    """Return how a script loads and runs a model at a level on a provider."""
    providers = ", ".join(f'"{name}"' for name in dict.fromkeys((provider, CPU)))
    return RuntimeScript(
        load=_LOAD.format(level=level, providers=providers),
        input_names="[value.name for value in session.get_inputs()]",
        run="session.run(None, feeds)",
        run_bfloat16=_RUN_BFLOAT16,
    )


_LOAD = """\
def load(exported):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(exported, options, providers=[{providers}])"""
#: Runs ONNX Runtime where an array of bfloat16 goes in or comes out.
_RUN_BFLOAT16 = '''\
def run_in_values(session, feeds):
    """Run in ONNX Runtime's own values: it takes no arrays of bfloat16 and returns none."""
    values = {}
    for name, array in feeds.items():
        kept = np.ascontiguousarray(array).reshape(array.shape)
        if kept.dtype == ml_dtypes.bfloat16:
            bits, kind = kept.view(np.uint16), onnx.TensorProto.BFLOAT16
            values[name] = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, kind)
        else:
            values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(kept)
    got = []
    for value in session.run_with_ort_values(None, values):
        if value.data_type() == "tensor(bfloat16)":
            data = ctypes.string_at(value.data_ptr(), 2 * int(np.prod(value.shape())))
            got.append(np.frombuffer(data, np.uint16).view(ml_dtypes.bfloat16).reshape(value.shape()))
        else:
            got.append(value.numpy())
    return got'''
