"""What became of planted bugs and controls: figures, as text and as JSON (docs/json.md)."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffexport.findings.regressions import SeenTensors, reported_tensor
from diffexport.findings.reports import EXIT_FINDINGS, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, values
from diffexport.tools.mutate.mutation_jobs import JobReport, MutantOutcome
from diffexport.tools.mutate.registry import BUG_VERDICTS, MutantVerdict, mutators
from diffexport.values import ALL_INPUTS, InputScope, counted
from diffexport.versions import installed

FORMAT_VERSION = 1
#: Most survivors of one mutator that are printed with their inputs.
SHOWN = 3


@dataclass
class MutationTally:
    """The reports so far."""

    cases: Sequence[str]
    modes: Sequence[str]
    runtimes: Sequence[str]
    examples: int
    seed: int
    strict: bool
    scope: InputScope = ALL_INPUTS
    reports: list[JobReport] = field(default_factory=list)
    seconds: float | None = None
    interrupted: bool = False

    def outcomes(self, *verdicts: MutantVerdict) -> list[MutantOutcome]:
        """Return the outcomes with one of some verdicts; all without any."""
        outcomes = [outcome for report in self.reports for outcome in report.outcomes]
        return [outcome for outcome in outcomes if not verdicts or outcome.verdict in verdicts]

    @property
    def planted(self) -> int:
        """How many bugs were planted."""
        return len(self.outcomes(*BUG_VERDICTS))

    @property
    def share(self) -> float | None:
        """The share caught of those that are not equivalent; None if there are none."""
        caught, missed = len(self.outcomes(MutantVerdict.CAUGHT)), len(self.outcomes(MutantVerdict.MISSED))
        return caught / (caught + missed) if caught + missed else None

    @property
    def exit_code(self) -> int:
        """1 if a bug was missed or a control reported, 2 if nothing could be planted or a case not tested, else 0."""
        if self.outcomes(MutantVerdict.MISSED, MutantVerdict.FALSE_ALARM):
            return EXIT_FINDINGS
        if self.interrupted:
            return EXIT_INTERRUPTED
        if any(report.failed for report in self.reports) or self.unreported() or not self.outcomes():
            return EXIT_USAGE
        return EXIT_OK

    def unreported(self) -> list[tuple[str, str]]:
        """Return the cases and modes that there is no report of."""
        reported = Counter((report.case, report.mode) for report in self.reports)
        asked = Counter((case, mode) for case in self.cases for mode in self.modes)
        return list((asked - reported).keys())

    @property
    def why_unreported(self) -> str:
        """Why there is no report of what there is none of."""
        if self.interrupted:
            return "not reached: the run was interrupted"
        return "nothing was heard of it; the process that it was given to may have ended"

    def needed(self, mutator: str | None = None) -> tuple[float, int] | None:
        """Return median and maximum of the examples needed to catch what was caught."""
        # Where a mutant ended the process nobody knows how many there were.
        caught = [o for o in self.outcomes(MutantVerdict.CAUGHT) if o.examples]
        needed = [o.examples for o in caught if mutator in (None, o.mutator)]
        return (statistics.median(needed), max(needed)) if needed else None


def mutation_line(report: JobReport) -> str:
    """Return one line for a report, as it comes."""
    place = f"{report.case} {report.mode}"
    if report.skipped and not report.outcomes:
        return f"  {place}: {'NOT TESTED' if report.failed else 'skipped'}, {report.skipped}"
    counts = Counter(outcome.verdict for outcome in report.outcomes)
    planted = sum(not outcome.control for outcome in report.outcomes)
    text = f"  {place}: {counts[MutantVerdict.CAUGHT]} of {planted} caught"
    text += f", {counts[MutantVerdict.EQUIVALENT]} equivalent"
    text += f", {counts[MutantVerdict.MISSED]} missed" if counts[MutantVerdict.MISSED] else ""
    alarms = counts[MutantVerdict.FALSE_ALARM]
    text += f"; {alarms} of {alarms + counts[MutantVerdict.PASSED]} controls reported"
    return f"{text}; NOT TESTED in part: {report.skipped}" if report.skipped else text


def mutation_lines(tally: MutationTally) -> Iterator[str]:
    """Yield the summary."""
    caught, equivalent, missed = (tally.outcomes(v) for v in BUG_VERDICTS)
    controls, alarms = (
        tally.outcomes(MutantVerdict.PASSED, MutantVerdict.FALSE_ALARM),
        tally.outcomes(MutantVerdict.FALSE_ALARM),
    )
    if tally.planted:
        yield ""
        yield from _table(tally)
    if equivalent:
        yield ""
        yield "equivalent, by mutator: " + ", ".join(
            f"{name} {number}" for name, number in Counter(o.mutator for o in equivalent).most_common()
        )
    for title, selected in (("missed", missed), ("FALSE ALARM", alarms)):
        for name, number in Counter(outcome.mutator for outcome in selected).most_common():
            yield ""
            yield f"{title}: {name} ({number})"
            for outcome in [o for o in selected if o.mutator == name][:SHOWN]:
                yield f"  {outcome.case} {outcome.mode}, {outcome.where}"
                yield f"    {outcome.message[:200]}"
                if outcome.inputs:
                    yield f"    input {values(outcome.inputs)[:200]}"
    if tally.unreported():
        yield ""
        yield f"not tested: {counted(len(tally.unreported()), '(case, mode) pair')}, {tally.why_unreported}"
    yield ""
    share = tally.share
    yield (
        f"{counted(tally.planted, 'bug')} planted, {len(equivalent)} of them equivalent; "
        f"{len(caught)} of {len(caught) + len(missed)} caught"
        + (f" ({100 * share:.2f} %)" if share is not None else "")
        + f"; {counted(len(controls), 'control')}, {counted(len(alarms), 'false alarm')}"
        + (f"; {tally.seconds:.0f} s" if tally.seconds is not None else "")
    )
    needed = tally.needed()
    if needed is not None:
        yield f"examples needed: {needed[0]:g} in the median, {needed[1]} at most, of {tally.examples}"


def _table(tally: MutationTally) -> Iterator[str]:
    names = dict.fromkeys(o.mutator for o in tally.outcomes(*BUG_VERDICTS))
    width = max(map(len, names))
    yield f"{'mutator':<{width}}  planted  caught  equivalent  missed  examples (median, max)"
    for name in sorted(names):
        counts = Counter(outcome.verdict for outcome in tally.outcomes() if outcome.mutator == name)
        planted = sum(counts[verdict] for verdict in BUG_VERDICTS)
        needed = tally.needed(name)
        examples = f"{needed[0]:g}, {needed[1]}" if needed is not None else "–"
        caught, equivalent, missed = (counts[verdict] for verdict in BUG_VERDICTS)
        figures = f"{planted:>7}  {caught:>6}  {equivalent:>10}  {missed or '–':>6}"
        yield f"{name:<{width}}  {figures}  {examples}"


def mutation_document(tally: MutationTally) -> dict[str, Any]:
    """Return the report as plain data."""
    needed = tally.needed()
    return {
        "diffexport": "mutation-report",
        "version": FORMAT_VERSION,
        "versions": installed(),
        "exit_code": tally.exit_code,
        "seconds": None if tally.seconds is None else round(tally.seconds, 3),
        "interrupted": tally.interrupted,
        "seed": tally.seed,
        "strict": tally.strict,
        "scope": tally.scope.document(),
        "examples": tally.examples,
        "cases": list(tally.cases),
        "modes": list(tally.modes),
        "runtimes": list(tally.runtimes),
        "planted": tally.planted,
        "equivalent": len(tally.outcomes(MutantVerdict.EQUIVALENT)),
        "caught": len(tally.outcomes(MutantVerdict.CAUGHT)),
        "missed": len(tally.outcomes(MutantVerdict.MISSED)),
        "share": tally.share,
        "controls": len(tally.outcomes(MutantVerdict.PASSED, MutantVerdict.FALSE_ALARM)),
        "false_alarms": len(tally.outcomes(MutantVerdict.FALSE_ALARM)),
        "examples_needed": None if needed is None else {"median": needed[0], "max": needed[1]},
        "mutators": [_mutator(tally, name) for name in dict.fromkeys(o.mutator for o in tally.outcomes())],
        "survivors": [
            _outcome(outcome) for outcome in tally.outcomes(MutantVerdict.MISSED, MutantVerdict.EQUIVALENT)
        ],
        "alarms": [_outcome(outcome) for outcome in tally.outcomes(MutantVerdict.FALSE_ALARM)],
        "skipped": [
            {"case": r.case, "mode": r.mode, "reason": r.skipped, "failed": r.failed}
            for r in tally.reports
            if r.skipped
        ],
        "untested": [
            {"case": case, "mode": mode, "reason": tally.why_unreported} for case, mode in tally.unreported()
        ],
    }


def _mutator(tally: MutationTally, name: str) -> dict[str, Any]:
    outcomes = [outcome for outcome in tally.outcomes() if outcome.mutator == name]
    counts, needed = Counter(outcome.verdict for outcome in outcomes), tally.needed(name)
    known = mutators().get(name)
    return {
        "name": name,
        "summary": known.summary if known is not None else "",
        "control": outcomes[0].control,
        "planted": len(outcomes),
        "caught": counts[MutantVerdict.CAUGHT],
        "equivalent": counts[MutantVerdict.EQUIVALENT],
        "missed": counts[MutantVerdict.MISSED],
        "false_alarms": counts[MutantVerdict.FALSE_ALARM],
        "examples_needed": None if needed is None else {"median": needed[0], "max": needed[1]},
    }


def _outcome(outcome: MutantOutcome) -> dict[str, Any]:
    seen = SeenTensors()
    return {
        "case": outcome.case,
        "mode": outcome.mode,
        "mutator": outcome.mutator,
        "where": outcome.where,
        "judgement": outcome.verdict,
        "message": outcome.message,
        "input": [reported_tensor(value, seen) for value in outcome.inputs] or None,
    }
