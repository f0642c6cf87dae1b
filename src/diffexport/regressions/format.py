"""The regression file: one JSON document for each failure.

Floats are hexadecimal, so that a value is exact and a diff shows it; the ``reads`` beside them are for people
and ignored. Tensors of 256 elements and more lie in ``.npy`` side files, read without pickle. The format has
a version; a file of a newer one is refused with a message, never half understood.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from diffexport import tensors
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.mode import Mode
from diffexport.verdict import Identity, Kind, Stage

SUFFIX = ".diffexport.json"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Regression:
    """A stored divergence; fields as in [Finding][diffexport.engine.events.Finding].

    ``specs`` are the tensor specs of the inputs when they were given on the command line, else empty.
    """

    case: str
    target: str
    mode: Mode
    runtime: str
    stage: Stage
    kind: Kind
    where: str
    signature: str
    message: str
    inputs: tuple[Any, ...]
    export_inputs: tuple[Any, ...]
    eager: tuple[Any, ...] = ()
    got: tuple[Any, ...] = ()
    exporters: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """The identity of the failure."""
        before = self.stage in (Stage.CAPTURE, Stage.CONVERT, Stage.CHECK)
        return Identity(
            self.case,
            self.mode.exporter,
            "" if before else self.runtime,
            self.stage,
            self.kind,
            self.where,
            self.signature,
            self.target,
        )

    @property
    def size(self) -> tuple[Any, ...]:
        """Sort key: of two regressions of one failure, the smaller is the better."""
        elements = sum(np.size(value) for value in self.inputs)
        ranks = sum(np.ndim(value) for value in self.inputs)
        length = len(json.dumps([_encode(value)[0] for value in self.inputs]))
        return (self.mode.complexity, elements, ranks, length)


class _Tensor(pydantic.BaseModel, extra="forbid"):
    dtype: str
    shape: list[int]
    strides: list[int]
    reads: str = ""
    values: list[Any] | None = None
    file: str | None = None


class _Value(pydantic.BaseModel, extra="forbid"):
    """An argument that is not a tensor: ``type`` is one of none, bool, int, float, str, tuple, list."""

    type: Literal["none", "bool", "int", "float", "str", "tuple", "list"]
    value: Any = None


_Argument = _Tensor | _Value


class _Document(pydantic.BaseModel, extra="forbid"):
    diffexport: Literal["regression"]
    version: Annotated[int, pydantic.Field(ge=1, strict=True)]
    case: str
    target: str
    specs: list[str] = []
    mode: str
    runtime: str
    stage: Stage
    kind: Kind
    where: str
    signature: str
    message: str
    inputs: list[_Argument]
    export_inputs: list[_Argument]
    eager: list[_Argument] = []
    got: list[_Argument] = []
    exporters: list[str] = []
    seed: int = 0
    versions: dict[str, str] = {}


def dumps(regression: Regression, stem: str) -> tuple[str, dict[str, bytes]]:
    """Return the JSON text, and the side files by name (``stem`` begins their names)."""
    side: dict[str, bytes] = {}

    def encode(role: str, values: tuple[Any, ...]) -> list[Any]:
        encoded = []
        for number, value in enumerate(values):
            document, data = _encode(value, f"{stem}.{role}{number}.npy")
            encoded.append(document)
            if data is not None:
                side[document["file"]] = data
        return encoded

    document = {
        "diffexport": "regression",
        "version": VERSION,
        "case": regression.case,
        "target": regression.target,
        **({"specs": list(regression.specs)} if regression.specs else {}),
        "mode": str(regression.mode),
        "runtime": regression.runtime,
        "stage": str(regression.stage),
        "kind": str(regression.kind),
        "where": regression.where,
        "signature": regression.signature,
        "message": regression.message,
        "inputs": encode("input", regression.inputs),
        "export_inputs": encode("export", regression.export_inputs),
        "eager": encode("eager", regression.eager),
        "got": encode("got", regression.got),
        "exporters": list(regression.exporters),
        "seed": regression.seed,
        "versions": dict(regression.versions),
    }
    return _pretty(document) + "\n", side


def _pretty(document: Any) -> str:
    """Indent, but keep lists of plain values on one line: a tensor reads like a tensor."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    lines = text.splitlines()
    joined: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.rstrip().endswith("["):
            end = index + 1
            while end < len(lines) and not lines[end].strip().startswith(("{", "[", "]", "}")):
                end += 1
            body = "".join(part.strip() + " " for part in lines[index + 1 : end]).strip()
            if end < len(lines) and lines[end].strip().startswith("]") and len(body) < 4000:
                joined.append(line + body + lines[end].strip())
                index = end + 1
                continue
        joined.append(line)
        index += 1
    return "\n".join(joined)


