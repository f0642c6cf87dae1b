"""Explore one case: every mode with generated inputs, each new divergence shrunk.

One Hypothesis run per mode guarantees that every mode is covered. What happens is given as events, in the thread of
whoever asks for them. What cannot wait for the next event, because it is seen while Hypothesis calls back, is announced
at once: a divergence at first sight, and each check before it is made where that is asked for.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from diffexport.arrays import as_call, as_plain
from diffexport.errors import TargetError, UntestableError
from diffexport.explore.accepted import Accepted
from diffexport.explore.carried_over import CarriedOver
from diffexport.explore.divergence_errors import Diverged
from diffexport.explore.drawing import Drawing
from diffexport.explore.export_examples import example_of_call, plain_shapes
from diffexport.explore.finding_maker import FindingMaker
from diffexport.explore.first_look import first_samples
from diffexport.explore.hanging_steps import HangingSteps
from diffexport.explore.health import Health
from diffexport.explore.hypothesis_round import HypothesisRound
from diffexport.explore.row_counts import counted_before, without_examples
from diffexport.explore.sample_checks import Announce, SampleChecks
from diffexport.explore.sent_events import with_types
from diffexport.explore.settings import Settings, StopAfter
from diffexport.explore.steadiness import Steadiness
from diffexport.explore.timekeeper import Timekeeper
from diffexport.explore.turns import TIME_OVER, Turn, TurnOrder, rounds_done
from diffexport.findings.events import (
    CaseFailed,
    CheckStarting,
    Event,
    Excluded,
    Finding,
    FindingMade,
    ModeFinished,
    Row,
    RowVerdict,
    Suspected,
    Unhealthy,
)
from diffexport.pipeline import CheckWatch, FatalCheck, Pipeline
from diffexport.processes import STEPS, StepTooLong
from diffexport.strategies import Trial, decode_block, examples
from diffexport.subjects.cases import Case, Known, excluding, split_excluded
from diffexport.values import DeadlinePassed, Identity, Inputs, Mode, Severity

#: Rounds of exploring one mode again after something was found in it.
ROUNDS = 12
#: How often one mode is begun again because shrinking took too long.
ATTEMPTS = 4


class _SeenEnough(BaseException):
    """Ends the exploration at first sight. Not an Exception: Hypothesis would take that for a failure of the model."""


def _tell_nobody(event: Suspected | CheckStarting) -> None:
    pass


class Explorer:
    """Explores one case.

    Args:
        case: the model under test.
        runtimes: names, simplest first.
        settings: how, and when it ends.
        known: the known divergences that apply.
        pipeline: shared when several cases are explored in one process.
        drawing: makes the strategies; on the same pipeline.
        findings: what was found before and is not to be found again, by identity; updated.
        carried: what modes that were explored before have left, see [ModeFinished][].
        fatal: checks that are not to be made, because they end the process or do not end.
        suspects: divergences that were seen in a process that has ended, and are to be made findings of.
    """

    def __init__(
        self,
        case: Case,
        runtimes: Sequence[str],
        settings: Settings,
        known: Iterable[Known] = (),
        *,
        pipeline: Pipeline | None = None,
        drawing: Drawing | None = None,
        findings: dict[Identity, Any] | None = None,
        carried: Iterable[Mapping[str, Any]] = (),
        fatal: Sequence[FatalCheck] = (),
        suspects: Sequence[Finding] = (),
    ) -> None:
        self.case, self.runtimes, self.settings = case, tuple(runtimes), settings
        self.pipeline = pipeline or Pipeline()
        self.drawing = drawing or Drawing.under(settings, case, self.pipeline)
        self.findings = {} if findings is None else findings
        accepted = Accepted(case, known, self.pipeline)
        self._timekeeper = Timekeeper(settings.limits)
        self._maker = FindingMaker(case, self.pipeline, accepted, settings, self._timekeeper, self.findings)
        self._health = Health()
        watched: Any = {"findings": self.findings, "health": self._health}
        self._checks = SampleChecks(case, self.runtimes, settings, accepted, self.pipeline, **watched)
        self._steadiness = Steadiness(case, self.pipeline, self.drawing)
        self._hanging = HangingSteps(case, self.pipeline, self.runtimes, settings)
        self._announce: Announce = _tell_nobody
        self._pending: dict[Identity, Diverged] = {}  # seen, and not yet made a finding of
        self._fatal, self._explored = tuple(fatal), set[str]()
        self._suspects = list(suspects)
        self._carried = CarriedOver(self.findings, self._health, self._explored)
        self._carried.restore(carried)

    def explore(self, modes: Sequence[Mode], announce: Announce = _tell_nobody) -> Iterator[Event]:
        """Explore every mode: [ModeFinished][] for each, and [FindingMade][] for each new divergence.

        Modes that the case excludes are left out, with an [Excluded][] for each reason.

        Args:
            modes: one after the other.
            announce: told at once what cannot wait for the next event; [CheckStarting][] where the settings say
                careful.

        Raises:
            DeadlinePassed: the time is over; what was seen by then has been given as findings.
        """
        self._announce = announce
        careful = self.settings.careful
        self.pipeline.watch = CheckWatch(self._fatal, self._announce_check) if careful else None
        yield from self._excluded(modes)
        modes = split_excluded(modes, self.case.name, self.case.exclusions)[0]
        try:
            for mode in modes:
                yield from self._explore_mode(mode)
            if (modes or self._health.rejected) and not self._health.accepted:
                raise UntestableError(self._health.nothing_accepted(self.case, self.pipeline))
            yield from self._steadiness.remarks()
            if advice := self._health.advice(self.case.specs):
                yield Unhealthy(self.case.name, f"case {self.case.name!r}: {advice}")
        except (UntestableError, TargetError) as error:
            yield CaseFailed(self.case.name, str(error))
        except _SeenEnough:
            yield from [FindingMade(failure.finding) for failure in self._pending.values()]

    def explore_in_turns(self, turns: TurnOrder, announce: Announce = _tell_nobody) -> Iterator[Event]:
        """Explore the modes of a case in turns, until these or the time end; see [take_turn][] for the events."""
        deadline = self.settings.limits.deadline
        while not deadline.passed:
            following = turns.next()
            if following is None:
                yield from self.explore((), announce)
                break
            for event in self.take_turn(*following, announce):
                if isinstance(event, CaseFailed):
                    yield event
                    return
                if isinstance(event, ModeFinished):
                    turns.take(event)
                elif isinstance(event, Excluded):
                    for text in event.texts:
                        turns.leave_out(text)
                yield event
        yield from turns.unreached(self.case.name, self.runtimes)
        yield from rounds_done([turns])

    def take_turn(self, mode: Mode, turn: Turn, announce: Announce = _tell_nobody) -> Iterator[Event]:
        """Explore a mode for one turn: [FindingMade][] for each new divergence, and [ModeFinished][] at the end.

        Where the time is over before, it ends with what was counted by then. In the first turn of a case
        [Excluded][] says which modes are left out.

        Args:
            mode: of which one is taken.
            turn: which.
            announce: see [explore][].
        """
        self._announce = announce
        careful = self.settings.careful
        self.pipeline.watch = CheckWatch(self._fatal, self._announce_check) if careful else None
        yield from self._excluded(turn.opening)
        if excluding(mode, self.case.name, self.case.exclusions) is not None:
            return
        try:
            yield from self._explore_turn(mode, turn)
        except (UntestableError, TargetError) as error:
            yield CaseFailed(self.case.name, str(error))
        except _SeenEnough:
            yield from [FindingMade(failure.finding) for failure in self._pending.values()]

    def _explore_turn(self, mode: Mode, turn: Turn) -> Iterator[Event]:
        """Take one turn. Where shrinking takes too long, what was seen is kept, and the turn begun again."""
        started = time.perf_counter()
        for _ in range(ATTEMPTS):
            rows = counted_before(turn.rows, self.runtimes)
            self._timekeeper.end_shrinking()
            STEPS.begin("draw", case=self.case.name, mode=str(mode))
            try:
                yield from self._steadiness.look(mode)
                self._look_at_suspects()
                yield from (
                    self._first_look(mode, rows) if turn.number == 0 else self._rounds(mode, rows, turn)
                )
                break
            except StepTooLong as late:
                yield from self._hanging.note(mode, late.step)
                if self._hanging.is_left(mode):
                    break
            except DeadlinePassed:
                yield from self._made_quickly()
                if self._timekeeper.is_over:
                    break
        seconds = (time.perf_counter() - started) / max(len(rows), 1)
        for row in rows.values():
            row.seconds += seconds
            if row.verdict in (RowVerdict.UNTESTED, RowVerdict.UNREACHED):
                is_tried = row.rejected or row.out_of_memory or not self._timekeeper.is_over
                row.verdict = RowVerdict.UNTESTED if is_tried else RowVerdict.UNREACHED
                row.reason = self._health.why_untested(row) if is_tried else TIME_OVER
            else:
                row.reason = row.reason if row.reason != TIME_OVER else ""
        told = tuple(rows.values()), self._carried.since_last(), turn.number + (not self._timekeeper.is_over)
        yield ModeFinished(self.case.name, str(mode), *told, STEPS.take_spent())

    def _look_at_suspects(self) -> None:
        """Check once more what was seen in a process that has ended: findings are made of it here."""
        while self._suspects:
            seen = self._suspects.pop()
            given, example = with_types(seen.inputs), with_types(seen.export_inputs)
            for failure in list(self._failures(Mode.parse(seen.mode), example, (given,), None)):
                if failure.identity not in self._pending:
                    self._suspect(failure)
        self._timekeeper.end_shrinking()

    def _first_look(self, mode: Mode, rows: dict[str, Row]) -> Iterator[Event]:
        """Look at a mode for the first time; see [first_samples][]."""
        specs = self.case.specs
        if not specs or len(specs) < len(self.case.inputs):  # what strategies give is known when it is drawn
            yield from self._rounds(mode, rows, Turn(0))
            yield from self._check_extra(mode, rows)
            return
        shapes, example = self.drawing.usual_shapes(mode)[0], self.drawing.usual_example(mode)
        exact = self.drawing.exact_samples(mode, self._timekeeper.in_force)
        for drawn in itertools.chain(first_samples(specs, shapes, dynamic=mode.dynamic), exact):
            samples = list(map(self.case.call_of, drawn))
            for failure in list(self._failures(mode, example, samples, rows, repeat=False, sparing=True)):
                if failure.identity not in self._pending:
                    # It is made minimal when every mode has had its first look.
                    self._suspect(failure)
        self._timekeeper.end_shrinking()
        yield from self._check_extra(mode, rows)

    def _rounds(self, mode: Mode, rows: dict[str, Row], turn: Turn) -> Iterator[Event]:
        """Run Hypothesis, and again after something was found; first what was seen at first looks is made minimal."""
        for failure in list(self._pending.values()) if turn.number else ():
            yield from self._made(failure)
        for _ in range(ROUNDS):
            failures = self._one_round(mode, rows, turn)
            if not failures:
                break
            for failure, flaky in failures:
                yield from self._made(failure, flaky=flaky)

    def _excluded(self, modes: Sequence[Mode]) -> Iterator[Excluded]:
        """Say which modes the case excludes, and why."""
        name = self.case.name
        for exclusion, count in split_excluded(modes, name, self.case.exclusions)[1]:
            left_out = [one for one in modes if excluding(one, name, self.case.exclusions) is exclusion]
            yield Excluded(name, str(exclusion.modes), count, exclusion.reason, tuple(map(str, left_out)))

    def _explore_mode(self, mode: Mode) -> Iterator[Event]:
        """Explore a mode. Where shrinking takes too long, what was seen is kept, and the mode begun again."""
        attempts = 0
        while attempts < ATTEMPTS:
            self._timekeeper.end_shrinking()
            try:
                yield from self._attempt(mode)
                return
            except StepTooLong as late:
                yield from self._hanging.note(mode, late.step)
                if self._hanging.is_left(mode):
                    return
            except DeadlinePassed:
                attempts += 1
                yield from self._made_quickly()
                if self._timekeeper.is_over:
                    raise
        raise DeadlinePassed

    def _attempt(self, mode: Mode) -> Iterator[Event]:
        started = time.perf_counter()
        STEPS.begin("draw", case=self.case.name, mode=str(mode))
        rows = {name: Row(name) for name in self.runtimes}
        yield from self._steadiness.look(mode)
        yield from self._check_extra(mode, rows)
        if not self._is_explored(mode) or (yield from self._check_one_sample(mode, rows)):
            for exact in self.drawing.exact_samples(mode, self._timekeeper.in_force):
                example, samples = self.drawing.usual_example(mode), list(map(self.case.call_of, exact))
                with without_examples(rows.values()):
                    seen = {e.identity: e for e in self._failures(mode, example, samples, rows, repeat=False)}
                for failure in seen.values():
                    self._suspect(failure)
                    yield from self._made(failure)
            for _ in range(ROUNDS):
                failures = self._one_round(mode, rows)
                if not failures:
                    break
                for failure, flaky in failures:
                    yield from self._made(failure, flaky=flaky)
        seconds = (time.perf_counter() - started) / max(len(rows), 1)
        for row in rows.values():
            row.seconds = seconds
            if row.verdict is RowVerdict.UNTESTED and not row.reason:
                row.reason = self._health.why_untested(row)
        yield ModeFinished(self.case.name, str(mode), tuple(rows.values()), self._carried.since_last())

    def _announce_check(self, case: str, mode: str, inputs: Inputs, example: Inputs) -> None:
        self._announce(CheckStarting(case, mode, as_plain(inputs), as_plain(example)))

    def _suspect(self, failure: Diverged) -> None:
        """Say at once that a failure is seen: the run may end before it is shrunk."""
        self._pending[failure.identity] = failure
        self._timekeeper.begin_shrinking()
        self._announce(Suspected(failure.finding))
        if self.settings.limits.stop_after is StopAfter.FIRST_SIGHT:
            raise _SeenEnough

    def _made(self, failure: Diverged, *, flaky: bool = False) -> Iterator[FindingMade]:
        """Make a finding of a failure."""
        self._pending[failure.identity] = failure
        self._timekeeper.go_on_shrinking()
        finding = self._maker.make(failure, flaky)
        del self._pending[failure.identity]
        self._timekeeper.end_shrinking()
        if finding is not None:
            yield FindingMade(finding)

    def _made_quickly(self) -> Iterator[FindingMade]:
        """Make findings of what was seen, as simple as can be had quickly."""
        self._timekeeper.allow_a_little()
        while self._pending:
            identity = next(iter(self._pending))
            failure = self._pending.pop(identity)
            finding = None if identity in self.findings else self._maker.make_quickly(failure)
            if finding is not None:
                yield FindingMade(finding)

    def _check_extra(self, mode: Mode, rows: dict[str, Row]) -> Iterator[FindingMade]:
        """Check the calls that the case names, exported at their own shapes or, where axes are dynamic, at others."""
        for call in self.case.extra_inputs:
            example = example_of_call(self.case, mode, call)
            for failure in list(self._failures(mode, example, (call.plain(),), rows)):
                self._suspect(failure)
                yield from self._made(failure)

    def _is_explored(self, mode: Mode) -> bool:
        """Whether another mode exported the very same model of ordinary inputs; this one is remembered.

        Only asked where the settings say that modes share their examples.
        """
        specs = self.case.specs
        if not self.settings.share or not specs or len(specs) < len(self.case.inputs):
            return False
        args = as_call(self.case.call_of(examples(plain_shapes(specs), specs)))
        if self.pipeline.eager(self.case, mode, args).error:
            return False
        exported = self.pipeline.export(self.case, mode, args, repeat=False)
        failures = tuple(
            divergence.key
            for divergence in exported.divergences
            if self.settings.strict or divergence.severity is Severity.FAILURE
        )
        key = (
            exported.digest or exported.refused.partition("\n")[0],
            exported.expectation,
            mode.dynamic,
            mode.training == "TRAINING",
            # Leaves something behind that only a second export meets.
            mode.export_modules_as_functions,
            failures,
        )
        text = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        if text in self._explored:
            return True
        self._explored.add(text)
        return False

    def _check_one_sample(self, mode: Mode, rows: dict[str, Row]) -> Generator[FindingMade, None, bool]:
        """Check one sample of a mode whose export was explored before; return whether more is to be done for it."""
        specs = self.case.specs
        shapes = plain_shapes(specs)
        data = hashlib.shake_128(self._seed(mode).to_bytes(8)).digest(64)
        (drawn,) = decode_block(data, shapes, specs, limit=1)
        example, inputs = self.case.call_of(examples(shapes, specs)), self.case.call_of(drawn)
        failure = next(self._failures(mode, example, (inputs,), rows, repeat=False), None)
        if failure is None:
            return False
        self._suspect(failure)
        yield from self._made(failure)
        return True

    def _one_round(
        self, mode: Mode, rows: dict[str, Row], turn: Turn | None = None
    ) -> list[tuple[Diverged, bool]]:
        settings = self.settings if turn is None else turn.within(self.settings)
        repeat = turn is None or turn.repeats_export

        def check(trial: Trial, counts: bool) -> Iterator[Diverged]:
            counted = rows if counts else None
            return self._failures(
                mode, trial.export_inputs, trial.samples, counted, repeat=repeat, sparing=turn is not None
            )

        return HypothesisRound(
            case=self.case.name,
            trials=self.drawing.trials(mode, None if turn is None else turn.variety, settings.block),
            examples=settings.examples,
            seed=self._seed(mode, turn),
            shrink=settings.shrink,
            check=check,
            suspect=self._suspect,
        ).failures()

    def _seed(self, mode: Mode, turn: Turn | None = None) -> int:
        text = f"{self.settings.seed}/{self.case.name}/{mode}{'' if turn is None else f'/{turn.number}'}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])

    def _failures(
        self,
        mode: Mode,
        export_inputs: Inputs,
        samples: Sequence[Inputs],
        rows: dict[str, Row] | None,
        *,
        repeat: bool = True,
        sparing: bool = False,
    ) -> Iterator[Diverged]:
        """Check samples, see [SampleChecks.failures][], if there is time."""
        self._timekeeper.check()
        return self._checks.failures(
            mode,
            export_inputs,
            samples,
            rows,
            repeat=repeat,
            sparing=sparing,
            deadline=self._timekeeper.in_force,
        )
