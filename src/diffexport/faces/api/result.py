"""What a check found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from diffexport.errors import UntestableError
from diffexport.findings.events import Excluded, Finding, KnownReplayed, ModeFinished
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import Tally, describe
from diffexport.values import ALL_INPUTS, DEFAULT_TERMS, InputScope, Terms, counted


class FindingsError(AssertionError):
    """A check is not as expected. Its text is the whole report; ``result`` has the findings as data."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result))
        self.result = result


@dataclass(frozen=True, eq=False)
class Result:
    """What [check][diffexport.check] found: a tally with its text. True where everything was as expected.

    Attributes:
        case: the name of the case.
        tally: everything that was counted.
        store: where findings are stored as regressions, and why one could not be.
        terms: on which terms the case was checked.
        inferred: the texts of the inputs, where they were worked out and not declared.
        scope: which inputs were left out.
    """

    case: str
    tally: Tally
    store: FindingStore
    terms: Terms = DEFAULT_TERMS
    inferred: tuple[str, ...] = ()
    scope: InputScope = ALL_INPUTS

    @property
    def findings(self) -> tuple[Finding, ...]:
        """New divergences, shrunk: one for each cause."""
        return tuple(self.tally.findings)

    def faces_of(self, finding: Finding) -> tuple[Finding, ...]:
        """Return what else shows of the cause of a finding: in other kinds, modes, outputs, on other runtimes."""
        return self.tally.faces_of(finding)

    @property
    def modes(self) -> tuple[ModeFinished, ...]:
        """Every mode that was run with its tallies per runtime."""
        return tuple(self.tally.modes)

    @property
    def error(self) -> str:
        """Why nothing could be tested; empty if something was."""
        return "\n".join(self.tally.failed.values())

    @property
    def advice(self) -> str:
        """Which constraint to declare, where the model rejects most of what is generated."""
        return "\n".join(self.tally.advice.values())

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """The modes that were left out, with reasons."""
        return tuple(self.tally.excluded)

    @property
    def replayed(self) -> tuple[KnownReplayed, ...]:
        """What the regressions of known divergences showed."""
        return tuple(self.tally.replayed)

    @property
    def stale(self) -> tuple[KnownReplayed, ...]:
        """The known divergences whose regression no longer diverges, or cannot be replayed."""
        return tuple(self.tally.stale)

    @property
    def saved(self) -> tuple[tuple[str, Path], ...]:
        """The files that findings were stored in, by the digest of their identity."""
        return tuple(self.store.paths.items())

    @property
    def save_errors(self) -> tuple[tuple[str, str], ...]:
        """Why a finding could not be stored, likewise."""
        return tuple(self.store.errors.items())

    @property
    def ok(self) -> bool:
        """Whether everything was as expected, which nothing is that was not tested."""
        return not (self.findings or self.error or self.stale or self.untested)

    @property
    def untested(self) -> str:
        """What was to be tested and was not, with reasons; empty where everything was."""
        if self.tally.nothing_tested:
            return "no mode was run" if not self.modes else "no input was compared"
        lines = [
            f"{one.mode} on {', '.join(one.runtimes)}: {one.reason}"
            for one in self.tally.untested()
            if one.failed
        ]
        return "\n".join(lines)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def checks(self) -> int:
        """How many samples were compared, each runtime counted."""
        return sum(row.checks for row in self.tally.rows())

    def raise_for_findings(self) -> None:
        """Do nothing if everything was as expected.

        Raises:
            FindingsError: something diverges, or a known divergence does no longer.
            UntestableError: nothing could be tested.
        """
        if not self.ok:
            self._raise()

    def _raise(self) -> NoReturn:
        if not self.findings and (self.error or not self.stale):
            raise UntestableError(self.error or f"{self.case}: not tested: {self.untested}")
        raise FindingsError(self)

    @property
    def head(self) -> str:
        """One line: what was done, and how it ended."""
        if self.error and not self.checks:
            return f"{self.case}: not tested: {self.error}"
        count = len(self.findings)
        outcome = counted(count, "new divergence") if count else "as expected"
        if not count and self.stale:
            outcome = "a known divergence is out of date"
        elif not count and self.untested:
            outcome = "not all was tested"
        if not self.modes:
            return f"{self.case}: no mode was run"
        return (
            f"{self.case}: {counted(self.checks, 'check')} in {counted(len(self.modes), 'mode')}: {outcome}"
        )

    def __repr__(self) -> str:
        return f"<Result {self.head}>"

    def __str__(self) -> str:
        return "\n".join([self.head, *self._remarks(), *self._described()])

    def _remarks(self) -> list[str]:
        """Return what a reader has to know besides: nothing is let through or left out unseen."""
        lines = []
        if self.inferred:
            lines.append(f"  inputs worked out, to be pasted and edited: inputs={list(self.inferred)!r}")
        if not self.scope.is_everything:
            lines.append(f"  inputs: {self.scope}")
        if self.terms != DEFAULT_TERMS:
            lines.append(f"  on the terms {self.terms}")
        rows = self.tally.rows()
        tolerated = sum(row.tolerated for row in rows)
        if tolerated:
            lines.append(f"  tolerated on these terms: {counted(tolerated, 'check')}")
        excused = sum(row.excused for row in rows)
        if excused:
            lines.append(f"  excused, as rounding explains them: {counted(excused, 'check')}")
        known: Counter[str] = Counter()
        for row in rows:
            known.update(row.known.keys())
        lines += [
            f"  known {name}: met in {counted(pairs, '(mode, runtime) pair')}"
            for name, pairs in sorted(known.items())
        ]
        lines += [
            f"  excluded {counted(one.count, 'mode')} ({one.modes}): {one.reason}" for one in self.excluded
        ]
        lines += [f"  known {event.id}: {event.message}" for event in self.stale]
        lines += [f"  {remark.message}" for remark in self.tally.remarks]
        if self.untested and self.modes:
            lines += [f"  not tested: {line}" for line in self.untested.splitlines()]
        if self.error and self.checks:
            lines.append(f"  {self.error}")
        return [*lines, *([f"  {self.advice}"] if self.advice else [])]

    def _described(self) -> list[str]:
        # A tally of its own: nobody ran a command whose examples the line to reproduce it could repeat.
        lines = [
            ("", *describe(finding, Tally(), self.store, faces=self.faces_of(finding)))
            for finding in self.findings
        ]
        return [line for of_finding in lines for line in of_finding]
