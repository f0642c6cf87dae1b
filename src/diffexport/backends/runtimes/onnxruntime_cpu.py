"""ONNX Runtime on the CPU, at each graph optimisation level."""

from __future__ import annotations

from dataclasses import dataclass

import onnxruntime

from diffexport.backends.runtimes.onnxruntime_session import OrtSession, load_session, session_script
from diffexport.backends.runtimes.runtime_protocol import Runtime, RuntimeScript


@dataclass(frozen=True)
class OrtLevel(Runtime):
    """ONNX Runtime on the CPU at one level.

    Attributes:
        level: name of the ``GraphOptimizationLevel``.
    """

    name: str
    level: str
    order: int
    is_plain: bool = False
    title: str = "ONNX Runtime"
    family: str = "ort"
    is_reference: bool = False
    cost: float = 1e-5

    @property
    def script(self) -> RuntimeScript:  # type: ignore[override]
        """How a script uses it."""
        return session_script(self.level)

    def unavailable(self) -> str:
        """Return why the installed ONNX Runtime has not got the level; empty if it has."""
        if hasattr(onnxruntime.GraphOptimizationLevel, self.level):
            return ""
        return f"onnxruntime {onnxruntime.__version__} has no {self.level}, which came with 1.22"

    def load(self, model: bytes | str) -> OrtSession:
        """Load a model, see [Runtime][diffexport.backends.runtimes.Runtime]."""
        return load_session(model, self.level)


DISABLED = OrtLevel("ort-disabled", "ORT_DISABLE_ALL", 0, is_plain=True)
BASIC = OrtLevel("ort-basic", "ORT_ENABLE_BASIC", 1)
EXTENDED = OrtLevel("ort-extended", "ORT_ENABLE_EXTENDED", 2)
LAYOUT = OrtLevel("ort-layout", "ORT_ENABLE_LAYOUT", 3)
ALL = OrtLevel("ort-all", "ORT_ENABLE_ALL", 4)
