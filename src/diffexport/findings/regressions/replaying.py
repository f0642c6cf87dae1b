"""Replay a regression without Hypothesis: FIXED, STILL DIVERGES or ERROR."""

from __future__ import annotations

from dataclasses import dataclass, replace

from diffexport.errors import DiffexportError, FixtureTargetError, UnavailableRuntimeError
from diffexport.findings.regressions.format import Regression, with_named
from diffexport.findings.regressions.replay_statuses import Status
from diffexport.findings.regressions.stored_names import of_target
from diffexport.pipeline import Pipeline, weights_digest
from diffexport.strategies import names_under
from diffexport.subjects.cases import Case
from diffexport.subjects.targets import resolve
from diffexport.values import DEFAULT_REGRESSION_SIZE, Call, Divergence, Kind, Outcome, Verdict


@dataclass(frozen=True)
class Replay:
    """The result of one replay.

    ``same`` is False when the model still diverges but not in the stored way; ``message`` says what was seen.
    ``elsewhere`` says that it cannot be replayed here: only the test it was found by can make the model, or the runtime
    is not installed. ``note`` says what else is not as it was.
    """

    status: Status
    message: str
    same: bool = True
    verdict: Verdict | None = None
    divergence: Divergence | None = None
    elsewhere: bool = False
    note: str = ""


#: Kinds that show beside another failure of the same export without having to do with it.
_BESIDE = (
    Kind.IMPURE_EXPORT,
    Kind.NONDETERMINISTIC_EXPORT,
    Kind.STALE_GLOBALS,
    Kind.OPSET,
    Kind.SIGN_OF_ZERO,
    Kind.OVERFLOW,
)


def case_of(regression: Regression, largest: int = DEFAULT_REGRESSION_SIZE) -> Case:
    """Return the case a regression is about, under the name it is stored by; its target is imported.

    Args:
        regression: what was stored.
        largest: bytes that the tensors of one argument in its specs may take.

    Raises:
        DiffexportError: the target is gone, or is nothing that may be called for a model.
    """
    # What is replayed needs no strategy; a model that comes without inputs need not have them worked out.
    count = len(Call.of(regression.inputs).args)
    with names_under(of_target(regression.target, largest)):
        otherwise = ["float32[...]"] * max(count, 1)
        case = resolve(regression.target, inputs=regression.specs, otherwise=otherwise, stored=True)
    return _as_stored(case, regression)


def _as_stored(case: Case, regression: Regression) -> Case:
    return replace(case, name=regression.case, terms=regression.terms)


def replay(regression: Regression, pipeline: Pipeline | None = None, *, case: Case | None = None) -> Replay:
    """Check the stored inputs again in the stored mode and runtime.

    Args:
        regression: what was stored.
        pipeline: shared over several replays, to reuse sessions.
        case: the model, when the caller has it; else it is looked up by the stored target.
    """
    pipeline = pipeline or Pipeline()
    try:
        regression = with_named(regression)
        case = case_of(regression) if case is None else _as_stored(case, regression)
        note = _other_weights(regression, pipeline, case)
        verdict = pipeline.check(
            case,
            regression.mode,
            regression.runtime,
            regression.inputs,
            export_inputs=regression.export_inputs,
        )
    except DiffexportError as error:
        return impossible(error)
    return replace(_compared(regression, verdict), note=note)


def _other_weights(regression: Regression, pipeline: Pipeline, case: Case) -> str:
    """Return what is to be said where the model's weights are others than those that the failure was found with."""
    if not regression.weights or weights_digest(pipeline.prepare(case).module) == regression.weights:
        return ""
    return "the weights of the model are others than when it was found"


def _compared(regression: Regression, verdict: Verdict) -> Replay:
    if verdict.outcome is Outcome.REJECTED:
        return Replay(Status.ERROR, f"the model now raises in eager on the stored inputs: {verdict.reason}")
    for divergence in (*verdict.divergences, *verdict.notes):
        if divergence.key == regression.key:
            return Replay(Status.DIVERGES, divergence.message, True, verdict, divergence)
    others = [d for d in verdict.divergences if d.kind not in _BESIDE]
    if others:
        return Replay(Status.DIVERGES, f"differently than stored: {others[0].message}", False, verdict)
    return Replay(Status.FIXED, "the stored inputs now agree", True, verdict)


def impossible(error: DiffexportError) -> Replay:
    """Return the replay of what cannot be replayed, for this reason."""
    elsewhere = isinstance(error, FixtureTargetError | UnavailableRuntimeError)
    return Replay(Status.ERROR, str(error), elsewhere=elsewhere)
