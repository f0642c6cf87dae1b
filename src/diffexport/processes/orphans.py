"""Child processes that end with their parent, even if that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """End this process, and its group if it leads one, as soon as the process that started it is gone.

    To be called in a child process of multiprocessing; elsewhere it does nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True, name="orphans").start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
