"""Verdicts: the judged result of one (case, mode, runtime, inputs).

Plain values. A verdict either *agrees*, was *refused* as an expectation said it would be, was *rejected*
(the model itself raises on these inputs in eager, so there is nothing to compare), or *diverges*; a
[Divergence][] says at which stage, of which kind, and how.
"""

from __future__ import annotations

import enum
import hashlib
import json
import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

from diffexport.values.cause import Cause
from diffexport.values.place import Place
from diffexport.values.signatures import Aspect
from diffexport.values.target_texts import place_of


class Stage(enum.StrEnum):
    """Where in the pipeline something happened, in its order."""

    EAGER = "eager"
    CAPTURE = "capture"
    CONVERT = "convert"
    CHECK = "check"
    LOAD = "load"
    RUN = "run"
    COMPARE = "compare"

    @property
    def is_before_runtime(self) -> bool:
        """Whether no runtime is involved yet, so that what shows here is the same for all of them."""
        return self in (Stage.EAGER, Stage.CAPTURE, Stage.CONVERT, Stage.CHECK)


class Severity(enum.StrEnum):
    """Whether a divergence fails a run or is only reported."""

    FAILURE = "failure"
    NOTE = "note"


class Kind(enum.StrEnum):
    """Why a verdict diverges."""

    EXPORT_ERROR = "export-error"
    UNEXPECTED_SUCCESS = "unexpected-success"
    CHECKER_ERROR = "checker-error"
    LOAD_ERROR = "load-error"
    RUN_ERROR = "run-error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    STRUCTURE = "structure"
    DTYPE = "dtype"
    SHAPE = "shape"
    NAN_PLACEMENT = "nan-placement"
    INFINITY = "infinity"
    VALUE = "value"
    SIGN_OF_ZERO = "sign-of-zero"
    OVERFLOW = "overflow"
    DECLARED_TYPE = "declared-type"
    GRAPH_CONTRACT = "graph-contract"
    OPSET = "opset"
    IMPURE_EXPORT = "impure-export"
    STALE_GLOBALS = "stale-globals"
    NONDETERMINISTIC_EXPORT = "nondeterministic-export"

    @property
    def severity(self) -> Severity:
        """FAILURE, save for the sign of zero, overflow and stale globals: a NOTE unless a run is strict."""
        notes = (Kind.SIGN_OF_ZERO, Kind.OVERFLOW, Kind.STALE_GLOBALS)
        return Severity.NOTE if self in notes else Severity.FAILURE

    @property
    def meaning(self) -> str:
        """One line for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Kind.EXPORT_ERROR: "the export failed where it was expected to succeed",
    Kind.UNEXPECTED_SUCCESS: "something that was expected to be refused succeeded",
    Kind.CHECKER_ERROR: "onnx.checker or strict shape inference rejects the exported model",
    Kind.LOAD_ERROR: "the runtime refuses to load the exported model",
    Kind.RUN_ERROR: "the runtime raised an error while running the model",
    Kind.CRASH: "the process died",
    Kind.TIMEOUT: "the step took longer than its time limit",
    Kind.OUT_OF_MEMORY: "memory ran out, so that nothing can be said",
    Kind.STRUCTURE: "the number or order of the outputs differs",
    Kind.DTYPE: "an output has another dtype",
    Kind.SHAPE: "an output has another shape",
    Kind.NAN_PLACEMENT: "NaNs stand in other places",
    Kind.INFINITY: "infinities stand in other places or have another sign",
    Kind.VALUE: "finite values differ by more than rounding explains",
    Kind.SIGN_OF_ZERO: "a zero has the other sign",
    Kind.OVERFLOW: "a result overflows on the way to a value that float64 has, in eager or in the exported model",
    Kind.DECLARED_TYPE: "an output's declared dtype or shape does not admit what the model computes",
    Kind.GRAPH_CONTRACT: "the graph does not have the node kinds it should have",
    Kind.OPSET: "the model does not have the opset that was asked for",
    Kind.IMPURE_EXPORT: "exporting changed the model, its inputs or global state",
    Kind.STALE_GLOBALS: "the exporter leaves its own private settings behind",
    Kind.NONDETERMINISTIC_EXPORT: "exporting the same thing twice does not give the same graph",
}


class Outcome(enum.StrEnum):
    """What a verdict says."""

    AGREES = "agrees"
    REFUSED = "refused"
    REJECTED = "rejected"
    DIVERGES = "diverges"


@dataclass(frozen=True)
class Evidence:
    """What running eager under rounding noise and in float64 says of one differing element; see docs/oracle.md.

    Attributes:
        runs: how many runs under noise there are; 0 where none was possible.
        low, high: the least and greatest finite value that they and eager give; None if there is none.
        ulps: distance of the two sides in units in the last place of eager's; None unless both are finite.
        condition: by how much the model amplifies relative noise: half the spread, relative to eager, over the
            precision of the dtype; None where eager is zero or not finite.
        reference: the value with every operator in float64; None where there is no such path.
        farther: ``eager`` or ``exported``: which side is farther from ``reference``; empty if neither is, or if it
            is unknown.
        note: what kept the element from being arbitrated as it should; else empty.
        below, above: where the exported model's value is between low and high, the values next to it that the runs
            and eager give: none of them lies between these two. Else None.
    """

    runs: int
    low: float | None = None
    high: float | None = None
    ulps: float | None = None
    condition: float | None = None
    reference: float | None = None
    farther: str = ""
    note: str = ""
    below: float | None = None
    above: float | None = None


@dataclass(frozen=True)
class FailureKey:
    """What tells the failures of one case, exporter and runtime apart; see [Identity][] for all of it."""

    stage: Stage
    kind: Kind
    place: Place
    signature: str


@dataclass(frozen=True)
class Divergence:
    """One way in which the exported model is not the eager one.

    Attributes:
        stage: where in the pipeline it showed.
        kind: why it diverges.
        place: the output, or what else is concerned (the graph, the model).
        signature: a short text free of values and addresses that tells this failure from others of the
            same kind at the same place, for instance ``inf→finite``. Part of the [identity][Finding].
        message: what was seen, for a person.
        element: index of the first differing element, or None.
        excess: for values, the largest difference as a multiple of the tolerance that ``torch.testing`` has by
            default; else None.
        evidence: for what can be arbitrated, why rounding does not explain it; else None.
        cause: of a failed export, where it failed; else None.
    """

    stage: Stage
    kind: Kind
    place: Place
    signature: str
    message: str
    element: tuple[int, ...] | None = None
    excess: float | None = None
    evidence: Evidence | None = field(default=None, compare=False)
    cause: Cause | None = field(default=None, compare=False)

    @property
    def severity(self) -> Severity:
        """The severity of the kind."""
        return self.kind.severity

    @property
    def where(self) -> str:
        """The place as text, for instance ``output[0]``, ``graph`` or ``model``."""
        return self.place.text

    @property
    def key(self) -> FailureKey:
        """What tells it from other failures of the same case, exporter and runtime."""
        return FailureKey(self.stage, self.kind, self.place, self.signature)

    def is_about(self, kind: Kind, aspect: Aspect) -> bool:
        """Return whether it is of this kind and its signature says this."""
        return self.kind is kind and self.signature == aspect


@dataclass(frozen=True)
class Identity:
    """What makes two divergences the same failure.

    ``runtime`` is empty for what shows before any runtime is involved, so that an export error is one
    failure and not one per runtime. The mode's exporter belongs to it, its other options do not: they are
    what the simplest mode is searched over.
    """

    case: str
    exporter: str
    runtime: str
    stage: Stage
    kind: Kind
    place: Place
    signature: str
    target: str = ""

    @classmethod
    def of(cls, case: str, exporter: str, runtime: str, key: FailureKey, target: str) -> Identity:
        """Return the identity of a failure that was seen on ``runtime``."""
        seen_on = "" if key.stage.is_before_runtime else runtime
        return cls(case, exporter, seen_on, key.stage, key.kind, key.place, key.signature, target)

    @property
    def key(self) -> FailureKey:
        """The part that does not depend on the case, the exporter and the runtime."""
        return FailureKey(self.stage, self.kind, self.place, self.signature)

    @property
    def where(self) -> str:
        """The place as text."""
        return self.place.text

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits, the same on every machine."""
        parts = [self.case, self.exporter, self.runtime, self.stage, self.kind, self.where, self.signature]
        if self.target not in ("", self.case):
            # Two models of one name in two files are two cases, however the way to a file is written.
            place = place_of(self.target)
            parts.append(posixpath.normpath(place.replace("\\", "/")) + self.target[len(place) :])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]

    @property
    def slug(self) -> str:
        """The name a stored regression gets: readable, and unique through the digest."""
        words = [self.case, self.exporter, self.runtime, str(self.kind)]
        if not self.place.is_whole:
            words.append(self.where)
        text = "--".join(slugify(word) for word in words if word)
        return f"{text[:96]}--{self.digest}"


