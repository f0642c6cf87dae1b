"""Tensor specs of all inputs together: parsed, and checked against each other and against what memory holds."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from diffexport.errors import UsageError, shown
from diffexport.values.named_bounds import follow_dimensions
from diffexport.values.spec import DTYPES, TensorSpec, check_rank

#: Most bytes that the smallest tensors of all inputs together may have: eager, the runtimes and the comparison each
#: hold them, and what is computed of them, several times.
MAX_BYTES = 1 << 30


def parse_specs(texts: Iterable[str | TensorSpec]) -> tuple[TensorSpec, ...]:
    """Parse several specs, leaving those already parsed as they are.

    Raises:
        UsageError: a text does not parse, a bound names no dimension, or the smallest tensors are too large.
    """
    specs = tuple(text if isinstance(text, TensorSpec) else TensorSpec.parse(text) for text in texts)
    specs = follow_dimensions(specs)
    check_sizes(specs)
    return specs


def check_names(specs: Sequence[TensorSpec]) -> Mapping[str, int]:
    """Return the least size of every shared name.

    Raises:
        UsageError: a lead has the name of a dimension, or no size suits a name wherever it stands.
    """
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for dim in itertools.chain.from_iterable(spec.dims for spec in specs):
        if dim.name is not None:
            least[dim.name] = max(dim.low, least.get(dim.name, 0))
            if dim.high is not None:
                most[dim.name] = min(dim.high, most.get(dim.name, dim.high))
    for name, high in most.items():
        if least[name] > high:
            raise UsageError(
                f"dimension {name!r} has no size that suits all inputs: {least[name]} is more than {high}"
            )
    for spec in specs:
        if spec.lead in least:
            raise UsageError(
                f"in tensor spec {str(spec)!r}: {spec.lead!r} names a dimension elsewhere, not a lead"
            )
    return least


def check_sizes(specs: Sequence[TensorSpec]) -> None:
    """Check that the smallest tensors that specs admit can be held in memory, and have no more dimensions than can be.

    Raises:
        UsageError: they cannot; the message names the spec.
    """
    least = check_names(specs)
    total = 0
    for spec in specs:
        check_rank(len(spec.dims))
        sizes = [1 if dim.one else max(dim.low, least.get(dim.name or "", 0)) for dim in spec.dims]
        size = math.prod(sizes) * _BYTES[spec.dtype]
        total += size
        if total > MAX_BYTES:
            which = (
                "the smallest tensor that it admits has" if size > MAX_BYTES else "with it, the inputs have"
            )
            raise UsageError(
                f"tensor spec {shown(str(spec))}: {which} {total / (1 << 30):,.0f} GiB, and "
                f"{MAX_BYTES >> 30} GiB is the most that can be tested; write smaller dimensions"
            )


#: Bytes of an element.
_BYTES = {name: int(re.sub(r"\D", "", name) or 8) // 8 for name in DTYPES}
