"""The terminal: live progress on a terminal, quiet lines in a log, a summary at the end."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.markup import escape

from diffexport.findings.events import (
    CaseFailed,
    Event,
    FindingMade,
    KnownReplayed,
    ModeFinished,
    RunStarted,
)
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports.descriptions import describe
from diffexport.findings.reports.live import Live, versions_in_words
from diffexport.findings.reports.result_table import ResultTable
from diffexport.findings.reports.summary_lines import (
    closing_lines,
    count_lines,
    problem_lines,
    result_word,
    rounds_lines,
    totals_line,
)
from diffexport.findings.reports.tally import Tally
from diffexport.values import counted, in_words

#: How the words that lines of the summary begin with are shown.
_STYLED = {
    "ERROR": "bold red",
    "STALE": "bold red",
    "REMARK": "bold",
    "ADVICE": "bold yellow",
    "STATE": "bold yellow",
    "untested": "bold yellow",
    "memory": "bold yellow",
    "known": "yellow",
    "note": "dim",
    "excused": "dim",
    "tolerated": "dim",
    "excluded": "dim",
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
        names = ", ".join(event.cases) if len(event.cases) <= 8 else counted(len(event.cases), "case")
        versions = versions_in_words(event.versions)
        against = f"{event.artefact} against " if event.artefact else ""
        self._say(f"diffexport: {escape(against + names)}")
        modes = "" if event.artefact else f"{counted(event.modes, 'mode')} × "
        self._say(
            f"{modes}{counted(len(event.runtimes), 'runtime')}, {_how_long(event)}, "
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
            self._say(f"  {self._done} of {counted(self._total, 'mode')}, now {escape(self._doing(event))}")

    def _doing(self, event: ModeFinished) -> str:
        """Return in words what is done now, what was found, and how much time is left."""
        parts = [f"{event.case} {event.exporter}"]
        if event.turns is not None:
            parts.append(f"round {event.turns - 1}" if event.turns > 1 else "first look")
            number = len(self._tally.findings)
            parts += [counted(number, "finding")] if number else []
        started = self._tally.started
        if started is not None and started.ends < math.inf:
            parts.append(f"{in_words(max(started.ends - time.monotonic(), 0.0))} left")
        return ", ".join(parts)

    def stop(self) -> None:
        """Take the bar away, and print no summary."""
        self._live.stop()

    def finish(self, remark: str = "") -> None:
        """Print the summary; call it once, also after an interruption, with what a person may do then."""
        self._live.stop()
        tally, console = self._tally, self._live.console
        tally.settle()
        if tally.modes:
            console.print(ResultTable.of(tally).for_terminal(console.width))
        for number, finding in enumerate(tally.findings, start=1):
            self._live.finding(number, describe(finding, tally, self._store, chatter=self._verbose))
        before = ""
        for word, text in problem_lines(tally):
            self._say(f"{chr(10) if word != before else ''}[{_STYLED[word]}]{word}[/] {escape(text)}")
            before = word
        for word, text in count_lines(tally):
            self._say(f"[{_STYLED[word]}]{word}[/] {escape(text)}")
        self._closing(remark)

    def _closing(self, remark: str) -> None:
        tally = self._tally
        self._say(f"\n{escape(totals_line(tally))}")
        for line in rounds_lines(tally):
            self._say(f"[dim]{escape(line)}[/]")
        if self._store.last_words:
            self._say(escape(self._store.last_words))
        for line in closing_lines(tally, remark):
            self._say(escape(line))
        style = {0: "bold green", 1: "bold red", 2: "bold red"}.get(tally.exit_code, "bold")
        self._say(f"[{style}]{result_word(tally)}[/]")


def _how_long(event: RunStarted) -> str:
    """Return in words how long the modes are explored."""
    budget = event.budget
    if budget is None:
        return f"{counted(event.examples, 'example')} each"
    parts = [f"{in_words(budget.seconds)}"] if budget.seconds is not None else []
    rounds = "" if budget.rounds is None else counted(budget.rounds, "round")
    parts += [rounds] if rounds else []
    parts += [] if budget.goes_on else [f"{counted(event.examples, 'example')} each"]
    return f"in turns, at most {' or '.join(parts)}"
