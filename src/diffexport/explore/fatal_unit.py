"""A worker ended, or hung, in the middle of a check: the check is made again alone, and made minimal in copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from diffexport.explore.divergence_errors import finding_at
from diffexport.explore.fatal_divergences import (
    FATAL,
    fatal_divergence,
    not_again,
    shorter,
    starved_divergence,
)
from diffexport.explore.forked_checks import ForkedChecks
from diffexport.explore.minimise import Minimiser
from diffexport.explore.point import Point, SeenFailure
from diffexport.explore.sent_events import sent_finding, with_types
from diffexport.explore.settings import Limits
from diffexport.explore.timekeeper import Timekeeper
from diffexport.explore.units import Unit, case_of_unit
from diffexport.findings.events import CheckStarting, Finding
from diffexport.pipeline import FatalCheck, Pipeline
from diffexport.processes import STEPS, Died, Hung, ProcessStep
from diffexport.subjects.cases import Case
from diffexport.values import (
    Deadline,
    DeadlinePassed,
    Divergence,
    FailureKey,
    Mode,
    Outcome,
    Stage,
    Verdict,
)

#: Most checks, and seconds, that are spent on making one such failure minimal.
_CHECKS, _SECONDS = 80, 60.0


@dataclass(frozen=True, eq=False)
class FatalUnit:
    """What a worker was doing when it ended or hung, to be done again alone.

    Attributes:
        unit: what it was on.
        end: how it ended.
        step: what it was doing.
        check: the check that it announced last.
        known: the failures of this kind that findings were made of; they are not made minimal again.
    """

    unit: Unit
    end: Died | Hung
    step: ProcessStep
    check: CheckStarting
    known: frozenset[FailureKey] = frozenset()

    @property
    def is_asked(self) -> bool:
        """Whether the check is in a mode of the unit; a finding of one is tried in simpler modes, too."""
        return any(str(mode) == self.check.mode for mode in self.unit.modes)


@dataclass(frozen=True, eq=False)
class FatalResult:
    """What came of it.

    Attributes:
        check: what is not to be done again; None where it does not show again, so that nothing can be said.
        finding: made of it; None where there is one already.
    """

    check: FatalCheck | None = None
    finding: Finding | None = None


def first_sight(request: FatalUnit) -> Finding:
    """Return what was seen as a finding, as it was seen."""
    unit, check = request.unit, request.check
    divergence = _divergence(request)
    runtime = request.step.runtime or unit.runtimes[0]
    verdict = Verdict(check.case, check.mode, runtime, Outcome.DIVERGES, target=unit.target)
    return Finding(
        identity=verdict.identity(divergence),
        target=unit.target,
        specs=unit.inputs,
        mode=check.mode,
        runtime=runtime,
        divergence=divergence,
        inputs=check.inputs,
        export_inputs=check.export_inputs,
        exporters=(Mode.parse(check.mode).exporter,),
        seed=unit.settings.seed,
        shrunk=False,
    )


def look_again(request: FatalUnit) -> FatalResult:
    """Make the check alone, in a copy of this process, and make it minimal where it is fatal again."""
    unit, check = request.unit, request.check
    case = case_of_unit(unit)
    check = replace(check, inputs=with_types(check.inputs), export_inputs=with_types(check.export_inputs))
    STEPS.end()
    hung = isinstance(request.end, Hung)
    limits = shorter(unit.settings.steps) if hung else unit.settings.steps
    STEPS.limits = limits
    checks = ForkedChecks(
        lambda: Pipeline() if unit.artefact is None else Pipeline.of_file(unit.artefact),
        same_in_every_mode=unit.artefact is not None,
        limits=limits,
    )
    runtime = request.step.runtime or unit.runtimes[0]
    point = Point(Mode.parse(check.mode), runtime, check.inputs, check.export_inputs)
    seen = _look(checks, case, point)
    if seen is None:
        return FatalResult()
    if checks.out_of_memory:
        starved = replace(seen, divergence=starved_divergence(seen.divergence))
        given = () if seen.divergence.stage in (Stage.EAGER, Stage.CONVERT) else unit.runtimes
        return FatalResult(replace(not_again(starved, given, starved), traits=()))
    runtimes = tuple(_fatal_runtimes(checks, case, point, unit.runtimes, seen))
    if not request.is_asked:
        # Nobody asked for that mode, and it is not to be tried again on the way to a simpler finding.
        return FatalResult(replace(not_again(seen, runtimes, seen), example=b"", inputs=b"", traits=()))
    if seen.divergence.key in request.known:
        return FatalResult(not_again(seen, runtimes, seen))
    minimal, shrunk = _minimal(checks, case, unit, seen, hung)
    finding = sent_finding(finding_at(case, minimal, seed=unit.settings.seed, shrunk=shrunk))
    return FatalResult(not_again(seen, runtimes, minimal), finding)


def _divergence(request: FatalUnit) -> Divergence:
    step = request.step
    return fatal_divergence(request.end, step.name, step.runtime, request.unit.settings.steps)


def _look(checks: ForkedChecks, case: Case, point: Point) -> SeenFailure | None:
    verdict = checks.check(case, point.mode, point.runtime, point.inputs, export_inputs=point.export_inputs)
    fatal = next((divergence for divergence in verdict.divergences if divergence.kind in FATAL), None)
    return None if fatal is None else SeenFailure(point, verdict, fatal)


def _fatal_runtimes(
    checks: ForkedChecks, case: Case, point: Point, runtimes: tuple[str, ...], seen: SeenFailure
) -> Iterator[str]:
    """Yield the runtimes that the check is fatal on; none where no runtime is involved yet."""
    if seen.divergence.stage in (Stage.EAGER, Stage.CONVERT):
        return
    for name in runtimes:
        if name == point.runtime or _look(checks, case, replace(point, runtime=name)) is not None:
            yield name


def _minimal(
    checks: ForkedChecks, case: Case, unit: Unit, seen: SeenFailure, hung: bool
) -> tuple[SeenFailure, bool]:
    """Return the failure at the simplest point that can be had in time, and whether that is all that was to be done."""
    if not unit.settings.shrink:
        return seen, False
    limits = unit.settings.limits
    # Each time it shows again takes as long as its limit.
    seconds = max(_SECONDS, 10 * STEPS.limits.check_seconds) if hung else _SECONDS
    within = Deadline(min(Deadline.after(seconds).wall, limits.deadline.wall))
    minimiser = Minimiser(
        checks,
        case,
        unit.settings.strict,
        checks=_CHECKS,
        timekeeper=Timekeeper(Limits(deadline=within)),
        same_exporter=True,
        modes=unit.settings.selected,
    )
    try:
        return minimiser.run(seen.point, seen.divergence) or seen, True
    except DeadlinePassed:
        return minimiser.simplest or seen, False
