"""The terminal: live progress on a terminal, quiet lines in a log, a summary at the end."""

from __future__ import annotations

import math
import time
from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from diffexport.findings.events import (
    CaseFailed,
    Event,
    FindingMade,
    KnownReplayed,
    ModeFinished,
    RowVerdict,
    RunStarted,
)
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports.descriptions import describe
from diffexport.findings.reports.live import STYLES, Live, versions_in_words
from diffexport.findings.reports.tally import Tally
from diffexport.values import in_order, in_words

_WORDS = {
    RowVerdict.AGREES: "agree",
    RowVerdict.REFUSED: "refused",
    RowVerdict.KNOWN: "known",
    RowVerdict.DIVERGES: "NEW",
    RowVerdict.UNTESTED: "untested",
    RowVerdict.UNREACHED: "unreached",
}

#: In a log, one line of progress for so many modes: none in the default matrix, enough of them over a night.
PROGRESS_EVERY = 2000
#: And one after so many seconds without, for modes that take long.
PROGRESS_SECONDS = 300.0
#: The same where modes are explored in turns.
PROGRESS_SECONDS_IN_TURNS = 15.0


class Terminal:
    """Prints a run as it happens.

    Args:
        tally: what happened so far; it has counted each event before that arrives here.
        store: has stored each finding before it arrives here.
        verbose: show what exporters printed with each finding.
    """

    def __init__(
        self, tally: Tally, store: FindingStore, *, verbose: bool = False, console: Console | None = None
    ) -> None:
        self._tally, self._store, self._verbose = tally, store, verbose
        self._live = Live(console)
        self._done = self._total = 0
        self._looked_at: set[tuple[str, str]] = set()
        self._failed: set[CaseFailed] = set()
        self._said = time.monotonic()

    def take(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, ModeFinished):
            self._advance(event)
        elif isinstance(event, FindingMade):
            finding = event.finding
            started = self._tally.started
            place = (started.artefact if started is not None else "") or finding.mode
            self._say(
                f"[bold red]NEW[/] {finding.identity.case}: {finding.divergence.kind} in {escape(place)}"
            )
        elif isinstance(event, CaseFailed) and event not in self._failed:
            self._failed.add(event)
            self._say(f"[bold red]ERROR[/] {escape(event.message.splitlines()[0])}")
        elif isinstance(event, KnownReplayed) and event.is_stale:
            self._say(f"[bold red]STALE[/] known divergence {event.id!r}: {escape(event.message)}")

    def _say(self, text: str) -> None:
        self._live.say(text)

    def _start(self, event: RunStarted) -> None:
        self._total = event.modes * len(event.cases)
        names = ", ".join(event.cases) if len(event.cases) <= 8 else f"{len(event.cases)} cases"
        versions = versions_in_words(event.versions)
        against = f"{event.artefact} against " if event.artefact else ""
        self._say(f"diffexport: {escape(against + names)}")
        modes = "" if event.artefact else f"{event.modes} modes × "
        self._say(
            f"{modes}{len(event.runtimes)} runtimes, {_how_long(event)}, "
            f"profile {event.profile}, seed {event.seed}; {versions}"
        )
        if not event.scope.is_everything:
            self._say(f"inputs: {event.scope}")
        self._live.start("modes", self._total)

    def _advance(self, event: ModeFinished) -> None:
        is_first = (event.case, event.mode) not in self._looked_at
        if event.turns is not None:
            self._looked_at.add((event.case, event.mode))
        self._done += is_first
        self._live.advance(int(is_first), doing=self._doing(event))
        silent = time.monotonic() - self._said
        many = is_first and self._done % PROGRESS_EVERY == 0
        longest = PROGRESS_SECONDS if event.turns is None else PROGRESS_SECONDS_IN_TURNS
        if not self._live.has_bar and (many or silent > longest):
            self._said = time.monotonic()
            self._say(f"  {self._done} of {self._total} modes, now {escape(self._doing(event))}")

    def _doing(self, event: ModeFinished) -> str:
        """Return in words what is done now, what was found, and how much time is left."""
        parts = [f"{event.case} {event.exporter}"]
        if event.turns is not None:
            parts.append(f"round {event.turns - 1}" if event.turns > 1 else "first look")
            number = len(self._tally.findings)
            parts += [f"{number} finding{'s' * (number != 1)}"] if number else []
        started = self._tally.started
        if started is not None and started.ends < math.inf:
            parts.append(f"{in_words(max(started.ends - time.monotonic(), 0.0))} left")
        return ", ".join(parts)

    def finish(self, remark: str = "") -> None:
        """Print the summary; call it once, also after an interruption, with what a person may do then."""
        self._live.stop()
        tally = self._tally
        tally.settle()
        if tally.modes:
            self._live.console.print(self._table())
        for number, finding in enumerate(tally.findings, start=1):
            self._live.finding(number, describe(finding, tally, self._store, chatter=self._verbose))
        for name, message in tally.failed.items():
            self._say(f"\n[bold red]ERROR[/] {escape(name)}: {escape(message)}")
        for number, said in enumerate(tally.remarks):
            self._say(f"{'' if number else chr(10)}[bold]REMARK[/] {escape(said.message)}")
        for message in tally.advice.values():
            self._say(f"\n[bold yellow]ADVICE[/] {escape(message)}")
        for number, (_, change) in enumerate(sorted(tally.state_changes.items())):
            self._say(f"{'' if number else chr(10)}[bold yellow]STATE[/] {escape(change.message)}")
        for stale in tally.stale:
            self._say(f"\n[bold red]STALE[/] known divergence {stale.id!r}: {escape(stale.message)}")
        self._known()
        self._excused()
        self._untested()
        self._closing(remark)

    def _untested(self) -> None:
        """Say what was asked for and not tested, one line for each case and reason."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        for one in self._tally.untested():
            if one.failed:
                counts.setdefault((one.case, one.reason), Counter()).update(modes=1, pairs=len(one.runtimes))
        for (case, reason), count in counts.items():
            pairs = f"{count['modes']} modes, {count['pairs']} (mode, runtime) pairs"
            self._say(f"[bold yellow]untested[/] {escape(case)}: {pairs}: {escape(reason)}")

    def _table(self) -> Table:
        counts = self._tally.counts()
        exporters = in_order(exporter for _, exporter in counts)
        table = Table(title="modes × runtimes", title_justify="left", title_style="dim")
        table.add_column("case", no_wrap=True)
        for name in exporters:
            table.add_column(name)
        order = self._tally.started.cases if self._tally.started else ()
        for case in dict.fromkeys((*order, *(case for case, _ in counts))):
            if any(key[0] == case for key in counts):
                table.add_row(
                    escape(case), *(_cell(counts.get((case, name), Counter())) for name in exporters)
                )
        return table

    def _known(self) -> None:
        seen: Counter[str] = Counter()
        for row in self._tally.rows():
            seen.update(row.known.keys())
        for name, pairs in sorted(seen.items()):
            self._say(f"[yellow]known[/] {name}: met in {pairs} (mode, runtime) pairs")
        noted: Counter[str] = Counter()
        for row in self._tally.rows():
            noted.update(row.notes.keys())
        for name, pairs in sorted(noted.items()):
            self._say(f"[dim]note[/] {name}: met in {pairs} (mode, runtime) pairs; --strict makes it fail")

    def _excused(self) -> None:
        """Say how often rounding explained a difference; nothing is hidden without being counted."""
        rows = self._tally.rows()
        excused, unrefereed = sum(row.excused for row in rows), sum(row.unrefereed for row in rows)
        if excused:
            pairs = sum(1 for row in rows if row.excused)
            self._say(f"[dim]excused[/] rounding: {excused:,} checks in {pairs} (mode, runtime) pairs")
        tolerated = sum(row.tolerated for row in rows)
        if tolerated:
            pairs = sum(1 for row in rows if row.tolerated)
            self._say(
                f"[dim]tolerated[/] on a case's own terms: {tolerated:,} checks in {pairs} (mode, runtime) pairs"
            )
        starved = sum(row.out_of_memory for row in rows)
        if starved:
            pairs = sum(1 for row in rows if row.out_of_memory)
            self._say(
                f"[bold yellow]memory[/] ran out in {starved:,} checks in {pairs} (mode, runtime) pairs, which are "
                "left out; a worker has more with --memory"
            )
        for one in self._tally.excluded:
            text = f"{one.case}: {one.count} modes ({one.modes}): {one.reason}"
            self._say(f"[dim]excluded[/] {escape(text)}")
        if unrefereed:
            self._say(
                f"[dim]excused[/] fixed tolerance: {unrefereed:,} checks could not be run under rounding noise"
            )

    def _closing(self, remark: str) -> None:
        tally = self._tally
        rows = tally.rows()
        checks, rejected = sum(row.checks for row in rows), sum(row.rejected for row in rows)
        totals = Counter(row.verdict for row in rows)
        finished = tally.finished
        seconds = f" in {finished.seconds:.0f} s" if finished else ""
        parts = [
            f"{totals[verdict]} {_WORDS[verdict]}"
            for verdict in _WORDS
            if totals[verdict] or verdict is RowVerdict.DIVERGES
        ]
        extra = f", {rejected} inputs rejected by eager" if rejected else ""
        self._say(f"\n{checks:,} checks{seconds}: {', '.join(parts)}{extra}")
        self._rounds()
        if self._store.last_words:
            self._say(escape(self._store.last_words))
        if tally.nothing_tested:
            self._say(f"nothing was tested{escape(self._why_nothing())}")
        if finished is None or finished.interrupted:
            self._say("[bold]interrupted[/]: what was found until then is above")
            if remark:
                self._say(escape(remark))
        elif finished.stopped_early:
            self._say("stopped at the first new divergence (--fail-fast)")
        result = {
            0: "[bold green]all as expected[/]",
            1: "[bold red]FINDINGS[/]",
            2: "[bold red]NOT TESTED[/]",
        }
        self._say(result.get(tally.exit_code, "[bold]interrupted[/]"))

    def _rounds(self) -> None:
        """Say how many rounds were done, and where the time went."""
        tally = self._tally
        if tally.rounds is None or tally.started is None or tally.started.budget is None:
            return
        rounds = f"{tally.rounds} round{'s' * (tally.rounds != 1)} after the first look"
        late = tally.finished is not None and tally.finished.out_of_time
        ended = "the time was over" if late else "all examples were done"
        if not late and tally.started.budget.rounds is not None:
            ended = "as asked"
        total = sum(tally.spent.values())
        where = sorted(tally.spent.items(), key=lambda item: -item[1])
        shares = [f"{name} {seconds / total:.0%}" for name, seconds in where if seconds >= total / 50]
        self._say(f"[dim]{rounds} ({ended}); time went to: {escape(', '.join(shares)) or 'nothing'}[/]")
        if tally.rounds and late:
            self._say(f"[dim]--rounds {tally.rounds} repeats them exactly[/]")

    def _why_nothing(self) -> str:
        tally = self._tally
        if tally.modes:
            return ": no input was compared"
        if tally.excluded:
            return ": every mode that was to be run is excluded" if not tally.failed else ""
        return ""


def _how_long(event: RunStarted) -> str:
    """Return in words how long the modes are explored."""
    budget = event.budget
    if budget is None:
        return f"{event.examples} examples each"
    parts = [f"{in_words(budget.seconds)}"] if budget.seconds is not None else []
    rounds = "" if budget.rounds is None else f"{budget.rounds} round{'s' * (budget.rounds != 1)}"
    parts += [rounds] if rounds else []
    parts += [] if budget.goes_on else [f"{event.examples} examples each"]
    return f"in turns, at most {' or '.join(parts)}"


def _cell(counts: Counter[str]) -> str:
    shown = [f"[{STYLES[v]}]{counts[v]} {_WORDS[v]}[/]" for v in _WORDS if counts[v]]
    return ", ".join(shown) or "–"
