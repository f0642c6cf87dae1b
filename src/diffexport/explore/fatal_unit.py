"""A worker ended, or hung, in the middle of a check: the check is made again alone, and made minimal in copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from diffexport.arrays import arrays_of, as_call, digest, trait_holds
from diffexport.explore.divergence_errors import diverged
from diffexport.explore.forked_checks import ForkedChecks, fatal_divergence
from diffexport.explore.minimise import Minimiser
from diffexport.explore.point import Point, SeenFailure
from diffexport.explore.settings import Limits
from diffexport.explore.timekeeper import Timekeeper
from diffexport.explore.units import Unit, case_of_unit
from diffexport.findings.events import CheckStarting, Finding
from diffexport.pipeline import FatalCheck, Pipeline
from diffexport.processes import STEPS, Died, Hung, Step
from diffexport.subjects.cases import Case
from diffexport.values import (
    Deadline,
    DeadlinePassed,
    Divergence,
    FailureKey,
    Kind,
    Mode,
    Outcome,
    Stage,
    StepLimits,
    Verdict,
)

#: Kinds of what ends the process, or does not end.
FATAL = (Kind.CRASH, Kind.TIMEOUT)
#: Most checks, and seconds, that are spent on making one such failure minimal.
_CHECKS, _SECONDS = 80, 60.0
#: What does not end is shrunk under a part of the limit, and at least so many seconds of an export and of a check.
_PART, _LEAST_EXPORT, _LEAST_CHECK = 0.1, 20.0, 5.0
#: Traits by which inputs that are fatal, too, are told; an ordinary input has none of them.
_TRAITS = ("empty", "nan", "inf", "subnormal", "negative-zero")


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
    step: Step
    check: CheckStarting
    known: frozenset[FailureKey] = frozenset()


@dataclass(frozen=True, eq=False)
class FatalResult:
    """What came of it.

    Attributes:
        check: what is not to be done again; None where it does not show again, so that nothing can be said.
        finding: made of it; None where there is one already.
        out_of_memory: it ended because memory ran out.
    """

    check: FatalCheck | None = None
    finding: Finding | None = None
    out_of_memory: bool = False


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
    if checks.out_of_memory or seen is None:
        return FatalResult(out_of_memory=checks.out_of_memory)
    runtimes = tuple(_fatal_runtimes(checks, case, point, unit.runtimes, seen))
    if seen.divergence.key in request.known:
        return FatalResult(_not_again(seen, runtimes, seen))
    minimal, shrunk = _minimal(checks, case, unit, seen, hung)
    finding = _finding(case, minimal, unit, shrunk)
    return FatalResult(_not_again(seen, runtimes, minimal), finding)


def shorter(limits: StepLimits) -> StepLimits:
    """Return the limits under which something that does not end is made minimal."""
    return replace(
        limits,
        export_seconds=min(limits.export_seconds, max(limits.export_seconds * _PART, _LEAST_EXPORT)),
        check_seconds=min(limits.check_seconds, max(limits.check_seconds * _PART, _LEAST_CHECK)),
    )


def _divergence(request: FatalUnit) -> Divergence:
    steps, step = request.unit.settings.steps, request.step
    seconds = steps.export_seconds if step.name in ("export", "load", "build") else steps.check_seconds
    return fatal_divergence(request.end, step.name, step.runtime, seconds)


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
    )
    try:
        return minimiser.run(seen.point, seen.divergence) or seen, True
    except DeadlinePassed:
        return minimiser.simplest or seen, False


def _finding(case: Case, seen: SeenFailure, unit: Unit, shrunk: bool) -> Finding:
    verdict = replace(seen.verdict, runtime=seen.point.runtime)
    return diverged(
        case,
        verdict.identity(seen.divergence),
        seen.point,
        verdict,
        seen.divergence,
        seed=unit.settings.seed,
        shrunk=shrunk,
    ).finding


def _not_again(seen: SeenFailure, runtimes: tuple[str, ...], minimal: SeenFailure) -> FatalCheck:
    """Return what is not to be done again: this check, and those on inputs with the same telling traits."""
    inputs, example = as_call(seen.point.inputs), as_call(seen.point.export_inputs)
    in_export = seen.divergence.stage is Stage.CONVERT
    prefix = "export:" if in_export else ""
    given = arrays_of(minimal.point.inputs), arrays_of(minimal.point.export_inputs)
    traits = tuple(prefix + trait for trait in _TRAITS if trait_holds(prefix + trait, *given))
    return FatalCheck(
        str(seen.point.mode),
        seen.divergence,
        runtimes,
        digest(example),
        b"" if in_export else digest(inputs),
        traits,
    )
