"""The file of recorded calls: JSON, each target with a text for each of its arguments. See docs/record.md."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffexport import atomic
from diffexport.errors import UsageError
from diffexport.infer.search import InferenceStatus
from diffexport.infer.session import Inference
from diffexport.strategies import is_spec
from diffexport.versions import installed

DEFAULT_FILE = Path("diffexport-recorded.json")
_KIND, _VERSION = "recorded", 1


@dataclass(frozen=True)
class RecordedTarget:
    """What one Function, or module, was called with.

    Attributes:
        target: the text by which it can be had.
        kind: ``function`` or ``module``.
        file, qualname: its source file and its name there; the file is empty where there is none.
        calls: how many there were.
        inputs: one text for each argument, a tensor spec or a strategy; empty where it cannot be called again.
        also: inputs of calls that do not fit these, most frequent first.
        names: of the arguments.
        problem: why it cannot be called again; empty otherwise.
        notes: what else was seen.
        observed: for each argument what was seen of it, as plain data, for people.
    """

    target: str
    kind: str
    file: str = ""
    qualname: str = ""
    calls: int = 0
    inputs: tuple[str, ...] = ()
    also: tuple[tuple[str, ...], ...] = ()
    names: tuple[str, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    observed: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)

    @property
    def call(self) -> str:
        """The call in one line."""
        shown = [
            f"{name}: {text}" if name else text for name, text in zip(self._padded, self.inputs, strict=True)
        ]
        return f"{self.qualname.rpartition('.')[2]}({', '.join(shown)})"

    @property
    def _padded(self) -> tuple[str, ...]:
        return (*self.names, *[""] * len(self.inputs))[: len(self.inputs)]

    def inference(self, *, first: bool = True) -> Inference | None:
        """Return how it is called, as inference would have found it; None where it cannot be called again.

        Args:
            first: of several values that are no tensors, take the most frequent.
        """
        if not self.inputs:
            return None
        several = [text for text in self.inputs if not is_spec(text) and text.startswith("sampled_from(")]
        notes = [
            *self.notes,
            *([f"recorded with other values, too: {text}" for text in several] if first else []),
        ]
        return Inference(
            InferenceStatus.INFERRED,
            tuple(map(_first, self.inputs)) if first else self.inputs,
            self.call,
            notes=tuple(notes),
            tried=self.calls,
            source="recorded calls",
            name=self.qualname.rpartition(".")[2],
            target=self.target,
        )


@dataclass(frozen=True)
class Recorded:
    """What a command was seen to call.

    Attributes:
        command: with its arguments.
        exit_code: how it ended.
        targets: what it called.
        path: the file, where it was read from one.
    """

    command: tuple[str, ...] = ()
    exit_code: int = 0
    targets: tuple[RecordedTarget, ...] = ()
    path: str = ""

    def of(self, target: str, file: Path | None = None, qualname: str = "") -> RecordedTarget | None:
        """Return what a target was called with; None where that was not recorded.

        Args:
            target: as text; flags behind a ``+`` do not count.
            file, qualname: where its source is, where that is known: the text may be another.
        """
        plain = target.partition("+")[0]
        place, _, name = plain.rpartition(":")
        if file is None and place.endswith(".py"):
            file, qualname = Path(place), name
        where = str(file.resolve()) if file is not None else ""
        same = [
            one
            for one in self.targets
            if one.target == plain or (where and one.file == where and one.qualname == qualname)
        ]
        by_class = [one for one in self.targets if one.target.partition("(")[0] == plain]
        # The one that can be called, and of several the one that is called most.
        return max(same or by_class, key=lambda one: (bool(one.inputs), one.calls), default=None)


#: Where nothing was recorded.
NOTHING_RECORDED = Recorded()


def load(path: Path) -> Recorded:
    """Read a file of recorded calls.

    Raises:
        UsageError: there is none, or it is something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {path} of recorded calls; diffexport record -- COMMAND writes one"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as recorded calls: {error}") from None
    if not isinstance(document, dict) or document.get("diffexport") != _KIND:
        raise UsageError(f"{path} is no file of recorded calls, which diffexport record -- COMMAND writes")
    if document.get("version") != _VERSION:
        raise UsageError(
            f"{path} is of version {document.get('version')!r}, and {_VERSION} can be read; record the calls again"
        )
    try:
        targets = tuple(_target(one, path) for one in document["targets"])
        return Recorded(tuple(document["command"]), int(document["exit_code"]), targets, str(path))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def store(recorded: Recorded, path: Path) -> None:
    """Write a file of recorded calls.

    Raises:
        UsageError: it cannot be written.
    """
    document = {
        "diffexport": _KIND,
        "version": _VERSION,
        "versions": installed(),
        "command": list(recorded.command),
        "exit_code": recorded.exit_code,
        "targets": [_document(one, path) for one in recorded.targets],
    }
    try:
        atomic.write_text(path, json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from None


def _document(target: RecordedTarget, path: Path) -> dict[str, Any]:
    file, folder = Path(target.file), path.resolve().parent
    inside = bool(target.file) and file.is_relative_to(folder)
    return {
        "target": target.target,
        "kind": target.kind,
        # In a project that lies elsewhere on another machine, it is found all the same.
        "file": file.relative_to(folder).as_posix() if inside else target.file,
        "qualname": target.qualname,
        "calls": target.calls,
        "inputs": list(target.inputs),
        "also": [list(texts) for texts in target.also],
        "names": list(target.names),
        "problem": target.problem,
        "notes": list(target.notes),
        "observed": [dict(one) for one in target.observed],
    }


def _target(document: Mapping[str, Any], path: Path) -> RecordedTarget:
    file = _text(document, "file")
    return RecordedTarget(
        _text(document, "target"),
        _text(document, "kind"),
        str(path.resolve().parent / file) if file else "",
        _text(document, "qualname"),
        calls=int(document["calls"]),
        inputs=_texts(document["inputs"]),
        also=tuple(_texts(texts) for texts in document["also"]),
        names=_texts(document["names"]),
        problem=_text(document, "problem"),
        notes=_texts(document["notes"]),
        observed=tuple(document.get("observed", ())),
    )


def _text(document: Mapping[str, Any], name: str) -> str:
    if not isinstance(document[name], str):
        raise TypeError(f"{name} must be a text")
    return str(document[name])


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise TypeError("there must be lists of texts")
    return tuple(values)


def _first(text: str) -> str:
    """Return the text of an argument of which several values were seen with the first of them alone."""
    if is_spec(text) or not text.startswith("sampled_from("):
        return text
    call = ast.parse(text, mode="eval").body
    if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.List) and call.args[0].elts:
        return f"just({ast.unparse(call.args[0].elts[0])})"
    return text
