"""What happened in a run so far, counted from its events. Terminal and JSON both read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from diffexport.findings.events import (
    CaseFailed,
    Event,
    Excluded,
    FaceFound,
    Finding,
    FindingMade,
    KnownReplayed,
    ModeFinished,
    Remark,
    RoundsDone,
    Row,
    RowVerdict,
    RunFinished,
    RunStarted,
    StateChanged,
    Unhealthy,
)
from diffexport.findings.reports.coverage import Untested, untested
from diffexport.values import Identity, Mode

T = TypeVar("T")

#: What a person may do about the exit code.
EXIT_OK, EXIT_FINDINGS, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


@dataclass
class Tally:
    """Everything that was reported.

    Attributes:
        command: gives the shell line that shows a finding again, where that is not ``diffexport run``.
        rounds: how many rounds all modes had, where they are explored in turns.
        spent: seconds of workers, by what they were spent on, where modes are explored in turns.
        findings: one for each cause.
        faces: by the identity of a finding, what else shows of its cause.
    """

    command: Callable[[Finding], str] | None = None
    started: RunStarted | None = None
    finished: RunFinished | None = None
    modes: list[ModeFinished] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    advice: dict[str, str] = field(default_factory=dict)
    remarks: dict[Remark, None] = field(default_factory=dict)
    replayed: list[KnownReplayed] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    state_changes: dict[tuple[str, str], StateChanged] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    rounds: int | None = None
    faces: dict[Identity, list[Finding]] = field(default_factory=dict)
    _places: dict[tuple[str, str], int] = field(default_factory=dict, repr=False)

    def take(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, FindingMade):
            _add(self.findings, event.finding)
        elif isinstance(event, FaceFound):
            self._count_face(event)
        elif isinstance(event, ModeFinished):
            self._count_mode(event)
        elif isinstance(event, RoundsDone):
            self.rounds = event.rounds
        elif isinstance(event, CaseFailed):
            self.failed.setdefault(event.case, event.message)
        elif isinstance(event, Unhealthy):
            self.advice.setdefault(event.case, event.message)
        elif isinstance(event, Remark):
            if event.refuses:
                self.failed.setdefault(event.case, event.message)
            else:
                self.remarks[event] = None
        elif isinstance(event, StateChanged):
            self._note_state(event)
        elif isinstance(event, Excluded):
            if event not in self.excluded:
                # What is left of a unit whose worker died says again what is left out of it.
                self.excluded.append(event)
        elif isinstance(event, KnownReplayed):
            _add(self.replayed, event)
        elif isinstance(event, RunStarted):
            self.started = event
        elif isinstance(event, RunFinished):
            self.finished = event

    def _count_face(self, event: FaceFound) -> None:
        """Count a face of a finding, or the finding as a face of a simpler one."""
        place = next((n for n, one in enumerate(self.findings) if one.identity == event.of), None)
        if place is None:
            # Counted already, given twice because Ctrl-C came in between.
            return
        told = next((one for one in self.findings if one.identity == event.finding.identity), None)
        if told is not None:
            # It was a finding of its own until another showed that both have one cause.
            self.findings.remove(told)
            self.faces.setdefault(event.of, []).extend(self.faces.pop(told.identity, []))
            place = next(n for n, one in enumerate(self.findings) if one.identity == event.of)
        if event.leads:
            faces = self.faces.pop(event.of, [])
            self.faces[event.finding.identity] = [*faces, self.findings[place]]
            self.findings[place] = event.finding
        else:
            _add(self.faces.setdefault(event.of, []), event.finding)

    def faces_of(self, finding: Finding) -> tuple[Finding, ...]:
        """Return what else shows of the cause of a finding, in the order of modes."""
        faces = self.faces.get(finding.identity, [])
        return tuple(sorted(faces, key=lambda one: (Mode.parse(one.mode).complexity, one.identity.digest)))

    def _count_mode(self, event: ModeFinished) -> None:
        """Count a mode; what was counted in earlier turns of it is in the latest."""
        for name, seconds in event.spent.items():
            self.spent[name] = self.spent.get(name, 0.0) + seconds
        place = self._places.get((event.case, event.mode))
        if place is not None and self.modes[place].turns is not None:
            self.modes[place] = replace(event, turns=max(event.turns or 0, self.modes[place].turns or 0))
            return
        self._places[event.case, event.mode] = len(self.modes)
        _add(self.modes, event)

    def _note_state(self, event: StateChanged) -> None:
        """Note a change of state once; where it was not put back each time, that counts."""
        known = self.state_changes.get((event.case, event.what))
        if known is None or known.restored:
            self.state_changes[event.case, event.what] = event

    def settle(self) -> None:
        """Put everything into the order of cases and modes, whoever was done first; before it is reported."""
        cases = self.started.cases if self.started else ()
        order = {case: number for number, case in enumerate(cases)}

        def place(case: str) -> int:
            return order.get(case, len(order))

        self.modes.sort(key=lambda e: (place(e.case), Mode.parse(e.mode).complexity))
        self._places = {(event.case, event.mode): number for number, event in enumerate(self.modes)}
        self.findings.sort(
            key=lambda f: (place(f.identity.case), Mode.parse(f.mode).complexity, f.identity.digest)
        )
        self.failed = dict(sorted(self.failed.items(), key=lambda item: place(item[0])))

    @property
    def stale(self) -> list[KnownReplayed]:
        """The known divergences whose regression no longer diverges, or cannot be replayed."""
        return [event for event in self.replayed if event.is_stale]

    @property
    def exit_code(self) -> int:
        """0 all as expected, 1 findings, 2 something was not tested, 130 interrupted before anything was found."""
        if self.findings or self.stale:
            return EXIT_FINDINGS
        if self.failed:
            return EXIT_USAGE
        if self.finished is None or self.finished.interrupted:
            return EXIT_INTERRUPTED
        if self.nothing_tested or any(one.failed for one in self.untested()):
            return EXIT_USAGE
        return EXIT_OK

    @property
    def nothing_tested(self) -> bool:
        """Whether not one input was compared, was refused as expected, or shows what is known."""
        return all(row.verdict in (RowVerdict.UNTESTED, RowVerdict.UNREACHED) for row in self.rows())

    def untested(self) -> list[Untested]:
        """Return what was asked for and was not tested, with reasons."""
        return list(untested(self.started, self.finished, self.modes, self.excluded, self.failed))

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """Return, for each case and exporter, how many (mode, runtime) pairs have each verdict."""
        table: dict[tuple[str, str], Counter[str]] = {}
        for event in self.modes:
            cell = table.setdefault((event.case, event.exporter), Counter())
            cell.update(row.verdict for row in event.rows)
        return table

    def rows(self) -> list[Row]:
        """Return every row of every mode."""
        return [row for event in self.modes for row in event.rows]


def _add(among: list[T], one: T) -> None:
    """Count something; not again if it was the last, given twice because Ctrl-C came in between."""
    if not (among and among[-1] is one):
        among.append(one)
