"""Examine one Function, in a child process: import its module, work out how to call it, explore its variants."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from shlex import quote as quoted
from typing import Any

import numpy as np

from diffexport.arrays import as_call
from diffexport.chatter import captured
from diffexport.errors import DiffexportError
from diffexport.explore import Settings, plain_shapes, shipped_for
from diffexport.findings.events import (
    CaseFailed,
    Event,
    FaceFound,
    Finding,
    FindingMade,
    ModeFinished,
    Remark,
    Unhealthy,
)
from diffexport.infer.discovery import DiscoveredFunction
from diffexport.infer.search import InferenceStatus
from diffexport.infer.session import Inference, infer, infer_target
from diffexport.pipeline import Pipeline
from diffexport.strategies import examples, is_spec
from diffexport.subjects.cases import Case, Known
from diffexport.subjects.targets import (
    Application,
    CannotImport,
    Imported,
    Importer,
    file_module_name,
    look_up,
    resolve,
)
from diffexport.tools.scan.function_status import FunctionStatus
from diffexport.tools.scan.variant_runs import VariantRun, carried_over
from diffexport.tools.scan.variants import (
    AS_IS,
    FLAG,
    PARAMETER,
    RULES_OF_A_SCAN,
    WITHOUT_SYMBOLIC,
    of_variant,
)
from diffexport.values import Identity, Mode

#: Share of the time for a Function that inference may take, and the most seconds.
_INFER_SHARE, _INFER_MOST = 0.4, 10.0
#: Most values of arguments that are no tensors to be run besides the first ones.
_OTHER_VALUES = 6


@dataclass(frozen=True)
class Job:
    """What a child process does in one go.

    Attributes:
        found: the Function.
        modes: as text.
        timeout: seconds, without importing.
        placeholder: it was declared to mean what its ``symbolic`` says.
        careful: inference ended the process before; let it have one of its own.
        skipped: variants and modes that are done, or ended the process.
        before: what was found in them.
        recorded: how it was seen to be called.
    """

    found: DiscoveredFunction
    modes: tuple[str, ...]
    runtimes: tuple[str, ...]
    settings: Settings
    known: tuple[Known, ...]
    timeout: float
    placeholder: bool = False
    careful: bool = False
    skipped: tuple[tuple[str, str], ...] = ()
    before: tuple[Finding, ...] = ()
    recorded: Inference | None = None


@dataclass(frozen=True)
class Progress:
    """Sent by the child before it does something.

    Attributes:
        doing: importing, inferring or exploring.
        detail: the module that is imported, or the command that does what is explored.
        at: the variant and mode that is explored.
    """

    doing: str
    detail: str = ""
    at: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class ImportDone:
    """The module is there."""

    seconds: float
    stand_ins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Concluded:
    """What is known besides results: a status where nothing was run, or fields of the inference."""

    status: FunctionStatus | None = None
    message: str = ""
    inference: Inference | None = None
    target: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InVariant:
    """An event of the exploration of one variant."""

    variant: str
    event: Event


@dataclass
class Examiner:
    """Examines Functions one after the other; modules stay imported in between.

    Attributes:
        skip: packages whose ``__init__`` must not be run, each with why.
        send: takes what is to be told to the parent.
    """

    skip: Sequence[tuple[str, str]]
    send: Callable[[Any], None]
    _importer: Importer | None = field(default=None, repr=False)

    def examine(self, job: Job) -> None:
        """Do one job."""
        function_found = job.found
        try:
            imported, text = self._import(function_found)
        except CannotImport as error:
            status = FunctionStatus.NEEDS_MODULE if error.missing else FunctionStatus.IMPORT_ERROR
            self.send(Concluded(status, str(error)))
            return
        started = time.monotonic()
        until = started + 0.9 * job.timeout
        try:
            with captured():
                function = look_up(text)
        except DiffexportError as error:
            out_of_reach = function_found.conditional or ".<locals>." in function_found.qualname
            status = FunctionStatus.ABSENT if out_of_reach else FunctionStatus.IMPORT_ERROR
            self.send(Concluded(status, str(error)))
            return
        inference = None if job.recorded is None else replace(job.recorded, target=text)
        if inference is None:
            self.send(Progress("inferring"))
            inference = self._infer(function, text, job)
        if inference.status is not InferenceStatus.INFERRED:
            status, message = _why_not(inference, function_found, imported)
            self.send(Concluded(status, message, replace(inference, model=None), text))
            return
        values = [values_of(entry) for entry in inference.inputs]
        inputs = tuple(texts[0] for texts in values)
        case = _case(text, inputs)
        notes = _placeholder_notes(case, function_found, job.placeholder)
        plain = replace(inference, model=None)
        self.send(Concluded(None, "", plain, case.target, tuple(notes)))
        self._explore(job, text, values, until)

    def _import(self, function: DiscoveredFunction) -> tuple[Imported, str]:
        """Import a Function's module; return it, and the text by which the Function can be had."""
        if self._importer is None:
            self._importer = Importer(self.skip, lambda name: self.send(Progress("importing", name)))
        started = time.monotonic()
        with captured():
            if function.loose:
                imported = self._importer.load_file(function.file, file_module_name(function.file))
            else:
                imported = self._importer.load(function.module)
        stood_in = bool(imported.missing or imported.hollow)
        notes = [f"{name} is not installed; stood in for" for name in imported.missing]
        notes += [f"{name}/__init__ is left out: {reason}" for name, reason in imported.hollow]
        stand_ins = (*imported.missing, *(name for name, _ in imported.hollow))
        self.send(ImportDone(time.monotonic() - started, stand_ins, tuple(notes)))
        return imported, function.target + ("+stubs" if stood_in else "")

    def _infer(self, function: Any, text: str, job: Job) -> Inference:
        seconds = min(_INFER_MOST, _INFER_SHARE * job.timeout)
        if job.careful:
            return infer_target(text, seconds=seconds, cached=False)
        inference: Inference = infer(function, seconds=seconds, target=text)
        return inference

    def _explore(self, job: Job, text: str, values: Sequence[Sequence[str]], until: float) -> None:
        modes = [Mode.parse(mode) for mode in job.modes]
        known = (*job.known, *shipped_for(text))
        before: dict[Identity, Finding] = {finding.identity: finding for finding in job.before}
        left: list[str] = []
        for variant in variants(text, values, symbolic=job.found.symbolic):
            case, name = _case(variant.target, variant.inputs), variant.name

            def tell(event: Event, name: str = name) -> None:
                if isinstance(
                    event, ModeFinished | FindingMade | FaceFound | CaseFailed | Unhealthy | Remark
                ):
                    self.send(InVariant(name, event))

            run = VariantRun(
                case,
                job.runtimes,
                job.settings,
                known,
                until,
                {**before, **carried_over(before, case.target)},
                sparing=name != AS_IS,
            )
            chosen = [
                mode
                for mode in of_variant(name, modes, placeholder=job.placeholder)
                if (name, str(mode)) not in job.skipped
            ]
            reproduce = f"diffexport run {quoted(case.target)}" + "".join(
                f" --input {quoted(entry)}" for entry in variant.inputs
            )

            def announce(mode: Mode, reproduce: str = reproduce, name: str = name) -> None:
                command = f"{reproduce} --modes {quoted(str(mode))}"
                self.send(Progress("exploring", command, (name, str(mode))))

            missed = run.run(chosen, announce, tell)
            left += [f"{mode} ({name})" if name != AS_IS else str(mode) for mode in missed]
            if case.target == text or name == AS_IS:
                # The same failure at another value of an argument is not another one.
                before = {**before, **run.findings}
            if run.failed and name == AS_IS:
                break
        if left:
            message = f"the time limit of {job.timeout:g} s was reached; not run: {'; '.join(left)}"
            self.send(Concluded(notes=(message,)))


