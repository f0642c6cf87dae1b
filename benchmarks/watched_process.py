"""A command that is run and watched: how long it takes, and the most memory that it and its children have at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks.
_EVERY = 0.05
_MIB = 1 << 20


@dataclass(frozen=True)
class Watched:
    """What became of a command.

    Attributes:
        code: its exit code; None if it was ended for taking too long.
        seconds: from its start to its end.
        memory: MiB, the most that it and all its children had at one time; pages that several share are counted once.
        printed: what it wrote to both streams.
    """

    code: int | None
    seconds: float
    memory: float
    printed: str


def watch(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    limit: float,
    look: Callable[[float], None] | None = None,
) -> Watched:
    """Run a command in a folder to its end, or until a limit in seconds.

    Args:
        look: called again and again while it runs, with the seconds since its start.
    """
    output = folder / "output.txt"
    started = time.monotonic()
    most, code = 0, None
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while code is None and time.monotonic() - started < limit:
                most = max(most, _memory_of(process.pid))
                if look is not None:
                    look(time.monotonic() - started)
                time.sleep(_EVERY)
                code = process.poll()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    printed = output.read_text(encoding="utf-8", errors="replace")
    return Watched(code, time.monotonic() - started, most / _MIB, printed)


def _memory_of(root: int) -> int:
    """Return the bytes that a process and its descendants have, each shared page divided among who shares it."""
    return sum(map(_proportional, _family(root)))


def _family(root: int) -> list[int]:
    found, waiting = [], [root]
    while waiting:
        number = waiting.pop()
        found.append(number)
        try:
            for task in Path(f"/proc/{number}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _proportional(number: int) -> int:
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
