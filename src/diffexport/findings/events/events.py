"""Events: what happened in a run, as plain data, in the order it happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffexport.findings.events.row_verdict import KnownStatus, RowVerdict
from diffexport.values import (
    ALL_INPUTS,
    DEFAULT_TERMS,
    Budget,
    Call,
    Cause,
    Divergence,
    Identity,
    InputScope,
    Terms,
    exporter_name,
)


@dataclass(frozen=True, eq=False)
class Finding:
    """A divergence with the smallest input and simplest mode that were found to show it.

    Attributes:
        identity: what makes it the same failure as another.
        target: text from which the case can be had again, in another process.
        mode: the simplest mode, in text form.
        runtime: the simplest runtime.
        divergence: what was seen.
        inputs, export_inputs: positional arguments, or a [Call][diffexport.Call] where there are keywords.
            Tensors are numpy arrays, except those that require a gradient or start inside their storage.
        eager, got: outputs of both sides; empty when the pipeline ended before.
        exporters: the exporters whose default mode shows the same on these inputs.
        seed: seed of the run that found it.
        specs: the specs of the inputs, for a model that does not carry them itself.
        blame: the stage that departs first (capture, conversion, optimiser, kernel) and the votes that say so; empty
            where there was nothing to vote on.
        terms: on which terms the case was checked.
        weights: a digest of the weights of a target's model; empty where it has none, or none was made.
        cause: what it comes down to, so that what has the same is told as one; None where that is not known.
        shrunk: False when the run was interrupted before it was minimal.
        flaky: the failure did not show again when repeated.
        chatter: what exporter and runtime printed.
        remarks: what a person should know of how it was made simple, such as that a simpler mode, which nobody
            selected, shows it, too.
    """

    identity: Identity
    target: str
    mode: str
    runtime: str
    divergence: Divergence
    inputs: tuple[Any, ...] | Call
    export_inputs: tuple[Any, ...] | Call
    eager: tuple[Any, ...] = ()
    got: tuple[Any, ...] = ()
    exporters: tuple[str, ...] = ()
    seed: int = 0
    shrunk: bool = True
    flaky: bool = False
    chatter: str = ""
    specs: tuple[str, ...] = ()
    blame: tuple[str, str] | tuple[()] = ()
    terms: Terms = DEFAULT_TERMS
    weights: str = ""
    remarks: tuple[str, ...] = ()
    cause: Cause | None = None


@dataclass
class Row:
    """The tally of one (case, mode, runtime). ``stage`` and ``kind`` are those of the worst verdict.

    ``checks`` counts compared samples, ``examples`` Hypothesis examples; ``rejected`` samples are those that the model
    refuses in eager, ``out_of_memory`` those for which memory ran out, so that nothing can be said. ``arbitrated``
    samples differed and eager was run again for them; of these, ``excused`` ones differ by rounding alone, and of
    ``unrefereed`` ones a fixed tolerance had to judge. ``tolerated`` ones differ by what the terms of the case let
    through. ``reason`` is the first line of the first refusal, or why nothing was tested.
    """

    runtime: str
    verdict: RowVerdict = RowVerdict.UNTESTED
    stage: str = ""
    kind: str = ""
    examples: int = 0
    checks: int = 0
    rejected: int = 0
    out_of_memory: int = 0
    known: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    diverging: int = 0
    arbitrated: int = 0
    excused: int = 0
    unrefereed: int = 0
    tolerated: int = 0
    seconds: float = 0.0
    reason: str = ""

    def worsen(self, verdict: RowVerdict, stage: str = "", kind: str = "") -> None:
        """Record a verdict if it is worse than the one so far."""
        if verdict is not self.verdict and verdict.is_worse_than(self.verdict):
            self.verdict, self.stage, self.kind = verdict, stage, kind


@dataclass(frozen=True)
class RunStarted:
    """What is going to be done.

    ``artefact`` is the file that is compared, where nothing is exported; ``asked`` has every mode as text. ``budget``
    says how long modes are explored in turns, if they are, and ``ends`` when that is over, as ``time.monotonic()``
    counts. ``scope`` says which inputs are left out.
    """

    cases: tuple[str, ...]
    modes: int
    runtimes: tuple[str, ...]
    examples: int
    seed: int
    profile: str
    strict: bool
    versions: dict[str, str]
    artefact: str = ""
    asked: tuple[str, ...] = ()
    budget: Budget | None = None
    ends: float = math.inf
    scope: InputScope = ALL_INPUTS


@dataclass(frozen=True)
class ModeFinished:
    """One mode of one case is done, on every runtime.

    Where modes are explored in turns, one turn of it is done, and what counts is the latest.

    Attributes:
        carried: what it leaves for the modes of the case that are explored after it, as plain data; see
            ``explore/carried_over.py``.
        turns: how many turns of it are done to their end; None where it is explored in one go.
        spent: seconds since the last such event of this process, by what they were spent on.
    """

    case: str
    mode: str
    rows: tuple[Row, ...]
    carried: Mapping[str, Any] = field(default_factory=dict)
    turns: int | None = None
    spent: Mapping[str, float] = field(default_factory=dict)

    @property
    def exporter(self) -> str:
        """The exporter of the mode."""
        return exporter_name(self.mode)


@dataclass(frozen=True)
class RoundsDone:
    """How many rounds all modes had to their end, after the first look, where they are explored in turns."""

    rounds: int


@dataclass(frozen=True)
class Suspected:
    """A divergence was seen for the first time and is about to be shrunk."""

    finding: Finding


@dataclass(frozen=True)
class FindingMade:
    """A divergence became a finding: shrunk, or as it was seen where there was no time for that.

    ``as_seen`` says that the run was interrupted before anything was made of it.
    """

    finding: Finding
    as_seen: bool = False


@dataclass(frozen=True)
class FaceFound:
    """A divergence became a finding whose cause was found before: it is another face of that.

    Attributes:
        finding: the face.
        of: the identity of the finding that stood for the cause so far.
        leads: the face is the simpler one and stands for the cause from now on; the other is a face of it then.
    """

    finding: Finding
    of: Identity
    leads: bool = False


@dataclass(frozen=True)
class CaseFailed:
    """A case could not be tested at all; the message says why and what to do."""

    case: str
    message: str


@dataclass(frozen=True)
class Unhealthy:
    """A case was explored, but its model rejects most of what is drawn for it; ``message`` says what to declare."""

    case: str
    message: str


@dataclass(frozen=True)
class Remark:
    """Something of how a case is tested that a person should know: its mode, its randomness.

    ``refuses`` says that not all is tested because of it, so that the run must not end as if it were.
    """

    case: str
    message: str
    refuses: bool = False


@dataclass(frozen=True)
class StateChanged:
    """A case changed something of its process that other cases share.

    Attributes:
        case: its name.
        what: what it does, in words: ``changes the default dtype to torch.float64``.
        restored: it was put back; else the process is to do nothing else any more.
    """

    case: str
    what: str
    restored: bool

    @property
    def message(self) -> str:
        """What was changed, and what became of it."""
        return f"case {self.case!r}: {self.what} ({'restored' if self.restored else 'not restored'})"


@dataclass(frozen=True)
class Excluded:
    """Modes are left out for a case: those of a pattern, how many, and why; ``texts`` has each of them."""

    case: str
    modes: str
    count: int
    reason: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownReplayed:
    """The regression of a known divergence was replayed before the run."""

    id: str
    regression: str
    status: KnownStatus
    message: str

    @property
    def is_stale(self) -> bool:
        """Whether the regression no longer diverges, or cannot be replayed."""
        return self.status is not KnownStatus.DIVERGES


@dataclass(frozen=True, eq=False)
class CheckStarting:
    """Sent before each check when a worker has died once, so that the culprit is known the second time."""

    case: str
    mode: str
    inputs: tuple[Any, ...] | Call
    export_inputs: tuple[Any, ...] | Call


@dataclass(frozen=True)
class RunFinished:
    """The end: ``interrupted`` by the user, ``stopped_early`` by a finding, ``out_of_time``, or complete."""

    seconds: float
    interrupted: bool = False
    stopped_early: bool = False
    out_of_time: bool = False


Event = (
    RunStarted
    | ModeFinished
    | RoundsDone
    | Suspected
    | FindingMade
    | FaceFound
    | CaseFailed
    | Unhealthy
    | Remark
    | StateChanged
    | Excluded
    | KnownReplayed
    | CheckStarting
    | RunFinished
)
