"""Write a file whole or not at all.

Maintained packages for this either do not fsync (``safer``) or have been retired (``atomicwrites``); a
finding that was reported as saved must survive a power cut, hence these few lines.

What is no regular file — a device, a pipe, an open descriptor such as ``/dev/stdout`` — is never replaced: it is
written to as it stands. Symbolic links are followed, so that the link stays and its target gets the content.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import secrets
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: How the name of a file ends that is not complete yet.
UNFINISHED = ".diffexport-tmp"
#: After so many seconds such a file was left by a process that is dead.
_FORGOTTEN = 3600.0
#: Why a file cannot be replaced though it may be there to be written: its folder cannot be, or it is a mount point.
_NOT_REPLACEABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
#: Most seconds that a pipe is waited for to be read.
_PATIENCE = 10.0
#: Most links that are followed.
_LINKS = 40
_DESCRIPTORS = re.compile(r"/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/fd|/dev/fd")
#: The folders that were swept by this process.
_swept: set[Path] = set()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the content of ``path`` with ``data``, durably; on any error the old content stays.

    A file that is there keeps its permissions. One that may be written while its folder may not is written in place,
    and is as it was again where that fails. What is no regular file is written to and cannot be as it was.

    Raises:
        OSError: it cannot be written, is a folder, its name is not possible, or the disk is full.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a path cannot hold a NUL character", str(path))
    target, descriptor = _followed(path)
    if descriptor is not None:
        _write_descriptor(descriptor, data)
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        before = os.stat(target)
        if stat.S_ISDIR(before.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(before.st_mode):
            _write_device(target, data)
            return
        try:
            _replace(target, data, before)
        except OSError as error:
            if error.errno not in _NOT_REPLACEABLE or not os.access(target, os.W_OK):
                raise
            _rewrite(target, data)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(target, data, None)


def write_text(path: Path, text: str) -> None:
    """Replace the file at ``path`` with ``text`` (UTF-8); see [write_bytes][]."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, document: Any) -> None:
    """Replace the file at ``path`` with a document as JSON, whatever characters its texts hold; see [write_bytes][]."""
    write_text(path, json_text(document, indent=1) + "\n")


def json_text(document: Any, *, indent: int | None = None) -> str:
    """Return a document as JSON that can be encoded: halves of surrogate pairs are written as escapes."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


def _followed(path: Path) -> tuple[Path, int | None]:
    """Return what a path leads to when links are followed, or the open descriptor of this process that it names."""
    for _ in range(_LINKS):
        name, folder = os.path.basename(path), os.path.realpath(os.path.dirname(path))
        if name.isdecimal() and _is_of_this_process(folder):
            return path, int(name)
        try:
            link = os.readlink(path)
        except OSError:
            return path, None
        path = path.parent / link
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _is_of_this_process(folder: str) -> bool:
    """Return whether a folder lists the descriptors of this process."""
    if _DESCRIPTORS.fullmatch(folder) is None:
        return False
    parts = folder.split("/")
    return parts[1] == "dev" or parts[2] == str(os.getpid())


def _replace(target: Path, data: bytes, before: os.stat_result | None) -> None:
    """Put a new file in the place of one that is there, or of none."""
    _sweep(target.parent)
    temporary = target.parent / f".{target.name[:40]}.{secrets.token_hex(6)}{UNFINISHED}"
    # The mode is that of any new file: the kernel takes away what the umask says.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write_all(descriptor, data)
            if before is not None:
                _take_over(descriptor, before)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def _take_over(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the owner and the permissions of the one whose place it takes."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
    if stat.S_IMODE(now.st_mode) != stat.S_IMODE(before.st_mode):
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _rewrite(target: Path, data: bytes) -> None:
    """Write over a file in a folder that cannot be written; where that fails, write what it held again."""
    old = target.read_bytes()
    with _opened(target, os.O_WRONLY) as descriptor:
        try:
            _write_all(descriptor, data)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.lseek(descriptor, 0, os.SEEK_SET)
                _write_all(descriptor, old)
                os.ftruncate(descriptor, len(old))
            raise


def _write_device(target: Path, data: bytes) -> None:
    """Write to what is no regular file, which is left as it is; nobody waits for ever for a pipe to be read."""
    with contextlib.closing(_device(target)) as file:
        left = memoryview(data)
        while left:
            written = file.write(left)
            if written is not None:
                left = left[written:]
            elif not select.select([], [file], [], _PATIENCE)[1]:
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it", str(target))


def _device(target: Path) -> io.FileIO:
    """Open what is no regular file for writing without being blocked by it."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            return io.FileIO(descriptor, "wb")
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(target).st_mode):
                raise
            if time.monotonic() > until:
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it", str(target)) from None
        time.sleep(0.05)


def _write_descriptor(descriptor: int, data: bytes) -> None:
    """Write to an open file of this process, behind what was written there before."""
    copy = os.dup(descriptor)
    try:
        _write_all(copy, data)
    finally:
        os.close(copy)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be opened (not on Windows)."""
    with contextlib.suppress(OSError), _opened(folder, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder; once in each process."""
    if folder in _swept:
        return
    _swept.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(UNFINISHED):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _FORGOTTEN:
                        os.unlink(entry.path)
