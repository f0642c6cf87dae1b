"""Runtimes of other packages: what they return is checked, and whatever they raise is taken for their refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diffexport.backends.runtimes.runtime_protocol import LoadError, RunError, Runtime, Session
from diffexport.errors import DiffexportError, error_text
from diffexport.values import RUNTIME_REGISTRY, missing_parts, said


class GuardedRuntime:
    """A runtime of another package; the attributes are its own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def load(self, model: bytes | str) -> Session:
        """Load a model, see [Runtime.load][diffexport.backends.runtimes.Runtime.load].

        Raises:
            LoadError: the runtime raises, whatever it is.
            PlugInError: it returns no session.
        """
        try:
            session: Any = self._runtime.load(model)
        except (LoadError, DiffexportError):
            raise
        except Exception as error:
            raise LoadError(f"{type(error).__name__}: {error_text(error)}") from error
        problem = missing_parts(session, {"inputs": (tuple, list), "outputs": (tuple, list), "run": None})
        if problem:
            raise RUNTIME_REGISTRY.reject(
                self._runtime.name, f"load returns {type(session).__name__}, which is no session: {problem}"
            )
        return GuardedSession(self._runtime.name, session)


class GuardedSession:
    """A session of another package's runtime."""

    def __init__(self, runtime: str, session: Session) -> None:
        self._runtime, self._session = runtime, session
        self.inputs = tuple(session.inputs)
        self.outputs = tuple(session.outputs)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Return the outputs as arrays.

        Raises:
            RunError: the runtime raises, whatever it is.
            PlugInError: it returns no list of arrays.
        """
        try:
            outputs: Any = self._session.run(feeds)
        except (RunError, DiffexportError):
            raise
        except Exception as error:
            raise RunError(f"{type(error).__name__}: {error_text(error)}") from error
        if not isinstance(outputs, list | tuple) or not all(isinstance(one, np.ndarray) for one in outputs):
            kinds = (
                f" of {', '.join(type(one).__name__ for one in outputs)}"
                if isinstance(outputs, list | tuple)
                else ""
            )
            raise RUNTIME_REGISTRY.reject(
                self._runtime, f"run returns a {type(outputs).__name__}{kinds}, not a list of numpy arrays"
            )
        return list(outputs)


def check_added(runtime: Runtime) -> None:
    """See that a runtime of another package gives what it promises, on a model of one node.

    Raises:
        PlugInError: it returns something else. What it raises is taken for a refusal: it need not know the operator.
    """
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        reason: Any = runtime.unavailable()
    except Exception as error:  # noqa: BLE001 - it may raise anything
        raise RUNTIME_REGISTRY.reject(runtime.name, f"unavailable() raises {said(error)}") from None
    if not isinstance(reason, str):
        raise RUNTIME_REGISTRY.reject(runtime.name, f"unavailable() returns {reason!r}, not a text")
    if reason:
        return
    try:
        runtime.load(model.SerializeToString()).run({"x": np.zeros(2, np.float32)})
    except (LoadError, RunError):
        return
