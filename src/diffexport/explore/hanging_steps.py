"""Steps of this process that do not end: what a model does in Python, or waits for, is interrupted and reported."""

from __future__ import annotations

from collections.abc import Iterator

from diffexport.arrays import as_plain
from diffexport.errors import UntestableError
from diffexport.explore.divergence_errors import finding_at
from diffexport.explore.fatal_divergences import fatal_divergence, fatal_verdict, not_again, shorter
from diffexport.explore.minimise import Minimiser
from diffexport.explore.point import Point, SeenFailure
from diffexport.explore.settings import Limits, Settings
from diffexport.explore.timekeeper import Timekeeper
from diffexport.findings.events import FindingMade, ModeFinished, Row, RowVerdict
from diffexport.pipeline import CheckWatch, FatalCheck, Pipeline
from diffexport.processes import STEPS, Hung, ProcessStep, StepTooLong
from diffexport.subjects.cases import Case
from diffexport.values import (
    Deadline,
    DeadlinePassed,
    FailureKey,
    Inputs,
    Mode,
    Verdict,
)

#: How often steps of one mode may take too long before the rest of it is left.
_MOST = 3
#: Most checks that are spent on making one such failure minimal.
_CHECKS = 40


class HangingSteps:
    """Takes note of the steps of a case that take too long, so that the rest of it can be done.

    Args:
        case: the model under test.
        pipeline: makes the checks.
        runtimes: names, simplest first.
        settings: how the case is explored.
    """

    def __init__(self, case: Case, pipeline: Pipeline, runtimes: tuple[str, ...], settings: Settings) -> None:
        self._case, self._pipeline, self._runtimes, self._settings = case, pipeline, runtimes, settings
        self._fatal: list[FatalCheck] = []
        self._known: set[FailureKey] = set()
        self._times: dict[str, int] = {}
        self._last: tuple[Inputs, Inputs] | None = None

    def watch(self) -> None:
        """Remember each check before it is made, and make none that does not end."""
        self._last = None
        self._pipeline.watch = CheckWatch(self._fatal, self._remember)

    def _remember(self, _case: str, _mode: str, inputs: Inputs, example: Inputs) -> None:
        self._last = inputs, example

    def note(self, mode: Mode, step: ProcessStep) -> Iterator[FindingMade | ModeFinished]:
        """Say what it means that a step took too long; the mode is then begun again, unless it is told as finished.

        Raises:
            UntestableError: it was none of a check.
        """
        last = self._last
        self._times[str(mode)] = self._times.get(str(mode), 0) + 1
        if step.name in ("", "build", "draw"):
            what = "building the model" if step.name == "build" else "drawing its inputs"
            raise UntestableError(f"case {self._case.name!r}: {what} does not end within its time limit")
        if last is not None:
            # Else it is not known which check it was: from now on it is.
            yield from self._found(mode, step, *last)
        if self._times[str(mode)] > _MOST:
            yield ModeFinished(self._case.name, str(mode), tuple(map(self._row, self._runtimes)))
        self.watch()

    def is_left(self, mode: Mode) -> bool:
        """Return whether the rest of a mode is not done."""
        return self._times.get(str(mode), 0) > _MOST

    def _row(self, runtime: str) -> Row:
        row = Row(runtime, reason=f"left after {_MOST} checks that did not end")
        for check in self._fatal:
            if not check.runtimes or runtime in check.runtimes:
                row.worsen(RowVerdict.DIVERGES, check.divergence.stage, check.divergence.kind)
        return row

    def _found(self, mode: Mode, step: ProcessStep, inputs: Inputs, example: Inputs) -> Iterator[FindingMade]:
        """Make a finding of a check that does not end, as simple as can be had in time."""
        divergence = fatal_divergence(Hung(), step.name, step.runtime, self._settings.steps)
        runtime = step.runtime or self._runtimes[0]
        verdict = fatal_verdict(self._case, mode, runtime, divergence)
        seen = SeenFailure(Point(mode, runtime, as_plain(inputs), as_plain(example)), verdict, divergence)
        is_new = divergence.key not in self._known
        minimal, shrunk = self._minimal(seen) if is_new and self._settings.shrink else (seen, False)
        self._known.add(divergence.key)
        self._fatal.append(not_again(seen, (runtime,) if step.runtime else (), minimal))
        if is_new:
            yield FindingMade(finding_at(self._case, minimal, seed=self._settings.seed, shrunk=shrunk))

    def _minimal(self, seen: SeenFailure) -> tuple[SeenFailure, bool]:
        limits = shorter(self._settings.steps)
        within = min(
            Deadline.after(10 * max(limits.check_seconds, 1.0)).wall, self._settings.limits.deadline.wall
        )
        minimiser = Minimiser(
            _LimitedChecks(self._case, self._pipeline, self._settings),
            self._case,
            self._settings.strict,
            checks=_CHECKS,
            timekeeper=Timekeeper(Limits(deadline=Deadline(within))),
            same_exporter=True,
            modes=self._settings.selected,
        )
        before = STEPS.limits
        STEPS.limits = limits
        try:
            return minimiser.run(seen.point, seen.divergence) or seen, True
        except DeadlinePassed:
            return minimiser.simplest or seen, False
        finally:
            STEPS.limits = before


class _LimitedChecks:
    """Checks of which a step may take too long, which is then the verdict."""

    def __init__(self, case: Case, pipeline: Pipeline, settings: Settings) -> None:
        self._case, self._pipeline, self._settings = case, pipeline, settings

    @property
    def same_in_every_mode(self) -> bool:
        return self._pipeline.same_in_every_mode

    def check(
        self,
        case: Case,
        mode: Mode,
        runtime: str,
        inputs: Inputs,
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
    ) -> Verdict:
        watch, self._pipeline.watch = self._pipeline.watch, None
        try:
            return self._pipeline.check(
                case, mode, runtime, inputs, export_inputs=export_inputs, strict=strict
            )
        except StepTooLong as late:
            step = late.step
            divergence = fatal_divergence(Hung(), step.name, step.runtime, self._settings.steps)
            return fatal_verdict(case, mode, runtime, divergence)
        finally:
            self._pipeline.watch = watch
