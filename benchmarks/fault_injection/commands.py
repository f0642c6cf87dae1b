"""Run diffexport as a person does, watch it from outside, and see that nothing of it is left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What the interpreter is told to run, as the console script ``diffexport`` does.
_ENTRY = "from diffexport.faces.cli.command_line import main; main()"
#: In the environment of every process that belongs to one command; it is how copies and orphans are recognised.
_MARK = "DIFFEXPORT_FAULT_COMMAND"
#: Seconds between two looks at what a command does.
_LOOK = 0.01
#: Seconds that processes of a command may need to end after it has.
_GRACE = 10.0
#: Most bytes of output that are read.
_MOST_OUTPUT = 4_000_000
#: Bytes of addresses that a process of a command may have, so that one without a limit of its own does not take the
#: whole machine.
_MOST_MEMORY = 8 << 30
_numbers = itertools.count()


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, negative for a signal; None if it had to be killed.
        output: what it wrote to standard output and standard error.
        seconds: how long it took.
        hung: it did not end within its limit.
        left: command lines of processes that were still there long after it.
    """

    code: int | None
    output: str
    seconds: float
    hung: bool
    left: tuple[str, ...]


class Running:
    """A command that runs.

    Args:
        words: of the command line, behind ``diffexport``.
        folder: where it works.
        logs: where its output goes; a folder that is there.
        environment: changes to the environment.
        options: further arguments of Popen; ``stdout`` and ``stderr`` take the place of the files of output.
        program: what is run in place of ``diffexport``.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        logs: Path,
        *,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        program: Sequence[str] = ("-c", _ENTRY),
    ) -> None:
        self.words = tuple(words)
        number = next(_numbers)
        self._mark = f"{os.getpid()}.{number}"
        self._logs = [logs / f"{number}.out", logs / f"{number}.err"]
        self._started = time.monotonic()
        streams = [open(log, "wb") for log in self._logs]  # noqa: SIM115 - closed below
        given = dict(options or {})
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", *program, *words],
                cwd=folder,
                stdin=given.pop("stdin", subprocess.DEVNULL),
                stdout=given.pop("stdout", streams[0]),
                stderr=given.pop("stderr", streams[1]),
                start_new_session=True,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONUNBUFFERED": "1",
                    **(environment or {}),
                    _MARK: self._mark,
                },
                **given,
            )
        finally:
            for stream in streams:
                stream.close()
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))

    @property
    def pid(self) -> int:
        """Number of the main process."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the main process has not ended yet."""
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """What was written so far."""
        text = b""
        for log in self._logs:
            with contextlib.suppress(OSError), open(log, "rb") as file:
                text += file.read(_MOST_OUTPUT)
        return text.decode(errors="replace")

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def workers(self) -> list[int]:
        """Return the numbers of its child processes, oldest first."""
        children = Path(f"/proc/{self.pid}/task")
        numbers: list[int] = []
        with contextlib.suppress(OSError):
            for task in children.iterdir():
                numbers += map(int, (task / "children").read_text().split())
        return sorted(numbers)

    def processes(self) -> list[int]:
        """Return the numbers of all processes that belong to it, also of those that left it."""
        wanted = f"{_MARK}={self._mark}".encode()
        numbers = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0") and _lives(entry):
                        numbers.append(int(entry.name))
        return numbers

    def wait(self, until: Callable[[], bool], limit: float) -> bool:
        """Wait until something is so; return False if the command ended before, or took too long."""
        end = time.monotonic() + limit
        while not until():
            if not self.is_running or time.monotonic() > end:
                return False
            time.sleep(_LOOK)
        return self.is_running

    def signal(self, number: int, pid: int | None = None) -> bool:
        """Send a signal to the main process, or to another; return whether that was there."""
        try:
            os.kill(self.pid if pid is None else pid, number)
        except ProcessLookupError:
            return False
        return True

    def finish(self, limit: float) -> Ended:
        """Wait for its end, kill it if that does not come, and look at what is left."""
        hung = False
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            hung = True
            self._kill_all()
        code = None if hung else self.process.wait()
        seconds = self.age
        left = () if hung else self._left()
        return Ended(code, self.output, seconds, hung, left)

    def _left(self) -> tuple[str, ...]:
        end = time.monotonic() + _GRACE
        while (numbers := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        lines = tuple(_command_line(number) for number in numbers)
        self._kill_all()
        return lines

    def _kill_all(self) -> None:
        for _ in range(20):
            numbers = [*([self.pid] if self.is_running else []), *self.processes()]
            if not numbers:
                return
            for number in numbers:
                self.signal(signal.SIGKILL, number)
            time.sleep(0.05)

    @property
    def line(self) -> str:
        """What was run, as a shell line."""
        return shlex.join(["diffexport", *self.words])


def _lives(entry: Path) -> bool:
    """Return whether a process is more than an entry whose parent has not asked for its exit code."""
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _command_line(number: int) -> str:
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return str(number)
    return " ".join(words)[:120]