def slugify(text: str) -> str:
    """Return ``text`` in lower-case letters, digits, dots, underscores and single hyphens."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.") or "x"


def exporter_name(mode: str) -> str:
    """Return the exporter of a mode in text form, which begins with it."""
    return mode.partition(",")[0]


@dataclass(frozen=True)
class Verdict:
    """The judged result of one (case, mode, runtime, inputs).

    Attributes:
        case, mode, runtime: what was checked; ``mode`` in text form.
        outcome: agrees, refused as expected, rejected by eager, or diverges.
        divergences: every divergence, in the order of the stages; those of severity NOTE are in
            ``notes`` instead, unless the run is strict.
        notes: what is reported without failing.
        reason: for REFUSED and REJECTED, the error's first line.
        eager, got: the outputs of both sides as numpy arrays, empty where the pipeline ended earlier.
        chatter: what exporter and runtime printed, logged and warned.
        target: text from which the case can be had again; empty or the name for a catalogue case.
        arbitrated: something differed by more than the tight tolerance, or by class.
        excused: all that differed is rounding.
        unrefereed: a fixed tolerance had to judge, because eager cannot be run under noise.
        tolerated: something differed that the terms of the case let through.
        on_example: of REJECTED: eager refuses the inputs to export with, and those to run on were not tried.
        out_of_memory: of REJECTED: not that the model refuses the inputs, but that memory ran out.
    """

    case: str
    mode: str
    runtime: str
    outcome: Outcome
    divergences: tuple[Divergence, ...] = ()
    notes: tuple[Divergence, ...] = ()
    reason: str = ""
    eager: tuple[Any, ...] = field(default=(), compare=False)
    got: tuple[Any, ...] = field(default=(), compare=False)
    chatter: str = field(default="", compare=False)
    target: str = ""
    arbitrated: bool = False
    excused: bool = False
    unrefereed: bool = False
    tolerated: bool = False
    on_example: bool = False
    out_of_memory: bool = False

    @property
    def agrees(self) -> bool:
        """Whether nothing diverges."""
        return self.outcome is not Outcome.DIVERGES

    def identity(self, divergence: Divergence) -> Identity:
        """Return the identity of one of this verdict's divergences."""
        exporter = exporter_name(self.mode)
        return Identity.of(self.case, exporter, self.runtime, divergence.key, self.target)
