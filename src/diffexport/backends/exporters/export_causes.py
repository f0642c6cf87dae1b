"""Why an export failed: the innermost exception without boilerplate, the operator, the line of the user's source."""

from __future__ import annotations

import functools
import linecache
import os
import re
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from diffexport.errors import LONGEST_LINE, error_text, shortened

#: Exceptions that only say that something was looked up in vain, before another one was raised on purpose.
_LOOKUPS = (LookupError, AttributeError, ImportError, StopIteration)
#: Most exceptions that are followed, and most lines of a message.
_DEPTH, _LINES = 16, 6
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
#: From a line on that begins so, or from such words on, a message says what to do with torch, and not what is wrong.
_BOILERPLATE = re.compile(
    r"(?m)^\s*(?:The error above occurred when calling|For (?:more|extended|C\+\+) |If you suspect the guard|"
    r"Use tlparse|Original traceback|Defined at:|While executing %|The following call raised|User [Ss]tack|from user "
    r"code|Set TORCH|You can suppress this|Please report|Next steps|Caused by: \(|To fix the error|"
    r"consider using data-dependent|Inputs:|Traceback \(most recent|C\+\+ CapturedTraceback|Tried overloads)"
    r"|[.;]? ?(?:You may have run into this|Please (?:feel free to|open an? (?:issue|bug)|see the following)|"
    r"Tried overloads:)"
)
_OPERATORS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:While executing|translating node)[^\n]*target=torch\.ops\.(\w+)\.(\w+)",
        r"operator:? '?(\w+)::(\w+)",
        r"\b(\w+)::(\w+): attempted to run",
        r"\[target=torch\.ops\.(\w+)\.(\w+)",
        r"\b(aten|quantized|torchvision|prims)::(\w+)",
        r"\b(aten|quantized|torchvision|prims)\.(\w+)",
    )
)
_FUNCTION = re.compile(r"PythonOp(?: |, )'?(\w+)")
_FILES = (
    re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<name>\w+)'),
    re.compile(r"(?m)^\s*(?P<file>/[^\s(]+\.py)\((?P<line>\d+)\): (?P<name>\w+)"),
)
#: Where code lies that is not the user's.
_FOREIGN = tuple(
    os.path.realpath(path) + os.sep
    for path in {
        str(Path(torch.__file__).parent),
        str(Path(__file__).parents[2]),
        *(sysconfig.get_paths()[name] for name in ("purelib", "platlib", "stdlib")),
    }
)


@dataclass(frozen=True)
class FailureCause:
    """What an error of an exporter comes down to.

    Attributes:
        error: the type name of the innermost exception.
        message: its text, without colours and without advice about torch.
        operator: the operator concerned (``aten::sub``), or the name of an autograd Function; empty if unknown.
        line: the line of the user's source, ``model.py:12 in forward: return 1.0 - mask``; empty if unknown.
    """

    error: str
    message: str
    operator: str = ""
    line: str = ""

    @property
    def text(self) -> str:
        """What tells it from other causes: type and first line, without what changes from run to run."""
        first = self.message.partition("\n")[0]
        for pattern, put in _CHANGING:
            first = pattern.sub(put, first)
        return f"{self.error}: {first[:160].strip()}" + (f" ({self.operator})" if self.operator else "")

    @property
    def description(self) -> str:
        """The cause for a person: what is wrong, with which operator, where."""
        what = f"operator {self.operator}" if "::" in self.operator else f"Function {self.operator}"
        parts = [what if self.operator else "", f"at {self.line}" if self.line else ""]
        where = " ".join(part for part in parts if part)
        return f"{self.error}: {self.message}" + (f"\n{where}" if where else "")


#: Addresses, paths, symbols and numbers, in this order.
_CHANGING = (
    (re.compile(r"0x[0-9a-f]+"), "0x…"),
    (re.compile(r"(/[\w.+-]+)+"), "…"),
    (re.compile(r"\b[us]\d+\b"), "u#"),
    (re.compile(r"-?\b\d+(\.\d+)?\b"), "#"),
)


def cause_of(error: BaseException) -> FailureCause:
    """Return what an error of an exporter comes down to."""
    chain = list(_chain(error))
    texts = [_COLOUR.sub("", error_text(one)) for one in reversed(chain)]
    root = chain[-1]
    operator = next(filter(None, map(_operator, texts)), "")
    line = next(filter(None, (_last_line(text) for text in texts)), "")
    if not line:
        line = next(filter(None, (_line_of_traceback(one) for one in reversed(chain))), "")
    return FailureCause(type(root).__name__, _message(texts[0]), operator, line)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the innermost last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _DEPTH:
        seen.add(id(current))
        yield current
        before = current.__cause__
        if before is None and not current.__suppress_context__:
            context = current.__context__
            before = None if context is None or isinstance(context, _LOOKUPS) else context
        # One without a word explains nothing.
        current = before if before is not None and error_text(before).strip() else None


def _message(text: str) -> str:
    found = _BOILERPLATE.search(text)
    # What is boilerplate from its first word on is better than nothing.
    kept = text[: found.start()] if found is not None and text[: found.start()].strip() else text
    lines = [line.rstrip() for line in kept.strip().splitlines() if line.strip()]
    lines = [shortened(line, LONGEST_LINE) for line in lines[:_LINES]]
    return "\n".join(lines).rstrip(" .:;")


def _operator(text: str) -> str:
    for pattern in _OPERATORS:
        found = pattern.search(text)
        if found is not None:
            return f"{found[1]}::{found[2]}"
    function = _FUNCTION.search(text)
    return function[1] if function is not None else ""


def _last_line(text: str) -> str:
    """Return the innermost line of the user's that a text names; Python names it last, TorchScript first."""
    frames = [
        (m["file"], int(m["line"]), m["name"]) for m in _FILES[0].finditer(text) if is_users_file(m["file"])
    ]
    if not frames:
        found = [
            (m["file"], int(m["line"]), m["name"])
            for m in _FILES[1].finditer(text)
            if is_users_file(m["file"])
        ]
        frames = found[:1]
    return source_line(*frames[-1]) if frames else ""


def _line_of_traceback(error: BaseException) -> str:
    """Return the innermost line of the user's that an error was raised through."""
    frames = [
        (frame.f_code.co_filename, number, frame.f_code.co_name)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if is_users_file(frame.f_code.co_filename)
    ]
    return source_line(*frames[-1]) if frames else ""


def is_users_file(file: str) -> bool:
    """Return whether a file of source is the user's: not of Python, torch, an installed package or diffexport."""
    return file.endswith(".py") and not os.path.realpath(file).startswith(_FOREIGN) and os.path.exists(file)


@functools.lru_cache(maxsize=4096)
def source_line(file: str, number: int, function: str) -> str:
    """Return a line of source with its place: ``model.py:12 in forward: return 1.0 - mask``."""
    shown = os.path.relpath(file)
    code = linecache.getline(file, number).strip()
    place = f"{file if shown.startswith(os.pardir) else shown}:{number} in {function}"
    return f"{place}: {shortened(code, 200)}" if code else place
