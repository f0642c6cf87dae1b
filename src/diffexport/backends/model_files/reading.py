"""Read an ONNX file, with its external data if it has any, and refuse what is no valid model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from diffexport.backends.model_files.origin import modes_of
from diffexport.errors import UsageError
from diffexport.values import Mode

#: What protobuf can hold in one message; models beyond keep their weights outside.
LIMIT = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Artefact:
    """A model as it is given: its bytes, and what they are compared with and how.

    Attributes:
        model: the serialised ``ModelProto``, external data included.
        mode: how it was probably exported; known divergences are stated over modes.
        others: how else it may have been exported, where nothing in it tells.
        inputs: the graph inputs that the tensors among the arguments go to, in the order of these.
        outputs: for each output of the eager model, which output of the graph it is compared with.
        evaluate: run the eager model in evaluation mode, whatever mode it is built in.
        path: the file, as it was named; empty for one that never was a file.
    """

    model: bytes
    mode: Mode
    inputs: tuple[str, ...]
    outputs: tuple[int, ...]
    evaluate: bool = True
    path: str = ""
    others: tuple[Mode, ...] = ()


def read_model(path: Path, *, mode: Mode | None = None) -> Artefact:
    """Read a file; inputs and outputs are mapped by position.

    Raises:
        UsageError: there is no such file, it is not an ONNX model, its external data are missing, or onnx.checker
            rejects it.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file" if not path.exists() else f"{path}: is not a file")
    proto = _parsed(path)
    try:
        # What shape inference says of its types is judged in the pipeline: a wrong type is a finding.
        onnx.checker.check_model(proto)
    except Exception as error:  # noqa: BLE001 - the checker raises its own and protobuf's errors
        raise UsageError(f"{path}: onnx.checker rejects the model: {_head(error)}") from None
    initializers = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(value.name for value in proto.graph.input if value.name not in initializers)
    try:
        data = proto.SerializeToString()
    except Exception:  # noqa: BLE001 - protobuf's own errors, which differ from one implementation to the next
        data = b""
    if not data or len(data) > LIMIT:
        raise UsageError(
            f"{path}: with its external data the model is larger than the 2 GiB that can be held"
        )
    guess, *others = (mode,) if mode else modes_of(proto)
    outputs = tuple(range(len(proto.graph.output)))
    return Artefact(data, guess, inputs, outputs, path=str(path), others=tuple(others))


def _parsed(path: Path) -> Any:
    try:
        proto = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception:  # noqa: BLE001 - protobuf's own errors
        raise UsageError(f"{path}: not an ONNX model (it does not parse as one)") from None
    if not proto.ir_version or not proto.HasField("graph"):
        # Protobuf parses an empty file, and many others, without complaint.
        raise UsageError(f"{path}: not an ONNX model (it has no graph)")
    if not proto.graph.output:
        raise UsageError(f"{path}: the model has no output, so there is nothing to compare")
    try:
        onnx.load_external_data_for_model(proto, str(path.parent))
    except Exception as error:  # noqa: BLE001 - missing files, and what onnx thinks of their places
        raise UsageError(f"{path}: its external data cannot be read: {_head(error)}") from None
    return proto


def _head(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:3])[:300]
