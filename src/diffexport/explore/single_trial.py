"""One trial is checked: one export, one sample, every runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from diffexport.explore.accepted import Accepted
from diffexport.explore.divergence_errors import attribute, diverged
from diffexport.explore.fatal_divergences import fatal_divergence, fatal_verdict
from diffexport.explore.point import Point
from diffexport.pipeline import Pipeline
from diffexport.processes import Hung, StepTooLong
from diffexport.subjects.cases import Case, Known
from diffexport.values import (
    DEFAULT_STEP_LIMITS,
    Call,
    Inputs,
    Mode,
    StepLimits,
    Verdict,
)


def check_trial(
    pipeline: Pipeline,
    case: Case,
    mode: Mode,
    runtimes: Sequence[str],
    inputs: Inputs,
    *,
    export_inputs: Inputs | None,
    known: Iterable[Known],
    strict: bool,
    limits: StepLimits = DEFAULT_STEP_LIMITS,
) -> list[Verdict]:
    """Return the verdicts on one sample, none where a known crash would take the process along.

    Args:
        pipeline: exports and runs.
        case: the model under test.
        mode: how to export it.
        runtimes: names, simplest first.
        inputs: what to run on.
        export_inputs: what to export with; by default ordinary values of the shapes of ``inputs``.
        known: divergences that are accepted besides the case's own.
        strict: let notes fail.
        limits: those that are in force, for the message where one is not kept.

    Raises:
        Diverged: for the first divergence that is not known.
    """
    accepted = Accepted(case, known, pipeline)
    inputs = Call.of(inputs).plain()
    example = inputs if export_inputs is None else Call.of(export_inputs).plain()
    if accepted.crash_on(accepted.known_crashes(mode, runtimes), inputs, example) is not None:
        return []
    try:
        verdicts = pipeline.check_runtimes(
            case, mode, runtimes, inputs, export_inputs=export_inputs, strict=strict
        )
    except StepTooLong as late:
        step = late.step
        divergence = fatal_divergence(Hung(), step.name, step.runtime, limits)
        runtime = step.runtime or runtimes[0]
        hung = fatal_verdict(case, mode, runtime, divergence)
        verdicts = [hung]
    for verdict, divergence, identity in attribute(verdicts):
        if accepted.entry(mode, verdict.runtime, divergence, inputs, example) is None:
            point = Point(mode, identity.runtime or verdict.runtime, inputs, example)
            raise diverged(case, identity, point, verdict, divergence, shrunk=True)
    return verdicts
