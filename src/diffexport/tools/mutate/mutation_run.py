"""One case in one mode: export it once, check every mutant of that, judge what is not caught."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from diffexport.arrays import as_call
from diffexport.backends.graphs import declared_inputs, inspect_graph
from diffexport.backends.model_files import Artefact
from diffexport.backends.runtimes import RunError
from diffexport.chatter import captured
from diffexport.errors import DiffexportError
from diffexport.explore import (
    Explorer,
    KeptApart,
    Limits,
    Settings,
    StopAfter,
    case_for,
    deliver,
    drive,
    warm_up,
)
from diffexport.findings.events import Finding
from diffexport.findings.reports import Tally
from diffexport.pipeline import Pipeline
from diffexport.processes import (
    ChildProcess,
    Failed,
    Finished,
    Handler,
    ParentProcess,
    Policy,
    Ready,
    Received,
    Unreadable,
    receive_any,
)
from diffexport.strategies import examples
from diffexport.subjects.cases import Case, Expected, Known
from diffexport.subjects.targets import resolve
from diffexport.tools.mutate import symbolic_mutants as symbolics
from diffexport.tools.mutate.registry import Mutant, MutantVerdict, Mutator, mutants, mutators
from diffexport.tools.mutate.surgery import Draft
from diffexport.tools.mutate.survivors import RUNTIME, MutantComparer
from diffexport.values import Mode, Severity, Shape, representative_shapes

#: The control that changes nothing.
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class MutationJob:
    """What one worker does in one go; fields as in [Unit][diffexport.explore.units.Unit].

    Attributes:
        only: names of the mutators to apply.
        problem: why the target cannot be had, so that nothing is done; empty otherwise.
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
    """What became of one job; ``skipped`` says why nothing was planted, ``failed`` that this is not as it should be."""

    case: str
    mode: str
    outcomes: tuple[MutantOutcome, ...] = ()
    skipped: str = ""
    failed: bool = False


class _Refused(Exception):
    """Nothing can be planted: the case is not exported in this mode, as expected, or cannot be compared."""


@dataclass
class _Checked:
    finding: Finding | None
    examples: int
    failed: str = ""


def do(job: MutationJob) -> JobReport:
    """Do one job, in this process, which is afterwards as it was before; nothing that models print is shown."""
    state = KeptApart(job.target, job.name)
    try:
        with captured():
            return _done(job, state)
    finally:
        list(state.ended())


def _done(job: MutationJob, state: KeptApart) -> JobReport:
    try:
        case, mode = resolve(job.target, inputs=job.inputs), Mode.parse(job.mode)
        list(state.imported())
        pipeline = Pipeline()
        try:
            artefact, shapes = _exported(pipeline, case, mode)
        except _Refused as refused:
            return JobReport(job.name, job.mode, skipped=str(refused))
        trial = _MutantTrial(job, pipeline, artefact, case_for(job.target, job.inputs, artefact))
        first = trial.check(artefact.model)
        if first.finding is not None or first.failed:
            message = first.failed or (first.finding.divergence.message if first.finding is not None else "")
            skipped = f"the unchanged export is not as it should be ({message}); see what diffexport run says"
            return JobReport(job.name, job.mode, skipped=skipped, failed=True)
        unchanged = MutantOutcome(
            job.name, job.mode, UNCHANGED, "nothing", True, MutantVerdict.PASSED, examples=first.examples
        )
        planted = _planted(job, case, mode, Draft(artefact.model, shapes))
        return JobReport(job.name, job.mode, (unchanged, *map(trial.outcome, planted)))
    except DiffexportError as error:
        return JobReport(job.name, job.mode, skipped=str(error), failed=True)


def _exported(pipeline: Pipeline, case: Case, mode: Mode) -> tuple[Artefact, dict[str, Shape]]:
    """Return the export of a case as an artefact, and the shapes of what went in and came out.

    Raises:
        _Refused: there is none that could be compared.
    """
    if not case.specs or len(case.specs) < len(case.inputs):
        raise _Refused("its inputs are not given by tensor specs alone, so that nothing could be judged")
    joint = _joint_shape(case)
    call = as_call(examples(joint, case.specs))
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
        feeds = {name: np.asarray(tensor) for name, tensor in zip(names, call.args, strict=True)}
        try:
            results = session.run({name: feeds[name] for name in declared})
        except RunError as failure:
            raise _Refused(f"{RUNTIME} does not run it: {failure}") from None
        shapes.update(zip(session.outputs, (np.shape(result) for result in results), strict=True))
    outputs = tuple(range(len(exported.graph.outputs) if exported.graph is not None else 0))
    return Artefact(exported.export.model, mode, tuple(names), outputs, evaluate=False), shapes


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


