"""The operators of one eager run: copies of what they give, what each depends on, and the user's lines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
import torch

from diffexport.arrays import Array, to_array
from diffexport.backends.exporters import is_users_file, source_line

#: Most operators, and bytes of their results, that are kept of one run.
MOST_STEPS, MOST_BYTES = 4000, 128 << 20
#: Operators that hand on what they are given.
_SAME = frozenset(("alias", "detach", "lift_fresh", "lift_fresh_copy", "view_of"))


@dataclass(frozen=True, eq=False)
class EagerStep:
    """One operator that was run.

    Attributes:
        number: its place in the order of the run, from 0.
        name: with namespace, without overload: ``aten::sort``.
        key: its name and its number among those of that name: ``sort#0``.
        given: the steps that its arguments come from.
        results: copies of the tensors that it gives or writes to, as arrays.
        writes: it changes an argument.
        line: the user's line that runs it, see [source_line][diffexport.backends.exporters.source_line]; empty if
            there is none.
    """

    number: int
    name: str
    key: str
    given: tuple[int, ...]
    results: tuple[Array, ...]
    writes: bool
    line: str


@dataclass
class EagerSteps:
    """A handler of operators that calls each and writes it down; see [intercepted][diffexport.pytorch.intercepted].

    Attributes:
        steps: what was run so far.
        complete: whether all of it could be kept.
    """

    steps: list[EagerStep] = field(default_factory=list)
    complete: bool = True
    _made: dict[int, int] = field(default_factory=dict)
    _written: dict[int, int] = field(default_factory=dict)
    _whole: dict[int, torch.Tensor] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _bytes: int = 0

    def __call__(self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call one operator."""
        result = op.run(*args, **kwargs)
        if self.complete:
            self._note(op, args, kwargs, result)
        return result

    def _note(self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        given = sorted({step for tensor in _tensors((args, kwargs)) for step in self._sources(tensor)})
        results = list(_tensors(result))
        # Tensors are held, so that neither identities nor addresses are used twice.
        self._kept.append((result, args))
        number = len(self.steps)
        if op.base in _SAME:
            for tensor in results:
                for step in given[-1:]:
                    self._made[id(tensor)] = step
            return
        whole = []
        for tensor in results:
            address = _address(tensor)
            if op.writes and address in self._whole and self._whole[address] is not tensor:
                # What is written to through a view is shown as a whole by the export.
                whole.append(self._whole[address])
            self._whole.setdefault(address, tensor)
            self._made[id(tensor)] = number
            if op.writes or not op.is_view:
                self._written[address] = number
        arrays = [to_array(tensor) for tensor in (*results, *whole) if _is_plain(tensor)]
        self._bytes += sum(array.nbytes for array in arrays)
        if number >= MOST_STEPS or self._bytes > MOST_BYTES:
            self.complete = False
            return
        count = self._counts[op.base]
        self._counts[op.base] += 1
        name = op.base if "::" in op.base else f"aten::{op.base}"
        copies = tuple(np.array(array) for array in arrays)
        self.steps.append(
            EagerStep(number, name, f"{op.base}#{count}", tuple(given), copies, op.writes, _users_line())
        )

    def _sources(self, tensor: torch.Tensor) -> Iterator[int]:
        """Yield the steps that a tensor comes from: the one that gave it, and the last that wrote to its memory."""
        for step in (self._made.get(id(tensor)), self._written.get(_address(tensor))):
            if step is not None:
                yield step

    def behind(self, tensors: Sequence[Any]) -> frozenset[int]:
        """Return every step that some tensors depend on."""
        waiting = [step for tensor in _tensors(tensors) for step in self._sources(tensor)]
        seen: set[int] = set()
        while waiting:
            step = waiting.pop()
            if step not in seen:
                seen.add(step)
                waiting.extend(self.steps[step].given if step < len(self.steps) else ())
        return frozenset(seen)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_complex() and tensor.device.type == "cpu"


def _address(tensor: torch.Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr() or -id(tensor)
    except (NotImplementedError, RuntimeError):  # a sparse tensor has no memory of that kind
        return -id(tensor)


def _users_line() -> str:
    """Return the user's line that the operator is run from: the innermost one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file not in _USERS:
            _USERS[file] = is_users_file(file)
        if _USERS[file]:
            return source_line(file, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return ""


#: Which files of source are the user's, as far as they were asked about.
_USERS: dict[str, bool] = {}
