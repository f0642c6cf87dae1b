"""The state file of a scan: what is done, so that it need not be done again. One JSON document a line.

The first line says what the results depend on. The file is written whole after each Function, so that it is never half
there. Results count as long as the source of the package and everything in the first line are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffexport import atomic
from diffexport.tools.scan.scan_entry import FunctionEntry

VERSION = 1


@dataclass
class State:
    """What is kept of a scan.

    Attributes:
        file: where.
        depends: what results depend on besides the source: versions, modes, seed, …
    """

    file: Path
    depends: Mapping[str, Any]
    _lines: dict[str, str] = field(default_factory=dict)
    _entries: dict[str, tuple[str, FunctionEntry]] = field(default_factory=dict)

    @property
    def done(self) -> dict[str, str]:
        """The names of Functions that are done, with the digest of the source they were found in."""
        return {name: digest for name, (digest, _) in self._entries.items()}

    def entry(self, name: str) -> FunctionEntry:
        """Return the results of a Function that is done."""
        return self._entries[name][1]

    def read(self) -> str:
        """Read the file; return why nothing of it counts, empty where it does or there is none."""
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            return f"{self.file} cannot be read: {error}"
        try:
            if not lines or json.loads(lines[0]) != json.loads(self._head()):
                return f"{self.file} is of another version, or of other modes or settings"
        except ValueError:
            return f"{self.file} is no state file"
        for line in lines[1:]:
            try:
                document = json.loads(line)
                entry = FunctionEntry(document["function"], tuple(tuple(own) for own in document["lines"]))
                # A status that there is not raises: the line does not count.
                _ = entry.status
                self._entries[entry.name] = document["digest"], entry
                self._lines[entry.name] = line
            except (ValueError, KeyError, TypeError):
                continue
        return ""

    def keep(self, entry: FunctionEntry, digest: str) -> None:
        """Note that a Function is done.

        Raises:
            OSError: the file cannot be written.
        """
        document = {"digest": digest, "function": entry.document, "lines": entry.lines}
        self._lines[entry.name] = json.dumps(document, ensure_ascii=False)
        self._entries[entry.name] = digest, entry
        atomic.write_text(self.file, "\n".join([self._head(), *self._lines.values()]) + "\n")

    def _head(self) -> str:
        return json.dumps(
            {"diffexport": "scan-state", "version": VERSION, **self.depends}, ensure_ascii=False
        )
