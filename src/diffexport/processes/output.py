"""What a child process writes to its standard output and error: read all the time, kept in part."""

from __future__ import annotations

import os
import threading

from diffexport.errors import shortened

#: Bytes that are kept of the beginning, and of the end.
_KEPT = 16 << 10
_MOST_AT_ONCE = 1 << 16


class ChildOutput:
    """Reads what comes out of a pipe, so that no writer ever waits, and keeps the beginning and the end of it.

    Attributes:
        end: file descriptor of the end that is written to; the process that starts the writer closes it.
    """

    def __init__(self) -> None:
        self._read_end, self.end = os.pipe()
        self._head, self._tail = bytearray(), bytearray()
        self._length = 0
        self._thread = threading.Thread(target=self._read, daemon=True, name="diffexport-output")
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._read_end, _MOST_AT_ONCE):
                self._length += len(data)
                room = _KEPT - len(self._head)
                if room > 0:
                    self._head += data[:room]
                    data = data[room:]
                self._tail += data
                del self._tail[:-_KEPT]
        finally:
            os.close(self._read_end)

    def text(self, seconds: float = 0.0) -> str:
        """Return what was written, without the middle of what is long.

        Args:
            seconds: how long to wait for the last of it, once the process has ended.
        """
        self._thread.join(seconds)
        between = self._length - len(self._head) - len(self._tail)
        gap = f"\n… ({between} characters more) …\n".encode() if between > 0 else b""
        return shortened((bytes(self._head) + gap + bytes(self._tail)).decode("utf-8", "replace"), 3 * _KEPT)
