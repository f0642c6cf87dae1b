"""One end of a connection between two processes; whole messages go over it, as bytes."""

from __future__ import annotations

import contextlib
import socket
import struct

_LENGTH = struct.Struct("!Q")
_MOST_AT_ONCE = 1 << 18


class Channel:
    """One end of a connection.

    Args:
        end: a connected stream socket, which is the channel's from now on.

    Attributes:
        closed: the other end has been closed and nothing more will come.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray()
        self.closed = False

    def fileno(self) -> int:
        """Return the file descriptor, to wait for."""
        return self._end.fileno()

    def send(self, data: bytes) -> None:
        """Send one message.

        Raises:
            OSError: nobody is at the other end.
        """
        self._end.sendall(_LENGTH.pack(len(data)) + data)

    def take(self, *, wait: bool) -> bytes | None:
        """Return the next message; None if there is none, or without ``wait``, if it is not there as a whole yet."""
        while True:
            data = self._first()
            if data is not None or not self._read(wait=wait):
                return data

    def _first(self) -> bytes | None:
        """Take a message that was read as a whole out of the buffer."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return data

    def _read(self, *, wait: bool) -> bool:
        """Read something; return whether there was anything."""
        try:
            data = self._end.recv(_MOST_AT_ONCE, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:  # reset: the process at the other end was killed while something was on its way
            data = b""
        self._buffer += data
        self.closed = not data
        return bool(data)

    def close(self) -> None:
        """Close this end."""
        with contextlib.suppress(OSError):
            self._end.close()
