"""The regression file: one JSON document for each failure.

Floats are hexadecimal, so that a value is exact and a diff shows it; the ``reads`` beside them are for people
and ignored. Tensors of 256 elements and more lie in ``.npy`` side files, read without pickle. The format has
a version; a file of a newer one is refused with a message, never half understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from diffexport.arrays import array_of
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.findings.regressions.stored_arguments import Argument, Decoder, SeenTensors, encode
from diffexport.values import (
    DEFAULT_TERMS,
    Call,
    FailureKey,
    Identity,
    Kind,
    Mode,
    Place,
    Stage,
    Terms,
    leaves,
)

SUFFIX = ".diffexport.json"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Regression:
    """A stored divergence; fields as in [Finding][diffexport.findings.events.Finding].

    ``specs`` are the tensor specs of the inputs when they were given on the command line, else empty; ``terms``
    those on which it was checked, so that it is replayed on the same ones.
    """

    case: str
    target: str
    mode: Mode
    runtime: str
    stage: Stage
    kind: Kind
    place: Place
    signature: str
    message: str
    inputs: tuple[Any, ...] | Call
    export_inputs: tuple[Any, ...] | Call
    eager: tuple[Any, ...] = ()
    got: tuple[Any, ...] = ()
    exporters: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    terms: Terms = DEFAULT_TERMS
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """The identity of the failure."""
        return Identity.of(self.case, self.mode.exporter, self.runtime, self.key, self.target)

    @property
    def key(self) -> FailureKey:
        """What tells the failure from others of the same case, exporter and runtime."""
        return FailureKey(self.stage, self.kind, self.place, self.signature)

    @property
    def where(self) -> str:
        """The place as text."""
        return self.place.text

    @property
    def size(self) -> tuple[Any, ...]:
        """Sort key: of two regressions of one failure, the smaller is the better."""
        flat = [array_of(leaf) for leaf in leaves(self.inputs)]
        elements = sum(np.size(value) for value in flat)
        ranks = sum(np.ndim(value) for value in flat)
        call, seen = Call.of(self.inputs), SeenTensors()
        length = len(json.dumps([encode(value, seen)[0] for value in (*call.args, *call.kwargs.values())]))
        return (self.mode.complexity, elements, ranks, length)


class _Document(pydantic.BaseModel, extra="forbid"):
    diffexport: Literal["regression"]
    version: Annotated[int, pydantic.Field(ge=1, strict=True)]
    case: str
    target: str
    specs: list[str] = []
    terms: dict[str, Any] = {}
    mode: str
    runtime: str
    stage: Stage
    kind: Kind
    where: str
    signature: str
    message: str
    inputs: list[Argument]
    export_inputs: list[Argument]
    kwargs: dict[str, Argument] = {}
    export_kwargs: dict[str, Argument] = {}
    eager: list[Argument] = []
    got: list[Argument] = []
    exporters: list[str] = []
    seed: int = 0
    versions: dict[str, str] = {}


def dumps(regression: Regression, stem: str) -> tuple[str, dict[str, bytes]]:
    """Return the JSON text, and the side files by name (``stem`` begins their names)."""
    side: dict[str, bytes] = {}

    def encoded(role: str, number: int, value: Any, seen: SeenTensors) -> dict[str, Any]:
        document, data = encode(value, seen, f"{stem}.{role}{number}.npy")
        if data is not None:
            side[document["file"]] = data
        return document

    def call(role: str, inputs: tuple[Any, ...] | Call) -> tuple[list[Any], dict[str, Any]]:
        given, seen = Call.of(inputs), SeenTensors()
        args = [encoded(role, number, value, seen) for number, value in enumerate(given.args)]
        named = enumerate(given.kwargs.items(), start=len(args))
        return args, {name: encoded(role, number, value, seen) for number, (name, value) in named}

    inputs, kwargs = call("input", regression.inputs)
    export_inputs, export_kwargs = call("export", regression.export_inputs)

    document = {
        "diffexport": "regression",
        "version": VERSION,
        "case": regression.case,
        "target": regression.target,
        **({"specs": list(regression.specs)} if regression.specs else {}),
        **({"terms": regression.terms.document()} if regression.terms != DEFAULT_TERMS else {}),
        "mode": str(regression.mode),
        "runtime": regression.runtime,
        "stage": str(regression.stage),
        "kind": str(regression.kind),
        "where": regression.place.text,
        "signature": regression.signature,
        "message": regression.message,
        "inputs": inputs,
        **({"kwargs": kwargs} if kwargs else {}),
        "export_inputs": export_inputs,
        **({"export_kwargs": export_kwargs} if export_kwargs else {}),
        "eager": call("eager", regression.eager)[0],
        "got": call("got", regression.got)[0],
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
            terms=Terms.of(document.terms),
            mode=Mode.parse(document.mode),
            runtime=document.runtime,
            stage=document.stage,
            kind=document.kind,
            place=Place.parse(document.where),
            signature=document.signature,
            message=document.message,
            inputs=_decode(path, inputs=document.inputs, kwargs=document.kwargs).plain(),
            export_inputs=_decode(
                path, export_inputs=document.export_inputs, export_kwargs=document.export_kwargs
            ).plain(),
            eager=_decode(path, eager=document.eager).args,
            got=_decode(path, got=document.got).args,
            exporters=tuple(document.exporters),
            seed=document.seed,
            versions=document.versions,
        )
    except RecursionError:
        raise RegressionFileError(f"{path}: nested too deeply to be a regression file") from None
    except DiffexportError as error:
        text = str(error)
        raise RegressionFileError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _decode(path: Path, **roles: list[Argument] | dict[str, Argument]) -> Call:
    """Return the call whose positional arguments and keywords stand in two fields, which errors name."""
    decoder = Decoder(path)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for role, arguments in roles.items():
        named = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
        for key, argument in named:
            try:
                value = decoder.decode(argument)
            except RegressionFileError as error:
                raise RegressionFileError(f"{path}: {role}[{key}]: {error}") from None
            if isinstance(key, str):
                kwargs[key] = value
            else:
                args.append(value)
    return Call(tuple(args), kwargs)
