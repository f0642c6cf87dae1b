"""ONNX Runtime's execution providers other than its own for the CPU, each a family: its kernels are others.

The PyPI package ``onnxruntime`` has none of them; a provider is there where a build of ONNX Runtime has it. Nodes that
a provider does not take are run on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnxruntime

from diffexport.backends.runtimes.onnxruntime_session import OrtSession, load_session, session_script
from diffexport.backends.runtimes.runtime_protocol import Runtime, RuntimeScript

#: What a user of a provider gets by default.
_LEVEL = "ORT_ENABLE_ALL"


@dataclass(frozen=True)
class OrtProvider(Runtime):
    """ONNX Runtime with one execution provider.

    Attributes:
        provider: its name in ``onnxruntime.get_available_providers()``.
        has_it: which builds have it, for a person who lacks it.
    """

    name: str
    provider: str
    has_it: str
    title: str
    order: int
    is_plain: bool = False
    is_reference: bool = False
    cost: float = 1e-4

    @property
    def family(self) -> str:  # type: ignore[override]
        """A family of its own."""
        return self.name

    @property
    def script(self) -> RuntimeScript:  # type: ignore[override]
        """How a script uses it."""
        return session_script(_LEVEL, self.provider)

    def unavailable(self) -> str:
        """Return why the installed ONNX Runtime cannot use the provider; empty if it can."""
        offered = onnxruntime.get_available_providers()
        if self.provider in offered:
            return ""
        return f"onnxruntime {onnxruntime.__version__} has no {self.provider}, only {', '.join(offered)}; {self.has_it}"

    def load(self, model: bytes | str) -> OrtSession:
        """Load a model, see [Runtime][diffexport.backends.runtimes.Runtime]."""
        return load_session(model, _LEVEL, self.provider)


CUDA = OrtProvider(
    "ort-cuda",
    "CUDAExecutionProvider",
    "the package onnxruntime-gpu has it",
    "ONNX Runtime on CUDA",
    order=20,
)
OPENVINO = OrtProvider(
    "ort-openvino",
    "OpenVINOExecutionProvider",
    "the package onnxruntime-openvino has it",
    "ONNX Runtime on OpenVINO",
    order=21,
)
XNNPACK = OrtProvider(
    "ort-xnnpack",
    "XnnpackExecutionProvider",
    "it has to be built with --use_xnnpack",
    "ONNX Runtime on XNNPACK",
    order=22,
)
