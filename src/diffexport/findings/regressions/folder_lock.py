"""One process at a time writes to a folder of stored regressions."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds to wait for another process, which needs milliseconds unless it was stopped.
_PATIENCE = 20.0


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Be the only one who writes to a folder meanwhile, as far as others ask for it, too.

    The folder itself is locked, so that there is no file of a lock to be left behind, and a process that is killed
    leaves no lock.

    Yields:
        whether there is a lock: not on Windows, nor on some network drives, nor where another process has kept it for
        long.
    """
    descriptor = None
    try:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        yield descriptor is not None and _lock(descriptor)
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        except OSError:
            return False
        else:
            return True