@dataclass(frozen=True)
class Variant:
    """A way to apply a Function: its target with flags, and one text for each argument."""

    name: str
    target: str
    inputs: tuple[str, ...]


def variants(text: str, values: Sequence[Sequence[str]], *, symbolic: bool) -> list[Variant]:
    """Return the ways in which a Function is examined.

    Args:
        text: the target without flags.
        values: for each argument its texts, see [values_of][].
        symbolic: the Function has a ``symbolic``.
    """
    parts = Application.parse(text)
    assert parts is not None
    first = tuple(texts[0] for texts in values)
    names = [AS_IS, *[WITHOUT_SYMBOLIC] * symbolic, PARAMETER]
    applied = [Variant(name, str(parts.flagged(*FLAG[name])), first) for name in names]
    others = [
        Variant(
            f"argument {place} {other}", str(parts.flagged()), (*first[:place], other, *first[place + 1 :])
        )
        for place, texts in enumerate(values)
        for other in texts[1:]
    ]
    return applied + others[:_OTHER_VALUES]


def values_of(entry: str) -> tuple[str, ...]:
    """Return texts for one argument: of several values that are no tensors, each by itself.

    Where a strategy makes tensors, or anything else that is not one of a few values, that is all.
    """
    if is_spec(entry):
        return (entry,)
    try:
        call = ast.parse(entry, mode="eval").body
    except SyntaxError:
        return (entry,)
    name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
    if name == "booleans":
        return "just(False)", "just(True)"
    first = call.args[0] if isinstance(call, ast.Call) and call.args else None
    if name == "sampled_from" and isinstance(first, ast.List | ast.Tuple) and first.elts:
        return tuple(f"just({ast.unparse(value)})" for value in first.elts)
    return (entry,)


