"""Configurations: instances of a dataclass that an argument is annotated to be, as texts."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Iterator
from typing import Any

import torch

from diffexport.strategies import text_of

#: Most instances that are tried, and that are returned.
_TRIED, _WANTED = 60, 2
_DTYPES = (torch.float8_e4m3fn, torch.float32, torch.bfloat16, torch.int8, torch.float16)
#: Values for a field by the words of its type, for one that has no default.
_BY_TYPE: dict[str, tuple[Any, ...]] = {
    "dtype": _DTYPES,
    "bool": (False, True),
    "int": (4, 1, 16, 32),
    "float": (1.0, 0.5),
    "str": ("mean",),
    "None": (None,),
}


def instances(kind: type) -> list[str]:
    """Return texts of instances of a dataclass: as it comes, or with another value of a field where that raises."""
    texts: list[str] = []
    for values in itertools.islice(_trials(kind), _TRIED):
        try:
            text = text_of(kind(**values))
        except Exception:  # noqa: BLE001 - it refuses these
            continue
        if text is not None and text not in texts:
            texts.append(text)
        if len(texts) >= _WANTED or not values:
            break
    return texts


def _trials(kind: type) -> Iterator[dict[str, Any]]:
    """Yield what to make an instance with, the fewest changes first."""
    declared: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(kind)
    fields = [field for field in declared if field.init]
    required = [field for field in fields if _default(field) is dataclasses.MISSING]
    options = [[(field.name, value) for value in _values(field)] for field in required]
    for chosen in itertools.islice(itertools.product(*options), 12):
        yield dict(chosen)
    base = dict(pairs[0] for pairs in options if pairs)
    for field in fields:
        if field not in required:
            for value in _values(field):
                yield {**base, field.name: value}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is dataclasses.MISSING:
        return dataclasses.MISSING
    try:
        return field.default_factory()
    except Exception:  # noqa: BLE001 - whatever code it is
        return None


def _values(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    default = _default(field)
    if isinstance(default, enum.Enum):
        return tuple(type(default))
    if isinstance(default, torch.dtype):
        return _DTYPES
    if isinstance(field.type, type) and issubclass(field.type, enum.Enum):
        return tuple(field.type)
    said = str(field.type) if default is dataclasses.MISSING or default is None else type(default).__name__
    return next((values for word, values in _BY_TYPE.items() if word in said), ())
