"""Workers of mutation: child processes that do jobs, mutant by mutant.

A mutant may hang or end the process: that is how it differs from the original, and what the check would say of it.
The job then goes on with the next one, in another process. A worker that is killed from outside says nothing of the
mutant, which is tried again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from diffexport.explore import warm_up
from diffexport.processes import (
    ChildProcess,
    Died,
    Failed,
    Finished,
    Handler,
    Hung,
    Message,
    ParentProcess,
    Policy,
    ProcessStep,
    Ready,
    Received,
    Unreadable,
    receive_any,
    share_of_memory,
)
from diffexport.tools.mutate.mutation_jobs import (
    JobEnd,
    JobReport,
    MutantBegun,
    MutantDone,
    MutantOutcome,
    MutationJob,
    MutationRequest,
)
from diffexport.tools.mutate.mutation_run import do
from diffexport.tools.mutate.registry import MutantVerdict
from diffexport.values import NO_DEADLINE, Deadline, Kind, counted

#: Seconds that a worker may take to start, torch and all, on a busy machine.
_START = 300.0
#: How often what a worker was doing when it was killed from outside is tried again.
_TRIED_AGAIN = 3
#: Most problems of one job that are told.
_TOLD = 3
#: Steps in which a mutant is not involved: what ends the process there is the model itself, or what draws its inputs.
_OF_THE_MODEL = ("", "import", "build", "draw", "eager", "arbitrate", "judge")


def run(jobs: Sequence[MutationJob], workers: int, take: Callable[[JobReport], None]) -> None:
    """Do every job, on worker processes if there are to be any; ``take`` gets each report as it comes."""
    for job in jobs:
        if job.problem:
            take(JobReport(job.name, job.mode, skipped=job.problem, failed=True))
    jobs = [job for job in jobs if not job.problem]
    if workers == 0:
        for job in jobs:
            task = _JobTask(job)
            end = do(task.request(), task.take)
            take(task.report(end))
        return
    _JobSchedule(jobs, min(workers, len(jobs)), take).run()


@dataclass
class _JobTask:
    """A job, and what came of it so far.

    Attributes:
        job: what is to be done.
        start: number of the change that it goes on with.
        outcomes: of the mutants that are done.
        seen: their digests.
        problems: what could not be tested, in words.
        deadline: when its time is over, from the first request on.
        retries: how often a worker ended for no fault of a mutant, by the number of the change that it was on, and by
            that of the one that it was to go on with.
    """

    job: MutationJob
    start: int = 0
    outcomes: list[MutantOutcome] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    deadline: Deadline = NO_DEADLINE
    retries: Counter[tuple[int, int]] = field(default_factory=Counter)

    def request(self) -> MutationRequest:
        """Return what a worker is asked for."""
        if self.job.seconds is not None and self.deadline is NO_DEADLINE:
            self.deadline = Deadline.after(self.job.seconds)
        planted = sum(not outcome.control for outcome in self.outcomes)
        return MutationRequest(self.job, self.start, frozenset(self.seen), planted, self.deadline)

    def take(self, told: MutantBegun | MutantDone) -> None:
        """Take what became of a mutant."""
        if isinstance(told, MutantDone):
            self.outcomes.append(told.outcome)
            self.seen.add(told.digest)
            self.start = told.number + 1

    def report(self, end: JobEnd) -> JobReport:
        """Return what became of the job."""
        told = [*([end.skipped] if end.skipped else []), *self.problems[:_TOLD]]
        if len(self.problems) > _TOLD:
            told.append(f"and {len(self.problems) - _TOLD} more")
        failed = end.failed or bool(self.problems)
        return JobReport(self.job.name, self.job.mode, tuple(self.outcomes), "; ".join(told), failed)

    def ended(self, received: Received, step: ProcessStep, doing: MutantBegun | None) -> JobEnd | None:
        """Decide what it means that a worker ended, hung or failed; return the end of the job if this is one."""
        begun = doing if doing is not None and doing.number >= self.start else None
        is_killed = isinstance(received, Died) and received.is_from_outside
        number = -1 if begun is None else begun.number
        # What ended a process between two mutants is nobody's fault that is known.
        if is_killed or (begun is None and self.start > 0):
            self.retries[number, self.start] += 1
            if self.retries[number, self.start] <= _TRIED_AGAIN:
                return None
        what = _what(received, step, _TRIED_AGAIN + 1 if is_killed else 1)
        if begun is None:
            return JobEnd(what, failed=True)
        if number == 0:
            text = f"the unchanged export is not as it should be ({what}); see what diffexport run says"
            return JobEnd(text, failed=True)
        self.start = number + 1
        by_mutant = isinstance(received, Died | Hung) and not is_killed and step.name not in _OF_THE_MODEL
        if not by_mutant:
            self.problems.append(f"{begun.mutator}, {begun.where}: {what}")
        elif step.name != "export":
            # A symbolic that was changed may not be exported: there is no mutant then, as where an export raises.
            self._note(Kind.TIMEOUT if isinstance(received, Hung) else Kind.CRASH, what, begun)
        return None

    def _note(self, kind: Kind, what: str, begun: MutantBegun) -> None:
        """Note what became of a mutant that ended its process or hung."""
        verdict = MutantVerdict.FALSE_ALARM if begun.control else MutantVerdict.CAUGHT
        self.outcomes.append(
            MutantOutcome(
                self.job.name,
                self.job.mode,
                begun.mutator,
                begun.where,
                begun.control,
                # On what the judge draws, after the check let it pass.
                MutantVerdict.MISSED if begun.is_judged else verdict,
                str(kind),
                begun.examples,
                what,
            )
        )


class _JobSchedule:
    """Which jobs wait, and which worker is on which."""

    def __init__(self, jobs: Sequence[MutationJob], workers: int, take: Callable[[JobReport], None]) -> None:
        self._waiting = deque(_JobTask(job) for job in jobs)
        self._workers, self._take_report = workers, take
        self._busy: dict[ChildProcess, _JobTask] = {}
        self._idle: list[ChildProcess] = []

    def run(self) -> None:
        """Do every job."""
        try:
            for _ in range(self._workers):
                self._give(None)
            while self._busy:
                for child, received in receive_any(list(self._busy)):
                    self._take(child, received)
        finally:
            # Where this is interrupted, what is being done may take minutes, and nobody waits for it any more.
            for child in (*self._busy, *self._idle):
                child.stop()

    def _give(self, child: ChildProcess | None, task: _JobTask | None = None) -> None:
        """Let a process, by default a new one, go on with a task, by default with the one that waits first."""
        if task is None and not self._waiting:
            if child is not None:
                self._idle.append(child)
            return
        task = task or self._waiting.popleft()
        if child is None:
            memory = task.job.settings.steps.memory or share_of_memory(self._workers)
            child = ChildProcess.start(
                _prepare, policy=Policy(memory=memory, own_session=True, captured=True)
            )
            child.deadline = Deadline.after(_START)
        self._busy[child] = task
        child.send(task.request())

    def _take(self, child: ChildProcess, received: Received) -> None:
        """Take what a worker sent, or how it ended."""
        task = self._busy[child]
        if isinstance(received, Ready):
            child.deadline = NO_DEADLINE
        elif isinstance(received, Message):
            task.take(received.value)
        elif isinstance(received, Unreadable):
            text = f"what became of a mutant cannot be sent between processes ({received.error})"
            task.problems.append(f"{text}; run it with --jobs 0")
        elif isinstance(received, Finished):
            del self._busy[child]
            self._finish(child, task, received.answer)
        elif isinstance(received, Failed | Died | Hung):
            step, begun = child.step, child.doing
            del self._busy[child]
            again: ChildProcess | None = child
            if not isinstance(received, Failed):
                child.stop()
                again = None
            end = task.ended(received, step, begun)
            if end is None:
                self._give(again, task)
            else:
                self._finish(again, task, end)

    def _finish(self, child: ChildProcess | None, task: _JobTask, end: JobEnd) -> None:
        self._give(child)
        self._take_report(task.report(end))


def _what(received: Received, step: ProcessStep, times: int) -> str:
    """Return in words what a worker did when it ended, and how it ended."""
    doing = {
        "import": "importing its target",
        "build": "building the model",
        "draw": "drawing its inputs",
        "eager": "running the model itself",
        "arbitrate": "running the model itself",
        "export": "exporting it",
        "plant": "checking the graph by onnx.checker",
        "load": f"loading it into {step.runtime}",
        "run": f"running it on {step.runtime}",
        "compare": "comparing its outputs",
        "judge": "running the original",
    }.get(step.name, "starting")
    if isinstance(received, Failed):
        return f"internal error of diffexport: {received.error}\n{received.trace}"
    if isinstance(received, Hung):
        return f"{doing} takes longer than its time limit ({_option(step.name)})"
    if times > 1:
        return (
            f"not tested, its worker was killed from outside {counted(times, 'time')} ({received}), {doing}"
        )
    return f"{doing} ends the process ({received})"


def _option(step: str) -> str:
    """Return the option that says how long a step may take."""
    named = {"import": "--import-timeout"}
    return named.get(step, "--export-timeout" if step in ("build", "export", "load") else "--check-timeout")


def _prepare(parent: ParentProcess) -> Handler:
    """Prepare a worker; return what does a job."""
    warm_up()

    def tell(told: MutantBegun | MutantDone) -> None:
        if isinstance(told, MutantBegun):
            parent.announce(told)
        else:
            parent.send(told)

    return lambda request: do(request, tell)
