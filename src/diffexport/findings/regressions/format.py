"""The regression file: one JSON document for each failure.

Floats are hexadecimal, so that a value is exact and a diff shows it; the ``reads`` beside them are for people
and ignored. Tensors of 256 elements and more lie in ``.npy`` side files, read without pickle. The format has
a version; a file of a newer one is refused with a message, never half understood.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from diffexport.arrays import array_of
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.findings.regressions.file_reading import read_regular
from diffexport.findings.regressions.listing import SUFFIX as SUFFIX
from diffexport.findings.regressions.stored_arguments import (
    Allowance,
    Argument,
    Decoder,
    SeenTensors,
    encode,
    shown,
)
from diffexport.findings.regressions.stored_names import StoredName, of_target
from diffexport.strategies import names_under, value_of
from diffexport.values import (
    DEFAULT_REGRESSION_SIZE,
    DEFAULT_TERMS,
    Call,
    Cause,
    FailureKey,
    Identity,
    Kind,
    Mode,
    Place,
    Stage,
    Terms,
    leaves,
    mapped,
)

VERSION = 3
#: What a tensor has in version 2 only; a file that does without is of version 1.
_SINCE_2 = ("filled", "digest")
#: The part of the limit for tensors that the text may have: read, it takes many times its size.
_TEXT_SHARE = 8
#: How often a file is read again that changes while it is read.
_ATTEMPTS = 20
#: Most characters of what is said of a file.
_LONGEST_MESSAGE = 2000
#: Python's own limit.
_LONGEST_INTEGER = 4300
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class StoredFace:
    """Another face of a regression's cause, as text: nothing is replayed of it."""

    kind: str
    mode: str
    runtime: str
    where: str
    signature: str
    input: str


