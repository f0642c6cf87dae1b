"""What a check found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from diffexport.errors import UntestableError
from diffexport.findings.events import Excluded, Finding, KnownReplayed, ModeFinished
from diffexport.findings.reports import Summary, describe
from diffexport.values import DEFAULT_TERMS, Terms


class FindingsError(AssertionError):
    """A check is not as expected. Its text is the whole report; ``result`` has the findings as data."""

    def __init__(self, result: Result) -> None:
        super().__init__(str(result))
        self.result = result


@dataclass(frozen=True, eq=False)
class Result:
    """What [check][diffexport.check] found. True where everything was as expected; prints as a report.

    Attributes:
        case: the name of the case.
        findings: new divergences, shrunk.
        modes: every mode that was run with its tallies per runtime.
        error: why nothing could be tested; empty if something was.
        advice: which constraint to declare, where the model rejects most of what is generated.
        excluded: the modes that were left out, with reasons.
        replayed: what the regressions of known divergences showed.
        terms: on which terms the case was checked.
        saved: the files that findings were stored in, by the digest of their identity.
        save_errors: why a finding could not be stored, likewise.
        inferred: the texts of the inputs, where they were worked out and not declared.
    """

    case: str
    findings: tuple[Finding, ...]
    modes: tuple[ModeFinished, ...]
    error: str = ""
    advice: str = ""
    excluded: tuple[Excluded, ...] = ()
    replayed: tuple[KnownReplayed, ...] = ()
    terms: Terms = DEFAULT_TERMS
    saved: tuple[tuple[str, Path], ...] = ()
    save_errors: tuple[tuple[str, str], ...] = ()
    inferred: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything was as expected."""
        return not self.findings and not self.error and not self.stale

    def __bool__(self) -> bool:
        return self.ok

    @property
    def stale(self) -> tuple[KnownReplayed, ...]:
        """The known divergences whose regression no longer diverges, or cannot be replayed."""
        return tuple(event for event in self.replayed if event.is_stale)

    @property
    def checks(self) -> int:
        """How many samples were compared, each runtime counted."""
        return sum(row.checks for event in self.modes for row in event.rows)

    def raise_for_findings(self) -> None:
        """Do nothing if everything was as expected.

        Raises:
            FindingsError: something diverges, or a known divergence does no longer.
            UntestableError: nothing could be tested.
        """
        if not self.ok:
            self._raise()

    def _raise(self) -> NoReturn:
        if self.error and not self.findings:
            raise UntestableError(self.error)
        raise FindingsError(self)

    @property
    def head(self) -> str:
        """One line: what was done, and how it ended."""
        if self.error and not self.checks:
            return f"{self.case}: not tested: {self.error}"
        count = len(self.findings)
        found = f"{count} new divergence{'' if count == 1 else 's'}" if count else "as expected"
        if not count and self.stale:
            found = "a known divergence is out of date"
        if not self.modes:
            return f"{self.case}: no mode was run"
        return f"{self.case}: {self.checks:,} checks in {_count(len(self.modes), 'mode')}: {found}"

    def __repr__(self) -> str:
        return f"<Result {self.head}>"

    def __str__(self) -> str:
        return "\n".join([self.head, *self._remarks(), *self._described()])

    def _remarks(self) -> list[str]:
        """Return what a reader has to know besides: nothing is let through or left out unseen."""
        lines = []
        if self.inferred:
            lines.append(f"  inputs worked out, to be pasted and edited: inputs={list(self.inferred)!r}")
        if self.terms != DEFAULT_TERMS:
            lines.append(f"  on the terms {self.terms}")
        rows = [row for event in self.modes for row in event.rows]
        tolerated = sum(row.tolerated for row in rows)
        if tolerated:
            lines.append(f"  tolerated on these terms: {_count(tolerated, 'check')}")
        excused = sum(row.excused for row in rows)
        if excused:
            lines.append(f"  excused, as rounding explains them: {_count(excused, 'check')}")
        known: Counter[str] = Counter()
        for row in rows:
            known.update(row.known.keys())
        lines += [
            f"  known {name}: met in {pairs} (mode, runtime) pairs" for name, pairs in sorted(known.items())
        ]
        lines += [
            f"  excluded {_count(one.count, 'mode')} ({one.modes}): {one.reason}" for one in self.excluded
        ]
        lines += [f"  known {event.id}: {event.message}" for event in self.stale]
        if self.error and self.checks:
            lines.append(f"  {self.error}")
        return [*lines, *([f"  {self.advice}"] if self.advice else [])]

    def _described(self) -> list[str]:
        summary = Summary(saved=dict(self.saved), save_errors=dict(self.save_errors))
        return [line for finding in self.findings for line in ("", *describe(finding, summary))]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