def _case(text: str, inputs: Sequence[str]) -> Case:
    """Return the case of a Function as it is applied, with what may be expected in a scan."""
    case = resolve(text, inputs=inputs)
    return replace(case, rules=(*case.rules, *RULES_OF_A_SCAN))


def _why_not(
    inference: Inference, function: DiscoveredFunction, imported: Imported
) -> tuple[FunctionStatus, str]:
    """Return the status and message of a Function that is not run.

    What its source says counts where calls only failed.
    """
    status, message = FunctionStatus(inference.status), inference.message
    if status in (FunctionStatus.REJECTED, FunctionStatus.TIMEOUT, FunctionStatus.CRASH):
        if "distributed" in function.marks:
            status = FunctionStatus.DISTRIBUTED
        elif "triton" in function.marks or "native" in function.marks:
            status = FunctionStatus.NEEDS_NATIVE
        elif "cuda" in function.marks and status is FunctionStatus.REJECTED and "cuda" in message.lower():
            status = FunctionStatus.NEEDS_CUDA
        elif imported.missing and any(name in message for name in imported.missing):
            status = FunctionStatus.NEEDS_MODULE
    return status, message


def _placeholder_notes(case: Case, function: DiscoveredFunction, declared: bool) -> list[str]:
    """Return what there is to say of a Function with a ``symbolic`` whose forward means nothing."""
    if not function.symbolic:
        return []
    what = "returns its input" if "placeholder" in function.marks else _holds_a_place(case)
    if not what:
        return []
    if declared:
        return [
            f"placeholder, as declared: its symbolic is its meaning, which dynamo ignores (its forward {what})"
        ]
    return [
        f"placeholder? its forward {what}, so that its symbolic is its meaning: dynamo ignores it in silence, and a "
        f"difference to eager is intended; declare it with --placeholder {function.name!r}"
    ]


def _holds_a_place(case: Case) -> str:
    """Return in words that a model returns its input, or something that does not depend on it; else nothing."""
    if not case.specs or len(case.specs) < len(case.inputs):
        return ""
    pipeline, shapes = Pipeline(), plain_shapes(case.specs)
    seen = []
    for flavour in ("ordinary", "negative"):
        inputs = examples(shapes, case.specs, flavour)
        eager = pipeline.stages.eager.run(case, Mode(), as_call(inputs))
        if eager.error or not eager.outputs or not eager.outputs[0].size:
            return ""
        seen.append((inputs, eager.outputs))
    if all(any(_same(output, given) for given in inputs) for inputs, outputs in seen for output in outputs):
        return "returns its input"
    (_, one), (_, other) = seen
    differ = any(not _same(a, b) for a, b in zip(seen[0][0], seen[1][0], strict=True))
    if differ and len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True)):
        return "returns what does not depend on its input"
    return ""


def _same(one: Any, other: Any) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool(np.array_equal(one, other))
