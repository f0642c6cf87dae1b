"""What a case needs of a tensor input, as a value with a text form: ``float32[..., N, >=3]``.

Inside the brackets stand the dimensions: a number is that size, ``*`` any size, ``>=3`` at least 3, ``2..4``
a range, a name any size that is the same wherever the name occurs (``N>=2`` gives it a minimum), and a
leading ``...`` any number of further dimensions of any size. ``float32[]`` is 0-d, ``float32[...]`` any shape.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from diffexport.errors import UsageError, suggestion

DTYPES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "complex64",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)

Shape = tuple[int, ...]

#: Sizes tried for a dimension without an upper bound, beyond its minimum; a case may ask for larger ones.
SPAN = 5
#: Most dimensions that a leading ``...`` stands for.
MAX_LEADING = 3
#: Most elements of a generated tensor.
MAX_ELEMENTS = 512

_DIM = re.compile(
    r"(?:(?P<size>\d+)|(?P<low>\d+)\.\.(?P<high>\d+)|(?P<star>\*)|"
    r"(?P<name>[A-Za-z_]\w*)?(?:>=(?P<least>\d+))?)\Z"
)


@dataclass(frozen=True)
class Dim:
    """One dimension: sizes ``low`` to ``high`` inclusive (None: no upper bound), and a name when shared."""

    low: int = 0
    high: int | None = None
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Dim:
        """Parse one dimension.

        Raises:
            UsageError: the text is none of the forms above.
        """
        match = _DIM.match(text)
        if not match or not text:
            raise UsageError(
                f"{text!r} is not a dimension; write a number, '*', '>=3', '2..4', 'N' or 'N>=2'"
            )
        if match["size"] is not None:
            return cls(int(match["size"]), int(match["size"]))
        if match["low"] is not None:
            low, high = int(match["low"]), int(match["high"])
            if low > high:
                raise UsageError(f"dimension {text!r} allows no size: {low} is more than {high}")
            return cls(low, high)
        return cls(int(match["least"] or 0), None, match["name"])

    def __str__(self) -> str:
        if self.high is not None:
            return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"
        least = f">={self.low}" if self.low else ""
        return (self.name or "") + least or "*"

    def admits(self, size: int) -> bool:
        """Return whether ``size`` is allowed."""
        return self.low <= size and (self.high is None or size <= self.high)

    def sizes(self) -> tuple[int, ...]:
        """Return the sizes to try, simplest first: 1 (or the least), upwards, and 0 last."""
        high = self.high if self.high is not None else max(self.low, 1) + SPAN - 1
        sizes = tuple(range(max(self.low, 1), min(high, self.low + 64) + 1))
        return (*sizes, 0) if self.low == 0 else sizes


@dataclass(frozen=True)
class TensorSpec:
    """The dtype of a tensor input and the shapes it may have.

    ``leading`` says that any number of dimensions of any size may stand before ``dims``.
    """

    dtype: str = "float32"
    dims: tuple[Dim, ...] = ()
    leading: bool = True

    @classmethod
    def parse(cls, text: str) -> TensorSpec:
        """Parse the text form, for instance ``float32[..., >=3]``.

        Raises:
            UsageError: an unknown dtype or a malformed shape.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", text)
        if not match:
            raise UsageError(f"{text!r} is not a tensor spec; write for instance 'float32[..., N, >=3]'")
        dtype, inside = match[1], match[2]
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r} in tensor spec {text!r}{suggestion(dtype, DTYPES)}")
        if inside is None:
            return cls(dtype)
        parts = [part.strip() for part in inside.split(",")] if inside.strip() else []
        leading = bool(parts) and parts[0] == "..."
        try:
            dims = tuple(Dim.parse(part) for part in parts[leading:])
        except UsageError as error:
            raise UsageError(f"in tensor spec {text!r}: {error}") from None
        return cls(dtype, dims, leading)

    def __str__(self) -> str:
        parts = (["..."] if self.leading else []) + [str(dim) for dim in self.dims]
        return f"{self.dtype}[{', '.join(parts)}]"

    def ranks(self) -> tuple[int, ...]:
        """Return the ranks to try, smallest first."""
        least = len(self.dims)
        return tuple(range(least, least + MAX_LEADING + 1)) if self.leading else (least,)

    def admits(self, shape: Sequence[int]) -> bool:
        """Return whether a tensor of this shape may be given (names are checked by [admits_all][])."""
        extra = len(shape) - len(self.dims)
        if extra < 0 or (extra > 0 and not self.leading):
            return False
        return all(dim.admits(size) for dim, size in zip(self.dims, shape[extra:], strict=True))

    def dims_for(self, rank: int) -> tuple[Dim, ...]:
        """Return one [Dim][] for each axis of a tensor of ``rank`` dimensions."""
        return (Dim(),) * (rank - len(self.dims)) + self.dims


