"""Read an ONNX file in a process of its own: a file made to break its readers breaks that process alone."""

from __future__ import annotations

from pathlib import Path

from diffexport.backends.model_files.reading import Artefact, check_is_file, read_model
from diffexport.errors import UsageError
from diffexport.processes import (
    Announced,
    ChildProcess,
    Died,
    Finished,
    Handler,
    Hung,
    Message,
    ParentProcess,
    Policy,
    Ready,
    Received,
    share_of_memory,
)
from diffexport.values import Deadline, Mode, StepLimits

#: Seconds that the process may take to start, on a busy machine.
_START = 300.0
#: How often a file is read at most whose reader is killed from outside.
_TRIES = 4


def read_model_apart(path: Path, limits: StepLimits, *, mode: Mode | None = None) -> Artefact:
    """Read a file as [read_model][] does, in a child process.

    Args:
        path: the file.
        limits: what it may cost: the time for one export, whose place it takes, and the memory.
        mode: how it was exported; guessed by default.

    Raises:
        UsageError: as [read_model][] does, and where reading takes too long or too much memory, or ends the process.
    """
    check_is_file(path)
    policy = Policy(memory=limits.memory or share_of_memory(1), own_session=True, quiet=True)
    for _ in range(_TRIES):
        with ChildProcess.start(_prepare, policy=policy) as child:
            child.send((path, mode))
            received = _last(child, limits.export_seconds)
            doing = child.doing or "reading it"
        if isinstance(received, Finished):
            if isinstance(received.answer, Artefact):
                return received.answer
            raise UsageError(received.answer)
        if not (isinstance(received, Died) and received.is_from_outside):
            break
    raise UsageError(f"{path}: {_trouble(received, doing, limits)}")


def _last(child: ChildProcess, seconds: float) -> Received:
    """Return what comes last of a child: an answer, or how it ended."""
    received = child.receive(Deadline.after(_START))
    deadline = Deadline.after(seconds)
    while isinstance(received, Ready | Announced | Message):
        received = child.receive(deadline)
    return received


def _trouble(received: Received, doing: str, limits: StepLimits) -> str:
    """Return in words why there is no model."""
    if isinstance(received, Hung):
        return f"{doing} takes longer than {limits.export_seconds:g} s (--export-timeout)"
    if isinstance(received, Died):
        return f"{doing} ends the process ({received}); it cannot be compared"
    return f"{doing} fails: {received}"


def _prepare(parent: ParentProcess) -> Handler:
    """Return what reads a file: the answer is what is in it, or why that cannot be told."""

    def handle(request: tuple[Path, Mode | None]) -> Artefact | str:
        path, mode = request
        try:
            return read_model(path, mode=mode, announce=parent.announce)
        except UsageError as error:
            return str(error)
        except MemoryError:
            return f"{path}: there is not enough memory to read it; a worker may have more with --memory"

    return handle