def _encode(value: Any, file: str = "") -> tuple[dict[str, Any], bytes | None]:
    if isinstance(value, np.ndarray):
        if value.size < tensors.INLINE_LIMIT or not file:
            return tensors.encode(value), None
        buffer = io.BytesIO()
        np.save(buffer, tensors.to_side_file(value), allow_pickle=False)
        return {**tensors.encode(value, with_values=False), "file": file}, buffer.getvalue()
    if value is None:
        return {"type": "none"}, None
    for kind in (bool, int, str):
        if isinstance(value, kind):
            return {"type": kind.__name__, "value": value}, None
    if isinstance(value, float):
        return {"type": "float", "value": tensors.encode_number(value)}, None
    if isinstance(value, tuple | list):
        return {"type": type(value).__name__, "value": [_encode(item)[0] for item in value]}, None
    raise RegressionFileError(
        f"an argument of type {type(value).__name__} cannot be stored in a regression file"
    )


def load(path: Path) -> Regression:
    """Read a regression file and its side files.

    Raises:
        RegressionFileError: it cannot be read, is not a regression, is of a newer version or does not validate.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RegressionFileError(f"{path}: cannot be read: {error}") from None
    return loads(text, path)


def loads(text: str, path: Path) -> Regression:
    """Parse the text of a regression file; ``path`` is for messages and to find side files.

    Raises:
        RegressionFileError: see [load][].
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise RegressionFileError(f"{path}: not JSON, or cut off: {error}") from None
    except RecursionError:
        raise RegressionFileError(f"{path}: nested too deeply to be a regression file") from None
    if not isinstance(raw, dict) or raw.get("diffexport") != "regression":
        raise RegressionFileError(f'{path}: not a regression file (no "diffexport": "regression")')
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise RegressionFileError(
            f"{path}: has format version {version}, this diffexport reads up to {VERSION}; update diffexport"
        )
    try:
        document = _Document.model_validate(raw)
    except RecursionError:
        raise RegressionFileError(f"{path}: nested too deeply to be a regression file") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RegressionFileError(f"{path}: {place}: {first['msg']}") from None
    try:
        return Regression(
            case=document.case,
            target=document.target,
            specs=tuple(document.specs),
            mode=Mode.parse(document.mode),
            runtime=document.runtime,
            stage=document.stage,
            kind=document.kind,
            where=document.where,
            signature=document.signature,
            message=document.message,
            inputs=_decode_all("inputs", document.inputs, path),
            export_inputs=_decode_all("export_inputs", document.export_inputs, path),
            eager=_decode_all("eager", document.eager, path),
            got=_decode_all("got", document.got, path),
            exporters=tuple(document.exporters),
            seed=document.seed,
            versions=document.versions,
        )
    except RecursionError:
        raise RegressionFileError(f"{path}: nested too deeply to be a regression file") from None
    except DiffexportError as error:
        text = str(error)
        raise RegressionFileError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _decode_all(role: str, arguments: list[_Argument], path: Path) -> tuple[Any, ...]:
    decoded = []
    for number, argument in enumerate(arguments):
        try:
            decoded.append(_decode(argument, path))
        except RegressionFileError as error:
            raise RegressionFileError(f"{path}: {role}[{number}]: {error}") from None
    return tuple(decoded)


def _decode(argument: _Argument, path: Path) -> Any:
    if isinstance(argument, _Value):
        return _decode_value(argument, path)
    if argument.file is None:
        return tensors.decode(argument.model_dump(exclude={"file", "reads"}))
    side = path.parent / argument.file
    if Path(argument.file).name != argument.file:
        raise RegressionFileError(f"side file {argument.file!r} must lie beside the regression file")
    try:
        values = tensors.from_side_file(np.load(side, allow_pickle=False), argument.dtype)
    except (OSError, ValueError, EOFError) as error:
        raise RegressionFileError(f"side file {side} cannot be read: {error}") from None
    if values.dtype.name != argument.dtype or list(values.shape) != argument.shape:
        raise RegressionFileError(f"side file {side} holds {values.dtype}{list(values.shape)}")
    return tensors.decode(argument.model_dump(exclude={"file", "reads"}), values=values)


def _decode_value(argument: _Value, path: Path) -> Any:
    value = argument.value
    if argument.type == "none":
        return None
    if argument.type in ("tuple", "list"):
        if not isinstance(value, list):
            raise RegressionFileError(f"a {argument.type} needs a list of values")
        adapter: pydantic.TypeAdapter[_Argument] = pydantic.TypeAdapter(_Argument)
        try:
            items = [_decode(adapter.validate_python(item), path) for item in value]
        except pydantic.ValidationError as error:
            raise RegressionFileError(f"inside a {argument.type}: {error.errors()[0]['msg']}") from None
        return tuple(items) if argument.type == "tuple" else items
    if argument.type == "float":
        try:
            return tensors.parse_number(value)
        except (ValueError, TypeError):
            raise RegressionFileError(f"{value!r} is not a hexadecimal float as text") from None
    wanted = {"bool": bool, "int": int, "str": str}[argument.type]
    if type(value) is not wanted:
        raise RegressionFileError(f"{value!r} is not a value of type {argument.type}")
    return value
