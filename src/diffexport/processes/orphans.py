"""Child processes that end with their parent, even if that is killed."""

from __future__ import annotations

import os
import signal
import threading
import time

#: Seconds between two looks at who the parent is. A connection tells less: forked copies of the parent keep it open.
_LOOK = 0.3


def end_with_parent(parent: int) -> None:
    """End this process, and its group if it leads one, as soon as another process is its parent.

    Args:
        parent: number of the process that started this one.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="orphans").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
