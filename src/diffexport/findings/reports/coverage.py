"""What was asked of a run and not tested, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from diffexport.findings.events import Excluded, ModeFinished, Row, RowVerdict, RunFinished, RunStarted


@dataclass(frozen=True)
class Untested:
    """A mode of a case that was not tested on some runtimes.

    Attributes:
        reason: why.
        failed: whether the run was to test it; not so where the model itself raises on every input.
    """

    case: str
    mode: str
    runtimes: tuple[str, ...]
    reason: str
    failed: bool = True


def untested(
    started: RunStarted | None,
    finished: RunFinished | None,
    modes: Sequence[ModeFinished],
    excluded: Sequence[Excluded],
    failed: Mapping[str, str],
) -> Iterator[Untested]:
    """Yield what has neither a row that says something nor an exclusion, in the order of cases and modes."""
    for event in modes:
        yield from _untested_rows(event)
    if started is None or not started.asked:
        return
    reached = Counter((event.case, event.mode, row.runtime) for event in modes for row in event.rows)
    left_out = {(event.case, text) for event in excluded for text in event.texts}
    for case, times in Counter(started.cases).items():
        for mode in started.asked:
            if (case, mode) in left_out:
                continue
            runtimes = tuple(name for name in started.runtimes if reached[case, mode, name] < times)
            if runtimes:
                yield Untested(case, mode, runtimes, _why(case, finished, failed))


def is_untested(row: Row) -> bool:
    """Return whether nothing was tested that was to be; where the model itself raises on every input, nothing is."""
    if row.verdict is RowVerdict.UNREACHED:
        return True
    return row.verdict is RowVerdict.UNTESTED and (row.out_of_memory > 0 or not row.rejected)


def _untested_rows(event: ModeFinished) -> Iterator[Untested]:
    reasons: dict[tuple[str, bool], list[str]] = {}
    for row in event.rows:
        if row.verdict in (RowVerdict.UNTESTED, RowVerdict.UNREACHED):
            failed = is_untested(row)
            why = "no input was checked"
            if not failed:
                why = f"the model itself raises on {_every_input(row.rejected)}"
            reasons.setdefault((row.reason or why, failed), []).append(row.runtime)
    for (reason, failed), runtimes in reasons.items():
        yield Untested(event.case, event.mode, tuple(runtimes), reason, failed)


def _why(case: str, finished: RunFinished | None, failed: Mapping[str, str]) -> str:
    if case in failed:
        lines = failed[case].splitlines()
        return f"not reached: {lines[0] if lines else 'the case failed'}"
    if finished is None or finished.interrupted:
        return "not reached: the run was interrupted"
    if finished.stopped_early:
        return "not reached: the run stopped at the first new divergence"
    if finished.out_of_time:
        return "not reached: the time was over"
    return "not reached: nothing was heard of it; the process that it was given to may have ended"


def _every_input(number: int) -> str:
    return "the one input that was drawn" if number == 1 else f"each of the {number:,} inputs that were drawn"
