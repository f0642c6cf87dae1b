"""Read files that anybody may have written: regular ones only, up to a size, and nothing in them is believed."""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
from pathlib import Path

import numpy as np

from diffexport.arrays import Array
from diffexport.errors import RegressionFileError
from diffexport.values import counted

#: Most dimensions that numpy and torch can both have.
MOST_DIMENSIONS = 64
#: Most bytes that the header of a ``.npy`` file may have.
_LONGEST_HEADER = 10_000


def read_regular(path: Path, largest: int) -> bytes:
    """Return the content of a file.

    Raises:
        RegressionFileError: it is no regular file, is larger than ``largest`` bytes, or cannot be read; the text says
            which, without the path.
    """
    try:
        _check_regular(os.stat(path))
        # Without waiting, should it have become a FIFO meanwhile.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _check_regular(status)
            if status.st_size > largest:
                raise RegressionFileError(f"has {status.st_size:,} bytes; at most {largest:,} are read")
            data = file.read(largest + 1)
    except (OSError, ValueError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RegressionFileError(f"cannot be read: {why}") from None
    if len(data) > largest:
        raise RegressionFileError(f"has more than the {largest:,} bytes that are read")
    return data


def _check_regular(status: os.stat_result) -> None:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise RegressionFileError(f"cannot be read: it is {kinds.get(kind, 'something else')}, not a file")


def check_side_name(name: str) -> None:
    """Return if a side file of this name lies beside the regression file.

    Raises:
        RegressionFileError: it has a path in it, or cannot be the name of a file.
    """
    if not name or name in (".", "..") or any(sign in name for sign in "/\\\0") or len(name) > 255:
        raise RegressionFileError(f"side file {name[:80]!r} must lie beside the regression file")


def read_side_file(folder: Path, name: str, largest: int) -> bytes:
    """Return the content of a side file.

    Raises:
        RegressionFileError: it lies elsewhere, also through a link, or see [read_regular][].
    """
    check_side_name(name)
    path = folder / name
    try:
        elsewhere = path.is_symlink() and path.resolve().parent != folder.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise RegressionFileError(f"side file {path} cannot be read: {error}") from None
    if elsewhere:
        raise RegressionFileError(
            f"side file {path} is a link to another folder; it must lie beside the regression file"
        )
    try:
        return read_regular(path, largest)
    except RegressionFileError as error:
        raise RegressionFileError(f"side file {path} {error}") from None


def parse_npy(data: bytes) -> Array:
    """Return the array of a ``.npy`` file, whose header must fit its content; nothing is unpickled.

    Raises:
        RegressionFileError: it is no such file, or its header claims something else.
    """
    stream = io.BytesIO(data)
    try:
        # A header of Python 2 is a warning, and no file of ours.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            version = np.lib.format.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise RegressionFileError(f"is of version {version} of the .npy format, which is not read")
            read = np.lib.format.read_array_header_1_0
            if version == (2, 0):
                read = np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream, max_header_size=_LONGEST_HEADER)
    except RegressionFileError:
        raise
    except Exception as error:  # noqa: BLE001 - numpy's parser raises whatever Python's does
        said = str(error).splitlines() or [type(error).__name__]
        raise RegressionFileError(f"is no .npy file: {said[0][:200]}") from None
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or dtype.kind not in "biufc":
        raise RegressionFileError(f"holds {str(dtype)[:80]}, which is no dtype of a tensor")
    if len(shape) > MOST_DIMENSIONS:
        raise RegressionFileError(
            f"has {counted(len(shape), 'dimension')}; at most {MOST_DIMENSIONS} are read"
        )
    content = len(data) - stream.tell()
    claimed = math.prod(shape) * dtype.itemsize
    if any(size < 0 for size in shape) or claimed != content:
        raise RegressionFileError(f"claims {claimed:,} bytes of values and has {content:,}")
    values = np.frombuffer(data, dtype, offset=stream.tell())
    array: Array = values.reshape(shape, order="F" if fortran else "C").copy()
    return array
