"""Arguments as JSON, exact and readable: tensors, Python values, containers of both.

A tensor may carry three more fields, absent where they say nothing: ``requires_grad``, ``offset`` (where in its
storage it starts) and ``same_as`` (it is the very tensor of that number, counted over all tensors of the call).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch

from diffexport.arrays import (
    INLINE_LIMIT,
    MAX_EXTENT,
    array_digest,
    array_of,
    as_call,
    check_layout,
    decode_array,
    encode_array,
    encode_number,
    from_side_file,
    parse_number,
    to_side_file,
    with_strides,
)
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.findings.regressions.file_reading import MOST_DIMENSIONS, parse_npy, read_side_file
from diffexport.findings.regressions.stored_fillings import Filled, LeftOut, decode_filling, encode_filling
from diffexport.findings.regressions.stored_names import (
    StoredName,
    check_own,
    is_of_libraries,
    of_libraries,
)
from diffexport.strategies import names_under, text_of, value_of
from diffexport.values import DEFAULT_REGRESSION_SIZE, NamedValue


class Tensor(pydantic.BaseModel, extra="forbid"):
    """A tensor; its values may lie in a side file, or be what it is filled with; of an output a digest may be all."""

    dtype: str
    shape: list[int]
    strides: list[int]
    reads: str = ""
    values: list[Any] | None = None
    file: str | None = None
    filled: Filled | None = None
    digest: str | None = None
    requires_grad: bool = False
    offset: int = 0
    same_as: int | None = None


class Value(pydantic.BaseModel, extra="forbid"):
    """An argument that is not a tensor; one that is ``named`` is kept as its text, ``torch.float32``."""

    type: Literal["none", "bool", "int", "float", "str", "tuple", "list", "dict", "named"]
    value: Any = None


#: Most elements that a report has one by one.
_MOST_REPORTED = 1 << 16
#: Most bytes of an output that is stored as it is.
_LARGEST_OUTPUT = 1 << 20

Argument = Tensor | Value
_ADAPTER: pydantic.TypeAdapter[Argument] = pydantic.TypeAdapter(Argument)


class SeenTensors:
    """The tensors met so far in a call, so that one that is met again is known to be the same."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []

    def number_of(self, tensor: Any) -> int | None:
        """Return the number of the same tensor if it was met before, and count this one."""
        number = next((n for n, other in enumerate(self.tensors) if other is tensor), None)
        self.tensors.append(tensor)
        return number


def is_tensor(value: Any) -> bool:
    """Return whether an argument is an array or a tensor."""
    return isinstance(value, np.ndarray | torch.Tensor)


def offset_of(value: Any) -> int:
    """Return where in its storage a tensor starts; arrays are taken to own theirs."""
    return 0 if isinstance(value, np.ndarray) else int(value.storage_offset())


def encode_tensor(value: Any, seen: SeenTensors, *, with_values: bool = True) -> dict[str, Any]:
    """Return the JSON object of an array or a tensor; a large one is what it is filled with, if that says all."""
    array = array_of(value)
    filled = encode_filling(array) if array.size >= INLINE_LIMIT else None
    document = encode_array(array, with_values=with_values and filled is None)
    if filled is not None:
        document["filled"] = filled
    number = seen.number_of(value)
    if getattr(value, "requires_grad", False):
        document["requires_grad"] = True
    if offset_of(value):
        document["offset"] = offset_of(value)
    if number is not None:
        document["same_as"] = number
    return document


def reported_tensor(value: Any, seen: SeenTensors) -> dict[str, Any]:
    """Return the JSON object of an array or a tensor for a report; of very many values a digest."""
    array = array_of(value)
    document = encode_tensor(value, seen, with_values=array.size <= _MOST_REPORTED)
    if "values" not in document and "filled" not in document:
        document["digest"] = array_digest(array)
    return document


