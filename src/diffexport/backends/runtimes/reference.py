"""onnx's ReferenceEvaluator: slow, plain numpy, and what the standard's own tests run on.

numpy adds halves up in half precision, which neither PyTorch nor any runtime does that models are deployed on, and
which LayerNormalization's ``stash_type`` forbids. So operators that add up many terms get float16 and bfloat16 as
float32 here, and their results are rounded once (onnx 1.23: ``rt_nodes_``, each with ``op_type`` and ``run``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from diffexport.arrays import BFLOAT16
from diffexport.backends.runtimes.outputs import flat
from diffexport.backends.runtimes.runtime_protocol import LoadError, RunError, Runtime, RuntimeScript
from diffexport.errors import error_text

#: Operators that add up terms, whole rows of them or windows.
_ADDING = frozenset(
    (
        *(
            "Attention",
            "AveragePool",
            "BatchNormalization",
            "Conv",
            "ConvTranspose",
            "CumSum",
            "Einsum",
            "Gemm",
            "GRU",
        ),
        *(
            "GlobalAveragePool",
            "GlobalLpPool",
            "GroupNormalization",
            "InstanceNormalization",
            "LayerNormalization",
        ),
        *(
            "LogSoftmax",
            "LpNormalization",
            "LpPool",
            "LRN",
            "LSTM",
            "MatMul",
            "MeanVarianceNormalization",
            "ReduceL1",
        ),
        *(
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMean",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        ),
        *("RMSNormalization", "RNN", "Softmax"),
    )
)
_HALVES = (np.dtype(np.float16), BFLOAT16)


def _add_up_in_float32(evaluator: Any) -> None:
    """Let operators that add up terms do so in float32 where they are given halves; in functions and bodies, too."""
    waiting, seen = [evaluator], {id(evaluator)}
    while waiting:
        for node in waiting.pop().rt_nodes_:
            # Nodes of functions that depend on their context (Gelu) hold the evaluator that they are part of.
            for held in list(vars(node).values()):
                if isinstance(held, ReferenceEvaluator) and id(held) not in seen:
                    seen.add(id(held))
                    waiting.append(held)
            if getattr(node, "op_type", "") in _ADDING:
                node.run = functools.partial(_rounded_once, node.run)


def _rounded_once(run: Callable[..., Any], *given: Any, **attributes: Any) -> Any:
    half = next((value.dtype for value in given if getattr(value, "dtype", None) in _HALVES), None)
    if half is None:
        return run(*given, **attributes)
    wide = [
        value.astype(np.float32) if getattr(value, "dtype", None) in _HALVES else value for value in given
    ]
    results = run(*wide, **attributes)
    return tuple(
        value.astype(half) if getattr(value, "dtype", None) == np.float32 else value for value in results
    )


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
            evaluator = ReferenceEvaluator(proto)
            _add_up_in_float32(evaluator)
            return ReferenceSession(evaluator)
        except Exception as error:
            raise LoadError(f"{type(error).__name__}: {error_text(error)}") from error


REFERENCE = ReferenceRuntime()
