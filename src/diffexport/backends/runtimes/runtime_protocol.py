"""What a runtime is, so that another package can add one: the protocol, its session, and the text for scripts.

A package adds a runtime by an entry point of the group ``diffexport.runtimes``, whose name is the runtime's::

    [project.entry-points."diffexport.runtimes"]
    numpy-plain = "my_package.numpy_plain:RUNTIME"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Session(Protocol):
    """A loaded model.

    Attributes:
        inputs: names of the graph inputs that ``run`` takes.
        outputs: names of the graph outputs, in the order in which ``run`` returns them.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Return every output, as numpy arrays, for named input arrays.

        Args:
            feeds: a numpy array for each name in ``inputs``, of the dtype and shape that the graph declares;
                bfloat16 is that of ``ml_dtypes``.

        Raises:
            RunError: the runtime raised.
        """


class LoadError(Exception):
    """The runtime refused to load the model; the text is its own."""


class RunError(Exception):
    """The runtime raised while running the model; the text is its own."""


@dataclass(frozen=True)
class RuntimeScript:
    """How a standalone script, which has no diffexport, loads and runs a model.

    Attributes:
        load: the definition of ``load(exported)``, which takes the serialised model and returns what the expressions
            below call ``session``. ``onnx``, ``onnx.reference``, ``onnxruntime``, ``np`` and modules of the standard
            library are imported where the text uses them.
        input_names: an expression for the names of the session's inputs.
        run: an expression for the outputs, given ``feeds``, a dict from name to array.
        run_bfloat16: the definition of ``run_in_values(session, feeds)`` in place of ``run``, for a runtime that takes
            no arrays of bfloat16; empty for others.
        imports: lines that import what the text uses besides.
    """

    load: str
    input_names: str
    run: str
    run_bfloat16: str = ""
    imports: tuple[str, ...] = ()


class Runtime(Protocol):
    """What executes an ONNX model. A class that inherits from this has the defaults below.

    Attributes:
        name: how it is asked for. In lower case, with hyphens.
        title: what people call it, as it stands in a sentence: ``ONNX Runtime``.
        family: runtimes of one family share their kernels: what fails in the same way on several of them is one
            failure, of the first in ``order``. By convention the name of one of them or what their names begin with.
        order: simplest first. ONNX Runtime's levels have 0 to 4, the reference evaluator 5.
        is_plain: it runs the graph as it is, without optimising it.
        is_reference: what it computes is what the standard says; blame is decided by it.
        cost: seconds for one run of a small graph, roughly.
        script: how a standalone script uses it; None where ``diffexport show`` cannot have one.
    """

    name: str
    title: str
    family: str
    order: int = 100
    is_plain: bool = False
    is_reference: bool = False
    cost: float = 1e-4
    script: RuntimeScript | None = None

    def unavailable(self) -> str:
        """Return why it cannot be used as things are installed; empty if it can."""
        return ""

    def load(self, model: bytes | str) -> Session:
        """Load a model.

        Args:
            model: the serialised ``ModelProto``, or the path of its file, which has external data beside it.

        Raises:
            LoadError: the runtime refuses the model.
        """
        ...
