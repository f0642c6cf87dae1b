"""A child process, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from diffexport.errors import error_text
from diffexport.processes.channel import Channel
from diffexport.processes.child import Handler
from diffexport.processes.current_step import ProcessStep, StepBoard
from diffexport.processes.output import ChildOutput
from diffexport.processes.pickling import dumps, loads
from diffexport.processes.policy import Policy
from diffexport.processes.received import Announced, Died, Hung, Ready, Received, Unreadable
from diffexport.values import NO_DEADLINE, Deadline

#: What the interpreter of a child is told to run. Nothing is imported before ``sys.path`` is the parent's: a module of
#: a user's that is called as one of the standard library's must not be taken for that.
_BOOT = (
    "import sys; parent, connection, board, *sys.path[:] = sys.argv[1:]; "
    "from diffexport.processes.child import main; main(int(parent), int(connection), int(board))"
)
#: Seconds between two looks at whether a child is there: a copy that was forked off it keeps its connection open.
_LOOK = 0.5
#: Seconds that are waited for the last that a process has written before it ended.
_LAST_WORDS = 0.5
#: Seconds that a process may take to end after its connection was closed.
_END = 5.0


class ChildProcess:
    """A child process; to be had by [start][diffexport.processes.ChildProcess.start].

    It can be used in a ``with`` statement, at whose end it is stopped.

    Attributes:
        ready: it has prepared itself.
        doing: what it announced last of the request that it was sent last; None if it announced nothing.
        deadline: until when [receive_any][diffexport.processes.receive_any] waits for it.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: Channel,
        policy: Policy,
        board: StepBoard,
        output: ChildOutput | None = None,
    ) -> None:
        self._process, self._channel, self._policy = process, channel, policy
        self._board, self._output = board, output
        self._unsent: list[bytes] = []
        self._stopped = False
        self.ready = False
        self.doing: Any = None
        self.deadline = Deadline()

    @classmethod
    def start(
        cls, entry: Callable[..., Handler], *arguments: Any, policy: Policy | None = None
    ) -> ChildProcess:
        """Start a process; it is in the making when this returns.

        Args:
            entry: a function of a module, called in the child with a
                [ParentProcess][diffexport.processes.ParentProcess] and the arguments; it prepares the process and
                returns what answers one request.
            arguments: anything that can be pickled.
            policy: how it lives.
        """
        policy = policy or Policy()
        board, shared = StepBoard.create()
        ours, theirs = socket.socketpair()
        channel, process = Channel(ours), None
        output = ChildOutput() if policy.captured else None
        written_to = subprocess.DEVNULL if policy.quiet else None if output is None else output.end
        try:
            with _interrupts_blocked():
                process = subprocess.Popen(
                    [
                        sys.executable,
                        *_warning_options(policy),
                        "-c",
                        _BOOT,
                        str(os.getpid()),
                        str(theirs.fileno()),
                        str(shared),
                        *(entry or os.getcwd() for entry in sys.path),
                    ],
                    pass_fds=(theirs.fileno(), shared),
                    stdin=subprocess.DEVNULL,
                    stdout=written_to,
                    stderr=written_to,
                    start_new_session=policy.own_session,
                    cwd=policy.folder,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
            child = cls(process, channel, policy, board, output)
            with contextlib.suppress(OSError):  # it died: seen when it is listened to
                channel.send(dumps((sys.argv, policy.paths, policy.memory, dumps((entry, arguments)))))
        except BaseException:
            channel.close()
            board.close()
            if process is not None:
                process.kill()
                process.wait()
            raise
        finally:
            theirs.close()
            os.close(shared)
            if output is not None:
                os.close(output.end)
        return child

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has written to standard output and error, where its policy asks for that; the middle is left out."""
        if self._output is None:
            return ""
        return self._output.text(_LAST_WORDS if self._process.poll() is not None else 0.0)

    @property
    def step(self) -> ProcessStep:
        """What the process is doing; what it was doing, if it is dead."""
        return self._board.read()

    def send(self, request: Any) -> None:
        """Send a request; what was announced is forgotten. That the process is dead shows when it is listened to."""
        self.doing = None
        data = dumps(request)
        if not self.ready:
            # It does not read yet, and what is long would have to wait for it.
            self._unsent.append(data)
            return
        with contextlib.suppress(OSError):
            self._channel.send(data)

    def receive(self, deadline: Deadline | None = None) -> Received:
        """Wait for what the process sends next, and for its end.

        Args:
            deadline: becomes that of the process; by default it stays what it was.
        """
        if deadline is not None:
            self.deadline = deadline
        ((_, received),) = receive_any([self])
        return received

    def next_received(self) -> Received | None:
        """Return what there is to receive without waiting; None if there is nothing."""
        ended = self._process.poll() is not None
        data = self._channel.take(wait=False)
        if data is not None:
            return self._read(data)
        if ended or self._channel.closed:
            return Died(self._exit_code())
        return Hung() if self.deadline.passed or self.step.is_late else None

    def _read(self, data: bytes) -> Received:
        try:
            received: Received = loads(data)
        except Exception as error:  # noqa: BLE001 - of a type that does not load here
            return Unreadable(error_text(error))
        if isinstance(received, Announced):
            self.doing = received.what
        elif isinstance(received, Ready):
            self.ready = True
            unsent, self._unsent = self._unsent, []
            with contextlib.suppress(OSError):
                for request in unsent:
                    self._channel.send(request)
        return received

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(_END)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End the process, and everything that it started if it has a session of its own."""
        if self._stopped:
            return
        self._stopped = True
        self._channel.close()
        if self._policy.own_session:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def fileno(self) -> int:
        """Return the file descriptor that can be read from when there is something to receive."""
        return self._channel.fileno()

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def receive_any(
    children: Sequence[ChildProcess], deadline: Deadline = NO_DEADLINE
) -> list[tuple[ChildProcess, Received]]:
    """Wait until one of several processes sends something, is dead, or is silent at its deadline.

    Args:
        children: the processes.
        deadline: until when to wait at most.

    Returns:
        each process of which there is something, with one thing of it.
    """
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child, selectors.EVENT_READ)
        while True:
            each = [(child, child.next_received()) for child in children]
            ready = [(child, received) for child, received in each if received is not None]
            if ready or deadline.passed:
                return ready
            selector.select(min([_LOOK, deadline.left, *(child.deadline.left for child in children)]))


def _warning_options(policy: Policy) -> list[str]:
    """Return how an interpreter is told which warnings to show: those that this one shows.

    A child may be killed while a library of a user's has a semaphore of multiprocessing, which then is cleaned up by a
    helper process of that; nobody needs to be told.
    """
    if policy.quiet:
        return ["-Wignore"]
    return [*(f"-W{option}" for option in sys.warnoptions), "-Wignore:resource_tracker:UserWarning"]


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold Ctrl-C back meanwhile: a process that is started then is born so, and can say that it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
