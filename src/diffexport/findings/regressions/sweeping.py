"""Remove what no stored regression refers to any more: side files of one that was replaced, and of a torn write."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from diffexport import atomic
from diffexport.findings.regressions.listing import SUFFIX

#: How diffexport calls side files: by the argument that they are, and their content; earlier versions left that out.
_SIDE = re.compile(r".+--[0-9a-f]{8}\.(?:input|export|eager|got)\d+(?:\.[0-9a-f]{16})?\.npy")
#: And what it writes before it has its name, which is cut.
_TEMPORARY = re.compile(rf"\..*--.*{re.escape(atomic.UNFINISHED)}")
#: Seconds after which what was written without a lock belongs to nobody any more.
_ABANDONED = 3600.0


def sweep(folder: Path, *, locked: bool) -> None:
    """Remove the side files of a folder that no regression in it refers to, of those that diffexport wrote.

    Args:
        folder: what else is in it stays.
        locked: whether nobody else writes meanwhile; otherwise only what is an hour old is removed.
    """
    now = time.time()
    candidates: dict[str, Path] = {}
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) or _SIDE.fullmatch(path.name):
            with contextlib.suppress(OSError):
                if path.is_symlink() or not path.is_file():
                    continue
                if locked or now - path.stat().st_mtime > _ABANDONED:
                    candidates[path.name] = path
    if not candidates:
        return
    for path in folder.glob(f"*{SUFFIX}"):
        # A file that cannot be read keeps what it may refer to.
        try:
            text = path.read_bytes() if path.is_file() else b""
        except OSError:
            return
        for name in [name for name in candidates if name.encode() in text]:
            del candidates[name]
        if not candidates:
            return
    for path in candidates.values():
        with contextlib.suppress(OSError):
            path.unlink()
