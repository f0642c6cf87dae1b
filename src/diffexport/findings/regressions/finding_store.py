"""Findings are stored as regressions as they are made."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from diffexport.errors import RegressionFileError
from diffexport.findings.events import Event, Finding, FindingMade
from diffexport.findings.regressions.recording import record, regression_of
from diffexport.findings.regressions.store import remove_same
from diffexport.values import counted


@dataclass
class FindingStore:
    """Stores every finding of a run as a regression, and remembers where it is.

    It is to get each event before anything else does: what is on disk cannot be lost any more.

    Attributes:
        folder: where findings are written; None writes nothing.
        paths: the files that findings were stored in, by the digest of their identity.
        errors: why a finding could not be stored, likewise.
    """

    folder: Path | None = None
    paths: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Store the finding of an event, if it has one."""
        if isinstance(event, FindingMade):
            self.keep(event.finding)

    def keep(self, finding: Finding) -> None:
        """Store a finding; why that is not possible is remembered, not raised."""
        if self.folder is None:
            return
        digest = finding.identity.digest
        try:
            self.paths[digest] = record(finding, self.folder)
        except (OSError, RegressionFileError) as error:
            self.errors[digest] = str(error)

    def retract(self, finding: Finding) -> None:
        """Remove the file of a finding that an interrupted run stored as it was seen: another one stands for it now.

        To be called where another finding stands for it. A file that holds anything else stays.
        """
        if self.folder is None or finding.identity.digest in self.paths:
            return
        with contextlib.suppress(OSError, RegressionFileError, UnicodeDecodeError):
            remove_same(regression_of(finding), self.folder)

    def path_of(self, finding: Finding) -> Path | None:
        """Return the file that a finding was stored in; None where it was not."""
        return self.paths.get(finding.identity.digest)

    def error_of(self, finding: Finding) -> str:
        """Return why a finding could not be stored; empty where nothing went wrong."""
        return self.errors.get(finding.identity.digest, "")

    @property
    def last_words(self) -> str:
        """How many findings were stored where, for the end of a report; empty where none was."""
        if not self.paths:
            return ""
        return f"{counted(len(self.paths), 'finding')} saved in {next(iter(self.paths.values())).parent}"
