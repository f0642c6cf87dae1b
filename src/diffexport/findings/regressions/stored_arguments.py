"""Arguments as JSON, exact and readable: tensors, Python values, containers of both.

A tensor may carry three more fields, absent where they say nothing: ``requires_grad``, ``offset`` (where in its
storage it starts) and ``same_as`` (it is the very tensor of that number, counted over all tensors of the call).
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch

from diffexport.arrays import (
    INLINE_LIMIT,
    MAX_EXTENT,
    array_of,
    as_call,
    decode_array,
    encode_array,
    encode_number,
    from_side_file,
    parse_number,
    to_side_file,
)
from diffexport.errors import RegressionFileError, UsageError
from diffexport.strategies import text_of, value_of
from diffexport.values import NamedValue


class Tensor(pydantic.BaseModel, extra="forbid"):
    """A tensor; its values may lie in a side file."""

    dtype: str
    shape: list[int]
    strides: list[int]
    reads: str = ""
    values: list[Any] | None = None
    file: str | None = None
    requires_grad: bool = False
    offset: int = 0
    same_as: int | None = None


class Value(pydantic.BaseModel, extra="forbid"):
    """An argument that is not a tensor; one that is ``named`` is kept as its text, ``torch.float32``."""

    type: Literal["none", "bool", "int", "float", "str", "tuple", "list", "dict", "named"]
    value: Any = None


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
    """Return the JSON object of an array or a tensor."""
    document = encode_array(array_of(value), with_values=with_values)
    number = seen.number_of(value)
    if getattr(value, "requires_grad", False):
        document["requires_grad"] = True
    if offset_of(value):
        document["offset"] = offset_of(value)
    if number is not None:
        document["same_as"] = number
    return document


def encode(value: Any, seen: SeenTensors, file: str = "") -> tuple[dict[str, Any], bytes | None]:
    """Return the JSON object of an argument, and the content of the side file it refers to by the name ``file``.

    Raises:
        RegressionFileError: it is of a type that cannot be stored.
    """
    if is_tensor(value):
        array = array_of(value)
        if array.size < INLINE_LIMIT or not file:
            return encode_tensor(value, seen), None
        buffer = io.BytesIO()
        np.save(buffer, to_side_file(array), allow_pickle=False)
        return {**encode_tensor(value, seen, with_values=False), "file": file}, buffer.getvalue()
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


class Decoder:
    """Decodes the arguments of one call, in order; ``path`` is the file they stand in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tensors: list[Any] = []

    def decode(self, argument: Argument) -> Any:
        """Return the value of an argument.

        Raises:
            RegressionFileError: it does not fit together.
        """
        if isinstance(argument, Value):
            return self._value(argument)
        value = _placed(self._array(argument), argument)
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
        if argument.file is None:
            return decode_array({**document, "values": argument.values})
        side = self._path.parent / argument.file
        if Path(argument.file).name != argument.file:
            raise RegressionFileError(f"side file {argument.file!r} must lie beside the regression file")
        try:
            values = from_side_file(np.load(side, allow_pickle=False), argument.dtype)
        except (OSError, ValueError, EOFError) as error:
            raise RegressionFileError(f"side file {side} cannot be read: {error}") from None
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
                raise RegressionFileError(f"{value!r} is not a hexadecimal float as text") from None
        if argument.type == "named":
            try:
                return value_of(value)
            except (UsageError, TypeError) as error:
                raise RegressionFileError(f"{value!r} names nothing: {error}") from None
        wanted = {"bool": bool, "int": int, "str": str}[argument.type]
        if type(value) is not wanted:
            raise RegressionFileError(f"{value!r} is not a value of type {argument.type}")
        return value

    def _inside(self, container: str, item: Any) -> Any:
        try:
            argument = _ADAPTER.validate_python(item)
        except pydantic.ValidationError as error:
            raise RegressionFileError(f"inside a {container}: {error.errors()[0]['msg']}") from None
        return self.decode(argument)


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
    first, second = encode_array(array_of(one)), encode_array(array_of(other))
    return first == second and type(one) is type(other)
