"""Whom to blame: the sides of a divergence vote, and the first stage that departs from eager is named.

The sides, in the order of the pipeline: eager; the captured program, run in PyTorch; the exported graph on the
reference evaluator and on ONNX Runtime without graph optimisation, which have nothing in common but the graph;
ONNX Runtime at every higher level. Exports that differ in one option of the mode, and of a Function without its
``symbolic``, tell further where in the conversion it happens.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffexport import oracle
from diffexport.arrays import as_call, clone
from diffexport.backends import exporters
from diffexport.backends.runtimes import available, compared_with, family, runtime_of
from diffexport.explore.point import Point
from diffexport.explore.timekeeper import Timekeeper
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case, dynamic_axes
from diffexport.values import Divergence, Kind, Severity, Stage, Verdict


class Culprit(enum.StrEnum):
    """The stage that departs first."""

    CAPTURE = "capture"
    CONVERSION = "conversion"
    OPTIMISER = "optimiser"
    KERNEL = "kernel"


@dataclass(frozen=True)
class Blame:
    """The first stage that departs from eager, and the votes that say so.

    ``family`` is that of the runtime whose kernel or optimiser it is; empty where the export is to blame.
    """

    culprit: Culprit
    because: str
    family: str = ""


#: What is voted on: where the two sides give, or should give, outputs.
_VOTED = (Stage.LOAD, Stage.RUN, Stage.COMPARE)
#: Options that switch a pass over the graph on, and their value without.
_PASSES = (("optimize", False), ("do_constant_folding", False))


class BlameVote:
    """Finds whom to blame for the divergences of one case.

    Args:
        pipeline: exports and runs what is voted on.
        case: the model under test.
        timekeeper: asked before each vote; a vote that it ends raises DeadlinePassed.
    """

    def __init__(self, pipeline: Pipeline, case: Case, timekeeper: Timekeeper | None = None) -> None:
        self._pipeline, self._case, self._timekeeper = pipeline, case, timekeeper

    def blame(self, point: Point, divergence: Divergence) -> Blame | None:
        """Return whom to blame for what diverges at a point; None where there is nothing to vote on."""
        if divergence.stage not in _VOTED or divergence.kind in (Kind.CRASH, Kind.TIMEOUT):
            return None
        captured = None if self._pipeline.same_in_every_mode else self._run_captured(point)
        departs = "" if captured is None else self._departs(point, captured, divergence)
        if departs:
            return Blame(Culprit.CAPTURE, departs)
        # What could not be captured apart from the export has no vote.
        before = "" if captured is None else "the captured program agrees with eager; "
        names = compared_with(point.runtime)
        votes = dict(zip(names, self._verdicts(point, names), strict=True))
        wrong = {name: _wrong(verdict, divergence) for name, verdict in votes.items()}
        plain = next(
            name for name in names if runtime_of(name).is_plain and not runtime_of(name).is_reference
        )
        reference = next((name for name in names if runtime_of(name).is_reference), None)
        if reference is None or (wrong[reference] and not votes[reference].got):
            return self._without_reference(point, divergence, wrong, plain, reference, before)
        if wrong[plain] and wrong[reference]:
            same = not oracle.compare(votes[reference].got, votes[plain].got)
            between = "give the same" if same else "are both wrong"
            because = f"{before}{runtime_of(reference).title} and {plain} {between}"
            return self._conversion(point, divergence, because)
        if wrong[plain]:
            title, other = runtime_of(plain).title, runtime_of(reference).title
            because = f"of {title}, without optimisation too ({plain}): {other} agrees with eager"
            return Blame(Culprit.KERNEL, because, family(plain))
        if wrong[reference] and point.runtime in available():
            because = f"of {runtime_of(reference).title}: {plain} agrees with eager"
            return Blame(Culprit.KERNEL, because, family(reference))
        return _of_a_level(point.runtime, wrong, plain)

    def _without_reference(
        self,
        point: Point,
        divergence: Divergence,
        wrong: dict[str, bool],
        plain: str,
        reference: str | None,
        before: str,
    ) -> Blame | None:
        title = runtime_of(plain).title
        if wrong[plain]:
            because = f"{before}the reference evaluator cannot run the graph, so that"
            return self._conversion(point, divergence, f"{because} it may also be a kernel of {title}")
        of_a_level = _of_a_level(point.runtime, wrong, plain)
        if of_a_level is not None or reference is None:
            return of_a_level
        because = f"{runtime_of(reference).title} cannot run what {title} runs as eager does"
        return Blame(Culprit.KERNEL, because, family(reference))

    def _conversion(self, point: Point, divergence: Divergence, because: str) -> Blame:
        """Look at what the graph went through after it was made."""
        if self._pipeline.same_in_every_mode:
            # Nobody knows how.
            return Blame(Culprit.CONVERSION, because)
        for option, without in _PASSES:
            mode = point.mode
            if not mode.honours(option) or mode.value(option) == without:
                continue
            changed: Any = {option: without}
            other = replace(point, mode=replace(mode, **changed))
            if not _wrong(self._verdicts(other, [point.runtime])[0], divergence):
                text = f"the exporter's own: with {option}={str(without).lower()} it agrees"
                return Blame(Culprit.OPTIMISER, text)
        functions = self._symbolics_at_fault(point, divergence)
        if functions:
            because = f"`symbolic` of {', '.join(functions)}: exported without, inlined, it agrees"
        return Blame(Culprit.CONVERSION, because)

    def _symbolics_at_fault(self, point: Point, divergence: Divergence) -> Sequence[str]:
        """Return the Functions whose ``symbolic`` is to blame: their inlined export agrees."""
        if point.mode.description.ignores_symbolic or not point.mode.honours("autograd_inlining"):
            return ()
        example = as_call(point.export_inputs)
        with exporters.without_symbolics(self._pipeline.fresh(self._case, point.mode), example) as names:
            if not names:
                return ()
            inlining = replace(point, mode=replace(point.mode, autograd_inlining=True))
            # A pipeline of its own: what this one remembers was exported with them.
            pipeline = Pipeline()
            pipeline.watch = self._pipeline.watch
            verdict = pipeline.check(
                replace(self._case, traits=None),
                inlining.mode,
                point.runtime,
                point.inputs,
                export_inputs=point.export_inputs,
                strict=divergence.severity is Severity.NOTE,
            )
        return () if _wrong(verdict, divergence) or not verdict.got else names

    def _verdicts(self, point: Point, names: Sequence[str]) -> list[Verdict]:
        if self._timekeeper is not None:
            self._timekeeper.check()
        return self._pipeline.check_runtimes(
            self._case, point.mode, names, point.inputs, export_inputs=point.export_inputs, repeat=False
        )

    def _run_captured(self, point: Point) -> exporters.CapturedRun | None:
        """Return what the captured program does; None if it cannot be had."""
        example = as_call(point.export_inputs)
        return exporters.run_captured(
            self._pipeline.fresh(self._case, point.mode),
            clone(example),
            clone(as_call(point.inputs)),
            point.mode,
            dynamic=dynamic_axes(self._case, example),
            around=self._case.around,
        )

    def _departs(self, point: Point, captured: exporters.CapturedRun, divergence: Divergence) -> str:
        """Return how the captured program departs from eager; empty if it does not."""
        eager = self._pipeline.eager(self._case, point.mode, point.inputs)
        if eager.error:
            return ""
        if captured.error:
            return f"the captured program refuses these inputs: {captured.error}"
        arbiter = oracle.RoundingCheck(
            eager.outputs, self._pipeline.rerun(self._case, point.mode, point.inputs)
        )
        wrong = next(_counting_as_wrong(arbiter.judge(captured.outputs).found, divergence), None)
        return f"the captured program, run in PyTorch, already departs: {wrong.message}" if wrong else ""


def _of_a_level(asked: str, wrong: dict[str, bool], plain: str) -> Blame | None:
    """Blame a runtime that departs where ``plain`` does not, rather one of the family of ``asked`` than another."""
    family_of_asked = family(asked)
    departing = [name for name, is_wrong in wrong.items() if is_wrong and not runtime_of(name).is_reference]
    level = next((name for name in sorted(departing, key=lambda name: family(name) != family_of_asked)), None)
    if level is None:
        return None
    title = runtime_of(level).title
    if runtime_of(level).is_plain:
        return Blame(Culprit.KERNEL, f"of {title} ({level}): {plain} agrees with eager", family(level))
    unoptimised = [name for name in wrong if runtime_of(name).is_plain and family(name) == family(level)]
    if any(not wrong[name] for name in unoptimised):
        text = f"{title} agrees with eager without graph optimisation, and not at {level}"
        return Blame(Culprit.OPTIMISER, text, family(level))
    because = f"of {title}, or its own optimisation ({level}): {plain} agrees with eager"
    return Blame(Culprit.KERNEL, because, family(level))


def _wrong(verdict: Verdict, wanted: Divergence) -> bool:
    return any(True for _ in _counting_as_wrong((*verdict.divergences, *verdict.notes), wanted))


def _counting_as_wrong(divergences: Sequence[Divergence], wanted: Divergence) -> Iterator[Divergence]:
    """Yield what counts as being wrong: any failure in outputs, or the very note that is asked about."""
    for divergence in divergences:
        if divergence.stage in _VOTED and (
            divergence.severity is Severity.FAILURE or divergence.kind is wanted.kind
        ):
            yield divergence
