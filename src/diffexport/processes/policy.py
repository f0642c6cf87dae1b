"""How a child process lives: what differs between the callers, and what does not.

Every child ignores Ctrl-C, which its parent handles; ends when its parent does, however that ends; reads nothing from
standard input; computes on one thread; and has what it loaded before its first request out of the garbage
collector's way. None imports the parent's ``__main__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Policy:
    """What is asked of one child process besides what all of them do.

    Attributes:
        memory: bytes that it may allocate beyond what it has when it is ready; 0 for no limit.
        own_session: it leads a session of its own, so that whatever it starts is ended with it.
        quiet: what it writes to standard output and standard error goes nowhere, and it shows no warnings.
        captured: what it writes there is read and kept in part, see
            [said][diffexport.processes.ChildProcess.said]; nobody is shown it.
        folder: where it works; by default where its parent does.
        paths: entries that come first on its ``sys.path``, before those of its parent.
    """

    memory: int = 0
    own_session: bool = False
    quiet: bool = False
    captured: bool = False
    folder: Path | None = None
    paths: tuple[str, ...] = ()
