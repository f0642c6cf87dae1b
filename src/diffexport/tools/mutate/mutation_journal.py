"""The reports of jobs that are done, as records of a journal: an interrupted run goes on without these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffexport.errors import DiffexportError
from diffexport.findings.journal import JournalError, JournalFile
from diffexport.findings.regressions import SeenTensors, decode_tensors, encode_tensor
from diffexport.tools.mutate.mutation_jobs import JobReport, MutantOutcome, MutationJob
from diffexport.tools.mutate.registry import MutantVerdict
from diffexport.values import counted

_TEXTS = ("case", "mode", "mutator", "where", "kind", "message")


class MutationJournal:
    """Keeps each report as it comes, and gives those that an earlier run has.

    Where no journal can be kept, that is said and nothing is kept.

    Args:
        folder: where journals are.
        asked: everything that the reports depend on.
        resume: go on with what an earlier run has done.
        say: told in one line what a person has to know.
    """

    def __init__(
        self, folder: Path, asked: Mapping[str, Any], *, resume: bool, say: Callable[[str], None]
    ) -> None:
        self._say = say
        self._file: JournalFile | None = None
        self.reports: list[JobReport] = []
        name = "-".join(asked["targets"])
        try:
            self._file = JournalFile.open(folder, "mutate", name, asked, resume=resume)
        except JournalError as error:
            say(f"{error}; the run goes on without, and could not be resumed")
            return
        reports = _reports(self._file.records)
        if resume:
            self.reports = reports
            said = (
                f"{counted(len(reports), 'job')} {'is' if len(reports) == 1 else 'are'} done from before"
                if reports
                else "there is nothing to go on with"
            )
            say(f"--resume: {said}")
        elif reports:
            say(
                f"a run of the same was not finished ({counted(len(reports), 'job')}); "
                "--resume goes on with it, without it is forgotten from now on"
            )

    def left(self, jobs: Sequence[MutationJob]) -> list[MutationJob]:
        """Return the jobs that are not done; of two of one name, both."""
        done = [(report.case, report.mode) for report in self.reports]
        names = [(job.name, job.mode) for job in jobs]
        twice = {name for name in names if names.count(name) > 1}
        self.reports = [report for report in self.reports if (report.case, report.mode) not in twice]
        return [job for job, name in zip(jobs, names, strict=True) if name in twice or name not in done]

    def keep(self, report: JobReport) -> None:
        """Write down a report, unless the job is to be tried again."""
        if self._file is None or self._file.problem or report.failed:
            return
        if not self._file.append(_record(report), durably=True):
            self._say(f"{self._file.problem}; the run goes on without, and could not be resumed")

    def close(self, *, complete: bool) -> None:
        """Close the journal; that of a run that is complete is removed."""
        if self._file is not None:
            self._file.close(remove=complete)


def _record(report: JobReport) -> dict[str, Any]:
    return {
        "case": report.case,
        "mode": report.mode,
        "skipped": report.skipped,
        "outcomes": [_outcome_record(outcome) for outcome in report.outcomes],
    }


def _outcome_record(outcome: MutantOutcome) -> dict[str, Any]:
    seen = SeenTensors()
    return {
        **{name: getattr(outcome, name) for name in _TEXTS},
        "control": outcome.control,
        "verdict": str(outcome.verdict),
        "examples": outcome.examples,
        "inputs": [encode_tensor(value, seen) for value in outcome.inputs],
    }


def _reports(records: Sequence[Mapping[str, Any]]) -> list[JobReport]:
    """Return the reports that can be read, each once."""
    reports: dict[tuple[str, str], JobReport] = {}
    for record in records:
        try:
            outcomes = tuple(_outcome(one) for one in record["outcomes"])
            report = JobReport(str(record["case"]), str(record["mode"]), outcomes, str(record["skipped"]))
        except (DiffexportError, ValueError, KeyError, TypeError, AttributeError):
            continue
        reports.setdefault((report.case, report.mode), report)
    return list(reports.values())


def _outcome(record: Mapping[str, Any]) -> MutantOutcome:
    return MutantOutcome(
        **{name: str(record[name]) for name in _TEXTS},
        control=bool(record["control"]),
        verdict=MutantVerdict(record["verdict"]),
        examples=int(record["examples"]),
        inputs=decode_tensors(record["inputs"]),
    )
