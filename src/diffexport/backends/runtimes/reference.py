"""onnx's ReferenceEvaluator: slow, plain numpy, and what the standard's own tests run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from diffexport.backends.runtimes.outputs import flat
from diffexport.backends.runtimes.runtime_protocol import LoadError, RunError, Runtime, RuntimeScript
from diffexport.errors import error_text


class ReferenceSession:
    """A model loaded by the evaluator."""

    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator
        self.inputs = tuple(evaluator.input_names)
        self.outputs = tuple(evaluator.output_names)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Return the outputs as arrays.

        Raises:
            RunError: the evaluator raises.
        """
        try:
            with np.errstate(all="ignore"):
                return flat(self._evaluator.run(None, dict(feeds)))
        except Exception as error:
            raise RunError(f"{type(error).__name__}: {error_text(error)}") from error


class ReferenceRuntime(Runtime):
    """The evaluator: it computes what the standard says, node by node."""

    name = family = "reference"
    title = "the reference evaluator"
    order = 5
    is_plain = is_reference = True
    cost = 1e-3
    script = RuntimeScript(
        load=(
            "def load(exported):\n"
            "    return onnx.reference.ReferenceEvaluator(onnx.load_model_from_string(exported))"
        ),
        input_names="session.input_names",
        run="session.run(None, feeds)",
    )

    def load(self, model: bytes | str) -> ReferenceSession:
        """Load a model, serialised or from the path of its file.

        Raises:
            LoadError: an operator is unknown to the evaluator, or the model is malformed.
        """
        import onnx

        try:
            proto = onnx.load(model) if isinstance(model, str) else onnx.load_model_from_string(model)
            return ReferenceSession(ReferenceEvaluator(proto))
        except Exception as error:
            raise LoadError(f"{type(error).__name__}: {error_text(error)}") from error


REFERENCE = ReferenceRuntime()
