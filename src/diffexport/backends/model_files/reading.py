"""Read an ONNX file, with its external data if it has any, and refuse what is no valid model.

Whoever made the file may have wanted to break who reads it. What is written here refuses it by a [UsageError][]; what
native code does with it, which may end the process, is done in [reading_apart][diffexport.backends.model_files] by
default.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from diffexport.backends.graphs import declared_inputs, inspect_graph, opset_of
from diffexport.backends.model_files.origin import modes_of
from diffexport.errors import UsageError, one_line, shown
from diffexport.values import DTYPES, MAX_DIMS, Mode

#: What protobuf can hold in one message; models beyond keep their weights outside.
LIMIT = 2**31 - 1
#: What an input is called that is no tensor.
_KINDS = {
    "sequence_type": "a sequence",
    "optional_type": "an optional value",
    "map_type": "a map",
    "sparse_tensor_type": "a sparse tensor",
    "opaque_type": "opaque",
}


@dataclass(frozen=True, eq=False)
class Artefact:
    """A model as it is given: its bytes, and what they are compared with and how.

    Attributes:
        model: the serialised ``ModelProto``, external data included.
        mode: how it was probably exported; known divergences are stated over modes.
        others: how else it may have been exported, where nothing in it tells.
        inputs: the graph inputs that the tensors among the arguments go to, in the order of these.
        outputs: for each output of the eager model, which output of the graph it is compared with.
        path: the file, as it was named; empty for one that never was a file.
    """

    model: bytes
    mode: Mode
    inputs: tuple[str, ...]
    outputs: tuple[int, ...]
    path: str = ""
    others: tuple[Mode, ...] = ()


def read_model(
    path: Path, *, mode: Mode | None = None, announce: Callable[[str], None] = lambda _: None
) -> Artefact:
    """Read a file; inputs and outputs are mapped by position.

    Args:
        path: the file.
        mode: how it was exported; guessed by default.
        announce: told in words what is about to be done with it.

    Raises:
        UsageError: there is no such file, it is not an ONNX model, its external data are missing, onnx.checker
            rejects it, or an input of it can be fed by nothing that is generated.
    """
    check_is_file(path)
    announce("parsing it")
    proto = _parsed(path)
    announce("reading its external data")
    _load_external(proto, path)
    announce("checking it by onnx.checker")
    try:
        # What shape inference says of its types is judged in the pipeline: a wrong type is a finding.
        onnx.checker.check_model(proto)
    except Exception as error:  # noqa: BLE001 - the checker raises its own and protobuf's errors
        raise UsageError(f"{path}: onnx.checker rejects the model: {_said(error)}") from None
    try:
        data = proto.SerializeToString()
    except Exception:  # noqa: BLE001 - protobuf's own errors, which differ from one implementation to the next
        data = b""
    if not data or len(data) > LIMIT:
        raise UsageError(
            f"{path}: with its external data the model is larger than the 2 GiB that can be held"
        )
    _check_texts(proto, path)
    initializers = {tensor.name for tensor in proto.graph.initializer}
    graph_inputs = [value for value in proto.graph.input if value.name not in initializers]
    for value in graph_inputs:
        _check_input(value, path)
    announce("looking into its graph")
    try:
        declared_inputs(data)
        inspect_graph(data, opset_of(data))
        guess, *others = (mode,) if mode else modes_of(proto)
    except Exception as error:  # noqa: BLE001 - of onnx, whose checker let it pass
        raise UsageError(f"{path}: onnx cannot look into the model: {_said(error)}") from None
    outputs = tuple(range(len(proto.graph.output)))
    names = tuple(value.name for value in graph_inputs)
    return Artefact(data, guess, names, outputs, path=str(path), others=tuple(others))


def check_is_file(path: Path) -> None:
    """Check that there is a file of a size that can be read.

    Raises:
        UsageError: there is not.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path}: is not a file")
    if status.st_size > LIMIT:
        raise UsageError(f"{path}: not an ONNX model (it is larger than the 2 GiB that one can have)")


def _parsed(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise UsageError(f"{path}: not an ONNX model (it is larger than the 2 GiB that one can have)")
        proto = onnx.load_model_from_string(data)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (UsageError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - protobuf's own errors
        raise UsageError(f"{path}: not an ONNX model (it does not parse as one)") from None
    if not proto.ir_version or not proto.HasField("graph"):
        # Protobuf parses an empty file, and many others, without complaint.
        raise UsageError(f"{path}: not an ONNX model (it has no graph)")
    if not proto.graph.output:
        raise UsageError(f"{path}: the model has no output, so there is nothing to compare")
    return proto


def _load_external(proto: Any, path: Path) -> None:
    """Read the external data; the files of these are looked at first, since a pipe or a device would never end."""
    total = 0
    for tensor in _tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        place = f"tensor {shown(tensor.name)} is said to be in {shown(location)}"
        whose = f"{path}: its external data cannot be read: {place}"
        try:
            status = (path.parent / location).stat()
        except (OSError, ValueError) as error:
            raise UsageError(f"{whose}: {getattr(error, 'strerror', None) or error}") from None
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{whose}, which is no file")
        length = next((entry.value for entry in tensor.external_data if entry.key == "length"), "")
        total += int(length) if length.isdecimal() and len(length) < 19 else status.st_size
    if total > LIMIT:
        raise UsageError(
            f"{path}: with its external data the model is larger than the 2 GiB that can be held"
        )
    try:
        onnx.load_external_data_for_model(proto, str(path.parent))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - missing files, and what onnx thinks of their places
        raise UsageError(f"{path}: its external data cannot be read: {_said(error)}") from None


def _tensors(proto: Any) -> Iterator[Any]:
    """Yield every tensor of a model that may have external data: in its graphs, and in the attributes of nodes."""
    graphs, nodes = [proto.graph], [node for function in proto.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes += graph.node
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs += attribute.graphs


def _check_texts(proto: Any, path: Path) -> None:
    """Check that names are texts: protobuf gives what is no UTF-8 as bytes, which nobody expects.

    Raises:
        UsageError: one is none.
    """
    messages = [proto]
    while messages:
        for field, value in messages.pop().ListFields():
            values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
            if field.type == field.TYPE_MESSAGE:
                messages += values
            elif field.type == field.TYPE_STRING and any(isinstance(text, bytes) for text in values):
                where = f"{field.containing_type.name}.{field.name}"
                raise UsageError(f"{path}: not an ONNX model (a text in it, {where}, is not UTF-8)")


def _check_input(value: Any, path: Path) -> None:
    """Check that an input of a graph is a tensor that can be generated.

    Raises:
        UsageError: it is not.
    """
    which = f"{path}: graph input {shown(value.name)}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        what = _KINDS.get(kind or "", "of no type")
        raise UsageError(f"{which} is {what}, which is not supported: only tensors can be fed to a file")
    tensor = value.type.tensor_type
    try:
        dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    except ValueError:
        dtype = f"number {tensor.elem_type}"
    dtype = {"float": "float32", "double": "float64"}.get(dtype, dtype)
    if dtype not in DTYPES and tensor.elem_type:
        raise UsageError(f"{which} is of type {dtype}, which is not generated (known: {', '.join(DTYPES)})")
    if len(tensor.shape.dim) > MAX_DIMS:
        raise UsageError(
            f"{which} has {len(tensor.shape.dim)} dimensions; {MAX_DIMS} are the most that are tested"
        )
    for number, dim in enumerate(tensor.shape.dim):
        if dim.dim_value < 0:
            raise UsageError(f"{which}: dimension {number} is {dim.dim_value}, and no size is negative")


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return one_line(" ".join(lines[:3]))
