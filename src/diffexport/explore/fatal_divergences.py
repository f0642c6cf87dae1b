"""What is said of a step that ended the process, or did not end, and what is not done again for that."""

from __future__ import annotations

from dataclasses import replace

from diffexport.arrays import arrays_of, as_call, digest, trait_holds
from diffexport.explore.point import SeenFailure
from diffexport.pipeline import FatalCheck
from diffexport.processes import Died, Hung
from diffexport.subjects.cases import Case
from diffexport.values import Divergence, Kind, Mode, Outcome, Place, Stage, StepLimits, Verdict

#: Kinds of what ends the process, or does not end.
FATAL = (Kind.CRASH, Kind.TIMEOUT)
#: The stage of the pipeline that each step belongs to.
STAGES = {
    "import": Stage.EAGER,
    "build": Stage.EAGER,
    "draw": Stage.EAGER,
    "eager": Stage.EAGER,
    "export": Stage.CONVERT,
    "load": Stage.LOAD,
    "run": Stage.RUN,
}
#: What is happening in each step, for a message.
_DOING = {
    "eager": "eager runs",
    "export": "the model is exported",
    "load": "{runtime} loads the exported model",
    "run": "{runtime} runs the exported model",
}
#: Steps that have the limit of an export.
_LONG = ("build", "export", "load")
#: The signature of what does not end.
NO_END = "no end"
#: What does not end is shrunk under a part of the limit, and at least so many seconds of an export and of a check.
_PART, _LEAST_EXPORT, _LEAST_CHECK = 0.1, 20.0, 5.0
#: Traits by which inputs that are fatal, too, are told; an ordinary input has none of them.
_TRAITS = ("empty", "nan", "inf", "subnormal", "negative-zero")


def stage_of(step: str) -> Stage:
    """Return the stage of the pipeline that a step belongs to."""
    return STAGES.get(step, Stage.COMPARE)


def fatal_divergence(end: Died | Hung, step: str, runtime: str, limits: StepLimits) -> Divergence:
    """Return what is said of a step that ended the process, or did not end.

    Args:
        end: how the process ended.
        step: the name of the step.
        runtime: the runtime that is concerned; empty for none.
        limits: those that it did not keep.
    """
    doing = _DOING.get(step, "outputs are compared").format(runtime=runtime)
    stage = stage_of(step)
    if isinstance(end, Hung):
        seconds = limits.export_seconds if step in _LONG else limits.check_seconds
        message = f"there is no end within {seconds:g} s while {doing}"
        return Divergence(stage, Kind.TIMEOUT, Place.MODEL, NO_END, message)
    how = str(end)
    return Divergence(stage, Kind.CRASH, Place.MODEL, how, f"the process ends with {how} while {doing}")


def starved_divergence(divergence: Divergence) -> Divergence:
    """Return what is said of a step that ended the process as [fatal_divergence][] says, because memory ran out.

    That is no fault of the model or of its export: what is so large cannot be tested here.
    """
    message = f"memory ran out: {divergence.message}"
    return Divergence(divergence.stage, Kind.OUT_OF_MEMORY, Place.MODEL, divergence.signature, message)


def fatal_verdict(case: Case, mode: Mode, runtime: str, divergence: Divergence) -> Verdict:
    """Return the verdict on a check that ended the process, or did not end."""
    return Verdict(case.name, str(mode), runtime, Outcome.DIVERGES, (divergence,), target=case.target)


def shorter(limits: StepLimits) -> StepLimits:
    """Return the limits under which something that does not end is made minimal."""
    return replace(
        limits,
        export_seconds=min(limits.export_seconds, max(limits.export_seconds * _PART, _LEAST_EXPORT)),
        check_seconds=min(limits.check_seconds, max(limits.check_seconds * _PART, _LEAST_CHECK)),
    )


def not_again(seen: SeenFailure, runtimes: tuple[str, ...], minimal: SeenFailure) -> FatalCheck:
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
