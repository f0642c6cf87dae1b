"""onnx's ReferenceEvaluator: slow, plain numpy, and what the standard's own tests run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from diffexport.backends.runtimes.loading import LoadError, RunError
from diffexport.backends.runtimes.outputs import flat


class _Session:
    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator
        self.inputs = tuple(evaluator.input_names)
        self.outputs = tuple(evaluator.output_names)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        try:
            with np.errstate(all="ignore"):
                return flat(self._evaluator.run(None, dict(feeds)))
        except Exception as error:
            raise RunError(f"{type(error).__name__}: {error}") from error


def load(model: bytes | str) -> _Session:
    """Load a model, serialised or from the path of its file.

    Raises:
        LoadError: an operator is unknown to the evaluator, or the model is malformed.
    """
    import onnx

    try:
        proto = onnx.load(model) if isinstance(model, str) else onnx.load_model_from_string(model)
        return _Session(ReferenceEvaluator(proto))
    except Exception as error:
        raise LoadError(f"{type(error).__name__}: {error}") from error
