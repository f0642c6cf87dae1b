"""Child processes that end with their parent, even if that is killed."""

from __future__ import annotations

import os
import selectors
import signal
import threading

#: Seconds between two looks at who the parent is: a copy that was forked off the parent keeps the pipe open.
_LOOK = 1.0


def end_with_parent(pipe: int) -> None:
    """End this process, and its group if it leads one, as soon as the process that started it is gone.

    Args:
        pipe: file descriptor to read from; its other end is open as long as the parent is there.
    """
    threading.Thread(target=_watch, args=(pipe, os.getppid()), daemon=True, name="orphans").start()


def _watch(pipe: int, parent: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while os.getppid() == parent and not selector.select(_LOOK):
            continue
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
