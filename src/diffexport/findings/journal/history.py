"""What an earlier run of the same has done, read from its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffexport.findings.events import (
    Event,
    Excluded,
    Finding,
    FindingMade,
    KnownReplayed,
    ModeFinished,
    Remark,
    RowVerdict,
    StateChanged,
)
from diffexport.findings.journal.event_records import (
    RecordError,
    excluded_from,
    finding_from,
    known_from,
    mode_from,
    remark_from,
    state_from,
)
from diffexport.values import Identity, counted, exporter_name


@dataclass(frozen=True)
class History:
    """What is done and need not be done again, and what was seen and is still to be shrunk.

    Attributes:
        modes: what was counted in each mode that is done.
        findings: what was found.
        suspects: what was seen in a mode that is not done, and not shrunk.
        as_seen: those of them that were stored as they were seen, for the run was interrupted.
        excluded, replayed, changes, remarks: events as they were given.
        turns: what was counted after each turn, where modes are explored in turns, in the order they were taken.
        report: where the earlier run was to write its report; empty if nowhere.
    """

    modes: tuple[ModeFinished, ...] = ()
    findings: tuple[Finding, ...] = ()
    suspects: tuple[Finding, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    replayed: tuple[KnownReplayed, ...] = ()
    changes: tuple[StateChanged, ...] = ()
    report: str = ""
    as_seen: tuple[Finding, ...] = ()
    turns: tuple[ModeFinished, ...] = ()
    _settled: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)
    remarks: tuple[Remark, ...] = ()

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]], cases: Sequence[str] | None = None) -> History:
        """Return what the records of a journal say.

        What cannot be read counts as not done, and neither does anything of two cases of one name.

        Args:
            records: in the order in which they were written.
            cases: the names of the cases of the run; None for whichever there are.
        """
        names = None if cases is None else {name for name, times in Counter(cases).items() if times == 1}
        reader = _Reader(names)
        for record in records:
            reader.read(record)
        return reader.history()

    def __bool__(self) -> bool:
        return bool(
            self.modes or self.turns or self.findings or self.suspects or self.excluded or self.replayed
        )

    def is_settled(self, case: str, mode: str) -> bool:
        """Return whether a mode of a case is done, or is left out."""
        return (case, mode) in self._settled

    def carried(self, case: str, exporter: str | None = None) -> tuple[Mapping[str, Any], ...]:
        """Return what the modes that are done leave for the others, those of one exporter or all."""
        return tuple(
            event.carried
            for event in self.modes
            if event.case == case and exporter in (None, event.exporter) and event.carried
        )

    def is_suspected(self, case: str, exporter: str) -> bool:
        """Return whether something is still to be shrunk that was seen in a mode of an exporter."""
        return any(one.identity.case == case and exporter_name(one.mode) == exporter for one in self.suspects)

    def events(self) -> Iterator[Event]:
        """Yield what happened, as it is to be told to those who report."""
        yield from self.replayed
        yield from self.excluded
        yield from self.changes
        yield from self.remarks
        yield from map(FindingMade, self.findings)
        yield from self.modes
        yield from self.turns

    @property
    def summary(self) -> str:
        """How much there is, in words."""
        modes = {(event.case, event.mode) for event in (*self.modes, *self.turns)}
        parts = [counted(len(modes), "mode"), counted(len(self.findings), "finding")]
        return ", ".join([*parts, *([f"{len(self.suspects)} to be shrunk"] if self.suspects else [])])


#: The history of what is begun anew.
NOTHING_DONE = History()


class _Reader:
    """Reads records one after the other."""

    def __init__(self, names: set[str] | None) -> None:
        self._names = names
        self._modes: dict[tuple[str, str], ModeFinished] = {}
        self._turns: list[ModeFinished] = []
        self._findings: dict[Identity, Finding] = {}
        self._suspects: dict[Identity, Finding] = {}
        self._as_seen: dict[Identity, Finding] = {}
        self._excluded: list[Excluded] = []
        self._replayed: dict[str, KnownReplayed] = {}
        self._changes: dict[StateChanged, None] = {}
        self._remarks: dict[Remark, None] = {}
        self._report = ""
        #: Cases of which something was found that could not be stored: all of them is done again.
        self._lost: set[str] = set()

    def read(self, record: Mapping[str, Any]) -> None:
        kind = record.get("event")
        try:
            if kind == "mode":
                mode = mode_from(record)
                if mode.turns is not None:
                    self._turns.append(mode)
                else:
                    self._modes.setdefault((mode.case, mode.mode), mode)
            elif kind in ("finding", "suspect"):
                self._read_finding(record, kind)
            elif kind == "excluded":
                excluded = excluded_from(record)
                if excluded not in self._excluded:
                    self._excluded.append(excluded)
            elif kind == "known":
                known = known_from(record)
                self._replayed.setdefault(known.id, known)
            elif kind == "state":
                self._changes[state_from(record)] = None
            elif kind == "remark":
                self._remarks[remark_from(record)] = None
            elif kind == "lost":
                self._lost.add(str(record.get("case")))
            elif kind == "report":
                self._report = str(record.get("file") or "")
        except RecordError:
            if kind == "finding":
                self._lost.add(str(record.get("case")))

    def _read_finding(self, record: Mapping[str, Any], kind: str) -> None:
        finding = finding_from(record)
        if record.get("as_seen"):
            self._as_seen[finding.identity] = finding
        if kind == "suspect" or record.get("as_seen"):
            self._suspects.setdefault(finding.identity, finding)
        else:
            self._findings.setdefault(finding.identity, finding)

    def history(self) -> History:
        modes = tuple(event for event in self._modes.values() if self._is_done(event))
        done = {(event.case, event.mode) for event in modes}
        excluded = tuple(one for one in self._excluded if self._is_named(one.case))
        findings = tuple(one for one in self._findings.values() if self._is_named(one.identity.case))
        suspects = tuple(
            one
            for one in self._suspects.values()
            if self._is_named(one.identity.case)
            and (one.identity.case, one.mode) not in done
            and one.identity not in self._findings
        )
        left_out = {(one.case, text) for one in excluded for text in one.texts}
        return History(
            modes,
            findings,
            suspects,
            excluded,
            tuple(self._replayed.values()),
            tuple(self._changes),
            self._report,
            tuple(self._as_seen.values()),
            tuple(self._turns_done()),
            frozenset(done | left_out),
            tuple(self._remarks),
        )

    def _turns_done(self) -> Iterator[ModeFinished]:
        """Yield the turns that were done to their end; of a mode in which something was lost, those before it."""
        broken: set[tuple[str, str]] = set()
        done: dict[tuple[str, str], int] = {}
        for event in self._turns:
            key = event.case, event.mode
            if key in broken or (event.turns or 0) <= done.get(key, 0):
                # One that the end of the time has cut off counts as the turns before it, and is taken again.
                continue
            if not self._is_done(event):
                broken.add(key)
                continue
            done[key] = event.turns or 0
            yield event

    def _is_named(self, case: str) -> bool:
        return self._names is None or case in self._names

    def _is_done(self, event: ModeFinished) -> bool:
        if not self._is_named(event.case) or event.case in self._lost:
            return False
        if any(
            row.verdict is RowVerdict.UNTESTED and (row.out_of_memory or not row.rejected)
            for row in event.rows
        ):
            # It was given up, and is tried again.
            return False
        # A process that dies is counted first and told then; in between, the run may have been killed.
        return all(
            row.verdict is not RowVerdict.DIVERGES or self._is_found(event.case, row.stage, row.kind)
            for row in event.rows
        )

    def _is_found(self, case: str, stage: str, kind: str) -> bool:
        return any(
            one.identity.case == case and (one.divergence.stage, one.divergence.kind) == (stage, kind)
            for one in self._findings.values()
        )
