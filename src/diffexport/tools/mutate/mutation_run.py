"""One case in one mode: export it once, check every mutant of that, judge what is not caught."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from diffexport.arrays import as_call, tensors_of
from diffexport.backends.graphs import declared_inputs, inspect_graph
from diffexport.backends.model_files import Artefact
from diffexport.backends.runtimes import RunError
from diffexport.chatter import captured
from diffexport.errors import DiffexportError
from diffexport.explore import Explorer, KeptApart, Limits, StopAfter, case_for, deliver, drive
from diffexport.findings.events import Finding
from diffexport.findings.reports import Tally
from diffexport.pipeline import Pipeline
from diffexport.processes import STEPS
from diffexport.strategies import examples
from diffexport.subjects.cases import Case, Expected
from diffexport.subjects.targets import resolve
from diffexport.tools.mutate import symbolic_mutants as symbolics
from diffexport.tools.mutate.mutation_jobs import (
    UNCHANGED,
    JobEnd,
    MutantBegun,
    MutantDone,
    MutantOutcome,
    MutationJob,
    MutationRequest,
)
from diffexport.tools.mutate.planting_order import PlantingLimit, spread
from diffexport.tools.mutate.registry import (
    Candidate,
    Mutant,
    MutantVerdict,
    Mutator,
    candidates,
    is_valid,
    mutators,
)
from diffexport.tools.mutate.surgery import Draft
from diffexport.tools.mutate.survivors import RUNTIME, MutantComparer
from diffexport.values import Mode, Severity, Shape, representative_shapes

#: Told what is about to be tried, and what became of it.
Tell = Callable[[MutantBegun | MutantDone], None]
#: How a mutant is planted: in the exported graph, or before the export.
_GRAPH, _SYMBOLIC = "graph", "symbolic"


class _Refused(Exception):
    """Nothing can be planted: the case is not exported in this mode, as expected, or cannot be compared."""


@dataclass
class _Checked:
    finding: Finding | None
    examples: int
    failed: str = ""


def do(request: MutationRequest, tell: Tell) -> JobEnd:
    """Do one job, or what is left of it, in this process, which is afterwards as it was before.

    Nothing that models print is shown.

    Args:
        request: what is asked for.
        tell: told what is about to be tried, and what became of it.
    """
    job = request.job
    STEPS.limits = job.settings.steps
    STEPS.begin("import", case=job.name, mode=job.mode)
    state = KeptApart(job.target, job.name)
    try:
        with captured():
            return _done(request, state, tell)
    finally:
        list(state.ended())
        STEPS.end()


def _done(request: MutationRequest, state: KeptApart, tell: Tell) -> JobEnd:
    job = request.job
    try:
        scope = job.settings.scope
        case, mode = resolve(job.target, inputs=job.inputs).within(scope), Mode.parse(job.mode)
        list(state.imported())
        pipeline = Pipeline()
        try:
            artefact, shapes = _exported(pipeline, case, mode)
        except _Refused as refused:
            return JobEnd(str(refused))
        STEPS.begin("plant")
        checked = case_for(job.target, job.inputs, artefact).within(scope)
        limit = PlantingLimit(job.most, request.planted, request.deadline)
        trial = _MutantTrial(job, pipeline, artefact, checked, tell, limit)
        if request.start == 0:
            problem = trial.try_unchanged()
            if problem:
                text = (
                    f"the unchanged export is not as it should be ({problem}); see what diffexport run says"
                )
                return JobEnd(text, failed=True)
        _plant(request, trial, case, mode, Draft(artefact.model, shapes))
        return JobEnd(trial.limit.why_ended)
    except DiffexportError as error:
        return JobEnd(str(error), failed=True)


def _plant(request: MutationRequest, trial: _MutantTrial, case: Case, mode: Mode, draft: Draft) -> None:
    """Try every change from the first that is asked for on, until there are enough or the time is over."""
    seen = {*request.seen, _digest(_GRAPH, draft.bytes)}
    changes = _candidates(request.job, case, mode, draft)
    if request.job.most is not None or request.job.seconds is not None:
        changes = spread(changes, request.job.settings.seed)
    for number, (group, candidate) in enumerate(changes, start=1):
        if number < request.start:
            continue
        if trial.limit.is_reached:
            return
        STEPS.begin("plant")
        mutator = candidate.mutator
        trial.tell(MutantBegun(number, mutator.name, candidate.where, mutator.control))
        model = candidate.make()
        digest = "" if model is None else _digest(group, model)
        if model is None or digest in seen:
            continue
        seen.add(digest)
        STEPS.begin("plant")
        if mutator.types or group == _SYMBOLIC or is_valid(model):
            outcome = trial.outcome(number, Mutant(mutator, candidate.where, model))
            if outcome is None:
                return
            trial.limit.planted += not mutator.control
            trial.tell(MutantDone(number, digest, outcome))


def _digest(group: str, model: bytes) -> str:
    """Return what tells the models that are planted in one way apart."""
    return f"{group} {hashlib.sha256(model).hexdigest()}"


def _exported(pipeline: Pipeline, case: Case, mode: Mode) -> tuple[Artefact, dict[str, Shape]]:
    """Return the export of a case as an artefact, and the shapes of what went in and came out.

    Raises:
        _Refused: there is none that could be compared.
    """
    if not case.specs or len(case.specs) < len(case.inputs):
        raise _Refused("its inputs are not given by tensor specs alone, so that nothing could be judged")
    joint = _joint_shape(case)
    call = as_call(case.call_of(examples(joint, case.specs)))
    error = pipeline.eager(case, mode, call).error
    if error:
        raise _Refused(f"the model raises on the example {list(map(list, joint))}: {error}")
    exported = pipeline.export(case, mode, call, repeat=False)
    if exported.export.model is None:
        text = exported.refused or "; ".join(divergence.message for divergence in exported.divergences)
        raise _Refused(f"it is not exported: {text.splitlines()[0] if text else 'for no known reason'}")
    if exported.expectation.expected in (Expected.UNLOADABLE, Expected.INVALID):
        raise _Refused(f"no runtime is to load it ({exported.expectation.rule})")
    declared = [value.name for value in declared_inputs(exported.export.model)]
    names = [f"x{number}" for number in range(len(case.specs))]
    if sorted(declared) != sorted(names):
        raise _Refused(f"the graph has the inputs {', '.join(declared)}, which are not its tensors alone")
    session = pipeline.session(exported, RUNTIME)
    shapes = dict(zip(names, joint, strict=True))
    if not isinstance(session, Exception):
        feeds = {name: np.asarray(tensor) for name, tensor in zip(names, tensors_of(call), strict=True)}
        try:
            results = session.run({name: feeds[name] for name in declared})
        except RunError as failure:
            raise _Refused(f"{RUNTIME} does not run it: {failure}") from None
        shapes.update(zip(session.outputs, (np.shape(result) for result in results), strict=True))
    outputs = tuple(range(len(exported.graph.outputs) if exported.graph is not None else 0))
    return Artefact(exported.export.model, mode, tuple(names), outputs), shapes


def _joint_shape(case: Case) -> tuple[Shape, ...]:
    """Return shapes to export at: two dimensions if there may be, no size of 0 or 1, and no two of one size."""
    return max(
        representative_shapes(case.specs, 12),
        key=lambda joint: (
            all(0 not in shape for shape in joint),
            min(map(len, joint)) >= 2,
            -max(map(len, joint)),
            min((size for shape in joint for size in shape), default=0) > 1,
            all(len(set(shape)) == len(shape) for shape in joint),
            -sum(math.prod(shape) for shape in joint),
        ),
    )


def _candidates(job: MutationJob, case: Case, mode: Mode, draft: Draft) -> Iterator[tuple[str, Candidate]]:
    """Yield every change, with whether it is one of the graph or one that is made before the export."""
    chosen: list[Mutator] = [mutator for name, mutator in mutators().items() if name in job.only]
    for candidate in candidates(draft, chosen):
        yield _GRAPH, candidate
    if symbolics.NAME in job.only and not mode.description.ignores_symbolic:
        call = as_call(case.call_of(examples(_joint_shape(case), case.specs)))

        def export() -> bytes | None:
            # Another pipeline: this one remembers what it exported.
            return Pipeline(exports=1, sessions=1).export(case, mode, call, repeat=False).export.model

        for candidate in symbolics.candidates(export):
            yield _SYMBOLIC, candidate


@dataclass
class _MutantTrial:
    """Checks mutants of one export, each as a model that is given."""

    job: MutationJob
    pipeline: Pipeline
    artefact: Artefact
    case: Case
    tell: Tell
    limit: PlantingLimit
    judge: MutantComparer | None = field(default=None)

    def try_unchanged(self) -> str:
        """Check the export as it is; return what is wrong with it, empty if nothing."""
        self.tell(MutantBegun(0, UNCHANGED, "nothing", True))
        first = self.check(self.artefact.model)
        if first.finding is not None or first.failed:
            return first.failed or (first.finding.divergence.message if first.finding is not None else "")
        job = self.job
        outcome = MutantOutcome(
            job.name, job.mode, UNCHANGED, "nothing", True, MutantVerdict.PASSED, examples=first.examples
        )
        self.tell(MutantDone(0, "", outcome))
        return ""

    def _pipeline_of(self, model: bytes) -> Pipeline:
        artefact = Artefact(model, self.artefact.mode, _inputs_of(model), _outputs_of(model))
        return Pipeline.of_file(artefact, beside=self.pipeline)

    def check(self, model: bytes) -> _Checked:
        """Explore one model until something is seen."""
        pipeline = self._pipeline_of(model)
        job, tally = self.job, Tally()
        limits = Limits(stop_after=StopAfter.FIRST_SIGHT, deadline=self.limit.for_one())
        explorer = Explorer(
            self.case, job.runtimes, replace(job.settings, limits=limits), job.known, pipeline=pipeline
        )
        events = drive(
            lambda announce: explorer.explore([self.artefact.mode], announce),
            stop_after=limits.stop_after,
            deadline=limits.deadline,
        )
        deliver(events, tally.take)
        return _Checked(next(iter(tally.findings), None), pipeline.blocks, "".join(tally.failed.values()))

    def outcome(self, number: int, mutant: Mutant) -> MutantOutcome | None:
        """Check one mutant, and judge it if nothing is found; None where the time was over before its check was."""
        checked, mutator, job = self.check(mutant.model), mutant.mutator, self.job
        if checked.finding is None and self.limit.deadline.passed:
            return None

        def made(verdict: MutantVerdict, **more: Any) -> MutantOutcome:
            return MutantOutcome(
                job.name,
                job.mode,
                mutator.name,
                mutant.where,
                mutator.control,
                verdict,
                examples=checked.examples,
                **more,
            )

        if checked.finding is not None:
            divergence = checked.finding.divergence
            verdict = MutantVerdict.FALSE_ALARM if mutator.control else MutantVerdict.CAUGHT
            inputs = tuple(checked.finding.inputs) if isinstance(checked.finding.inputs, tuple) else ()
            return made(verdict, kind=str(divergence.kind), message=divergence.message, inputs=inputs)
        if mutator.control:
            return made(MutantVerdict.PASSED)
        strict = job.settings.strict
        if mutator.severity is Severity.NOTE and not strict:
            return made(MutantVerdict.EQUIVALENT, message="it only matters under --strict")
        self.tell(MutantBegun(number, mutator.name, mutant.where, False, True, checked.examples))
        STEPS.begin("judge")
        if self.judge is None:
            constants = inspect_graph(self.artefact.model, 0).constants
            self.judge = MutantComparer(
                self.artefact.model,
                self.artefact.inputs,
                self.case.specs,
                constants,
                seed=job.settings.seed,
                strict=strict,
            )
        constants_of_mutant = inspect_graph(mutant.model, 0).constants
        pipeline = self._pipeline_of(mutant.model)

        def reported(inputs: tuple[Any, ...]) -> bool:
            return not pipeline.check(self.case, self.artefact.mode, RUNTIME, inputs, strict=strict).agrees

        begun = perf_counter()
        evidence = self.judge.evidence(mutant.model, constants_of_mutant, confirm=reported)
        self.limit.leave_out(perf_counter() - begun)
        if evidence is None:
            return made(
                MutantVerdict.EQUIVALENT,
                message="nothing differs on a much larger sample by more than rounding explains",
            )
        return made(MutantVerdict.MISSED, message=evidence.message, inputs=evidence.inputs)


def _inputs_of(model: bytes) -> tuple[str, ...]:
    return tuple(value.name for value in declared_inputs(model))


def _outputs_of(model: bytes) -> tuple[int, ...]:
    return tuple(range(len(Draft(model).outputs)))
