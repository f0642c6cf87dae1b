"""What mutation is asked for and what comes of it: values, which workers and those who start them exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffexport.explore import Settings
from diffexport.subjects.cases import Known
from diffexport.tools.mutate.registry import MutantVerdict
from diffexport.values import NO_DEADLINE, Deadline

#: The control that changes nothing.
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class MutationJob:
    """What one worker does in one go; fields as in [Unit][diffexport.explore.units.Unit].

    Attributes:
        only: names of the mutators to apply.
        problem: why the target cannot be had, so that nothing is done; empty otherwise.
        most: how many bugs to plant at most, drawn over all mutators and the whole graph; None: all.
        seconds: how long it may plant and check, importing and exporting among it; None: as long as it takes. What is
            judged is not cut short.
    """

    target: str
    name: str
    inputs: tuple[str, ...]
    mode: str
    runtimes: tuple[str, ...]
    settings: Settings
    known: tuple[Known, ...]
    only: frozenset[str]
    problem: str = ""
    most: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class MutantOutcome:
    """What became of one mutant.

    Attributes:
        verdict: what the check said of it.
        kind: of the divergence that it was caught by.
        examples: Hypothesis examples until then.
        message: what was seen, by the check or by the judge.
        inputs: what it was seen on, as arrays.
    """

    case: str
    mode: str
    mutator: str
    where: str
    control: bool
    verdict: MutantVerdict
    kind: str = ""
    examples: int = 0
    message: str = ""
    inputs: tuple[Any, ...] = ()


@dataclass(frozen=True)
class JobReport:
    """What became of one job.

    Attributes:
        outcomes: of the mutants.
        skipped: why nothing was planted, or what of it could not be tested.
        failed: this is not as it should be.
    """

    case: str
    mode: str
    outcomes: tuple[MutantOutcome, ...] = ()
    skipped: str = ""
    failed: bool = False


@dataclass(frozen=True)
class MutationRequest:
    """What a worker is asked for: a job, or what is left of it.

    Attributes:
        job: the job.
        start: number of the first change to try; 0 is none at all, those of the graph are counted from 1.
        seen: digests of the mutants that are done.
        planted: how many bugs are among these.
        deadline: when the time of the job is over.
    """

    job: MutationJob
    start: int = 0
    seen: frozenset[str] = frozenset()
    planted: int = 0
    deadline: Deadline = NO_DEADLINE


@dataclass(frozen=True)
class MutantBegun:
    """What is about to be tried.

    Attributes:
        number: of the change, see [MutationRequest][].
        examples: Hypothesis examples that it passed, where it is judged now whether it is equivalent.
    """

    number: int
    mutator: str
    where: str
    control: bool
    is_judged: bool = False
    examples: int = 0


@dataclass(frozen=True)
class MutantDone:
    """What became of a change; ``digest`` tells the models of a job apart."""

    number: int
    digest: str
    outcome: MutantOutcome


@dataclass(frozen=True)
class JobEnd:
    """How a job ended; fields as in [JobReport][]."""

    skipped: str = ""
    failed: bool = False
