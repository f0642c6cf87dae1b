"""The listener that writes a journal: each event is on disk before anybody is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffexport.findings.events import (
    CheckStarting,
    Event,
    Excluded,
    FaceFound,
    Finding,
    FindingMade,
    KnownReplayed,
    ModeFinished,
    Remark,
    StateChanged,
    Suspected,
)
from diffexport.findings.journal.event_records import (
    RecordError,
    excluded_record,
    finding_record,
    known_record,
    made_record,
    mode_record,
    remark_record,
    state_record,
)
from diffexport.findings.journal.history import History
from diffexport.findings.journal.journal_file import JournalError, JournalFile

#: What a person is told when a journal cannot be kept or read.
Say = Callable[[str], None]


def _tell_nobody(text: str) -> None:
    pass


class RunJournal:
    """The journal of a run, or what stands for one where none can be kept: a run does not end for that.

    Attributes:
        history: what an earlier run has done, where that is to be gone on with.
    """

    def __init__(self, file: JournalFile | None, history: History, say: Say) -> None:
        self.history = history
        self._file, self._say = file, say
        self._report = ""
        told = (
            *history.modes,
            *history.turns,
            *history.excluded,
            *history.replayed,
            *history.changes,
            *history.remarks,
            *history.findings,
        )
        #: What is written down already, by its address; it is held, so that nothing else gets that.
        self._told: dict[int, object] = {id(one): one for one in told}

    @classmethod
    def none(cls) -> RunJournal:
        """Return what keeps nothing."""
        return cls(None, History(), lambda _: None)

    @classmethod
    def open(
        cls,
        folder: Path,
        kind: str,
        name: str,
        asked: Mapping[str, Any],
        *,
        resume: bool,
        say: Say,
        cases: Sequence[str] | None = None,
        option: str = "--resume",
        quiet: bool = False,
    ) -> RunJournal:
        """Open the journal of a run; where that is not possible, it is said and nothing is kept.

        Args:
            folder, kind, name, asked: see [JournalFile.open][].
            resume: go on with what an earlier run has done.
            say: told in one line what a person has to know.
            cases: see [History.of][].
            option: how a person asks for that.
            quiet: say nothing of what is there from before, or is not.
        """
        try:
            file = JournalFile.open(folder, kind, name, asked, resume=resume)
        except JournalError as error:
            say(f"{error}; the run goes on without, and could not be resumed")
            return cls(None, History(), say)
        history = History.of(file.records, cases)
        if quiet:
            say = _tell_nobody
        if file.others and (resume or not history):
            say(f"another run of the same is going on; this one has a journal of its own, {file.path}")
        if resume and history:
            say(f"resumed: {history.summary} are there from before")
        elif resume:
            say(f"{option}: {cls._why_nothing(file, folder, kind, name)}; starting anew")
        elif history:
            say(
                f"a run of the same was not finished ({history.summary}); "
                f"{option} goes on with it, without it is forgotten from now on"
            )
        return cls(file, history if resume else History(), say)

    @staticmethod
    def _why_nothing(file: JournalFile, folder: Path, kind: str, name: str) -> str:
        if file.damage:
            return f"{file.path} {file.damage}"
        if file.has_relatives(folder, kind, name):
            return "what was not finished has other settings, versions or source"
        return "there is nothing to go on with"

    def announce(self, event: Suspected | CheckStarting) -> None:
        """Write down what is seen at first sight."""
        if isinstance(event, Suspected):
            self._write(event.finding, lambda: finding_record(event.finding), "suspect")

    def take(self, event: Event) -> None:
        """Write down an event; not again what an earlier run has."""
        if isinstance(event, FindingMade | FaceFound):
            # Which finding a face belongs to is found out again from the causes.
            made = event if isinstance(event, FindingMade) else FindingMade(event.finding)
            if id(event.finding) not in self._told:
                self._write(event.finding, lambda: made_record(made), "finding")
                self._told[id(event.finding)] = event.finding
        elif id(event) in self._told:
            return
        elif isinstance(event, ModeFinished):
            self._append({"event": "mode", **mode_record(event)})
        elif isinstance(event, Excluded):
            self._append({"event": "excluded", **excluded_record(event)})
        elif isinstance(event, KnownReplayed):
            self._append({"event": "known", **known_record(event)})
        elif isinstance(event, StateChanged):
            self._append({"event": "state", **state_record(event)})
        elif isinstance(event, Remark):
            self._append({"event": "remark", **remark_record(event)})

    def report_file(self, path: Path | None) -> Path | None:
        """Return where the report goes, which is remembered: where to now, or else where to before."""
        if path is None:
            return Path(self.history.report) if self.history.report else None
        self._report = str(path)
        return path

    def _write(self, finding: Finding, record: Callable[[], dict[str, Any]], kind: str) -> None:
        if self._file is None:
            return
        case = finding.identity.case
        try:
            self._append({"event": kind, "case": case, **record()}, durably=True)
        except RecordError:
            # It is made again where the run goes on: nothing that is done of its case counts then.
            self._append({"event": "lost", "case": case})

    def _append(self, record: Mapping[str, Any], *, durably: bool = False) -> None:
        if self._file is None or self._file.problem:
            return
        if self._report and self._report != self.history.report:
            report, self._report = self._report, ""
            self._append({"event": "report", "file": report})
        if not self._file.append(record, durably=durably):
            self._say(f"{self._file.problem}; the run goes on without, and could not be resumed")

    @property
    def path(self) -> Path | None:
        """The file, where there is one."""
        return None if self._file is None else self._file.path

    @property
    def is_kept(self) -> bool:
        """Whether a run that ends here can be gone on with."""
        return self._file is not None and not self._file.problem and self._file.is_written

    def close(self, *, complete: bool) -> None:
        """Close the journal; that of a run that is complete is removed."""
        if self._file is not None:
            self._file.close(remove=complete)
            self._file = None
