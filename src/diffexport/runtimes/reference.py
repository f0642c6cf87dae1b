"""onnx's ReferenceEvaluator: slow, plain numpy, and what the standard's own tests run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from diffexport.runtimes import LoadError, RunError


class _Session:
    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator
        self.inputs = tuple(evaluator.input_names)
        self.outputs = tuple(evaluator.output_names)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        try:
            with np.errstate(all="ignore"):
                return [np.asarray(value) for value in self._evaluator.run(None, dict(feeds))]
        except Exception as error:
            raise RunError(f"{type(error).__name__}: {error}") from error


def load(model: bytes) -> _Session:
    """Load a model.

    Raises:
        LoadError: an operator is unknown to the evaluator, or the model is malformed.
    """
    import onnx

    try:
        return _Session(ReferenceEvaluator(onnx.load_model_from_string(model)))
    except Exception as error:
        raise LoadError(f"{type(error).__name__}: {error}") from error
