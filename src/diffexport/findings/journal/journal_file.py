"""A journal as a file: one JSON document a line, each appended as it comes.

The first line says what the run is that the others belong to. A process that is killed leaves whole lines and at most
one that is torn, which is not read. A journal belongs to one process at a time: it is locked as long as it is open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffexport import atomic
from diffexport.values import slugify

VERSION = 1
SUFFIX = ".jsonl"
#: How many runs of the same may keep a journal each at the same time.
_AT_ONCE = 8
#: Journals that nobody has written to for so long are removed, and the oldest of more than so many.
_KEPT_SECONDS, _KEPT_FILES = 14 * 86400.0, 1000
#: The folders that this process has looked through for such.
_swept: set[Path] = set()
#: The journals that this process has open: its locks do not keep it out itself.
_open: set[str] = set()


class JournalError(Exception):
    """No journal can be kept, or none can be read; the text says why."""


@dataclass
class JournalFile:
    """An open journal.

    Attributes:
        path: where it is.
        asked: what the run is about, as plain data; its digest is part of the name of the file.
        records: what it held when it was opened.
        others: how many other runs of the same are going on.
        damage: why what is there cannot be read; empty if it can, or there is nothing.
        problem: why nothing more can be written; empty while it can.
    """

    path: Path
    asked: Mapping[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)
    others: int = 0
    problem: str = ""
    damage: str = ""
    _descriptor: int = -1
    _end: int = 0

    @classmethod
    def open(
        cls, folder: Path, kind: str, name: str, asked: Mapping[str, Any], *, resume: bool
    ) -> JournalFile:
        """Open the journal of a run.

        Args:
            folder: where journals are.
            kind: what is run, the beginning of the file's name.
            name: what it is about, for a person who looks into the folder.
            asked: everything that its results depend on, as JSON can hold it.
            resume: go on behind what an earlier run of the same has written. Else that is dropped when there is
                something to write: until then one may still think better of it.

        Raises:
            JournalError: no file can be written there, or all of them are in use.
        """
        stem = f"{_stem(kind, name)}-{fingerprint(asked)}"
        try:
            _make_folder(folder)
            sweep_journals(folder, kind)
            paths = [_path(folder, stem, number) for number in range(1, _AT_ONCE + 1)]
            # What was left last comes first, what is not there yet behind all that is.
            for number, path in enumerate(sorted(paths, key=_time, reverse=True)):
                journal = cls(path, asked, others=number)
                if journal._lock():
                    journal._begin(resume)
                    return journal
        except OSError as error:
            raise JournalError(f"no journal can be kept in {folder}: {_reason(error)}") from None
        raise JournalError(f"no journal is kept: {_AT_ONCE} runs of the same are going on already")

    def _lock(self) -> bool:
        """Open and lock the file; return whether nobody else has it."""
        key = os.path.realpath(self.path)
        if key in _open:
            return False
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                # Such a lock is the process's own: a copy of it that is forked off does not hold it.
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there = os.stat(self.path)
            except FileNotFoundError:
                os.close(descriptor)
                continue
            except OSError as error:
                os.close(descriptor)
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                raise
            if os.path.samestat(there, os.fstat(descriptor)):
                self._descriptor = descriptor
                _open.add(key)
                return True
            # Whoever had it has removed it in the meantime.
            os.close(descriptor)

    def _begin(self, resume: bool) -> None:
        try:
            head, self.records, end = self._read()
            if head is not None and resume:
                self._end = end
                os.ftruncate(self._descriptor, end)
        except OSError:
            self.close()
            raise

    def _read(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]], int]:
        """Return the head, the records behind it, and where the last whole line ends."""
        data = b""
        while part := os.pread(self._descriptor, 1 << 20, len(data)):
            data += part
        head: dict[str, Any] | None = None
        records: list[dict[str, Any]] = []
        end = 0
        for line in data.splitlines(keepends=True):
            document = _parsed(line)
            if head is None:
                if document is None or not self._is_head(document):
                    self.damage = "is no journal of this version, or is damaged"
                    return None, [], 0
                head = document
            elif document is not None:
                records.append(document)
            if line.endswith(b"\n"):
                end += len(line)
        return head, records, end

    def _is_head(self, document: Mapping[str, Any]) -> bool:
        return (
            document.get("diffexport") == "journal"
            and document.get("version") == VERSION
            and document.get("asked") == json.loads(json.dumps(self.asked))
        )

    @property
    def is_written(self) -> bool:
        """Whether something of this run is in the file, or of an earlier one that it goes on with."""
        return self._end > 0

    def has_relatives(self, folder: Path, kind: str, name: str) -> bool:
        """Return whether there is a journal that looks the same to a person, and is of something else."""
        with contextlib.suppress(OSError):
            return any(path != self.path for path in folder.glob(f"{_stem(kind, name)}-*{SUFFIX}"))
        return False

    def append(self, record: Mapping[str, Any], *, durably: bool = False) -> bool:
        """Append a record; return whether it was written. The first error ends the journal, see ``problem``.

        Args:
            record: as JSON can hold it.
            durably: it must survive that the machine loses its power, not only that the process is killed.
        """
        if self.problem or self._descriptor < 0:
            return False
        try:
            self._write(record)
            if durably:
                os.fsync(self._descriptor)
        except OSError as error:
            self.problem = f"the journal {self.path} cannot be written: {_reason(error)}"
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            return False
        return True

    def _write(self, record: Mapping[str, Any]) -> None:
        data = (atomic.json_text(record) + "\n").encode()
        if not self._end:
            os.ftruncate(self._descriptor, 0)
            head = {"diffexport": "journal", "version": VERSION, "asked": self.asked}
            data = (atomic.json_text(head) + "\n").encode() + data
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self._end + written)
        self._end += len(data)

    def close(self, *, remove: bool = False) -> None:
        """Close the journal; ``remove`` it where nothing is left to be gone on with. One that is empty goes, too."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            if remove or not os.fstat(self._descriptor).st_size:
                os.unlink(self.path)
        os.close(self._descriptor)
        self._descriptor = -1
        _open.discard(os.path.realpath(self.path))


def fingerprint(asked: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that stand for what is asked."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def sweep_journals(folder: Path, kind: str) -> None:
    """Remove journals that were left long ago, and the oldest where there are many; those in use stay."""
    if folder in _swept:
        return
    _swept.add(folder)
    with contextlib.suppress(OSError):
        files = sorted(folder.glob(f"{kind}-*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for number, path in enumerate(files):
            if number >= _KEPT_FILES or time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                journal = JournalFile(path, {})
                if journal._lock():
                    journal.close(remove=True)


def _stem(kind: str, name: str) -> str:
    return f"{kind}-{slugify(name)[:48]}"


def _path(folder: Path, stem: str, number: int) -> Path:
    return folder / f"{stem}{'' if number == 1 else f'.{number}'}{SUFFIX}"


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -1.0


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the document in a line; None if it is torn, or is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _make_folder(folder: Path) -> None:
    """Make the folder of journals; it says itself that it does not belong into version control."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder.parent):
        if place.name == ".diffexport" and not (place / ".gitignore").exists():
            with contextlib.suppress(OSError):
                atomic.write_text(place / ".gitignore", "*\n")
