"""Stored findings that are no longer what was stored: cut off, edited into nonsense, replaced by what is no file."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: Values that are put where others stand.
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), "", "x" * 100_000, "\ud800", "\x00", "0x1p+99999999",
    "0x" + "1" * 5000 + "p0", "nan:zz", [], [[]], {}, {"type": "named", "value": "os.abort"}, [0] * 65, [10**12],
    [-1], [2**31, 2**31], "../../etc/passwd", "/dev/zero", ["inf"] * 3, {"dtype": "float32"}, "float33", "object",
)  # fmt: skip
#: Targets that are no models.
TARGETS = (
    "os:abort", "signal:pause", "os:fork", "sys:exit", "posix:_exit", "builtins:input", "builtins:breakpoint",
    "antigravity:nothing", "this:s", "time:sleep", "ctypes:string_at", "nowhere.py:x", "/etc/passwd:x", ":", "a:b:c",
    "project.py:", "project.py:Nothing", "project.py:doubled.build.__globals__", "../project.py:doubled", "\x00:x",
    "x" * 10_000 + ":y", "hanging.py:case", "leaving.py:case", "aborting.py:case", "forking.py:case",
)  # fmt: skip
#: Modules that the project has besides, so that a target may name them.
MODULES = {
    "hanging.py": "import time\nwhile True: time.sleep(1)\n",
    "leaving.py": "raise SystemExit(0)\n",
    "aborting.py": "import os\nos.abort()\n",
    "forking.py": "import os\nos.fork()\n",
}

Document = dict[str, Any]
Mutation = Callable[[random.Random, Path], str]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the paths of everything inside a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def _edit(path: Path, change: Callable[[Document], str]) -> str:
    document = json.loads(path.read_text())
    words = change(document)
    path.write_text(json.dumps(document), encoding="utf-8", errors="surrogatepass")
    return words


def _container(document: Document, place: tuple[Any, ...]) -> Any:
    value: Any = document
    for key in place[:-1]:
        value = value[key]
    return value


def _replaced(rng: random.Random, path: Path) -> str:
    def change(document: Document) -> str:
        place = rng.choice(list(places(document)))
        value = copy.deepcopy(rng.choice(NASTY))
        _container(document, place)[place[-1]] = value
        return f"{'.'.join(map(str, place))} = {str(value)[:40]!r}"

    return _edit(path, change)


def _removed(rng: random.Random, path: Path) -> str:
    def change(document: Document) -> str:
        place = rng.choice(list(places(document)))
        del _container(document, place)[place[-1]]
        return f"without {'.'.join(map(str, place))}"

    return _edit(path, change)


def _other_target(rng: random.Random, path: Path) -> str:
    def change(document: Document) -> str:
        document["target"] = rng.choice(TARGETS)
        return f"target {document['target'][:60]!r}"

    return _edit(path, change)


def _named(rng: random.Random, path: Path) -> str:
    def change(document: Document) -> str:
        name = rng.choice(
            ["os.abort", "signal.pause", "os.fork", "sys.exit", "builtins.exec", "project.Doubled", "x" * 9]
        )
        text = rng.choice([name, f"{name}()", f"torch.nn.Linear({10**9}, {10**9})", f"torch.ones({10**12})"])
        document["inputs"][0] = {"type": "named", "value": text}
        return f"named {text!r}"

    return _edit(path, change)


def _large(rng: random.Random, path: Path) -> str:
    def change(document: Document) -> str:
        shape = rng.choice([[1] * 65, [10**6, 10**6], [0, 10**15], [2**62, 4], [10**9], [1] * 5000])
        argument = document[rng.choice(["inputs", "export_inputs", "eager", "got"])][0]
        argument["shape"], argument["strides"] = shape, rng.choice([[0] * len(shape), [1] * len(shape), []])
        if rng.random() < 0.5:
            argument.pop("file", None)
            argument["values"] = ["0x0p+0"]
        return f"shape {str(shape)[:40]}"

    return _edit(path, change)


def _digits(rng: random.Random, path: Path) -> str:
    text = path.read_text()
    number = "9" * rng.choice([4301, 5000, 100_000])
    key = rng.choice(['"seed": 0', '"version": 1'])
    path.write_text(text.replace(key, key.rpartition(" ")[0] + f" {number}"))
    return f"{key} as {len(number)} digits"


def _nested(rng: random.Random, path: Path) -> str:
    depth = rng.choice([900, 5000, 200_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    path.write_text(
        rng.choice(["", '{"diffexport": "regression", "inputs": ']) + opening * depth + "1" + closing * depth
    )
    return f"{depth} brackets"


def _cut(rng: random.Random, path: Path) -> str:
    data = path.read_bytes()
    length = rng.randrange(len(data))
    path.write_bytes(data[:length])
    return f"cut off at byte {length}"


def _bytes(rng: random.Random, path: Path) -> str:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 5, 50])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(bytes(data))
    return "other bytes"


def _foreign(rng: random.Random, path: Path) -> str:
    data = rng.choice(
        [
            b"",
            b"\x00" * 100,
            b"null",
            b"[]",
            b"\xff\xfe{}",
            b"\xef\xbb\xbf{}",
            rng.randbytes(500),
            b"1e999999",
        ]
    )
    path.write_bytes(data)
    return f"holds {data[:20]!r}"


def _unusual_file(rng: random.Random, path: Path) -> str:
    """Put what is no regular file in the place of a file, or one that is far too large."""
    what = rng.choice(["fifo", "folder", "loop", "dangling", "zero", "sparse", "unreadable"])
    data = path.read_bytes()
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "dangling":
        path.symlink_to("nowhere")
    elif what == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(data)
        if what == "sparse":
            os.truncate(path, 10 * 2**40)
        else:
            path.chmod(0)
    return f"{path.name.rpartition('.')[2]}: {what}"


def _side(path: Path) -> Path:
    """Return a file beside a stored finding; that of its first input."""
    document = json.loads(path.read_text())
    return path.parent / str(document["inputs"][0].get("file"))


def _side_file(rng: random.Random, path: Path) -> str:
    """Spoil a file beside a stored finding; one that has none is cut off."""
    side = _side(path)
    if not side.is_file():
        return _cut(rng, path)
    what = rng.choice(
        ["cut", "bytes", "gone", "archive", "objects", "claims", "header", "other", "unusual", "version"]
    )
    data = side.read_bytes()
    if what == "unusual":
        return "side " + _unusual_file(rng, side)
    if what == "gone":
        side.unlink()
        return "side gone"
    side.write_bytes(_spoiled(rng, what, data))
    return f"side {what}"


def _spoiled(rng: random.Random, what: str, data: bytes) -> bytes:
    if what == "cut":
        return data[: rng.randrange(len(data))]
    if what == "bytes":
        return bytes(byte if rng.random() > 0.05 else rng.randrange(256) for byte in data)
    stream = io.BytesIO()
    if what == "archive":
        np.savez(stream, x=np.zeros(300, "float32"))
    elif what == "objects":
        np.save(stream, np.array([{}, []], dtype=object))
    elif what == "other":
        np.save(stream, np.zeros((3, 100), "int64"))
    else:
        shapes = {"claims": "(1000000000000,)", "header": "(" * 3000, "version": "(300,)"}
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shapes[what]}, }}".encode()
        version = b"\x09\x09" if what == "version" else b"\x01\x00"
        return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + b"\x00" * 1200
    return stream.getvalue()


#: What can happen to a stored finding.
MUTATIONS: tuple[Mutation, ...] = (
    _replaced, _replaced, _replaced, _removed, _removed, _other_target, _other_target, _named, _large, _digits, _nested,
    _cut, _cut, _bytes, _bytes, _foreign, _unusual_file, _side_file, _side_file, _side_file,
)  # fmt: skip
