"""OpenVINO on the CPU, through its own ONNX frontend: an implementation that shares nothing with the others."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from diffexport.arrays import BFLOAT16
from diffexport.backends.runtimes.runtime_protocol import LoadError, RunError, Runtime, RuntimeScript

#: Exactness before speed, and no thread of its own: with no stream at all a model runs in the thread that calls it.
#: With one stream, every compiled model keeps two threads.
_PROPERTIES: dict[str, Any] = {
    "INFERENCE_PRECISION_HINT": "f32",  # by default bfloat16 or float16 where the processor has them
    "EXECUTION_MODE_HINT": "ACCURACY",
    "CPU_DENORMALS_OPTIMIZATION": False,  # would let the calling thread flush subnormal numbers, eager too
    "NUM_STREAMS": "0",
    "INFERENCE_NUM_THREADS": 1,
    "ENABLE_CPU_PINNING": False,
}
#: Lines of OpenVINO's messages that say where in its source, or what to read, and nothing of the model.
_LOCATION = re.compile(
    r"Exception from \S+:\d+:$|Check '.*' failed at \S+:\d+:$|FrontEnd API failed with \w+:$"
    r"|Model wasn't fully converted\.|Summary:$|To facilitate the conversion of unsupported operations"
)


@functools.cache
def _openvino() -> Any:
    """Import OpenVINO, without its telemetry.

    ``import openvino`` sends an event to an analytics service, unless ``openvino_telemetry`` cannot be imported or the
    user has opted out. What is None in ``sys.modules`` cannot be imported.
    """
    name = "openvino_telemetry"
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if absent:
            del sys.modules[name]
    return openvino


@functools.cache
def _core() -> Any:
    """Return what reads and compiles models; there is one for the process, without a cache folder."""
    return _openvino().Core()


def _said(error: Exception) -> str:
    """Return OpenVINO's text without the lines that name places in its source, unless there are no others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join([line for line in lines if not _LOCATION.match(line)] or lines)


class OpenVinoSession:
    """A model compiled by OpenVINO."""

    def __init__(self, compiled: Any, graph: onnx.GraphProto) -> None:
        weights = {tensor.name for tensor in graph.initializer}
        self.inputs = tuple(value.name for value in graph.input if value.name not in weights)
        self.outputs = tuple(value.name for value in graph.output)
        self._names = frozenset(self.inputs)
        # OpenVINO drops inputs that nothing depends on, and may give a value several names.
        self._ports = tuple(
            next(name for name in self.inputs if name in port.get_names()) for port in compiled.inputs
        )
        self._count = len(compiled.outputs)
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Return the outputs as arrays.

        Raises:
            RunError: OpenVINO raises, or the inputs are not those of the graph.
        """
        if feeds.keys() != self._names:
            unknown, missing = sorted(feeds.keys() - self._names), sorted(self._names - feeds.keys())
            raise RunError(f"inputs that the model has not: {unknown}, and that are not given: {missing}")
        try:
            for number, name in enumerate(self._ports):
                self._request.set_input_tensor(number, _tensor(feeds[name]))
            self._request.infer()
            return [_array(self._request.get_output_tensor(number)) for number in range(self._count)]
        except Exception as error:
            raise RunError(_said(error)) from error


def _tensor(array: Any) -> Any:
    """Return an array as a tensor of OpenVINO's own, which is never converted to what the model wants."""
    ov = _openvino()
    array = np.asarray(array)
    if array.dtype != BFLOAT16:
        return ov.Tensor(array)
    # OpenVINO has numpy's float16 stand for bfloat16, and converts what is not of that type.
    tensor = ov.Tensor(ov.Type.bf16, ov.Shape(array.shape))
    tensor.data.view(np.uint16)[...] = array.view(np.uint16)
    return tensor


def _array(tensor: Any) -> Any:
    """Return a copy of what is in a tensor; the next run writes to the same memory."""
    data = np.array(tensor.data)
    if tensor.element_type == _openvino().Type.bf16:
        return data.view(BFLOAT16)
    return data


_SCRIPT = """\
class Loaded:
    def __init__(self, exported):
        properties = {{{properties}}}
        core = openvino.Core()
        self.compiled = core.compile_model(core.read_model(exported), "CPU", properties)
        graph = onnx.load_model_from_string(exported).graph
        weights = [tensor.name for tensor in graph.initializer]
        self.names = [value.name for value in graph.input if value.name not in weights]

    def run(self, feeds):
        request = self.compiled.create_infer_request()
        for number, port in enumerate(self.compiled.inputs):
            name = next(name for name in self.names if name in port.get_names())
            request.set_input_tensor(number, openvino.Tensor(feeds[name]))
        request.infer()
        count = len(self.compiled.outputs)
        return [np.array(request.get_output_tensor(number).data) for number in range(count)]


def load(exported):
    return Loaded(exported)"""


class OpenVinoRuntime(Runtime):
    """OpenVINO on the CPU, as exact as it can be told to be."""

    name = family = "openvino"
    title = "OpenVINO"
    order = 30
    cost = 5e-5
    script = RuntimeScript(
        load=_SCRIPT.format(
            properties=", ".join(f'"{key}": {value!r}' for key, value in _PROPERTIES.items())
        ),
        input_names="session.names",
        run="session.run(feeds)",
        imports=("import openvino",),
    )

    def unavailable(self) -> str:
        """Return why it cannot be used; empty if it is installed. It is not imported for that, which takes a second."""
        if importlib.util.find_spec("openvino") is not None:
            return ""
        return "the package openvino is not installed; it comes with diffexport[openvino]"

    def load(self, model: bytes | str) -> OpenVinoSession:
        """Load a model, serialised or from the path of its file.

        Raises:
            LoadError: OpenVINO refuses the model, or cannot compile it.
        """
        try:
            if isinstance(model, str):
                proto = onnx.load(model, load_external_data=False)
            else:
                proto = onnx.load_model_from_string(model)
            compiled = _core().compile_model(_core().read_model(model), "CPU", _PROPERTIES)
            return OpenVinoSession(compiled, proto.graph)
        except Exception as error:
            raise LoadError(_said(error)) from error


OPENVINO = OpenVinoRuntime()
