"""Mutators of constants: slightly off, off by one, of the other sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from diffexport.arrays import Array, is_floating
from diffexport.tools.mutate.registry import Edit, Mutator, register
from diffexport.tools.mutate.surgery import Constant, Draft

#: Larger constants are weights, of which one element in the middle is changed: what a subtle bug would concern.
_SMALL = 16

#: Returns the changed value of one element; None where the change makes no sense.
Change = Callable[[Any], Any]


def _relative(by: float) -> Change:
    return lambda value: value.dtype.type(float(value) * (1 + by)) if value and np.isfinite(value) else None


def _ulp(value: Any) -> Any:
    return np.nextafter(value, value.dtype.type(np.inf)) if np.isfinite(value) else None


def _off_zero(value: Any) -> Any:
    return value.dtype.type(1e-4) if value == 0 else None


def _negated(value: Any) -> Any:
    return -value if value and np.isfinite(value) else None


def _plus(step: int) -> Change:
    def change(value: Any) -> Any:
        info = np.iinfo(value.dtype)
        return value.dtype.type(int(value) + step) if info.min <= int(value) + step <= info.max else None

    return change


_FLOATS: tuple[tuple[str, str, Change], ...] = (
    ("constant-1e-4", "a constant a ten-thousandth off", _relative(1e-4)),
    ("constant-1e-5", "a constant 1e-5 off", _relative(1e-5)),
    ("constant-5e-6", "a constant 5e-6 off", _relative(5e-6)),
    ("constant-ulp", "a constant one unit in the last place off; often equivalent", _ulp),
    ("constant-half", "a constant halved", _relative(-0.5)),
    ("constant-negated", "a constant of the other sign", _negated),
    ("constant-off-zero", "1e-4 in place of zero", _off_zero),
)
_INTEGERS: tuple[tuple[str, str, Change], ...] = (
    ("constant-plus-one", "an integer constant (k, axis, start, size) one too large", _plus(1)),
    ("constant-minus-one", "an integer constant one too small", _plus(-1)),
)


def _changed(constant: Constant, change: Change) -> Array | None:
    array = np.array(constant.array)
    flat = array.reshape(-1)
    places = range(flat.size) if flat.size <= _SMALL else (flat.size // 2,)
    with np.errstate(all="ignore"):
        values = [change(flat[place]) for place in places]
        for place, value in zip(places, values, strict=True):
            if value is not None:
                flat[place] = value
    return array if any(value is not None for value in values) else None


def _sites(change: Change, floating: bool) -> Callable[[Draft], Iterator[tuple[str, Edit]]]:
    def sites(draft: Draft) -> Iterator[tuple[str, Edit]]:
        for constant in draft.constants():
            kind = constant.array.dtype
            if not (is_floating(kind) if floating else kind.kind in "iu"):
                continue
            array = _changed(constant, change)
            if array is None or array.tobytes() == constant.array.tobytes():
                continue

            def edit(copy: Draft, constant: Constant = constant, array: Array = array) -> None:
                copy.set_constant(constant, array)
                copy.forget_shapes()

            yield f"constant {constant.name} = {_show(array)}", edit

    return sites


def _show(array: Array) -> str:
    return str(array.tolist()) if array.size <= 4 else f"{array.dtype}{list(array.shape)}"


for _name, _summary, _change in _FLOATS:
    register(Mutator(_name, _summary, _sites(_change, True)))
for _name, _summary, _change in _INTEGERS:
    register(Mutator(_name, _summary, _sites(_change, False)))
