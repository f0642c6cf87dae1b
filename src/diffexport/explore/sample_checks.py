"""Samples are checked against one export: counted, told apart from what is known, and the first new failure given."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from diffexport.backends.runtimes import runtime_of
from diffexport.explore.accepted import Accepted
from diffexport.explore.divergence_errors import Diverged, attribute, diverged
from diffexport.explore.health import Health
from diffexport.explore.point import Point
from diffexport.explore.row_counts import count_note, count_verdict
from diffexport.explore.settings import Settings
from diffexport.explore.witness import note_name, without_witnesses
from diffexport.findings.events import CheckStarting, Row, RowVerdict, Suspected
from diffexport.pipeline import Pipeline
from diffexport.processes import STEPS
from diffexport.subjects.cases import Case
from diffexport.values import (
    NO_DEADLINE,
    Deadline,
    Divergence,
    Identity,
    Inputs,
    Kind,
    Mode,
    Outcome,
    Shape,
    Stage,
    TensorSpec,
    Verdict,
)

#: Told at once what cannot wait: the process may be gone, or the run interrupted, before the next event.
Announce = Callable[[Suspected | CheckStarting], None]

#: If so many samples of a block are rejected and no other is there before them, the rest of it is left out.
_ENOUGH_REJECTED = 64
#: How many times as long as the fastest a runtime takes that is spared samples; it gets one in so many.
_SLOW, _ONE_IN = 20.0, 4


class SampleChecks:
    """Checks the samples of one case.

    Args:
        case: the model under test.
        runtimes: names, simplest first.
        settings: how.
        accepted: what is known.
        pipeline: exports and runs.
        findings: the identities of what was found before, which is not new.
        health: counts what the model rejects.
    """

    def __init__(
        self,
        case: Case,
        runtimes: Sequence[str],
        settings: Settings,
        accepted: Accepted,
        pipeline: Pipeline,
        *,
        findings: Container[Identity],
        health: Health,
    ) -> None:
        self._case, self._runtimes, self._settings = case, runtimes, settings
        self._accepted, self._pipeline = accepted, pipeline
        self._findings, self._health = findings, health
        self._noted = False
        self._tensor_places = [n for n, entry in enumerate(case.inputs) if isinstance(entry, TensorSpec)]
        costs = {name: runtime_of(name).cost for name in runtimes}
        self._quick = tuple(name for name in runtimes if costs[name] < _SLOW * min(costs.values()))

    def failures(
        self,
        mode: Mode,
        export_inputs: Inputs,
        samples: Sequence[Inputs],
        rows: dict[str, Row] | None,
        *,
        repeat: bool = True,
        sparing: bool = False,
        deadline: Deadline = NO_DEADLINE,
    ) -> Iterator[Diverged]:
        """Check samples against one export, yielding the first new failure of each that has one.

        Args:
            mode: how to export.
            export_inputs: what to export with; if empty, the first sample.
            samples: what to run on.
            rows: what is counted, by runtime; None counts nothing.
            repeat: see [Pipeline.export][diffexport.pipeline.Pipeline.export].
            sparing: run only some of the samples on runtimes that take long.
            deadline: is asked between the stages of the pipeline.

        Raises:
            DeadlinePassed: the time is over.
        """
        example = export_inputs or samples[0]
        self._noted = False
        spared = self._without_known_crashes(mode, example, samples, rows)
        if not sparing or len(self._quick) == len(self._runtimes):
            parts = [(self._runtimes, spared)]
        else:
            rest = [inputs for number, inputs in enumerate(spared) if number % _ONE_IN]
            parts = [(self._runtimes, spared[::_ONE_IN]), (self._quick, rest)]
        for runtimes, part in parts:
            if part:
                yield from self._failures_on(
                    runtimes, mode, example, part, rows, repeat=repeat, deadline=deadline
                )
            if len(part) >= _ENOUGH_REJECTED and not self._noted:
                break
        STEPS.begin("draw")

    def _failures_on(
        self,
        runtimes: Sequence[str],
        mode: Mode,
        example: Inputs,
        spared: Sequence[Inputs],
        rows: dict[str, Row] | None,
        *,
        repeat: bool,
        deadline: Deadline,
    ) -> Iterator[Diverged]:
        """Check samples on some runtimes; see [failures][]."""
        with self._pipeline.block(
            self._case,
            mode,
            runtimes,
            export_inputs=example,
            strict=self._settings.strict,
            repeat=repeat,
            deadline=deadline,
            settled=lambda inputs, verdicts: self._settled(mode, example, inputs, verdicts, rows is not None),
        ) as check:
            # One by one each is announced, and made only if it is not known to be fatal.
            judged = check.each(spared) if self._pipeline.watch is None else map(check, spared)
            for number, (inputs, verdicts) in enumerate(zip(spared, judged, strict=True)):
                failure = self._first_new(mode, example, inputs, verdicts, rows, number == 0)
                if failure is not None:
                    yield failure
                if number + 1 == _ENOUGH_REJECTED and not self._noted:
                    break

    def _without_known_crashes(
        self, mode: Mode, example: Inputs, samples: Sequence[Inputs], rows: dict[str, Row] | None
    ) -> list[Inputs]:
        """Return the samples but those that are known to take the process along, which alone are never tried."""
        spared = []
        crashes = self._accepted.known_crashes(mode, self._runtimes)
        for inputs in samples:
            crash = self._accepted.crash_on(crashes, inputs, example)
            if crash is None:
                spared.append(inputs)
                continue
            for row in rows.values() if rows is not None else ():
                row.known[crash.id] = row.known.get(crash.id, 0) + 1
                row.worsen(RowVerdict.KNOWN, Stage.RUN, Kind.CRASH)
        return spared

    def _settled(
        self, mode: Mode, example: Inputs, inputs: Inputs, verdicts: Sequence[Verdict], counting: bool
    ) -> bool:
        """Return whether all that differs is known or found, so that it need not be asked if rounding explains it.

        Arbitration takes up to 128 runs of eager; a model with a bug differs in every other sample.
        """
        if counting and any(note.stage is Stage.COMPARE for verdict in verdicts for note in verdict.notes):
            return False
        return all(
            identity in self._findings
            or self._accepted.entry(mode, verdict.runtime, divergence, inputs, example) is not None
            for verdict, divergence, identity in attribute(verdicts)
        )

    def _first_new(
        self,
        mode: Mode,
        example: Inputs,
        inputs: Inputs,
        verdicts: Sequence[Verdict],
        rows: dict[str, Row] | None,
        first_of_example: bool,
    ) -> Diverged | None:
        """Count the verdicts on one sample; return its first new failure."""
        alone: dict[str, list[Divergence]] = {}
        if self._settings.witnesses and not self._settings.strict:
            verdicts, alone = without_witnesses(
                verdicts,
                self._settings.witnesses,
                lambda verdict, divergence: (
                    self._accepted.entry(mode, verdict.runtime, divergence, inputs, example) is not None
                ),
            )
        if verdicts:
            if self._noted and verdicts[0].outcome is not Outcome.REJECTED:
                # The samples of a block have the same shapes.
                self._health.accepted += 1
            else:
                self._note_health(verdicts[0], inputs, example)
        if rows is not None:
            for verdict in verdicts:
                count_verdict(rows[verdict.runtime], verdict, first_of_example)
            for runtime, divergences in alone.items():
                for divergence in divergences:
                    count_note(rows[runtime], note_name(divergence, runtime))
        new: Diverged | None = None
        if not any(verdict.divergences for verdict in verdicts):
            return None
        for verdict, divergence, identity in attribute(verdicts):
            entry = self._accepted.entry(mode, verdict.runtime, divergence, inputs, example)
            if rows is not None:
                row = rows[verdict.runtime]
                if entry is not None:
                    row.known[entry.id] = row.known.get(entry.id, 0) + 1
                    row.worsen(RowVerdict.KNOWN, divergence.stage, divergence.kind)
                else:
                    row.diverging += 1
                    row.worsen(RowVerdict.DIVERGES, divergence.stage, divergence.kind)
            # What is fatal has been made a finding by whoever saw it, and cannot be tried in this process.
            is_new = identity not in self._findings and divergence.kind not in (Kind.CRASH, Kind.TIMEOUT)
            if entry is None and is_new and new is None:
                point = Point(mode, identity.runtime or verdict.runtime, inputs, example)
                new = diverged(self._case, identity, point, verdict, divergence, seed=self._settings.seed)
        return new

    def _note_health(self, verdict: Verdict, inputs: Inputs, example: Inputs) -> None:
        shapes: tuple[Shape, ...] = ()
        if verdict.on_example:
            inputs = example
        if self._case.specs and self._case.speaks_of(inputs):
            values = self._case.values_of(inputs)
            shapes = tuple([tuple(values[place].shape) for place in self._tensor_places])
        if verdict.outcome is not Outcome.REJECTED:
            self._health.accept(shapes)
            self._noted = True
        else:
            self._health.reject(shapes, verdict.reason)
            self._health.out_of_memory += verdict.out_of_memory
