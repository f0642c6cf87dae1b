"""Numbers as texts: exact ones, which a machine reads back to the last bit, and short ones for people.

Floats are C99 hexadecimal (``0x1.8p+1``), ``inf``, ``-inf`` or ``nan``; the bits of a NaN other than the usual one are
kept as ``nan:7fc00001``. A complex number is a list of its real and its imaginary part. Integers and bools are
themselves.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from diffexport.arrays.array_types import Array
from diffexport.arrays.dtypes import is_complex, part_dtype

_HEX = re.compile(r"-?0x[0-9a-f]+(\.[0-9a-f]+)?p[+-]?\d+|-?inf|nan", re.IGNORECASE)


def encode_number(value: Any) -> Any:
    """Return a number as JSON: floats as text, complex ones as two of them, integers and bools as they are."""
    if isinstance(value, np.complexfloating):
        return [encode_number(value.real), encode_number(value.imag)]
    if isinstance(value, np.bool_ | bool):
        return bool(value)
    if isinstance(value, np.integer | int):
        return int(value)
    number = float(value)
    if math.isnan(number):
        bits = np.asarray(value).view(f"u{np.asarray(value).dtype.itemsize}")
        usual = np.asarray(np.nan, dtype=np.asarray(value).dtype).view(bits.dtype)
        return "nan" if bits == usual else f"nan:{int(bits):x}"
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return shorten_hex(number.hex())


def shorten_hex(text: str) -> str:
    """Drop trailing zeros of a hexadecimal float: ``0x1.8000000000000p+1`` becomes ``0x1.8p+1``."""
    mantissa, exponent = text.split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}"


def store_number(values: Array, index: int, item: Any) -> None:
    """Put one number of a JSON document into a flat array.

    Raises:
        ValueError: it is not a number of the array's dtype.
        OverflowError: it is too large.
    """
    dtype = values.dtype
    if is_complex(dtype):
        if not isinstance(item, list) or len(item) != 2:
            raise ValueError("expected a list of a real and an imaginary part")
        for place, number in enumerate(item):
            store_number(values.view(part_dtype(dtype)), 2 * index + place, number)
    elif dtype == np.bool_:
        if not isinstance(item, bool):
            raise ValueError("expected true or false")
        values[index] = item
    elif np.issubdtype(dtype, np.integer):
        if isinstance(item, bool) or not isinstance(item, int):
            raise ValueError("expected a whole number")
        values[index] = item
    elif isinstance(item, str) and item.startswith("nan:"):
        values[index : index + 1].view(f"u{dtype.itemsize}")[0] = int(item[4:], 16)
        if not math.isnan(float(values[index])):
            raise ValueError("these are not the bits of a NaN")
    elif isinstance(item, str):
        number = parse_number(item)
        with np.errstate(over="ignore"):
            values[index] = number
        if float(values[index]) != number and not math.isnan(number):
            raise ValueError(f"not a {dtype} value")
    else:
        raise ValueError("expected a hexadecimal float as text")


def parse_number(text: str) -> float:
    """Return the float that a text of [encode_number][] stands for.

    Raises:
        ValueError: it is not hexadecimal; decimals are refused rather than read as something else.
    """
    if not _HEX.fullmatch(text):
        raise ValueError("expected a hexadecimal float such as 0x1.8p+1, inf, -inf or nan")
    return float.fromhex(text)


def short_number(value: Any) -> str:
    """Return a real number as a person writes it: ``3``, ``-0``, ``0.1``, ``nan``."""
    number = float(value)
    if number == int(number) if math.isfinite(number) and abs(number) < 1e7 else False:
        return "-0" if number == 0 and math.copysign(1, number) < 0 else str(int(number))
    return str(value)


def short_complex(value: Any) -> str:
    """Return a complex number as a person writes it: ``1-2j``."""
    imaginary = short_number(value.imag)
    return f"{short_number(value.real)}{'' if imaginary.startswith('-') else '+'}{imaginary}j"
