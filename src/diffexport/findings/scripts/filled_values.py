"""Large tensors in a script: expressions of few numbers, and the functions that they call."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffexport.arrays import BFLOAT16, Filling, decoded_number, decoded_numbers, is_complex, part_dtype

#: Functions of a script that make values, by the name of a family. Their results are what diffexport fills with.
_MAKERS = {
    "filled_repeated": """def filled_repeated(numbers, count):
    return np.resize(numbers, count)""",
    "filled_ramp": """def filled_ramp(start, step, period, count):
    return start + step * (np.arange(count) % period).astype(start.dtype)""",
    "filled_uniform": """def filled_uniform(low, high, seed, count):
    share = (np.random.PCG64(seed).random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.clip(low * (1.0 - share) + high * share, low, high)""",
    "filled_integers": """def filled_integers(low, high, seed, count):
    raw, span = np.random.PCG64(seed).random_raw(count), np.uint64((high - low + 1) % 2**64)
    return (raw % span if span else raw) + np.uint64(low % 2**64)""",
    "filled_normal": """def filled_normal(mean, deviation, seed, count):
    raw = np.random.PCG64(seed).random_raw(count)
    total = sum(((raw >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64) for shift in (0, 16, 32, 48))
    return mean + deviation * ((total - 131070.0) * (1.7320508075688772 / 65536))""",
    "filled_among": """def filled_among(numbers, seed, count):
    return numbers[(np.random.PCG64(seed).random_raw(count) >> np.uint64(11)) % np.uint64(len(numbers))]""",
    "filled_sorted": """def filled_sorted(numbers, count):
    return numbers[np.arange(count) // max(-(-count // len(numbers)), 1)]""",
    "filled_sparse": """def filled_sparse(every, background, numbers, seed, count):
    raw = np.random.PCG64(seed).random_raw(count)
    others = numbers[(raw & np.uint64(0xFFFFFFFF)) % np.uint64(len(numbers))]
    return np.where((raw >> np.uint64(32)) % np.uint64(every) == 0, others, background)""",
    "with_elements": """def with_elements(tensor, elements):
    for index, value in elements.items():
        tensor[index] = torch.tensor(value, dtype=tensor.dtype)
    return tensor""",
}
#: What a script binds for them at its top level.
MAKERS = frozenset(_MAKERS)


def makers_used(code: str) -> list[str]:
    """Return the functions that a script needs for its large tensors."""
    return [text for name, text in _MAKERS.items() if re.search(rf"(?<![\w.]){name}\(", code)]


def filled_expression(filling: Filling, shape: tuple[int, ...], literal: Callable[[Any], str]) -> str:
    """Return the expression for the tensor of a filling.

    Args:
        filling: of the tensor.
        shape: that it gets.
        literal: writes one number.
    """
    dtype = np.dtype(filling.dtype)
    if filling.family == "constant":
        text = f"torch.full({shape}, {literal(decoded_numbers(filling)[0])}, dtype=torch.{dtype.name})"
    else:
        text = f"torch.from_numpy({_made(filling, dtype, literal)}){_viewed(filling, dtype)}.reshape({shape})"
    if not filling.placed:
        return text
    placed = [f"{index}: {literal(decoded_number(number, dtype))}" for index, number in filling.placed]
    return f"with_elements({text}, {{{', '.join(placed)}}})"


def _viewed(filling: Filling, dtype: np.dtype[Any]) -> str:
    """Return what turns a tensor of the dtype that numpy made into one of the dtype that is wanted."""
    if dtype == BFLOAT16:
        return ".to(torch.bfloat16)"
    return f".view(torch.{dtype.name})" if is_complex(dtype) and _is_computed(filling) else ""


def _is_computed(filling: Filling) -> bool:
    return filling.family in ("ramp", "uniform", "normal")


def _made(filling: Filling, dtype: np.dtype[Any], literal: Callable[[Any], str]) -> str:
    """Return the expression for the values as a flat numpy array."""
    numbers = decoded_numbers(filling)
    # numpy lacks bfloat16, which float32 is rounded to in the end.
    stored = np.dtype(np.float32) if dtype == BFLOAT16 else dtype
    count = math.prod(filling.shape)
    if not _is_computed(filling):
        several, seed = _array(numbers, stored, literal), filling.seed
        if filling.family == "sparse":
            others = _array(numbers[2:], stored, literal)
            background = _array(numbers[1:2], stored, literal)
            return f"filled_sparse({numbers[0]}, {background}, {others}, {seed}, {count})"
        if filling.family == "among":
            return f"filled_among({several}, {seed}, {count})"
        return f"filled_{filling.family}({several}, {count})"
    part = part_dtype(stored)
    count *= 2 if is_complex(dtype) else 1
    if filling.family == "ramp":
        first, step = (f"np.{number.dtype}({literal(number)})" for number in numbers[:2])
        text = f"filled_ramp({first}, {step}, {numbers[2]}, {count})"
    elif filling.family == "uniform" and part.kind in "iu":
        text = f"filled_integers({int(numbers[0])}, {int(numbers[1])}, {filling.seed}, {count})"
    else:
        text = (
            f"filled_{filling.family}({literal(numbers[0])}, {literal(numbers[1])}, {filling.seed}, {count})"
        )
    return f"{text}.astype(np.{part.name})"


def _array(numbers: Sequence[Any], dtype: np.dtype[Any], literal: Callable[[Any], str]) -> str:
    name = "bool_" if dtype == np.bool_ else dtype.name
    return f"np.array([{', '.join(map(literal, numbers))}], np.{name})"
