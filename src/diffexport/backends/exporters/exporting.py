"""One export: the exporter of a mode is called, watched for what it changes, and what it raises is a result."""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from diffexport.arrays import DynamicAxes, every_axis, to_array, walk
from diffexport.backends.exporters.export_causes import FailureCause, cause_of
from diffexport.backends.exporters.exporter_protocol import ExportRequest
from diffexport.backends.exporters.exporter_registry import exporter_of
from diffexport.chatter import captured
from diffexport.errors import DiffexportError, TargetError, error_text
from diffexport.processes import builtins_kept, raised_by_code, without_copies
from diffexport.pytorch import (
    Change,
    Files,
    Snapshot,
    StoredModel,
    Written,
    path_of,
    symbolics_removed,
    traced_traits,
)
from diffexport.subjects.cases import Around
from diffexport.values import DEFAULT_TERMS, EXPORTER_REGISTRY, Call, Inputs, Mode, Stage, Terms

__all__ = [
    "CapturedRun",
    "Export",
    "ExportFailure",
    "export",
    "model_traits",
    "run_captured",
    "without_symbolics",
]


@dataclass(frozen=True)
class ExportFailure:
    """Why an export produced nothing.

    Attributes:
        stage: CAPTURE when tracing or ``torch.export`` failed, else CONVERT.
        error: the exception's type name.
        message: its text.
        signature: the first telling line with addresses, paths and numbers taken out.
        cause: what it comes down to; None where nobody looked.
    """

    stage: Stage
    error: str
    message: str
    signature: str
    cause: FailureCause | None = None


@dataclass(frozen=True)
class Export:
    """The result of one export.

    Attributes:
        model: the serialised ``ModelProto``, or None.
        failure: why there is none.
        impurities: what the export changed that it should not have.
        repeat: how a second export of the same module differs from the first; empty when it does not or
            was not asked for.
        chatter: everything that was printed, logged or warned.
        files: where the terms ask for external data, the files as they were written, the model's own first;
            ``model`` then holds the same with the data in it.
    """

    model: bytes | None
    failure: ExportFailure | None = None
    impurities: tuple[Change, ...] = ()
    repeat: str = ""
    chatter: str = field(default="", repr=False)
    files: Files = field(default=(), repr=False)

    @property
    def size(self) -> int:
        """Bytes that the model and its files take, those on disk among them."""
        model = self.model or b""
        stored = model.size if isinstance(model, StoredModel) else 0
        return len(model) + stored + sum(len(data) for _, data in self.files)


def export(
    module: Any,
    inputs: Inputs,
    mode: Mode,
    *,
    dynamic: DynamicAxes | None = None,
    repeat: bool = False,
    terms: Terms = DEFAULT_TERMS,
    around: Around | None = None,
    custom_opsets: Mapping[str, int] | None = None,
) -> Export:
    """Export ``module`` on example inputs.

    Args:
        module: the ``torch.nn.Module``; hand over a copy, exporters leave hooks behind.
        inputs: what it is called with; tensors become graph inputs ``x0``, ``x1``, …
        mode: how.
        dynamic: for each tensor its dynamic axes, where the mode has dynamic=true; by default all of them.
        repeat: export the same module a second time and compare the bytes.
        terms: names, external data and what else a case asks for besides the mode.
        around: makes a context manager that each export happens inside of.
        custom_opsets: versions of custom domains; the exporters built on ``torch.export`` take none.

    Raises:
        TargetError: ``around`` raises.
        KeyboardInterrupt: and nothing else; every error of the exporter becomes an [ExportFailure][].
    """
    call = Call.of(inputs)
    axes = (every_axis(call) if dynamic is None else dynamic) if mode.dynamic else None
    request = ExportRequest(module, call, mode, axes, terms, custom_opsets)
    with captured() as chatter, without_copies():
        before = Snapshot.take(module, call)
        try:
            with inside(around):
                written, failure = _attempt(request)
        except BaseException:
            # Cut off in the middle: what it has registered by then is not there for the next one.
            before.restore_globals()
            raise
        impurities = before.changes(module, call)
        before.restore_globals()
        difference = ""
        if repeat and written is not None:
            with inside(around):
                again, second_failure = _attempt(request)
            before.restore_globals()
            difference = _difference(written, again, second_failure)
    if written is None:
        return Export(None, failure, tuple(impurities), difference, chatter.text)
    return Export(written.model, failure, tuple(impurities), difference, chatter.text, written.files)


@contextlib.contextmanager
def inside(around: Around | None) -> Iterator[None]:
    """Enter what ``around`` makes, if anything.

    Raises:
        TargetError: making, entering or leaving it raises.
    """
    manager: Any = contextlib.nullcontext()
    with _of_the_case("making or entering"):
        if around is not None:
            manager = around()
        manager.__enter__()
    try:
        yield
    finally:
        with _of_the_case("leaving"):
            manager.__exit__(None, None, None)


@contextlib.contextmanager
def _undone(module: Any, inputs: Inputs) -> Iterator[None]:
    """Put global state back afterwards, so that what is left behind here is not there before an export."""
    before = Snapshot.take(module, inputs)
    try:
        yield
    finally:
        before.restore_globals()


@contextlib.contextmanager
def _of_the_case(doing: str) -> Iterator[None]:
    try:
        yield
    except raised_by_code() as error:
        raise TargetError(
            f"{doing} what the case wants around its export raises {type(error).__name__}: {error_text(error)}"
        ) from error


