"""A child process in which the modules of targets are imported; it is started again when one of them ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from diffexport.infer.session.child import IMPORTING, PROBING, prepare
from diffexport.processes import (
    Announced,
    ChildProcess,
    Died,
    Failed,
    Finished,
    Hung,
    Policy,
    Ready,
    Received,
)
from diffexport.values import Deadline

#: Bytes that such a process may allocate beyond what torch needs, where nobody says how many.
MEMORY = 4 << 30
#: Seconds for torch to be imported.
_START = 120.0
#: What a process is said to do before it has announced anything.
STARTING = "starting"


class ProcessGone(Exception):
    """The child is no more, or does not answer.

    Attributes:
        doing, value: what it was doing.
        how: how it ended, or that it did not.
        hung: it was still there at its deadline.
        closed: it was still there, without its connection.
    """

    def __init__(self, doing: str, value: str, how: str, *, hung: bool, closed: bool = False) -> None:
        super().__init__(how)
        self.doing, self.value, self.how, self.hung, self.closed = doing, value, how, hung, closed


class TargetProcess:
    """A child process that imports what targets name, and answers what is asked about that.

    Args:
        memory: bytes that it may allocate beyond what torch needs.
        folder: where it works; by default here.
        import_seconds: the longest that importing the module of a target may take.
        preload: names of modules that it imports while it starts.
    """

    def __init__(
        self,
        *,
        memory: int = MEMORY,
        folder: Path | None = None,
        import_seconds: float = 120.0,
        preload: Sequence[str] = (),
    ) -> None:
        self.import_seconds = import_seconds
        self._preload = tuple(preload)
        self._policy = Policy(memory=memory, own_session=True, quiet=True, folder=folder)
        self._child: ChildProcess | None = None

    def begin(self) -> bool:
        """Start the process if there is none, without waiting for it; return whether there was none."""
        if self._child is not None:
            return False
        self._child = ChildProcess.start(prepare, self._preload, policy=self._policy)
        return True

    def wait(self) -> None:
        """Wait until the process is there and ready.

        Raises:
            ProcessGone: it does not get so far.
        """
        self.begin()
        child = self._child
        assert child is not None
        if child.ready:
            return
        received = child.receive(Deadline.after(_START))
        if not isinstance(received, Ready):
            gone = self._gone(received, _START)
            self.close()
            raise gone

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function gives for some arguments in the child, where it imports what it likes.

        Args:
            question: a function of a module, called in the child.
            arguments: anything that can be pickled.

        Raises:
            ProcessGone: the process ended, or did not answer in the time for one import; the next one is another.
        """
        return self.request({"question": question, "arguments": arguments}, self.import_seconds)

    def request(self, request: dict[str, Any], seconds: float) -> Any:
        """Return what the process answers to a request.

        Args:
            request: see [prepare][diffexport.infer.session.child.prepare].
            seconds: the longest that it may take after importing.

        Raises:
            ProcessGone: nothing; the next request is to another process.
        """
        try:
            self.wait()
            child = self._child
            assert child is not None
            limit = self.import_seconds
            # What the request itself needs is loaded before it is said that the module of the target is imported.
            child.deadline = Deadline.after(limit + _START)
            child.send(request)
            while True:
                received = child.receive()
                if isinstance(received, Finished):
                    return received.answer
                if not isinstance(received, Announced):
                    raise self._gone(received, limit)
                if received.what[0] == IMPORTING:
                    child.deadline = Deadline.after(limit)
                elif received.what[0] == PROBING:
                    limit = seconds
                    child.deadline = Deadline.after(limit)
        except BaseException:
            self.close()
            raise

    def _gone(self, received: Received, limit: float) -> ProcessGone:
        assert self._child is not None
        doing, value = self._child.doing or (STARTING, "")
        if isinstance(received, Hung):
            return ProcessGone(doing, value, f"it did not end within {limit:.0f} s", hung=True)
        if isinstance(received, Failed):
            return ProcessGone(doing, value, f"it says {received.error}", hung=False)
        closed = isinstance(received, Died) and received.exit_code is None
        how = str(received) if isinstance(received, Died) else f"it says {received}"
        return ProcessGone(doing, value, how, hung=False, closed=closed)

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def __enter__(self) -> TargetProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
