"""What runs in a child process: it prepares itself, then answers one request after the other."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from diffexport.errors import error_text, shortened
from diffexport.processes.channel import Channel
from diffexport.processes.current_step import STEPS, StepBoard
from diffexport.processes.foreign_code import expect_everything
from diffexport.processes.memory import limit_memory
from diffexport.processes.orphans import end_with_parent
from diffexport.processes.pickling import dumps
from diffexport.processes.received import Announced, Failed, Finished, Message, Ready
from diffexport.processes.warming import warm_up

#: Answers one request.
Handler = Callable[[Any], Any]


class ParentProcess:
    """The parent, as its child process sees it.

    A copy of the child that was forked off by what it imports or calls, and that comes back as if nothing had been,
    ends as soon as it would send something.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._process = os.getpid()

    def announce(self, what: Any) -> None:
        """Say what is about to be done; the parent keeps it as ``doing`` of the child.

        Raises:
            OSError: the parent is gone.
        """
        self._send(dumps(Announced(what)))

    def send(self, value: Any) -> None:
        """Send anything that is no answer.

        Raises:
            OSError: the parent is gone.
        """
        self._send(dumps(Message(value)))

    def serve(self, handler: Handler) -> None:
        """Answer requests until the parent sends no more."""
        self._send(dumps(Ready()))
        while (request := self._channel.take(wait=True)) is not None:
            self._send(_answer(handler, request))

    def _send(self, data: bytes) -> None:
        if os.getpid() != self._process:
            os._exit(0)
        self._channel.send(data)


def _answer(handler: Handler, request: bytes) -> bytes:
    """Return the answer to a request, as it is sent; whatever goes wrong is one."""
    try:
        return dumps(Finished(handler(pickle.loads(request))))  # noqa: S301 - from the process that started this one
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - reported by the parent, with what was asked
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename}:{where.lineno}"
        return dumps(Failed(f"{type(error).__name__}: {error_text(error)}", place, _trace(error)))


def _trace(error: Exception) -> str:
    """Return a traceback as text, without the text of the error, which may be of any length."""
    lines = traceback.format_list(traceback.extract_tb(error.__traceback__))
    last = f"{type(error).__name__}: {error_text(error)}\n"
    return shortened("".join(["Traceback (most recent call last):\n", *lines])) + last


def main(parent: int, connection: int, board: int) -> None:
    """Do what the parent asks for until it is done or gone.

    Args:
        parent: its number.
        connection: file descriptor of the socket that messages go over.
        board: file descriptor of the memory that shows the current step.
    """
    # Blocked since this process was born; see ChildProcess.start.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.set_inheritable(connection, False)
    STEPS.show_on(StepBoard(board))
    os.close(board)
    end_with_parent(parent)
    channel = Channel(socket.socket(fileno=connection))
    start = channel.take(wait=True)
    if start is None:
        return
    try:
        _run(channel, start)
    except BrokenPipeError:
        return
    except KeyboardInterrupt:
        # Raised by what is called, as nothing else does here; a process that ends by this looks as if it was killed.
        traceback.print_exc()
        sys.exit(1)


def _run(channel: Channel, start: bytes) -> None:
    sys.argv[:], paths, memory, call = pickle.loads(start)  # noqa: S301 - from the process that started this one
    sys.path[:0] = paths
    entry, arguments = pickle.loads(call)  # noqa: S301
    parent = ParentProcess(channel)
    expect_everything()
    handler = entry(parent, *arguments)
    warm_up()
    if memory:
        limit_memory(memory)
    parent.serve(handler)
