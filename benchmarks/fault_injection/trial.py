"""A trial: a fresh copy of the project in a folder of its own, some faults, and what came of them."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fault_injection.commands import Ended, Running
from fault_injection.counting import Record
from fault_injection.observer import Expected, watch_run
from fault_injection.victims import CASES, MODES, REGRESSIONS, REPORT, RUNTIME, target, write_project

#: Seconds that an export, a check and an import may take in a trial, on a machine that does nothing else; each is far
#: longer than those of the project take. On a slower one they get longer.
EXPORT_SECONDS, CHECK_SECONDS, IMPORT_SECONDS = 8, 6, 15
#: Seconds that an undisturbed run takes on such a machine, and how many times as long a trial waits at most.
_QUICK, _SLOWEST = 12.0, 8.0


@dataclass(frozen=True)
class Undisturbed:
    """What a run over the project does when nothing happens to it.

    Attributes:
        findings: names of the files of its findings, without their suffix.
        seconds: how long it took.
        options: options of ``diffexport run`` that there are.
        stored: the files it stored, by name.
        report: its report.
    """

    findings: frozenset[str]
    seconds: float
    options: frozenset[str]
    stored: Mapping[str, bytes]
    report: Mapping[str, Any]

    @property
    def slowness(self) -> float:
        """How many times as long as on a quick machine things take here."""
        return min(max(self.seconds / _QUICK, 1.0), _SLOWEST)


@dataclass
class Trial:
    """One trial of one kind of fault.

    Attributes:
        rng: decides everything that is left to chance.
        folder: of the trial; the project is in ``project`` in it.
        record: what came of it.
        undisturbed: what there is to compare with.
        limit: seconds after which a command that has nothing to wait for hangs.
    """

    rng: random.Random
    folder: Path
    record: Record
    undisturbed: Undisturbed
    limit: float
    ends: list[Callable[[], None]] = field(default_factory=list)

    @cached_property
    def project(self) -> Path:
        """The folder of the project, written on first use."""
        folder = self.folder / "project"
        write_project(folder)
        return folder

    @property
    def regressions(self) -> Path:
        """Where findings are stored."""
        return self.project / REGRESSIONS

    @property
    def report(self) -> Path:
        """Where runs write their report."""
        return self.project / REPORT

    @property
    def expected(self) -> Expected:
        """What a run over the project must leave, whatever happens to it."""
        return Expected(self.undisturbed.findings)

    def injected(self, what: str, number: int = 1) -> None:
        """Note faults that took place."""
        self.record.injected += number
        self.record.remarks.append(f"injected: {what}")

    def run_words(
        self, targets: Sequence[str] | None = None, *, jobs: int = 1, report: Path | None = None
    ) -> list[str]:
        """Return the command line of a run over the project."""
        words = ["run", *(targets or map(target, CASES))]
        for mode in MODES:
            words += ["--modes", mode]
        words += ["--runtime", RUNTIME, "--examples", "3", "--seed", "0", "--jobs", str(jobs)]
        return [*words, "--json", str(report or self.report), *self.limit_words()]

    def patience(self, *, imports: int = 0, exports: int = 0, checks: int = 0) -> float:
        """Return the seconds after which a command hangs that waits for so many steps to reach their limits."""
        seconds = imports * IMPORT_SECONDS + exports * EXPORT_SECONDS + checks * CHECK_SECONDS
        return self.limit + seconds * self.undisturbed.slowness

    def limit_words(self) -> list[str]:
        """Return the options that say how long a step may take; none before it is known how long things take here."""
        given = {
            "--export-timeout": EXPORT_SECONDS,
            "--check-timeout": CHECK_SECONDS,
            "--import-timeout": IMPORT_SECONDS,
        }
        return [
            word
            for option, seconds in given.items()
            if option in self.undisturbed.options and self.undisturbed.seconds
            for word in (option, str(round(seconds * self.undisturbed.slowness)))
        ]

    @property
    def resume_words(self) -> list[str]:
        """The option that goes on with an interrupted run; without it such a run is made again."""
        return ["--resume"] if "--resume" in self.undisturbed.options else []

    def start(self, words: Sequence[str], **arguments: Any) -> Running:
        """Start a command in the folder of the project."""
        folder = arguments.pop("folder", self.project)
        running = Running(words, folder, self.folder, **arguments)
        self.record.commands.append(running.line)
        return running

    def run(self, words: Sequence[str], limit: float | None = None, **arguments: Any) -> Ended:
        """Run a command in the folder of the project to its end."""
        return self.start(words, **arguments).finish(limit or self.limit)

    def judge(self, ended: Ended, expected: Expected | None = None, *, report: Path | None = None) -> None:
        """Count what a run over the project shows and has left."""
        watch_run(
            self.record,
            ended,
            expected or self.expected,
            folder=self.regressions,
            report=report or self.report,
        )

    def store_undisturbed(self) -> None:
        """Put the findings of an undisturbed run into the project."""
        self.regressions.mkdir(parents=True, exist_ok=True)
        for name, data in self.undisturbed.stored.items():
            (self.regressions / name).write_bytes(data)


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        name: as ``--only`` takes it.
        summary: one line.
        inject: carries out one trial.
        share: how many faults of a thousand are of this kind.
        each: how many faults one trial injects, about.
    """

    name: str
    summary: str
    inject: Callable[[Trial], None]
    share: int
    each: int = 1


#: Every kind of fault, by name.
KINDS: dict[str, FaultKind] = {}


def fault(name: str, summary: str, *, share: int, each: int = 1) -> Callable[..., Callable[[Trial], None]]:
    """Register a function that carries out a trial as a kind of fault."""

    def register(inject: Callable[[Trial], None]) -> Callable[[Trial], None]:
        if name in KINDS:
            raise ValueError(name)
        KINDS[name] = FaultKind(name, summary, inject, share, each)
        return inject

    return register


def carry_out(
    kind: FaultKind, number: int, seed: int, undisturbed: Undisturbed, limit: float, keep: bool
) -> Record:
    """Carry out one trial; its folder is kept if something went wrong and that is wanted."""
    record = Record(kind.name, number)
    folder = Path(tempfile.mkdtemp(prefix=f"fault-{kind.name}-{number}-")).resolve()
    trial = Trial(random.Random(f"{seed} {kind.name} {number}"), folder, record, undisturbed, limit)
    started = time.monotonic()
    try:
        kind.inject(trial)
    except Exception:  # noqa: BLE001 - an error of the campaign, not of what it tests; said as such
        record.remarks.append(f"the campaign failed: {traceback.format_exc()}")
        record.injected = 0
    finally:
        for end in reversed(trial.ends):
            end()
    record.seconds = round(time.monotonic() - started, 1)
    if keep and record.counts:
        record.folder = str(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return record
