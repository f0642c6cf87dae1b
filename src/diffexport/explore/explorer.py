"""Explore one case: every mode with generated inputs, each new divergence shrunk.

One Hypothesis run per mode guarantees that every mode is covered. A divergence that is neither known nor
found before is raised as an exception whose *type* is its identity, which is how Hypothesis tells failures
apart: each is shrunk on its own and none hides another.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import hypothesis
import hypothesis.errors
from hypothesis import HealthCheck, Phase

from diffexport.arrays import as_call, as_plain, tensors_of
from diffexport.errors import TargetError, UntestableError
from diffexport.explore.accepted import Accepted
from diffexport.explore.divergence_errors import Diverged, attribute, diverged, failures_in
from diffexport.explore.drawing import Drawing
from diffexport.explore.export_examples import plain_shapes
from diffexport.explore.finder import Finder
from diffexport.explore.health import Health
from diffexport.explore.minimise import Point
from diffexport.explore.seeded import steady_draws
from diffexport.findings.events import (
    CaseFailed,
    CheckStarting,
    Event,
    Excluded,
    Finding,
    ModeFinished,
    Row,
    Suspected,
    Unhealthy,
)
from diffexport.pipeline import ON_EXAMPLE, Block, Pipeline
from diffexport.strategies import Trial, decode_block, examples, ordinary_like
from diffexport.subjects.cases import Case, Known, split_excluded
from diffexport.values import (
    Call,
    Identity,
    Inputs,
    Kind,
    Mode,
    Outcome,
    Severity,
    Shape,
    Stage,
    TensorSpec,
    Verdict,
    admits_all,
)

Emit = Callable[[Event], None]

#: If so many samples of a block are rejected and no other is there before them, the rest of it is left out.
_ENOUGH_REJECTED = 64
#: Rounds of exploring one mode again after something was found in it.
ROUNDS = 12


@dataclass(frozen=True)
class Settings:
    """How a case is explored.

    Attributes:
        examples: Hypothesis examples for each mode; each holds a block of up to ``block`` samples.
        block: most samples in one example.
        seed: the same seed gives the same run.
        strict: let notes (the sign of zero, stale globals) fail.
        shrink: shrink what is found; without, the first sight is reported.
        careful: announce every check before it is made (see [CheckStarting][]).
        share: give a mode one example instead of all when it exports, byte for byte, what a mode already
            explored exports, or is refused in the same way. For matrices of thousands of modes.
    """

    examples: int = 30
    block: int = 8
    seed: int = 0
    strict: bool = False
    shrink: bool = True
    careful: bool = False
    share: bool = False


class Explorer:
    """Explores one case.

    Args:
        case: the model under test.
        runtimes: names, simplest first.
        settings: how.
        known: the known divergences that apply.
        emit: receives every event.
        road: shared when several cases are explored in one process.
        drawing: makes the strategies; on the same road.
        found: what was found before and is not to be found again; updated.
    """

    def __init__(
        self,
        case: Case,
        runtimes: Sequence[str],
        settings: Settings,
        known: Iterable[Known] = (),
        *,
        emit: Emit,
        road: Pipeline | None = None,
        drawing: Drawing | None = None,
        found: dict[Identity, Finding] | None = None,
    ) -> None:
        self.case, self.runtimes, self.settings = case, tuple(runtimes), settings
        self.road = road or Pipeline()
        self.accepted = Accepted(case, known, self.road)
        self.drawing = drawing or Drawing(case, self.road, settings.block)
        self.found = {} if found is None else found
        self._emit = emit
        self._finder = Finder(
            case,
            self.road,
            self.accepted,
            emit,
            strict=settings.strict,
            shrink=settings.shrink,
            seed=settings.seed,
            found=self.found,
        )
        self._explored: set[tuple[object, ...]] = set()
        self._health = Health()
        self._noted = False
        self._tensor_places = [n for n, entry in enumerate(case.inputs) if isinstance(entry, TensorSpec)]

    def explore(self, modes: Sequence[Mode]) -> None:
        """Explore every mode, emitting [ModeFinished][] for each and [Found][] for each new divergence.

        Modes that the case excludes are left out, with an [Excluded][] for each reason.
        """
        modes, excluded = split_excluded(modes, self.case.name, self.case.exclusions)
        for one, count in excluded:
            self._emit(Excluded(self.case.name, str(one.modes), count, one.reason))
        try:
            for mode in modes:
                self._explore_mode(mode)
            if modes and not self._health.accepted:
                self._raise_untestable()
            advice = self._health.advice(self.case.specs)
            if advice:
                self._emit(Unhealthy(self.case.name, f"case {self.case.name!r}: {advice}"))
        except (UntestableError, TargetError) as error:
            self._emit(CaseFailed(self.case.name, str(error)))

    def _raise_untestable(self) -> None:
        raise UntestableError(
            f"case {self.case.name!r}: the model raises in eager on every one of "
            f"{self._health.rejected} generated inputs ({self._health.reason}); say what its inputs must be like, for "
            "instance --input 'float32[N, 3]', or Case(inputs=…) or strategy=…"
        )

    def _explore_mode(self, mode: Mode) -> None:
        started = time.perf_counter()
        rows = {name: Row(name) for name in self.runtimes}
        self._check_extra(mode, rows)
        if not (self.settings.share and self._shared(mode, rows)):
            for round_number in range(ROUNDS):
                failures = self._one_round(mode, rows if round_number == 0 else None)
                if not failures:
                    break
                for failure, flaky in failures:
                    self._finder.record(failure, flaky)
        seconds = (time.perf_counter() - started) / max(len(rows), 1)
        for row in rows.values():
            row.seconds = seconds
        self._emit(ModeFinished(self.case.name, str(mode), tuple(rows.values())))

    def _check_extra(self, mode: Mode, rows: dict[str, Row]) -> None:
        """Check the calls that the case names, exported at their own shapes or, where axes are dynamic, at others."""
        for call in self.case.extra_inputs:
            example = self._extra_example(mode, call)
            failures = list(self._check(mode, example, (call.plain(),), rows))
            for failure in failures:
                self._emit(Suspected(failure.finding))
                self._finder.record(failure, False)

    def _extra_example(self, mode: Mode, call: Call) -> Inputs:
        specs, given = self.case.specs, tensors_of(as_call(call))
        if (
            mode.dynamic
            and not call.kwargs
            and len(specs) == len(self.case.inputs) == len(given) == len(call.args)
        ):
            plain = plain_shapes(specs)
            shapes = [tuple(tensor.shape) for tensor in given]
            same_ranks = list(map(len, plain)) == list(map(len, shapes))
            if same_ranks and admits_all(specs, shapes) and self.case.terms.dynamic_axes is None:
                return examples(plain, specs)
        return ordinary_like(as_call(call))

    def _shared(self, mode: Mode, rows: dict[str, Row]) -> bool:
        """Do with one sample if another mode exported the very same model of ordinary inputs; remember this one.

        Returns:
            Whether that was enough.
        """
        specs = self.case.specs
        if not specs or len(specs) < len(self.case.inputs):
            return False
        shapes = plain_shapes(self.case.specs)
        ordinary = examples(shapes, specs)
        args = as_call(ordinary)
        if self.road.eager(self.case, mode, args).error:
            return False
        exported = self.road.export(self.case, mode, args, repeat=False)
        what = exported.digest or exported.refused.partition("\n")[0]
        found = tuple(
            (d.stage, d.kind, d.where, d.signature)
            for d in exported.divergences
            if self.settings.strict or d.severity is Severity.FAILURE
        )
        key = (
            what,
            exported.expectation,
            mode.dynamic,
            mode.training == "TRAINING",
            # Leaves something behind that only a second export meets.
            mode.export_modules_as_functions,
            found,
        )
        if key not in self._explored:
            self._explored.add(key)
            return False
        data = hashlib.shake_128(self._seed(mode).to_bytes(8)).digest(64)
        (inputs,) = decode_block(data, shapes, specs, limit=1)
        failure = next(self._check(mode, ordinary, (inputs,), rows, repeat=False), None)
        if failure is not None:
            self._emit(Suspected(failure.finding))
            self._finder.record(failure, False)
        return failure is None

    def _one_round(self, mode: Mode, rows: dict[str, Row] | None) -> list[tuple[Diverged, bool]]:
        counting = rows is not None
        suspected: set[Identity] = set()

        inside = False

        def test(trial: Trial) -> None:
            nonlocal inside
            inside = True
            for failure in self._check(mode, trial.export_inputs, trial.samples, rows if counting else None):
                if failure.identity not in suspected:
                    suspected.add(failure.identity)
                    self._emit(Suspected(failure.finding))
                raise failure
            inside = False

        def counted(trial: Trial) -> None:
            nonlocal counting, inside
            try:
                test(trial)
            except Diverged:
                inside = False
                # From here on Hypothesis shrinks; what it tries is not counted.
                counting = False
                raise

        phases = [Phase.generate, Phase.shrink] if self.settings.shrink else [Phase.generate]
        configured = hypothesis.settings(
            max_examples=self.settings.examples,
            database=None,
            deadline=None,
            derandomize=False,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=True,
            print_blob=False,
            verbosity=hypothesis.Verbosity.quiet,
        )
        run = configured(
            hypothesis.seed(self._seed(mode))(hypothesis.given(self.drawing.trials(mode))(counted))
        )
        try:
            with steady_draws():
                run()
        except Diverged as failure:
            return [(failure, False)]
        except hypothesis.errors.Flaky as error:
            return [(failure, True) for failure in failures_in(error)]
        except BaseExceptionGroup as group:
            failures = list(failures_in(group))
            if not failures:
                raise
            return [(failure, False) for failure in failures]
        except hypothesis.errors.Unsatisfiable:
            raise UntestableError(
                f"case {self.case.name!r}: its strategy yields no input; check its filters and assumptions"
            ) from None
        except Exception as error:
            if inside:
                raise
            raise UntestableError(
                f"case {self.case.name!r}: its strategy raises {type(error).__name__}: {error}"
            ) from error
        return []

    def _seed(self, mode: Mode) -> int:
        text = f"{self.settings.seed}/{self.case.name}/{mode}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])

    def _check(
        self,
        mode: Mode,
        export_inputs: Inputs,
        samples: Sequence[Inputs],
        rows: dict[str, Row] | None,
        *,
        repeat: bool = True,
    ) -> Iterator[Diverged]:
        """Check samples against one export, yielding the first new failure of each that has one."""
        example = export_inputs or samples[0]
        self._noted = False
        spared = []
        killers = self.accepted.killers(mode, self.runtimes)
        for inputs in samples:
            killer = self.accepted.killer(killers, inputs, example)
            if killer is None:
                spared.append(inputs)
                continue
            # Known to take the process along: the one thing that is not tried again and again.
            for row in rows.values() if rows is not None else ():
                row.known[killer.id] = row.known.get(killer.id, 0) + 1
                row.worsen("known", Stage.RUN, Kind.CRASH)
        with self.road.block(
            self.case,
            mode,
            self.runtimes,
            export_inputs=example,
            strict=self.settings.strict,
            repeat=repeat,
            settled=lambda inputs, verdicts: self._settled(mode, example, inputs, verdicts, rows is not None),
        ) as check:
            judged = (
                self._one_by_one(mode, example, spared, check)
                if self.settings.careful
                else check.each(spared)
            )
            for number, (inputs, verdicts) in enumerate(zip(spared, judged, strict=True)):
                failure = self._tell(mode, example, inputs, verdicts, rows, number == 0)
                if failure is not None:
                    yield failure
                if number + 1 == _ENOUGH_REJECTED and not self._noted:
                    break

    def _settled(
        self, mode: Mode, example: Inputs, inputs: Inputs, verdicts: Sequence[Verdict], counting: bool
    ) -> bool:
        """Return whether all that differs is known or found, so that it need not be asked if rounding explains it.

        Arbitration takes up to 128 runs of eager; a model with a bug differs in every other sample.
        """
        if counting and any(note.stage is Stage.COMPARE for verdict in verdicts for note in verdict.notes):
            return False
        return all(
            identity in self.found
            or self.accepted.entry(mode, verdict.runtime, divergence, inputs, example) is not None
            for verdict, divergence, identity in attribute(verdicts)
        )

    def _one_by_one(
        self, mode: Mode, example: Inputs, samples: Sequence[Inputs], check: Block
    ) -> Iterator[list[Verdict]]:
        for inputs in samples:
            self._emit(CheckStarting(self.case.name, str(mode), as_plain(inputs), as_plain(example)))
            yield check(inputs)

    def _tell(
        self,
        mode: Mode,
        example: Inputs,
        inputs: Inputs,
        verdicts: Sequence[Verdict],
        rows: dict[str, Row] | None,
        first_of_example: bool,
    ) -> Diverged | None:
        """Count the verdicts on one sample; return its first new failure."""
        if verdicts:
            if self._noted and verdicts[0].outcome is not Outcome.REJECTED:
                # The samples of a block have the same shapes.
                self._health.accepted += 1
            else:
                self._note_health(verdicts[0], inputs, example)
        if rows is not None:
            for verdict in verdicts:
                _count(rows[verdict.runtime], verdict, first_of_example)
        new: Diverged | None = None
        if not any(verdict.divergences for verdict in verdicts):
            return None
        for verdict, divergence, identity in attribute(verdicts):
            entry = self.accepted.entry(mode, verdict.runtime, divergence, inputs, example)
            if rows is not None:
                row = rows[verdict.runtime]
                if entry is not None:
                    row.known[entry.id] = row.known.get(entry.id, 0) + 1
                    row.worsen("known", divergence.stage, divergence.kind)
                else:
                    row.diverging += 1
                    row.worsen("diverges", divergence.stage, divergence.kind)
            if entry is None and identity not in self.found and new is None:
                point = Point(mode, identity.runtime or verdict.runtime, inputs, example)
                new = diverged(self.case, identity, point, verdict, divergence, seed=self.settings.seed)
        return new

    def _note_health(self, verdict: Verdict, inputs: Inputs, example: Inputs) -> None:
        shapes: tuple[Shape, ...] = ()
        if verdict.reason.startswith(ON_EXAMPLE):
            inputs = example
        if self.case.specs and not isinstance(inputs, Call):
            shapes = tuple([tuple(inputs[place].shape) for place in self._tensor_places])
        if verdict.outcome is not Outcome.REJECTED:
            self._health.accept(shapes)
            self._noted = True
        else:
            self._health.reject(shapes, verdict.reason)


def _count(row: Row, verdict: Verdict, first_of_example: bool) -> None:
    row.examples += first_of_example
    if verdict.outcome is Outcome.REJECTED:
        row.rejected += 1
        return
    row.checks += 1
    if verdict.outcome is Outcome.AGREES and not (verdict.arbitrated or verdict.notes or verdict.tolerated):
        # As nearly always.
        row.worsen("agrees")
        return
    row.arbitrated += verdict.arbitrated
    row.excused += verdict.excused
    row.unrefereed += verdict.unrefereed
    row.tolerated += verdict.tolerated
    for note in verdict.notes:
        row.notes[note.kind] = row.notes.get(note.kind, 0) + 1
    if verdict.outcome is not Outcome.DIVERGES:
        row.worsen(str(verdict.outcome))
    if verdict.outcome is Outcome.REFUSED and not row.reason:
        row.reason = _telling(verdict.reason)


def _telling(text: str) -> str:
    """Return the line of an error that says most: the summary that torch.onnx gives of its cause, else the first."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip() for line in text.strip().splitlines()] or [""]
    line = next((line for line in lines if line.startswith("<class '")), lines[0])
    return re.sub(r"^<class '(?:[\w.]*\.)?(\w+)'>: *", r"\1: ", line)
