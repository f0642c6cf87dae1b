"""Stored regressions that were changed anyhow: each is read, or refused with a message; quickly, and without a trace.

10,000 of them in the profile ``nightly``.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport import Kind, Mode, Stage
from diffexport.errors import DiffexportError, RegressionFileError
from diffexport.findings.regressions import SUFFIX, Regression, files, load
from diffexport.findings.regressions.format import dumps
from diffexport.findings.scripts import unexecuted_script
from diffexport.values import Place

NIGHTLY = settings.get_current_profile_name() == "nightly"
#: Seconds in which any file has been read; a good one takes a millisecond.
QUICK = 10.0
STEM = "mutated--value--0123abcd"


def with_side_files() -> tuple[str, dict[str, bytes]]:
    """Return a regression with side files, which are called by what they are for alone, as earlier versions did."""
    arrays = (np.linspace(0, 1, 300, dtype=np.float32), np.arange(512, dtype=np.int64).reshape(2, 256))
    regression = Regression(
        "clamp",
        "clamp",
        Mode("torchscript"),
        "ort-disabled",
        Stage.COMPARE,
        Kind.VALUE,
        Place.output(0),
        "",
        "differs",
        arrays,
        arrays,
        arrays[:1],
        arrays[:1],
    )
    text, side = dumps(regression, STEM)
    renamed = {}
    for name, data in side.items():
        stem, role, _, suffix = name.rsplit(".", 3)
        renamed[f"{stem}.{role}.{suffix}"] = data
        text = text.replace(name, f"{stem}.{role}.{suffix}")
    return text, renamed


SIDE_TEXT, SIDE_FILES = with_side_files()
STORED = [path.read_text() for path in files([Path(__file__).parents[1] / "regressions"])]
TEXTS = [SIDE_TEXT, *STORED]

#: What makes trouble where it stands in place of something else.
NASTY: list[Any] = [
    None,
    True,
    -1,
    2**31,
    2**63,
    10**400,
    1.5,
    "",
    "\ud800",
    "\0",
    "../x.npy",
    "os:abort",
    "x" * 5000,
    "0x1p+99999999",
    "nan:7fc00001",
    "nan:ffffffffffffffffffff",
    "-inf",
    "float64",
    "bfloat16",
    "complex128",
    "object",
    [],
    {},
    [1] * 65,
    [2**40, 2**40],
    [[[[]]]],
    {"type": "named", "value": "torch.float16"},
    {"type": "named", "value": "os.abort"},
    {"type": "int", "value": 10**400},
    {"type": "float", "value": "0x1p+99999999"},
    {"type": "list", "value": [{"type": "none"}]},
    {"type": "tuple", "value": None},
    {"dtype": "float32", "shape": [0, 2**39], "strides": [1, 1], "values": []},
    {"dtype": "float32", "shape": [1], "strides": [2**39], "values": ["0x1p+0"], "offset": 2**20},
    {"dtype": "bool", "shape": [], "strides": [], "values": [True], "same_as": 0},
]
#: Bytes that mean something to JSON, or to the header of a side file.
CHUNKS = [
    *(
        b"",
        b"\0",
        b"\xff",
        b'"',
        b"{",
        b"[",
        b"]",
        b",",
        b"\\u",
        b"\\ud800",
        b"NaN",
        b"1e999",
        b"-",
        b"9" * 5000,
    ),
    *(b"[" * 2000, b"(1000000000000,)", b"|O", b"<f8", b">f4", b"True", b"\x93NUMPY\x03\x00", b"PK\x03\x04"),
]


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to everything inside a JSON document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    ways = []
    for key, value in items:
        ways.append((*at, key))
        if isinstance(value, dict | list):
            ways += places(value, (*at, key))
    return ways


@st.composite
def changed_documents(draw: st.DrawFn) -> bytes:
    """Draw a stored regression in which some values are others, gone, or of another place."""
    document = copy.deepcopy(json.loads(draw(st.sampled_from(TEXTS))))
    for _ in range(draw(st.integers(1, 3))):
        ways = places(document)
        way = draw(st.sampled_from(ways))
        holder = document
        for key in way[:-1]:
            holder = holder[key]
        change = draw(st.sampled_from(["replace", "remove", "swap"]))
        if change == "remove":
            del holder[way[-1]]
        elif change == "replace":
            holder[way[-1]] = copy.deepcopy(draw(st.sampled_from(NASTY)))
        else:
            other = document
            for key in draw(st.sampled_from(ways)):
                other = other[key]
            holder[way[-1]] = copy.deepcopy(other)
        if not document:
            break
    return json.dumps(document).encode()


@st.composite
def changed_bytes(draw: st.DrawFn, given: bytes) -> bytes:
    """Draw a file of which some bytes are others, gone or twice."""
    data = given
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.integers(0, 12)), len(data))
        data = data[:start] + draw(st.sampled_from([*CHUNKS, data[start:end] * 2])) + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@st.composite
def changed_files(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes]]:
    """Draw a regression file and its side files, of which something was changed."""
    which = draw(st.sampled_from(["document", "text", "side"]))
    if which == "document":
        return draw(changed_documents()), SIDE_FILES
    if which == "text":
        return draw(changed_bytes(draw(st.sampled_from(TEXTS)).encode())), SIDE_FILES
    name = draw(st.sampled_from(sorted(SIDE_FILES)))
    # The header is where most of it is decided.
    data = SIDE_FILES[name]
    head = draw(changed_bytes(data[:128]))
    return SIDE_TEXT.encode(), {**SIDE_FILES, name: head + data[128:]}


def write(folder: Path, name: str, changed: tuple[bytes, dict[str, bytes]]) -> Path:
    text, side = changed
    for side_name, data in side.items():
        (folder / side_name).write_bytes(data)
    path = folder / f"{name}{SUFFIX}"
    path.write_bytes(text)
    return path


@settings(max_examples=10_000 if NIGHTLY else 150)
@given(changed_files())
def test_a_changed_file_is_read_or_refused(changed: tuple[bytes, dict[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), STEM, changed)
        begun, said = time.monotonic(), ""
        try:
            compile(unexecuted_script(load(path), Path.cwd()), "script", "exec")
        except RegressionFileError as error:
            said = str(error).removeprefix(f"{path}: ") or "nothing"
        except DiffexportError as error:
            said = str(error) or "nothing"
        assert time.monotonic() - begun < QUICK
        assert str(path) not in said
        assert said != "nothing"
        assert len(said) < 3000


@pytest.mark.slow
@settings(max_examples=25 if NIGHTLY else 1)
@given(st.lists(changed_files(), min_size=12, max_size=12))
def test_the_command_gives_each_changed_file_a_line(several: list[tuple[bytes, dict[str, bytes]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text("")
        for number, changed in enumerate(several):
            (folder / f"{number:02}").mkdir()
            write(folder / f"{number:02}", STEM, changed)
        limits = ["--import-timeout", "60", "--export-timeout", "60", "--check-timeout", "60"]
        program = "from diffexport.faces.cli import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", program, "replay", ".", *limits],
            capture_output=True,
            cwd=folder,
            timeout=580,
            check=False,
        )
    said = (ran.stdout + ran.stderr).decode()
    assert "Traceback" not in said, said
    assert ran.returncode in (0, 1, 2), said
    heads = [line for line in said.splitlines() if line.endswith(f"{STEM}{SUFFIX}")]
    assert len(heads) == len(several), said