def _planted(job: MutationJob, case: Case, mode: Mode, draft: Draft) -> Iterator[Mutant]:
    chosen: list[Mutator] = [mutator for name, mutator in mutators().items() if name in job.only]
    yield from mutants(draft, chosen)
    if symbolics.NAME in job.only and not mode.description.ignores_symbolic:
        call = as_call(examples(_joint_shape(case), case.specs))

        def export() -> bytes | None:
            # Another pipeline: this one remembers what it exported.
            return Pipeline(exports=1, sessions=1).export(case, mode, call, repeat=False).export.model

        yield from symbolics.mutants(export)


@dataclass
class _MutantTrial:
    """Checks mutants of one export, each as a model that is given."""

    job: MutationJob
    pipeline: Pipeline
    artefact: Artefact
    case: Case
    judge: MutantComparer | None = field(default=None)

    def _pipeline_of(self, model: bytes) -> Pipeline:
        artefact = Artefact(
            model, self.artefact.mode, _inputs_of(model), _outputs_of(model), self.artefact.evaluate
        )
        return Pipeline.of_file(artefact, beside=self.pipeline)

    def check(self, model: bytes) -> _Checked:
        """Explore one model until something is seen."""
        pipeline = self._pipeline_of(model)
        job, tally = self.job, Tally()
        limits = Limits(stop_after=StopAfter.FIRST_SIGHT)
        explorer = Explorer(
            self.case, job.runtimes, replace(job.settings, limits=limits), job.known, pipeline=pipeline
        )
        events = drive(
            lambda announce: explorer.explore([self.artefact.mode], announce), stop_after=limits.stop_after
        )
        deliver(events, tally.take)
        return _Checked(next(iter(tally.findings), None), pipeline.blocks, "".join(tally.failed.values()))

    def outcome(self, mutant: Mutant) -> MutantOutcome:
        """Check one mutant, and judge it if nothing is found."""
        checked, mutator, job = self.check(mutant.model), mutant.mutator, self.job

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

        evidence = self.judge.evidence(mutant.model, constants_of_mutant, confirm=reported)
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


def run(jobs: Sequence[MutationJob], workers: int, take: Callable[[JobReport], None]) -> None:
    """Do every job, on worker processes if there are to be any; ``take`` gets each report as it comes."""
    for job in jobs:
        if job.problem:
            take(JobReport(job.name, job.mode, skipped=job.problem, failed=True))
    jobs = [job for job in jobs if not job.problem]
    if workers == 0:
        for job in jobs:
            take(do(job))
        return
    waiting = deque(jobs)
    children: list[ChildProcess] = []
    doing: dict[ChildProcess, MutationJob] = {}

    def give(child: ChildProcess | None = None) -> None:
        if waiting:
            if child is None:
                children.append(
                    child := ChildProcess.start(_prepare, policy=Policy(own_session=True, captured=True))
                )
            doing[child] = waiting.popleft()
            child.send(doing[child])

    try:
        for _ in range(min(workers, len(jobs))):
            give()
        while doing:
            for child, received in receive_any(list(doing)):
                if isinstance(received, Ready):
                    continue
                job = doing.pop(child)
                if isinstance(received, Finished):
                    give(child)
                    take(received.answer)
                    continue
                child.stop()
                children.remove(child)
                give()
                take(JobReport(job.name, job.mode, skipped=_why_not(received), failed=True))
    finally:
        # Where this is interrupted, what is being done may take minutes, and nobody waits for it any more.
        for child in children:
            child.stop()


def _why_not(received: Received) -> str:
    """Return in words why there is no report of a job."""
    if isinstance(received, Failed):
        return f"internal error of diffexport: {received.error}\n{received.trace}"
    if isinstance(received, Unreadable):
        return f"its report cannot be sent between processes ({received.error}); run it with --jobs 0"
    return "a worker process died, taken along by a mutant; find out by which with --jobs 0 and --only"


def _prepare(_: ParentProcess) -> Handler:
    """Prepare a worker; return what does a job."""
    warm_up()
    return do
