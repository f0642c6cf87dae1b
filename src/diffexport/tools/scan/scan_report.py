"""A scan on the terminal and as a document: progress, a table, the findings; see docs/scan.md."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from diffexport.findings.events import RowVerdict
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import (
    EXIT_FINDINGS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    STYLES,
    Live,
    versions_in_words,
)
from diffexport.infer.discovery import Discovery
from diffexport.tools.scan.function_status import VERDICTS, FunctionStatus, PlaceProblem
from diffexport.tools.scan.scan_entry import FunctionEntry, entry_of
from diffexport.tools.scan.scan_events import (
    Event,
    Examined,
    Listed,
    ModuleFailed,
    ScanFinished,
    ScanStarted,
    Working,
)
from diffexport.tools.scan.scan_state import State
from diffexport.values import counted, in_order
from diffexport.versions import installed

FORMAT_VERSION = 1
_WORDS = {RowVerdict.AGREES: "agree", RowVerdict.DIVERGES: "DIVERGE"}
_STYLES = {**STYLES, FunctionStatus.LISTED: ""}


@dataclass
class ScanTally:
    """Everything that a scan has said so far.

    Attributes:
        store: keeps findings as regressions.
        state: where results are kept; None keeps none.
        listed: nothing is run.
    """

    store: FindingStore
    state: State | None = None
    listed: bool = False
    started: ScanStarted | None = None
    finished: ScanFinished | None = None
    discoveries: list[Discovery] = field(default_factory=list)
    failed: list[ModuleFailed] = field(default_factory=list)
    entries: list[FunctionEntry] = field(default_factory=list)
    state_error: str = ""
    _digests: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> FunctionEntry | None:
        """Note one event; returns the entry that came of it."""
        if isinstance(event, ScanStarted):
            self.started = event
        elif isinstance(event, Listed):
            self.discoveries.append(event.discovery)
            for found in event.discovery.functions:
                self._digests[found.name] = event.discovery.digest
        elif isinstance(event, ModuleFailed):
            self.failed.append(event)
        elif isinstance(event, ScanFinished):
            self.finished = event
        elif isinstance(event, Examined):
            return self._examined(event)
        return None

    def _examined(self, event: Examined) -> FunctionEntry:
        for finding in event.findings:
            self.store.keep(finding)
        entry = entry_of(event, self.store)
        self.entries.append(entry)
        if self.state is not None and not self.listed:
            try:
                self.state.keep(entry, self._digests.get(entry.name, ""))
            except OSError as error:
                self.state_error = f"{self.state.file} cannot be written: {error}"
        return entry

    def settle(self) -> None:
        """Add what a state file has of the rest, and put everything in the order of the source."""
        order = [found.name for own in self.discoveries for found in own.functions]
        have = {entry.name for entry in self.entries}
        if self.state is not None and not self.listed and self.started is not None and self.started.done:
            done = self.state.done
            self.entries += [
                self.state.entry(name)
                for name in order
                if name not in have and done.get(name, "") == self._digests[name]
            ]
        place = {name: number for number, name in enumerate(order)}
        self.entries.sort(key=lambda entry: place.get(entry.name, len(place)))

    @property
    def interrupted(self) -> bool:
        """Whether it did not come to its end."""
        return self.finished is None or self.finished.interrupted

    @property
    def exit_code(self) -> int:
        """0 nothing diverges, 1 something does, 2 nothing could be tested or a place is not there, 130 interrupted."""
        if any(entry.diverges for entry in self.entries):
            return EXIT_FINDINGS
        if any(event.status is PlaceProblem.NOT_INSTALLED for event in self.failed):
            return EXIT_USAGE
        if self.interrupted:
            return EXIT_INTERRUPTED
        if self.listed:
            return EXIT_OK
        return EXIT_OK if any(entry.was_run for entry in self.entries) else EXIT_USAGE


def scan_document(tally: ScanTally) -> dict[str, Any]:
    """Return a scan as plain data."""
    started, finished = tally.started, tally.finished
    return {
        "diffexport": "scan",
        "version": FORMAT_VERSION,
        "versions": installed(),
        "exit_code": tally.exit_code,
        "seconds": round(finished.seconds, 3) if finished else None,
        "interrupted": tally.interrupted,
        "places": list(started.places) if started else [],
        "modes": list(started.modes) if started else [],
        "runtimes": list(started.runtimes) if started else [],
        "seed": started.seed if started else None,
        "timeout": started.timeout if started else None,
        "functions": [dict(entry.document) for entry in tally.entries],
        "problems": [
            {"place": e.place, "file": e.file or None, "status": e.status, "message": e.message}
            for e in tally.failed
        ],
    }


class ScanTerminal:
    """Prints a scan as it happens."""

    def __init__(self, tally: ScanTally, *, console: Console | None = None) -> None:
        self._tally = tally
        self._live = Live(console)
        self._done = 0

    def take(self, event: Event, entry: FunctionEntry | None) -> None:
        """Show one event, and the entry that came of it."""
        if isinstance(event, ScanStarted):
            self._start(event)
        elif isinstance(event, ModuleFailed):
            where = f" {event.file}" if event.file else ""
            self._say(f"[bold yellow]{event.status}[/]{escape(where)}: {escape(event.message)}")
        elif isinstance(event, Working):
            self._live.advance(doing=f"{event.name}: {event.doing}")
        elif entry is not None and not self._tally.listed:
            self._advance(entry)

    def _say(self, text: str) -> None:
        self._live.say(text)

    def _start(self, event: ScanStarted) -> None:
        versions = versions_in_words(event.versions)
        done = f", {event.done} of them done before" if event.done else ""
        places = escape(", ".join(event.places))
        self._say(
            f"diffexport scan: {places}; {counted(event.functions, 'autograd.Function')}{done}; {versions}"
        )
        if self._tally.listed:
            return
        self._say(
            f"{counted(len(event.modes), 'mode')} × {counted(len(event.runtimes), 'runtime')}, seed {event.seed}"
        )
        self._live.start("functions", event.functions - event.done)

    def _advance(self, entry: FunctionEntry) -> None:
        self._done += 1
        started = self._tally.started
        left = started.functions - started.done if started is not None else 0
        style = _STYLES.get(entry.status, "yellow")
        status = f"[{style}]{entry.status}[/]" if style else entry.status
        if self._live.has_bar:
            self._live.advance(1)
            if entry.status is FunctionStatus.DIVERGES:
                self._say(f"{status} {escape(entry.name)}")
        else:
            seconds = f"{entry.document['seconds']:.1f} s"
            self._say(f"  {self._done}/{left} {escape(entry.name)}: {status} ({seconds})")

    def finish(self) -> None:
        """Print the table and the findings; call it once, also after an interruption."""
        self._live.stop()
        tally = self._tally
        tally.settle()
        if tally.entries:
            self._live.console.print(_list_table(tally) if tally.listed else _table(tally))
        everything = (lines for entry in tally.entries for lines in entry.lines)
        for number, lines in enumerate(everything, start=1):
            self._live.finding(number, lines)
        self._remarks()
        self._closing()

    def _remarks(self) -> None:
        for title, text_of in (("", _message), ("note ", _notes)):
            for entry in self._tally.entries:
                for text in text_of(entry) if not self._tally.listed else ():
                    self._say(f"[yellow]{title}[/]{escape(entry.name)}: {escape(text)}")

    def _closing(self) -> None:
        tally = self._tally
        for event in tally.failed:
            self._say(
                f"[bold yellow]{event.status}[/] {escape(event.file or event.place)}: {escape(event.message)}"
            )
        if tally.listed:
            self._say(f"\n{counted(len(tally.entries), 'autograd.Function')}")
            return
        statuses = Counter(entry.status for entry in tally.entries)
        inferred = sum(1 for entry in tally.entries if entry.document["inferred"])
        shown = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
        seconds = f" in {tally.finished.seconds:.0f} s" if tally.finished else ""
        self._say(
            f"\n{counted(len(tally.entries), 'Function')}{seconds}: {shown or 'none'}; inputs inferred for {inferred}"
        )
        took = [entry.document["seconds"] for entry in tally.entries if entry.was_run]
        if took:
            self._say(f"{statistics.median(took):.1f} s a Function (median), {max(took):.1f} s at most")
        if tally.store.last_words:
            self._say(escape(tally.store.last_words))
        if tally.state_error:
            self._say(f"[bold yellow]not resumable[/]: {escape(tally.state_error)}")
        if tally.interrupted:
            self._say("[bold]interrupted[/]: go on with --resume")
        result = {
            EXIT_OK: "[bold green]nothing diverges[/]",
            EXIT_FINDINGS: "[bold red]FINDINGS[/]",
            EXIT_USAGE: "[bold red]NOT TESTED[/]",
        }
        self._say(result.get(tally.exit_code, ""))


def _message(entry: FunctionEntry) -> Iterator[str]:
    if entry.document["message"]:
        yield f"{entry.status}: {entry.document['message']}"
    elif entry.status is FunctionStatus.REFUSED:
        reasons = Counter(m["reason"] for m in entry.document["modes"] if m["reason"])
        yield from (f"refused: {reason}" for reason in reasons)


def _notes(entry: FunctionEntry) -> Iterator[str]:
    yield from entry.document["notes"]


def _table(tally: ScanTally) -> Table:
    table = Table(title="modes, by exporter", title_justify="left", title_style="dim")
    table.add_column("Function, where", overflow="fold", ratio=3)
    table.add_column("inferred call", overflow="fold", ratio=4)
    exporters = in_order(name for entry in tally.entries for name in entry.document["exporters"])
    for name in exporters:
        table.add_column(name)
    stripped = any(entry.document["without_symbolic"] for entry in tally.entries)
    if stripped:
        table.add_column("without symbolic")
    for entry in tally.entries:
        own = entry.document
        where = f"{escape(own['qualname'])}\n[dim]{escape(_short(own['file']))}:{own['line']}[/]"
        style = _STYLES.get(entry.status, "yellow")
        call = (
            escape(own["call"]) if entry.was_run else f"[{style}]{escape(entry.status)}[/]" if style else ""
        )
        if not entry.was_run and own["call"]:
            call += f"\n{escape(own['call'])}"
        cells = [_cell(own["exporters"].get(name)) for name in exporters]
        if stripped:
            without = own["without_symbolic"]
            # Of the exporters that look at one.
            cells.append(_cell(next(iter(without.values()))) if without else "")
        table.add_row(where, call, *cells)
    return table


def _list_table(tally: ScanTally) -> Table:
    table = Table(title="found in source; nothing was imported", title_justify="left", title_style="dim")
    for name in ("Function, where", "takes", "marks"):
        table.add_column(name, overflow="fold")
    known = {found.name: found for own in tally.discoveries for found in own.functions}
    for entry in tally.entries:
        found, own = known[entry.name], entry.document
        flags = [("symbolic", found.symbolic), ("setup_context", found.setup_context)]
        flags += [("conditional", found.conditional), ("abstract", found.abstract)]
        marks = [*(name for name, holds in flags if holds), *found.marks]
        if found.local:
            marks.append(found.local)
        where = f"{escape(found.qualname)}\n[dim]{escape(_short(own['file']))}:{own['line']}[/]"
        table.add_row(where, escape(", ".join(found.parameters)), escape(", ".join(marks)))
    return table


def _short(file: str) -> str:
    """Return the end of a path: what stands behind site-packages, or its last four parts."""
    parts = Path(file).parts
    return str(Path(*parts[-4:])) if len(parts) > 4 else file


def _cell(counts: Mapping[str, int] | None) -> str:
    if not counts:
        return ""
    shown = [f"[{_STYLES[v]}]{counts[v]} {_WORDS.get(v, v)}[/]" for v in VERDICTS if counts.get(v)]
    return ", ".join(shown)