def _attempt(request: ExportRequest) -> tuple[Written | None, ExportFailure | None]:
    exporter = exporter_of(request.mode)
    try:
        with builtins_kept():
            written: Any = exporter.export(request)
    except DiffexportError:
        raise
    except raised_by_code() as error:
        stage, signature = exporter.stage_of(error), error_signature(_root(error))
        return None, ExportFailure(stage, type(error).__name__, _message(error), signature, cause_of(error))
    if not isinstance(written, Written) or not isinstance(written.model, bytes):
        raise EXPORTER_REGISTRY.error(
            request.mode.exporter, f"export returns {type(written).__name__}, not what it has written"
        )
    return written, None


def difference(first: Export, again: Export) -> str:
    """Return how a second export of a model differs from the first, which succeeded; empty where it does not."""
    assert first.model is not None
    written = None if again.model is None else Written(again.model, again.files)
    return _difference(Written(first.model, first.files), written, again.failure)


def _difference(first: Written, again: Written | None, failure: ExportFailure | None) -> str:
    if again is None:
        assert failure is not None
        return f"the second export fails: {failure.signature}"
    stored = isinstance(first.model, StoredModel), isinstance(again.model, StoredModel)
    same_code = first.files == again.files and _uncounted(first.model) == _uncounted(again.model)
    # What is in files is compared with them; their own numbers of code are of no account to the data.
    same_data = stored[0] == stored[1] and _data_of(first.model) == _data_of(again.model)
    if same_data and (first == again or same_code):
        return ""
    return "the second export gives other bytes"


def _data_of(model: bytes) -> list[bytes]:
    """Return a digest of each file of data beside a model."""
    path = path_of(model)
    files = [] if path is None else sorted(one for one in path.parent.iterdir() if one != path)
    digests = []
    for file in files:
        with file.open("rb") as data:
            digests.append(hashlib.file_digest(data, "sha256").digest())
    return digests


def _uncounted(model: bytes) -> bytes:
    """Return the model with the numbers taken out by which torch counts the code that it makes up.

    They count on through the whole process, and stand in the stack traces that the dynamo exporter keeps of nodes.
    """
    proto = onnx.load_model_from_string(model)

    def visit(nodes: Any) -> None:
        for node in nodes:
            for entry in node.metadata_props:
                entry.value = re.sub(r"<eval_with_key>\.\d+", "<eval_with_key>", entry.value)
            for attribute in node.attribute:
                for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    visit(graph.node)

    visit(proto.graph.node)
    for function in proto.functions:
        visit(function.node)
    return bytes(proto.SerializeToString(deterministic=True))


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _message(error: BaseException) -> str:
    root = _root(error)
    text = error_text(error).strip()
    if root is not error and error_text(root).strip() not in text:
        text += f"\n{type(root).__name__}: {error_text(root)}"
    return text


def error_signature(error: BaseException) -> str:
    """Return type and first line of an error without what changes from run to run."""
    lines = [line.strip() for line in error_text(error).splitlines() if line.strip()]
    line = lines[0] if lines else ""
    line = re.sub(r'at "[^"]*".*$', "", line)
    line = re.sub(r"0x[0-9a-f]+", "0x…", line)
    line = re.sub(r"(/[\w.+-]+)+", "…", line)
    line = re.sub(r"\b\d+\b", "#", line)
    return f"{type(error).__name__}: {line[:100].strip()}"


def model_traits(module: Any, inputs: Inputs, around: Around | None = None) -> frozenset[str]:
    """Return the traits of a model that expectations are stated over, found by tracing it once.

    A model that cannot be traced has no traits; the export will say why.

    Raises:
        TargetError: ``around`` raises.
    """
    with captured(), without_copies(), builtins_kept(), _undone(module, inputs), inside(around):
        return traced_traits(module, inputs)


@dataclass(frozen=True)
class CapturedRun:
    """What a captured program gives in PyTorch, before anything is converted: outputs as arrays, or its error."""

    outputs: tuple[Any, ...]
    error: str = ""


def run_captured(
    module: Any,
    example: Call,
    call: Call,
    mode: Mode,
    *,
    dynamic: DynamicAxes | None = None,
    around: Around | None = None,
) -> CapturedRun | None:
    """Capture ``module`` on an example the way a mode's exporter does, and run that on other inputs.

    Hand over a copy of the module: capturing leaves traces in it.

    Returns:
        None where the program cannot be captured; the export has said why. None, too, where the exporter has none.

    Raises:
        TargetError: ``around`` raises.
    """
    axes = (every_axis(example) if dynamic is None else dynamic) if mode.dynamic else None
    with (
        captured(),
        without_copies(),
        builtins_kept(),
        _undone(module, example),
        inside(around),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            program = exporter_of(mode).program(ExportRequest(module, example, mode, axes, DEFAULT_TERMS))
        except raised_by_code():
            return None
        if program is None:
            return None
        try:
            return CapturedRun(tuple([to_array(tensor).copy() for tensor in walk(program(call))]))
        except raised_by_code() as error:
            return CapturedRun((), error_signature(error))


@contextlib.contextmanager
def without_symbolics(module: Any, example: Call) -> Iterator[tuple[str, ...]]:
    """Take ``symbolic`` away from the autograd Functions of a model, a copy, for a while; yields their names."""
    with captured(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with symbolics_removed(module, example) as names:
            yield names
