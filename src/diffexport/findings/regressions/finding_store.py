"""Findings are stored as regressions as they are made."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffexport.errors import RegressionFileError
from diffexport.findings.events import Event, FaceFound, Finding, FindingMade
from diffexport.findings.regressions.recording import face_text, record, regression_of
from diffexport.findings.regressions.store import remove_same
from diffexport.values import counted


@dataclass
class FindingStore:
    """Stores every finding of a run as a regression, and remembers where it is; its faces are named in that.

    It is to get each event before anything else does: what is on disk cannot be lost any more.

    Attributes:
        folder: where findings are written; None writes nothing.
        paths: the files that findings were stored in, by the digest of their identity.
        errors: why a finding could not be stored, likewise.
    """

    folder: Path | None = None
    paths: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    _kept: dict[str, tuple[Finding, list[Finding]]] = field(default_factory=dict, repr=False)
    _new: set[str] = field(default_factory=set, repr=False)

    def take(self, event: Event) -> None:
        """Store the finding of an event, if it has one."""
        if isinstance(event, FindingMade):
            self.keep(event.finding)
        elif isinstance(event, FaceFound):
            self._keep_face(event)

    def keep(self, finding: Finding, faces: Sequence[Finding] = ()) -> None:
        """Store a finding, with what else shows of its cause; why that is not possible is remembered, not raised."""
        if self.folder is None:
            return
        digest = finding.identity.digest
        self._kept[digest] = finding, list(faces)
        try:
            path, is_new = record(finding, self.folder, faces)
        except (OSError, RegressionFileError) as error:
            self.errors[digest] = str(error)
            return
        self.paths[digest] = path
        if is_new:
            self._new.add(digest)

    def _keep_face(self, event: FaceFound) -> None:
        """Name a face in the file of its finding; where it stands for the cause, in place of that."""
        digest, face = event.of.digest, event.finding
        if digest not in self._kept or self.folder is None:
            return
        finding, faces = self._kept[digest]
        told = self._kept.pop(face.identity.digest, None)
        if told is not None and face.identity != finding.identity:
            # It was a finding of its own until another showed that both have one cause.
            faces = [*faces, *told[1]]
            self._kept[digest] = finding, faces
            if not event.leads:
                self._remove(*told)
        if not event.leads:
            if face_text(face) not in map(face_text, faces):
                self.keep(finding, [*faces, face])
            return
        del self._kept[digest]
        self.keep(face, [*faces, finding])
        if face.identity.digest in self.paths and face.identity != finding.identity:
            self._remove(finding, faces)

    def _remove(self, finding: Finding, faces: Sequence[Finding]) -> None:
        """Remove the file of a finding that another stands for now, where this run wrote it."""
        digest = finding.identity.digest
        if digest not in self._new or self.folder is None:
            return
        self._new.discard(digest)
        self.paths.pop(digest, None)
        with contextlib.suppress(OSError, RegressionFileError, UnicodeDecodeError):
            remove_same(regression_of(finding, faces), self.folder)

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
