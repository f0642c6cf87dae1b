"""What is said at the end of a run besides its table and its findings: the same lines for a terminal and in Markdown.

A line is a word that says what it is about, which may be empty, and a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from diffexport.findings.events import RowVerdict
from diffexport.findings.reports.result_table import WORDS
from diffexport.findings.reports.tally import Tally
from diffexport.subjects import catalogue
from diffexport.subjects.cases import load_known
from diffexport.values import counted

#: How (mode, runtime) pairs are called.
PAIR = "(mode, runtime) pair"

Line = tuple[str, str]


def problem_lines(tally: Tally) -> Iterator[Line]:
    """Yield what kept cases from being tested, and what a person should know of how they were."""
    for name, message in tally.failed.items():
        yield "ERROR", f"{name}: {message}"
    for said in tally.remarks:
        yield "REMARK", said.message
    for message in tally.advice.values():
        yield "ADVICE", message
    for _, change in sorted(tally.state_changes.items()):
        yield "STATE", change.message
    for stale in tally.stale:
        yield "STALE", f"known divergence {stale.id!r}: {stale.message}"


def count_lines(tally: Tally) -> Iterator[Line]:
    """Yield what was met and let through, explained or left out: nothing is hidden without being counted."""
    rows = tally.rows()
    known = _pairs(row.known for row in rows)
    reasons = _general_reasons(tally) if known else {}
    for name, pairs in sorted(known.items()):
        yield "known", f"{name}: met in {counted(pairs, PAIR)}" + reasons.get(name, "")
    for name, pairs in sorted(_pairs(row.notes for row in rows).items()):
        yield "note", f"{name}: met in {counted(pairs, PAIR)}; --strict makes it fail"
    excused = [row for row in rows if row.excused]
    if excused:
        checks = counted(sum(row.excused for row in excused), "check")
        yield "excused", f"rounding: {checks} in {counted(len(excused), PAIR)}"
    tolerated = [row for row in rows if row.tolerated]
    if tolerated:
        checks = counted(sum(row.tolerated for row in tolerated), "check")
        yield "tolerated", f"on a case's own terms: {checks} in {counted(len(tolerated), PAIR)}"
    starved = [row for row in rows if row.out_of_memory]
    if starved:
        checks = counted(sum(row.out_of_memory for row in starved), "check")
        where = counted(len(starved), PAIR)
        yield "memory", f"ran out in {checks} in {where}, left out here; a worker has more with --memory"
    for one in tally.excluded:
        yield "excluded", f"{one.case}: {counted(one.count, 'mode')} ({one.modes}): {one.reason}"
    unrefereed = sum(row.unrefereed for row in rows)
    if unrefereed:
        checks = counted(unrefereed, "check")
        yield "excused", f"fixed tolerance: {checks} could not be run under rounding noise"
    yield from _untested(tally)


def _untested(tally: Tally) -> Iterator[Line]:
    """Yield what was asked for and not tested, one line for each case and reason."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for one in tally.untested():
        if one.failed:
            counts.setdefault((one.case, one.reason), Counter()).update(modes=1, pairs=len(one.runtimes))
    for (case, reason), count in counts.items():
        pairs = f"{counted(count['modes'], 'mode')}, {counted(count['pairs'], PAIR)}"
        # Of an internal error the traceback stands above, with the case.
        yield "untested", f"{case}: {pairs}: {reason.partition(chr(10))[0]}"


def _general_reasons(tally: Tally) -> dict[str, str]:
    """Return why what is known of the exporters for every model is so, for who tests models of his own."""
    if tally.started is None or all(case in catalogue.ENTRIES for case in tally.started.cases):
        return {}
    entries = load_known(catalogue.known_file())
    return {entry.id: f": {entry.reason}" for entry in entries if entry.cases == ("*",)}


def _pairs(named: Iterable[Iterable[str]]) -> Counter[str]:
    """Return in how many pairs each name occurs."""
    return Counter(name for names in named for name in set(names))


def totals_line(tally: Tally) -> str:
    """Return how much was checked, what came of it in (mode, runtime) pairs, and how many findings there are."""
    rows, finished, findings = tally.rows(), tally.finished, len(tally.findings)
    checks, rejected = sum(row.checks for row in rows), sum(row.rejected for row in rows)
    totals: Counter[RowVerdict] = Counter(row.verdict for row in rows)
    done = counted(checks, "check") if checks or not findings else "no check was done to its end"
    seconds = f" in {finished.seconds:.0f} s" if finished else ""
    parts = [
        f"{totals[verdict]} {word}"
        for verdict, word in WORDS.items()
        if totals[verdict] or (verdict is RowVerdict.DIVERGES and not findings)
    ]
    parts += [f"{counted(rejected, 'input').replace(',', '')} rejected by eager"] if rejected else []
    parts += [counted(findings, "finding")] if findings else []
    return f"{done}{seconds}: {', '.join(parts)}"


def rounds_lines(tally: Tally) -> Iterator[str]:
    """Yield how many rounds were done, and where the time went."""
    if tally.rounds is None or tally.started is None or tally.started.budget is None:
        return
    rounds = f"{counted(tally.rounds, 'round')} after the first look"
    late = tally.finished is not None and tally.finished.out_of_time
    ended = "the time was over" if late else "all examples were done"
    if not late and tally.started.budget.rounds is not None:
        ended = "as asked"
    total = sum(tally.spent.values())
    where = sorted(tally.spent.items(), key=lambda item: -item[1])
    shares = [f"{name} {seconds / total:.0%}" for name, seconds in where if seconds >= total / 50]
    yield f"{rounds} ({ended}); time went to: {', '.join(shares) or 'nothing'}"
    if tally.rounds and late:
        yield f"--rounds {tally.rounds} repeats them exactly"


def closing_lines(tally: Tally, remark: str) -> Iterator[str]:
    """Yield why the run ended where it did, if that is not because all was done."""
    finished = tally.finished
    if tally.nothing_tested:
        yield f"nothing was tested{_why_nothing(tally)}"
    if finished is None or finished.interrupted:
        yield "interrupted: what was found until then is above"
        if remark:
            yield remark
    elif finished.stopped_early:
        yield "stopped at the first new divergence (--fail-fast)"


def result_word(tally: Tally) -> str:
    """Return how the run ended, in two or three words."""
    words = {0: "all as expected", 1: "FINDINGS", 2: "NOT TESTED"}
    return words.get(tally.exit_code, "interrupted")


def _why_nothing(tally: Tally) -> str:
    if tally.modes:
        return ": no input was compared"
    if tally.excluded and not tally.failed:
        return ": every mode that was to be run is excluded"
    return ""