def admits_all(specs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]]) -> bool:
    """Return whether ``shapes`` suit ``specs`` together, shared names having one size each."""
    if len(specs) != len(shapes):
        return False
    bound: dict[str, int] = {}
    for spec, shape in zip(specs, shapes, strict=True):
        if not spec.admits(shape):
            return False
        for dim, size in zip(reversed(spec.dims), reversed(shape), strict=False):
            if dim.name is not None and bound.setdefault(dim.name, size) != size:
                return False
    return True


def shapes_of_ranks(
    specs: Sequence[TensorSpec], ranks: Sequence[int], choose: Iterator[int]
) -> tuple[Shape, ...]:
    """Build one shape for each spec, sizes taken from ``choose`` as indices into [Dim.sizes][].

    A name shared by several dimensions gets the strictest minimum of them.
    """
    bound: dict[str, int] = {}
    strictest: dict[str, Dim] = {}
    for spec in specs:
        for dim in spec.dims:
            if dim.name is not None and dim.low >= strictest.get(dim.name, dim).low:
                strictest[dim.name] = dim
    shapes = []
    for spec, rank in zip(specs, ranks, strict=True):
        dims = [strictest.get(dim.name or "", dim) for dim in spec.dims_for(rank)]
        shape: list[int] = []
        for axis, dim in enumerate(dims):
            if dim.name is not None and dim.name in bound:
                shape.append(bound[dim.name])
                continue
            sizes = dim.sizes()
            size = sizes[next(choose) % len(sizes)]
            # The later dimensions need their least sizes, too.
            needed = math.prod(max(bound.get(later.name or "", later.low), 1) for later in dims[axis + 1 :])
            if math.prod(shape) * size * needed > MAX_ELEMENTS:
                size = sizes[0]
            if dim.name is not None:
                bound[dim.name] = size
            shape.append(size)
        shapes.append(tuple(shape))
    return tuple(shapes)


#: Joint shapes in the order in which they are worth their export: (rank, indices into Dim.sizes()). An index
#: of -1 is the last size tried, which is 0 where the dimension may be empty.
_WORTH: tuple[tuple[int, tuple[int, ...]], ...] = (
    (1, (1,)),
    (2, (1, 2)),
    (0, (0,)),
    (2, (1, -1)),
    (1, (0,)),
    (1, (-1,)),
    (3, (1, 2, 0)),
    (2, (-1, 2)),
    (2, (0,)),
    (3, (1, -1, 2)),
    (3, (0,)),
    (1, (3,)),
    (2, (3, 1)),
)


def representative_shapes(specs: Sequence[TensorSpec], limit: int) -> tuple[tuple[Shape, ...], ...]:
    """Return up to ``limit`` joint shapes, simplest first, that stand for all of them.

    In the order of what they are worth: ordinary shapes of rank 1 and 2, 0-d, an empty dimension that is not
    the first, size 1, an empty one, rank 3. Used where each new shape costs an export.
    """
    rows = itertools.zip_longest(*(spec.ranks() for spec in specs))
    choices = [
        tuple(spec.ranks()[-1] if rank is None else rank for spec, rank in zip(specs, row, strict=True))
        for row in rows
    ]
    found: dict[tuple[Shape, ...], None] = {}
    for rank, pattern in _WORTH:
        for ranks in choices:
            if max(ranks) == rank or (max(ranks) > 3 and rank == 3) or min(map(max, choices)) > rank == 1:
                found.setdefault(shapes_of_ranks(specs, ranks, itertools.cycle(pattern)))
    for ranks in choices:
        found.setdefault(shapes_of_ranks(specs, ranks, itertools.cycle((1, 2))))
    return tuple(sorted(list(found)[:limit], key=shape_complexity))


def shape_complexity(shapes: Iterable[Shape]) -> tuple[int, ...]:
    """Sort key of joint shapes, simplest first: none empty, elements, rank, then the sizes themselves."""
    joint = tuple(shapes)
    return (
        sum(0 in shape for shape in joint),
        sum(math.prod(shape) for shape in joint),
        sum(len(shape) for shape in joint),
        *(size for shape in joint for size in shape),
    )


def parse_specs(texts: Iterable[str | TensorSpec]) -> tuple[TensorSpec, ...]:
    """Parse several specs, leaving those already parsed as they are.

    Raises:
        UsageError: a text does not parse, or a shared name can have no common size.
    """
    specs = tuple(text if isinstance(text, TensorSpec) else TensorSpec.parse(text) for text in texts)
    check_names(specs)
    return specs


def check_names(specs: Sequence[TensorSpec]) -> Mapping[str, int]:
    """Return the least size of every shared name."""
    least: dict[str, int] = {}
    for dim in itertools.chain.from_iterable(spec.dims for spec in specs):
        if dim.name is not None:
            least[dim.name] = max(dim.low, least.get(dim.name, 0))
    return least