def encode(
    value: Any, seen: SeenTensors, stem: str = "", *, output: bool = False
) -> tuple[dict[str, Any], bytes | None]:
    """Return the JSON object of an argument, and the content of the side file it refers to.

    ``stem`` begins the name of a side file; without it there is none. Of a very large ``output`` there is what it reads
    like and a digest: it is made again when the finding is replayed.

    Raises:
        RegressionFileError: it is of a type that cannot be stored.
    """
    if isinstance(value, LeftOut):
        return value.document(), None
    if is_tensor(value):
        array = array_of(value)
        if array.size < INLINE_LIMIT or not stem:
            return encode_tensor(value, seen), None
        if output and array.nbytes > _LARGEST_OUTPUT:
            return encode_array(array, with_values=False) | {"digest": array_digest(array)}, None
        document = encode_tensor(value, seen, with_values=False)
        if "filled" in document:
            return document, None
        buffer = io.BytesIO()
        np.save(buffer, to_side_file(array), allow_pickle=False)
        file = f"{stem}.{_digest(buffer.getvalue())}.npy"
        return {**document, "file": file}, buffer.getvalue()
    if value is None:
        return {"type": "none"}, None
    for kind in (bool, int, str):
        if isinstance(value, kind):
            return {"type": kind.__name__, "value": value}, None
    if isinstance(value, float):
        return {"type": "float", "value": encode_number(value)}, None
    if type(value) in (tuple, list):
        return {"type": type(value).__name__, "value": [encode(item, seen)[0] for item in value]}, None
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"type": "dict", "value": {key: encode(item, seen)[0] for key, item in value.items()}}, None
    if isinstance(value, StoredName):
        return {"type": "named", "value": value.text}, None
    if isinstance(value, NamedValue):
        if value.text is not None:
            return {"type": "named", "value": value.text}, None
        raise _cannot_be_stored(f"type {value.type_name}")
    text = None if dataclasses.is_dataclass(value) else text_of(value)
    if text is not None and not isinstance(value, tuple | list | dict | set | bytes):
        return {"type": "named", "value": text}, None
    kept = "a dict with other keys than texts" if type(value) is dict else f"type {type(value).__name__}"
    raise _cannot_be_stored(kept)


def _cannot_be_stored(what: str) -> RegressionFileError:
    return RegressionFileError(
        f"an argument of {what} cannot be stored in a regression file; "
        "what can is tensors, numbers, texts, None, what has a name (torch.float32, a function), and tuples, lists and "
        "dicts of them"
    )


def _digest(data: bytes) -> str:
    """Return what a side file of this content is called by."""
    return hashlib.sha256(data).hexdigest()[:16]


_NAMED_BY_CONTENT = re.compile(r".*\.(?P<digest>[0-9a-f]{16})\.npy", re.DOTALL)


class Allowance:
    """How many bytes the tensors of one file may still take.

    Args:
        largest: together.
    """

    def __init__(self, largest: int = DEFAULT_REGRESSION_SIZE) -> None:
        self.largest = self._left = largest

    def spend(self, argument: Tensor) -> None:
        """Count a tensor before anything is allocated for it.

        Raises:
            RegressionFileError: it has too many dimensions, or with those before it, it would take too much.
        """
        if len(argument.shape) > MOST_DIMENSIONS:
            raise RegressionFileError(
                f"a tensor of {len(argument.shape)} dimensions; there are {MOST_DIMENSIONS} at most"
            )
        # An axis of size 0 makes a tensor empty, but the others are multiplied all the same.
        elements = math.prod(max(size, 1) for size in argument.shape)
        if len(argument.strides) == len(argument.shape):
            steps = zip(argument.shape, argument.strides, strict=True)
            extent = 1 + sum((max(size, 1) - 1) * max(step, 0) for size, step in steps)
            elements = max(elements, min(extent, MAX_EXTENT))
        bits = re.search(r"\d{1,3}$", argument.dtype)
        self._left -= (elements + min(max(argument.offset, 0), MAX_EXTENT)) * (
            int(bits[0]) // 8 if bits else 1
        )
        if self._left < 0:
            raise RegressionFileError(
                f"with this one, its tensors take more than {self.largest:,} bytes, the limit for a stored regression"
            )


