"""The terminal: live progress on a terminal, quiet lines in a log, a summary at the end."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from diffexport.findings.events import CaseFailed, Event, Found, KnownReplayed, ModeFinished, RunStarted
from diffexport.findings.reports.descriptions import describe
from diffexport.findings.reports.live import STYLES, Live, versions_in_words
from diffexport.findings.reports.summary import Summary
from diffexport.values import in_order

_WORDS = {
    "agrees": "agree",
    "refused": "refused",
    "known": "known",
    "diverges": "NEW",
    "untested": "untested",
}

#: In a log, one line of progress for so many modes: none in the default matrix, enough of them over a night.
PROGRESS_EVERY = 2000
#: And one after so many seconds without, for modes that take long.
PROGRESS_SECONDS = 300.0


class Terminal:
    """Prints a run as it happens.

    Args:
        summary: the state of the run; updated by someone else before each event arrives here.
        verbose: show what exporters printed with each finding.
    """

    def __init__(self, summary: Summary, *, verbose: bool = False, console: Console | None = None) -> None:
        self._summary, self._verbose = summary, verbose
        self._live = Live(console)
        self._done = self._total = 0
        self._said = time.monotonic()

    def take(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, ModeFinished):
            self._advance(event)
        elif isinstance(event, Found):
            finding = event.finding
            started = self._summary.started
            place = (started.artefact if started is not None else "") or finding.mode
            self._say(
                f"[bold red]NEW[/] {finding.identity.case}: {finding.divergence.kind} in {escape(place)}"
            )
        elif isinstance(event, CaseFailed):
            self._say(f"[bold red]ERROR[/] {escape(event.message.splitlines()[0])}")
        elif isinstance(event, KnownReplayed) and event.status != "diverges":
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
            f"{modes}{len(event.runtimes)} runtimes, {event.examples} examples each, "
            f"profile {event.profile}, seed {event.seed}; {versions}"
        )
        self._live.start("modes", self._total)

    def _advance(self, event: ModeFinished) -> None:
        exporter = event.mode.partition(",")[0]
        self._live.advance(1, doing=f"{event.case} {exporter}")
        self._done += 1
        silent = time.monotonic() - self._said
        if not self._live.has_bar and (self._done % PROGRESS_EVERY == 0 or silent > PROGRESS_SECONDS):
            self._said = time.monotonic()
            self._say(f"  {self._done} of {self._total} modes, now {event.case} {exporter}")

    def finish(self) -> None:
        """Print the summary; call it once, also after an interruption."""
        self._live.stop()
        summary = self._summary
        summary.settle()
        if summary.modes:
            self._live.console.print(self._table())
        for number, finding in enumerate(summary.findings, start=1):
            self._live.finding(number, describe(finding, summary, chatter=self._verbose))
        for name, message in summary.failed.items():
            self._say(f"\n[bold red]ERROR[/] {escape(name)}: {escape(message)}")
        for message in summary.advice.values():
            self._say(f"\n[bold yellow]ADVICE[/] {escape(message)}")
        for stale in summary.stale:
            self._say(f"\n[bold red]STALE[/] known divergence {stale.id!r}: {escape(stale.message)}")
        self._known()
        self._excused()
        self._closing()

    def _table(self) -> Table:
        counts = self._summary.counts()
        exporters = in_order(exporter for _, exporter in counts)
        table = Table(title="modes × runtimes", title_justify="left", title_style="dim")
        table.add_column("case", no_wrap=True)
        for name in exporters:
            table.add_column(name)
        order = self._summary.started.cases if self._summary.started else ()
        for case in dict.fromkeys((*order, *(case for case, _ in counts))):
            if any(key[0] == case for key in counts):
                table.add_row(
                    escape(case), *(_cell(counts.get((case, name), Counter())) for name in exporters)
                )
        return table

    def _known(self) -> None:
        seen: Counter[str] = Counter()
        for row in self._summary.rows():
            seen.update(row.known.keys())
        for name, pairs in sorted(seen.items()):
            self._say(f"[yellow]known[/] {name}: met in {pairs} (mode, runtime) pairs")
        noted: Counter[str] = Counter()
        for row in self._summary.rows():
            noted.update(row.notes.keys())
        for name, pairs in sorted(noted.items()):
            self._say(f"[dim]note[/] {name}: met in {pairs} (mode, runtime) pairs; --strict makes it fail")

    def _excused(self) -> None:
        """Say how often rounding explained a difference; nothing is hidden without being counted."""
        rows = self._summary.rows()
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
        for one in self._summary.excluded:
            text = f"{one.case}: {one.count} modes ({one.modes}): {one.reason}"
            self._say(f"[dim]excluded[/] {escape(text)}")
        if unrefereed:
            self._say(
                f"[dim]excused[/] fixed tolerance: {unrefereed:,} checks could not be run under rounding noise"
            )

    def _closing(self) -> None:
        summary = self._summary
        rows = summary.rows()
        checks, rejected = sum(row.checks for row in rows), sum(row.rejected for row in rows)
        totals = Counter(row.verdict for row in rows)
        finished = summary.finished
        seconds = f" in {finished.seconds:.0f} s" if finished else ""
        parts = [
            f"{totals[verdict]} {_WORDS[verdict]}"
            for verdict in _WORDS
            if totals[verdict] or verdict == "diverges"
        ]
        extra = f", {rejected} inputs rejected by eager" if rejected else ""
        self._say(f"\n{checks:,} checks{seconds}: {', '.join(parts)}{extra}")
        if summary.saved:
            folder = next(iter(summary.saved.values())).parent
            self._say(f"{len(summary.saved)} findings saved in {escape(str(folder))}")
        if finished is None or finished.interrupted:
            self._say("[bold]interrupted[/]: what was found until then is above")
        elif finished.stopped_early:
            self._say("stopped at the first new divergence (--fail-fast)")
        result = {
            0: "[bold green]all as expected[/]",
            1: "[bold red]FINDINGS[/]",
            2: "[bold red]NOT TESTED[/]",
        }
        self._say(result.get(summary.exit_code, "[bold]interrupted[/]"))


def _cell(counts: Counter[str]) -> str:
    shown = [f"[{STYLES[v]}]{counts[v]} {_WORDS[v]}[/]" for v in _WORDS if counts[v]]
    return ", ".join(shown) or "–"
