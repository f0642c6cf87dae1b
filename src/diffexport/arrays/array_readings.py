"""Arrays as short texts for people: small ones as their values, large ones as a background and what is otherwise."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from diffexport.arrays.array_types import Array
from diffexport.arrays.dtypes import as_parts, is_complex, is_floating
from diffexport.arrays.fillings import Filling, decoded_number, decoded_numbers
from diffexport.arrays.found_fillings import found_filling
from diffexport.arrays.number_texts import short_complex, short_number

#: Most elements that are written down one by one, and longest text of them where something shorter can be said.
_WRITTEN, _LONGEST = 64, 300
#: Most places of numbers that are not finite that are named beside a range of values.
_PLACED = 4
#: Most elements that are named beside a background.
_NAMED = 16
#: Most numbers of a background that are named.
_NUMBERS = 8


def reads(array: Array) -> str:
    """Return a short text of the values for a person: ``[nan, 1, -0]``, ``zeros but [0, 2, 17, 4] = nan``."""
    what, otherwise = _reading(array)
    return what + otherwise


def described(array: Array) -> str:
    """Return values, dtype and shape: ``[nan, 1] float32[2]``, ``zeros float32[1, 3, 64, 64] but [0, 2, 7, 4] = 1``."""
    what, otherwise = _reading(array)
    return f"{what} {array.dtype}[{', '.join(map(str, array.shape))}]{otherwise}"


def _reading(array: Array) -> tuple[str, str]:
    """Return what most of an array is, and what is otherwise."""
    few = array.size <= _WRITTEN or array.dtype.hasobject
    text = _written(array) if few else ""
    if few and len(text) <= _LONGEST:
        return text, ""
    filling = None if array.dtype.hasobject else found_filling(array, _NAMED)
    if filling is not None and not (few and len(filling.placed) > array.size // 4):
        return _background(filling), _otherwise(filling)
    # Of so few none is left out: it may be the one that matters.
    return (text or _summary(array)), ""


def _written(array: Array) -> str:
    """Return every value."""
    text = np.array2string(
        array.view(np.ndarray),
        separator=", ",
        threshold=_WRITTEN,
        max_line_width=10_000,
        formatter={
            "float_kind": short_number,
            "complex_kind": short_complex,
            "numpystr": short_number,  # what numpy does not know otherwise: bfloat16
            "bool": lambda value: str(value).lower(),
        },
    )
    return " ".join(text.split())


def _background(filling: Filling) -> str:
    numbers = [_short(number) for number in decoded_numbers(filling)]
    seed = f", seed {filling.seed}"
    if filling.family == "constant":
        return {"0": "zeros", "1": "ones", "0+0j": "zeros", "1+0j": "ones"}.get(
            numbers[0], f"full of {numbers[0]}"
        )
    if filling.family == "uniform":
        return f"uniform({numbers[0]}..{numbers[1]}{seed})"
    if filling.family == "normal":
        return f"normal(mean {numbers[0]}, deviation {numbers[1]}{seed})"
    if filling.family == "ramp":
        return f"ramp(from {numbers[0]} by {numbers[1]}, again after {numbers[2]})"
    if filling.family == "sparse":
        return f"sparse({numbers[1]}, one in {numbers[0]} of {', '.join(numbers[2:])}{seed})"
    if len(numbers) > _NUMBERS:
        numbers[_NUMBERS:] = ["…"]
    return f"{filling.family}({', '.join(numbers)}{seed if filling.family == 'among' else ''})"


def _otherwise(filling: Filling) -> str:
    dtype = np.dtype(filling.dtype)
    named = [f"{list(index)} = {_short(decoded_number(number, dtype))}" for index, number in filling.placed]
    return f" but {', '.join(named)}" if named else ""


def _short(value: Any) -> str:
    if isinstance(value, np.bool_ | bool):
        return str(bool(value)).lower()
    return short_complex(value) if np.iscomplexobj(value) else short_number(value)


def _summary(array: Array) -> str:
    """Return between what the values are, and a digest of them."""
    digest = f"sha256 {array_digest(array)}"
    if array.dtype == np.bool_:
        return f"{np.count_nonzero(array)} of {array.size} true, {digest}"
    parts = as_parts(array).view(np.ndarray).reshape(-1)
    text = ""
    if is_floating(parts.dtype):
        with np.errstate(invalid="ignore"):  # of a signalling NaN in bfloat16
            is_nan, finite = np.isnan(parts), np.isfinite(parts)
        odd = {"nan": is_nan, "infinite": ~finite & ~is_nan}
        text = "".join(_places(where, name, array) for name, where in odd.items())
        parts = parts if not text else parts[finite]
    of = "parts" if is_complex(array.dtype) else "values"
    between = f"{of} from {_short(parts.min())} to {_short(parts.max())}" if parts.size else f"no finite {of}"
    return f"{between}{text}, {digest}"


def _places(where: Array, name: str, array: Array) -> str:
    """Return how many numbers are odd in some way, and where, if they are few; empty if none is."""
    flat = np.flatnonzero(where)
    if not len(flat):
        return ""
    shape = as_parts(array).shape
    named = [str([int(i) for i in np.unravel_index(place, shape)]) for place in flat[:_PLACED]]
    return f", {len(flat)} {name}" + (f" at {', '.join(named)}" if len(flat) <= _PLACED else "")


def array_digest(array: Array) -> str:
    """Return 16 hexadecimal digits that tell the bits of an array, in row-major order, from those of others."""
    contiguous = np.ascontiguousarray(array).view(np.ndarray)
    return hashlib.sha256(contiguous.reshape(-1).view(np.uint8).data).hexdigest()[:16]