class Decoder:
    """Decodes the arguments of one call, in order.

    Args:
        path: the file they stand in.
        allowance: what they may take.
        target: the target of the regression, whose own modules they may name.
    """

    def __init__(self, path: Path, allowance: Allowance | None = None, target: str = "") -> None:
        self._path, self._target = path, target
        self._allowance = allowance or Allowance()
        self._tensors: list[Any] = []

    def decode(self, argument: Argument) -> Any:
        """Return the value of an argument; a [StoredName][] where a module would have to be imported for it.

        Raises:
            RegressionFileError: it does not fit together, or would take too much.
        """
        if isinstance(argument, Value):
            return self._value(argument)
        if argument.digest is not None:
            return _left_out(argument, argument.digest)
        self._allowance.spend(argument)
        try:
            value = _placed(self._array(argument), argument)
        except (ValueError, RuntimeError, OverflowError, TypeError) as error:
            raise RegressionFileError(f"it is no tensor: {error}") from None
        if argument.same_as is not None:
            if not 0 <= argument.same_as < len(self._tensors):
                raise RegressionFileError(
                    f"same_as {argument.same_as}: no tensor of that number comes before"
                )
            same = self._tensors[argument.same_as]
            if not _alike(same, value):
                raise RegressionFileError(f"same_as {argument.same_as}: that tensor is another one")
            value = same
        self._tensors.append(value)
        return value

    def _array(self, argument: Tensor) -> Any:
        document = {"dtype": argument.dtype, "shape": argument.shape, "strides": argument.strides}
        if argument.filled is not None:
            dtype, _, strides = check_layout(document)
            return with_strides(decode_filling(argument.filled, dtype.name, argument.shape), strides)
        if argument.file is None:
            return decode_array({**document, "values": argument.values})
        side = self._path.parent / argument.file
        data = read_side_file(self._path.parent, argument.file, self._allowance.largest)
        by_content = _NAMED_BY_CONTENT.fullmatch(argument.file)
        if by_content is not None and by_content["digest"] != _digest(data):
            raise RegressionFileError(f"side file {side} was changed: its content is not what its name says")
        try:
            values = from_side_file(parse_npy(data), argument.dtype)
        except RegressionFileError as error:
            raise RegressionFileError(f"side file {side} cannot be read: it {error}") from None
        if values.dtype.name != argument.dtype or list(values.shape) != argument.shape:
            raise RegressionFileError(f"side file {side} holds {values.dtype}{list(values.shape)}")
        return decode_array(document, values=values)

    def _value(self, argument: Value) -> Any:
        value = argument.value
        if argument.type == "none":
            return None
        if argument.type in ("tuple", "list"):
            if not isinstance(value, list):
                raise RegressionFileError(f"a {argument.type} needs a list of values")
            items = [self._inside(argument.type, item) for item in value]
            return tuple(items) if argument.type == "tuple" else items
        if argument.type == "dict":
            if not isinstance(value, dict):
                raise RegressionFileError("a dict needs an object of values")
            return {key: self._inside("dict", item) for key, item in value.items()}
        if argument.type == "float":
            try:
                return parse_number(value)
            except (ValueError, TypeError):
                raise RegressionFileError(f"{shown(value)} is not a hexadecimal float as text") from None
            except OverflowError:
                raise RegressionFileError(f"{shown(value)} is larger than any float") from None
        if argument.type == "named":
            return self._named(value)
        wanted = {"bool": bool, "int": int, "str": str}[argument.type]
        if type(value) is not wanted:
            raise RegressionFileError(f"{shown(value)} is not a value of type {argument.type}")
        return value

    def _named(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise RegressionFileError(f"{shown(value)} is no text that names anything")
        try:
            if not is_of_libraries(value):
                check_own(self._target, value)
                return StoredName(value)
            with names_under(of_libraries(self._allowance.largest)):
                return value_of(value)
        except (DiffexportError, TypeError) as error:
            raise RegressionFileError(f"{shown(value)} names nothing: {error}") from None

    def _inside(self, container: str, item: Any) -> Any:
        try:
            argument = _ADAPTER.validate_python(item)
        except pydantic.ValidationError as error:
            raise RegressionFileError(f"inside a {container}: {error.errors()[0]['msg']}") from None
        return self.decode(argument)


def decode_tensors(documents: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
    """Return the arrays, or tensors, of one call that [encode_tensor][] made objects of.

    Raises:
        RegressionFileError: it does not fit together, or would take too much.
        ValueError: one is no such object.
    """
    decoder = Decoder(Path())
    return tuple([decoder.decode(Tensor.model_validate(document)) for document in documents])


def _left_out(argument: Tensor, digest: str) -> LeftOut:
    """Return an output of which only a digest was stored.

    Raises:
        RegressionFileError: it does not fit together.
    """
    if (argument.values, argument.file, argument.filled) != (None, None, None):
        raise RegressionFileError("a tensor of which there is a digest has no values")
    dtype, shape, strides = check_layout(argument.model_dump())
    return LeftOut(dtype, shape, strides, argument.reads, digest)


def shown(value: Any) -> str:
    """Return a value of a JSON document for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _placed(array: Any, argument: Tensor) -> Any:
    """Return the array; as a tensor where it requires a gradient or starts inside its storage."""
    if not argument.requires_grad and not argument.offset:
        return array
    if not 0 <= argument.offset <= MAX_EXTENT:
        raise RegressionFileError(f"offset {argument.offset} is negative or too large")
    (tensor,) = as_call((array,)).args
    if argument.requires_grad and not (tensor.is_floating_point() or tensor.is_complex()):
        raise RegressionFileError(f"a tensor of {argument.dtype} cannot require a gradient")
    if argument.offset:
        storage = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
        whole = torch.cat((torch.zeros(argument.offset, dtype=tensor.dtype), storage))
        tensor = whole.as_strided(tensor.shape, tensor.stride(), argument.offset)
    return tensor.requires_grad_(argument.requires_grad)


def _alike(one: Any, other: Any) -> bool:
    first, second = array_of(one), array_of(other)
    if type(one) is not type(other) or (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    laid_out_alike = not first.size or first.strides == second.strides
    return bool(laid_out_alike and first.tobytes() == second.tobytes())