@dataclass(frozen=True, eq=False)
class Regression:
    """A stored divergence; fields as in [Finding][diffexport.findings.events.Finding].

    ``specs`` are the tensor specs of the inputs when they were given on the command line, else empty; ``terms``
    those on which it was checked, so that it is replayed on the same ones. ``weights`` is a digest of the model's.
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
    weights: str = ""
    cause: Cause | None = None
    faces: tuple[StoredFace, ...] = ()

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
        stored = [encode(value, seen, "side") for value in (*call.args, *call.kwargs.values())]
        length = len(json.dumps([document for document, _ in stored])) + sum(
            len(side or b"") for _, side in stored
        )
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
    weights: str = ""
    cause: dict[str, str | list[str] | bool] = {}
    faces: list[dict[str, str]] = []


def dumps(regression: Regression, stem: str) -> tuple[str, dict[str, bytes]]:
    """Return the JSON text, and the side files by name (``stem`` begins their names)."""
    side: dict[str, bytes] = {}

    def encoded(role: str, number: int, value: Any, seen: SeenTensors) -> dict[str, Any]:
        document, data = encode(value, seen, f"{stem}.{role}{number}", output=role in ("eager", "got"))
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
    eager, got = call("eager", regression.eager)[0], call("got", regression.got)[0]
    everything = (inputs, kwargs, export_inputs, export_kwargs, eager, got)

    document = {
        "diffexport": "regression",
        "version": _version(regression, everything),
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
        "eager": eager,
        "got": got,
        "exporters": list(regression.exporters),
        "seed": regression.seed,
        "versions": dict(regression.versions),
        **({"weights": regression.weights} if regression.weights else {}),
        **({"cause": regression.cause.document()} if regression.cause is not None else {}),
        **({"faces": list(map(dataclasses.asdict, regression.faces))} if regression.faces else {}),
    }
    return _pretty(document) + "\n", side


def _version(regression: Regression, arguments: Any) -> int:
    """Return the oldest version that knows everything of a regression."""
    if regression.cause is not None or regression.faces:
        return 3
    return 2 if regression.weights or any(map(_is_since_2, arguments)) else 1


def _is_since_2(arguments: Any) -> bool:
    """Return whether arguments have anything that version 1 does not know."""
    if isinstance(arguments, list):
        return any(map(_is_since_2, arguments))
    if not isinstance(arguments, dict):
        return False
    if "shape" in arguments and any(key in arguments for key in _SINCE_2):
        return True
    return any(map(_is_since_2, arguments.values()))


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


def load(path: Path, *, largest: int = DEFAULT_REGRESSION_SIZE) -> Regression:
    """Read a regression file and its side files; nothing is imported for it, and at most so much is allocated.

    An argument with a name outside of torch is a [StoredName][], see [with_named][].

    Args:
        path: the file.
        largest: bytes that its tensors may take.

    Raises:
        RegressionFileError: it cannot be read, is not a regression, is of a newer version or does not validate.
    """
    text = _read(path, largest)
    for _ in range(_ATTEMPTS):
        try:
            return loads(text, path, largest=largest)
        except RegressionFileError:
            # One that is replaced meanwhile loses its side files.
            again = _read(path, largest)
            if again == text:
                raise
            text = again
    return loads(text, path, largest=largest)


def _read(path: Path, largest: int) -> str:
    try:
        return read_regular(path, max(largest // _TEXT_SHARE, 1 << 16)).decode("utf-8")
    except RegressionFileError as error:
        raise RegressionFileError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise RegressionFileError(f"{path}: cannot be read: {error.reason} at byte {error.start}") from None


def loads(text: str, path: Path, *, largest: int = DEFAULT_REGRESSION_SIZE) -> Regression:
    """Parse the text of a regression file; ``path`` is for messages and to find side files.

    Raises:
        RegressionFileError: see [load][].
    """
    try:
        return _regression(_document(_parsed(text)), path, Allowance(largest))
    except RecursionError:
        why = "nested too deeply to be a regression file"
    except MemoryError:
        why = "takes more memory than there is"
    except DiffexportError as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - whoever wrote it, it is one file of many
        why = f"cannot be understood: {type(error).__name__}: {error}"
    why = why if len(why) <= _LONGEST_MESSAGE else f"{why[:_LONGEST_MESSAGE]}…"
    raise RegressionFileError(why if why.startswith(f"{path}: ") else f"{path}: {why}")


def _parsed(text: str) -> dict[str, Any]:
    """Return the JSON object that a regression file is.

    Raises:
        RegressionFileError: it is none, or of a newer version.
    """
    try:
        raw = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise RegressionFileError(f"not JSON, or cut off: {error}") from None
    if not isinstance(raw, dict) or raw.get("diffexport") != "regression":
        raise RegressionFileError('not a regression file (no "diffexport": "regression")')
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise RegressionFileError(
            f"has format version {version}, this diffexport reads up to {VERSION}; update diffexport"
        )
    if _SURROGATE.search(text):
        try:
            json.dumps(raw, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise RegressionFileError(
                f"has half of a surrogate pair, {error.object[error.start]!a}, in a text"
            ) from None
    return raw


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RegressionFileError(f"has the key {shown(twice)} twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise RegressionFileError(f'has {name}, which is not JSON; floats are texts such as "nan" and "0x1p+0"')


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise RegressionFileError(
            f"has an integer of {len(digits):,} digits; at most {_LONGEST_INTEGER:,} are read"
        )
    return int(digits)


def _document(raw: dict[str, Any]) -> _Document:
    try:
        return _Document.model_validate(raw)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RegressionFileError(f"{place}: {first['msg']}") from None


def _regression(document: _Document, path: Path, allowance: Allowance) -> Regression:
    def decoded(**roles: list[Argument] | dict[str, Argument]) -> Call:
        return _decode(Decoder(path, allowance, document.target), **roles)

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
        inputs=decoded(inputs=document.inputs, kwargs=document.kwargs).plain(),
        export_inputs=decoded(
            export_inputs=document.export_inputs, export_kwargs=document.export_kwargs
        ).plain(),
        eager=decoded(eager=document.eager).args,
        got=decoded(got=document.got).args,
        exporters=tuple(document.exporters),
        seed=document.seed,
        versions=document.versions,
        weights=document.weights,
        cause=Cause.of(document.cause) if document.cause else None,
        faces=tuple(StoredFace(**face) for face in document.faces),
    )


def with_named(regression: Regression, largest: int = DEFAULT_REGRESSION_SIZE) -> Regression:
    """Return a regression with what its arguments name, of which the target's own modules are imported.

    Raises:
        UsageError: there is nothing of a name, or it is neither of torch nor of these modules.
        TargetError: the target's module does not import.
    """
    if not any(isinstance(leaf, StoredName) for call in _calls(regression) for leaf in leaves(call)):
        return regression

    def looked_up(leaf: Any) -> Any:
        return value_of(leaf.text) if isinstance(leaf, StoredName) else leaf

    with names_under(of_target(regression.target, largest)):
        inputs, export_inputs, eager, got = (mapped(call, looked_up).plain() for call in _calls(regression))
    return replace(regression, inputs=inputs, export_inputs=export_inputs, eager=eager, got=got)


def _calls(regression: Regression) -> list[Call]:
    several = (regression.inputs, regression.export_inputs, regression.eager, regression.got)
    return [Call.of(inputs) for inputs in several]


def _decode(decoder: Decoder, **roles: list[Argument] | dict[str, Argument]) -> Call:
    """Return the call whose positional arguments and keywords stand in two fields, which errors name."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for role, arguments in roles.items():
        named = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
        for key, argument in named:
            try:
                value = decoder.decode(argument)
            except RegressionFileError as error:
                raise RegressionFileError(f"{role}[{key}]: {error}") from None
            if isinstance(key, str):
                kwargs[key] = value
            else:
                args.append(value)
    return Call(tuple(args), kwargs)
