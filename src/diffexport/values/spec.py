"""What a case needs of a tensor input, as a value with a text form: ``float32[..., N, >=3] in -1..1``.

Inside the brackets stand the dimensions: a number is that size, ``*`` any size, ``>=3`` at least 3, ``2..4``
a range, a name any size that is the same wherever the name occurs (``N>=2`` gives it a minimum, ``N<=512`` a maximum,
``2<=N<=512`` both), and a
leading ``...`` any number of further dimensions of any size (``...<=1`` at most one). ``float32[]`` is 0-d,
``float32[...]`` any shape.

Inputs that broadcast with each other share names that end in ``?``: ``N?`` is N or 1. A leading ``...B`` stands
for the same dimensions wherever it occurs, ``...B?`` for some of the last of them, each its size or 1: two inputs
``float32[...B?]`` are any two that broadcast. After the brackets may stand what the values are like, and bounds of
them, both ends included; see [diffexport.values.value_ranges][]. A bounded input has no NaN.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from diffexport.errors import UsageError, shown, suggestion
from diffexport.values.input_scope import ALL_INPUTS, InputScope
from diffexport.values.value_ranges import (
    Bound,
    SizeBound,
    ValueKind,
    bound_text,
    parse_bounds,
    parse_kind,
)

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
#: Of the numbers that choose a size, those from this one on choose a larger one where there are any: one byte in four.
LARGER_FROM = 192
#: Most elements of a tensor all of whose dimensions are one and the same.
_MAX_SHARED = 1 << 16
#: Most dimensions of a tensor, leading ones included: what numpy, torch and ONNX Runtime all take.
MAX_DIMS = 32

_SIZE = r"[0-9]{1,18}"
_DIM = re.compile(
    rf"(?:(?P<size>{_SIZE})|(?P<low>{_SIZE})\.\.(?P<high>{_SIZE})|(?P<star>\*)|"
    rf"(?:(?P<lower>{_SIZE})<=(?=[A-Za-z_]))?(?P<name>[A-Za-z_]\w*)?(?P<one>(?<=\w)\?)?"
    rf"(?:>=(?P<least>{_SIZE}))?(?:(?<=[\w?])<=(?P<most>{_SIZE}))?)\Z"
)
_TOO_LONG = re.compile(r"[0-9]{19}")
_LEADING = re.compile(r"\.\.\.(?:(?P<name>[A-Za-z_]\w*)(?P<one>\?)?)?(?:<=(?P<most>[0-9]))?\Z")
_SPEC = re.compile(
    r"\s*(?P<dtype>\w+)\s*(?:\[(?P<dims>.*)\])?\s*"
    r"(?:\b(?!in\s)(?P<kind>[a-z]+)(?:\((?P<numbers>[^()]*)\))?\s*)?(?:\bin\s+(?P<bounds>\S+)\s*)?"
)


@dataclass(frozen=True)
class Dim:
    """One dimension: sizes ``low`` to ``high`` inclusive (None: no upper bound), and a name when shared.

    ``one`` says that the size may be 1 whatever the others of that name are: it broadcasts.
    """

    low: int = 0
    high: int | None = None
    name: str | None = None
    one: bool = False

    @classmethod
    def parse(cls, text: str) -> Dim:
        """Parse one dimension.

        Raises:
            UsageError: the text is none of the forms above.
        """
        match = _DIM.match(text)
        if _TOO_LONG.search(text):
            raise UsageError(f"{shown(text)} is not a dimension: no tensor has a size of more than 18 digits")
        if not match or not text:
            raise UsageError(
                f"{shown(text)} is not a dimension; write a number, '*', '>=3', '2..4', 'N', 'N>=2', '1<=N<=9' or 'N?'"
            )
        if match["size"] is not None:
            return cls(int(match["size"]), int(match["size"]))
        if match["low"] is not None:
            low, high = int(match["low"]), int(match["high"])
            if low > high:
                raise UsageError(f"dimension {text!r} allows no size: {low} is more than {high}")
            return cls(low, high)
        low = max(int(match["least"] or 0), int(match["lower"] or 0))
        most = None if match["most"] is None else int(match["most"])
        if most is not None and low > most:
            raise UsageError(f"dimension {text!r} allows no size: {low} is more than {most}")
        return cls(low, most, match["name"], match["one"] is not None)

    def __str__(self) -> str:
        if self.high is not None and self.name is not None:
            return f"{f'{self.low}<=' if self.low else ''}{self.name}{'?' * self.one}<={self.high}"
        if self.high is not None:
            return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"
        least = f">={self.low}" if self.low else ""
        return (self.name or "") + "?" * self.one + least or "*"

    def admits(self, size: int) -> bool:
        """Return whether ``size`` is allowed."""
        return self.low <= size and (self.high is None or size <= self.high)

    def sizes(self) -> tuple[int, ...]:
        """Return the sizes to try, simplest first: 1 (or the least), upwards, and 0 last."""
        high = self.high if self.high is not None else max(self.low, 1) + SPAN - 1
        least = max(self.low, 1)
        if self.name is not None and self.high is not None and high - least >= SPAN:
            # What it is at most is often as large as a table.
            return (*range(least, least + SPAN), high, *([0] if self.low == 0 else []))
        sizes = tuple(range(least, min(high, self.low + 64) + 1))
        return (*sizes, 0) if self.low == 0 else sizes


@dataclass(frozen=True)
class TensorSpec:
    """The dtype of a tensor input, the shapes it may have and the values.

    ``leading`` says that any number of dimensions of any size may stand before ``dims``; where ``lead`` is a
    name, the same ones as in the other specs of that name (``lead_one``: some of the last of them, each its size or 1).
    There are at most ``most_leading`` of them, where that is less than [MAX_LEADING][].
    ``low`` and ``high`` bound the values, ``kind`` says what they are like; ``scope`` says what is left out, and is no
    part of the text.
    """

    dtype: str = "float32"
    dims: tuple[Dim, ...] = ()
    leading: bool = True
    lead: str | None = None
    lead_one: bool = False
    low: Bound = None
    high: Bound = None
    kind: ValueKind | None = None
    scope: InputScope = ALL_INPUTS
    most_leading: int = MAX_LEADING

    @classmethod
    def parse(cls, text: str) -> TensorSpec:
        """Parse the text form, for instance ``float32[..., >=3]``.

        Raises:
            UsageError: an unknown dtype, a malformed shape or bounds that contradict each other.
        """
        match = _SPEC.fullmatch(text)
        if not match:
            raise UsageError(f"{shown(text)} is not a tensor spec; write for instance 'float32[..., N, >=3]'")
        dtype, inside = match["dtype"], match["dims"]
        if dtype not in DTYPES:
            raise UsageError(
                f"unknown dtype {shown(dtype)} in tensor spec {shown(text)}{suggestion(dtype, DTYPES)}"
            )
        try:
            kind = parse_kind(match["kind"], match["numbers"], dtype)
            low, high = parse_bounds(match["bounds"], dtype, kind)
            if inside is None:
                return cls(dtype, low=low, high=high, kind=kind)
            parts = [part.strip() for part in inside.split(",")] if inside.strip() else []
            lead = _LEADING.match(parts[0]) if parts else None
            check_rank(len(parts) if lead is None else len(parts) - 1 + MAX_LEADING)
            dims = tuple(Dim.parse(part) for part in parts[lead is not None :])
        except UsageError as error:
            raise UsageError(f"in tensor spec {shown(text)}: {error}") from None
        if lead is None:
            return cls(dtype, dims, False, low=low, high=high, kind=kind)
        most = min(int(lead["most"] or MAX_LEADING), MAX_LEADING)
        one = lead["one"] is not None
        return cls(dtype, dims, True, lead["name"], one, low, high, kind, most_leading=most)

    def __str__(self) -> str:
        most = f"<={self.most_leading}" if self.most_leading < MAX_LEADING else ""
        lead = [f"...{self.lead or ''}{'?' * self.lead_one}{most}"] if self.leading else []
        text = f"{self.dtype}[{', '.join([*lead, *(str(dim) for dim in self.dims)])}]"
        if self.kind is not None:
            text = f"{text} {self.kind}"
        if (self.low, self.high) == ((None, None) if self.kind is None else self.kind.implied(self.dtype)):
            return text
        return f"{text} in {bound_text(self.low)}..{bound_text(self.high)}"

    @property
    def is_bounded(self) -> bool:
        """Whether the values have a bound."""
        return self.low is not None or self.high is not None

    @property
    def named_bound(self) -> str | None:
        """The name of the dimension that a bound follows; None where none does."""
        return next((bound.name for bound in (self.low, self.high) if isinstance(bound, SizeBound)), None)

    def range_at(self, size: int | None = None) -> tuple[float | None, float | None]:
        """Return the bounds as numbers, where the dimension that they name has this size."""
        low, high = (
            bound.at(size) if isinstance(bound, SizeBound) and size is not None else bound
            for bound in (self.low, self.high)
        )
        assert not isinstance(low, SizeBound), self
        assert not isinstance(high, SizeBound), self
        return low, high

    def within(self, scope: InputScope) -> TensorSpec:
        """Return the same without what is not in scope.

        Raises:
            UsageError: nothing is left.
        """
        if not scope.no_empty:
            return replace(self, scope=scope)
        if any(dim.high == 0 for dim in self.dims):
            raise UsageError(
                f"tensor spec {shown(str(self))} admits empty tensors only, and none is to be empty"
            )
        dims = tuple(replace(dim, low=max(dim.low, 1)) for dim in self.dims)
        return replace(self, dims=dims, scope=scope)

    def ranks(self) -> tuple[int, ...]:
        """Return the ranks to try, smallest first."""
        least = len(self.dims)
        return tuple(range(least, least + self.most_leading + 1)) if self.leading else (least,)

    def admits(self, shape: Sequence[int]) -> bool:
        """Return whether a tensor of this shape may be given (names are checked by [admits_all][])."""
        extra = len(shape) - len(self.dims)
        if extra < 0 or (extra > 0 and not self.leading):
            return False
        if self.most_leading < MAX_LEADING and extra > self.most_leading:
            return False
        if self.scope.no_empty and 0 in shape:
            return False
        pairs = zip(self.dims, shape[extra:], strict=True)
        return all(dim.admits(size) or (dim.one and size == 1) for dim, size in pairs)

    def dims_for(self, rank: int) -> tuple[Dim, ...]:
        """Return one [Dim][] for each axis of a tensor of ``rank`` dimensions.

        The dimensions of a named lead are named by their distance from the end of it, ``B_1`` the last.
        """
        extra, least = rank - len(self.dims), int(self.scope.no_empty)
        if self.lead is None:
            return (Dim(least),) * extra + self.dims
        named = tuple(Dim(least, None, f"{self.lead}_{n}", self.lead_one) for n in range(extra, 0, -1))
        return named + self.dims


def check_rank(rank: int) -> None:
    """Check that there may be tensors of so many dimensions.

    Raises:
        UsageError: there are none.
    """
    if rank > MAX_DIMS:
        raise UsageError(
            f"a tensor may have {MAX_DIMS} dimensions at most, leading ones included; it has {rank}"
        )


def admits_all(specs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]]) -> bool:
    """Return whether ``shapes`` suit ``specs`` together, shared names having one size each."""
    if len(specs) != len(shapes):
        return False
    if not all(spec.admits(shape) for spec, shape in zip(specs, shapes, strict=True)):
        return False
    sizes: dict[str, set[int]] = {}
    ones: set[str] = set()
    leads: dict[str, list[tuple[int, bool]]] = {}
    for spec, shape in zip(specs, shapes, strict=True):
        if spec.lead is not None:
            leads.setdefault(spec.lead, []).append((len(shape) - len(spec.dims), spec.lead_one))
        for dim, size in zip(spec.dims_for(len(shape)), shape, strict=True):
            if dim.name is not None and dim.one and size == 1:
                ones.add(dim.name)
            elif dim.name is not None:
                sizes.setdefault(dim.name, set()).add(size)
    if any(len({extra for extra, one in lead if not one}) > 1 for lead in leads.values()):
        return False
    for lead in leads.values():
        fixed = [extra for extra, one in lead if not one]
        if fixed and any(extra > fixed[0] for extra, _ in lead):
            return False
    return all(len(agreed) == 1 for agreed in sizes.values())


def shapes_of_ranks(
    specs: Sequence[TensorSpec],
    ranks: Sequence[int],
    choose: Iterator[int],
    *,
    larger: Sequence[int] = (),
    most: int = MAX_ELEMENTS,
) -> tuple[Shape, ...]:
    """Build one shape for each spec, sizes taken from ``choose`` as indices into [Dim.sizes][], last dimension first.

    Indices from [LARGER_FROM][] on choose one of the ``larger`` sizes, if there are any and it is admitted. No tensor
    has more than ``most`` elements unless its least sizes make it so.

    A name shared by several dimensions gets the strictest minimum of them. A dimension that broadcasts is 1
    where the next index is one of two in five, and never what comes first. Inputs that share a lead get as many
    dimensions as the first of them has, or fewer where they broadcast.
    """
    bound: dict[str, int] = {}
    strictest: dict[str, Dim] = {}
    for dim in (dim for spec in specs for dim in spec.dims):
        if dim.name is None:
            continue
        known = strictest.get(dim.name, dim)
        highs = [high for high in (dim.high, known.high) if high is not None]
        low, high = max(dim.low, known.low), min(highs, default=None)
        strictest[dim.name] = replace(known, low=low, high=high, one=False)
    shapes = []
    for spec, rank in zip(specs, _agreed_ranks(specs, ranks), strict=True):
        dims = spec.dims_for(rank)[::-1]
        shape: list[int] = []
        for axis, dim in enumerate(dims):
            if dim.name is not None and dim.name in bound:
                shape.append(1 if dim.one and next(choose) % 5 in (3, 4) else bound[dim.name])
                continue
            strict = strictest.get(dim.name or "", dim)
            sizes, index = strict.sizes(), next(choose)
            # The dimensions before need their least sizes, too.
            needed = math.prod(
                max(bound.get(before.name or "", before.low), 1) for before in dims[axis + 1 :]
            )
            size = sizes[index % len(sizes)]
            if larger and index >= LARGER_FROM:
                wanted = larger[(index - LARGER_FROM) % len(larger)]
                if strict.admits(wanted) and math.prod(shape) * wanted * needed <= most:
                    size = wanted
            if math.prod(shape) * size * needed > most or _is_repeated(dim.name, size, specs):
                size = sizes[0]
            if dim.name is not None:
                bound[dim.name] = size
            shape.append(size)
        shapes.append(tuple(reversed(shape)))
    return tuple(shapes)


def _is_repeated(name: str | None, size: int, specs: Sequence[TensorSpec]) -> bool:
    """Return whether a dimension is so often in one tensor that it would become too large at this size."""
    if name is None or size ** max(len(spec.dims) for spec in specs) <= _MAX_SHARED:
        return False
    times = max(sum(dim.name == name for dim in spec.dims) for spec in specs)
    return bool(size**times > _MAX_SHARED)


def _agreed_ranks(specs: Sequence[TensorSpec], ranks: Sequence[int]) -> list[int]:
    """Return the ranks, changed where inputs share a lead."""
    extras: dict[str, int] = {}
    for spec, rank in zip(specs, ranks, strict=True):
        if spec.lead is not None and not spec.lead_one:
            most = min(each.most_leading for each in specs if each.lead == spec.lead)
            extras.setdefault(spec.lead, min(rank - len(spec.dims), most))
    agreed = []
    for spec, rank in zip(specs, ranks, strict=True):
        extra = rank - len(spec.dims)
        if spec.lead in extras:
            extra = min(extra, extras[spec.lead]) if spec.lead_one else extras[spec.lead]
        agreed.append(len(spec.dims) + extra)
    return agreed


#: Joint shapes in the order in which they are worth their export: (rank, indices into Dim.sizes(), last dimension
#: first). An index of -1 is the last size tried, which is 0 where the dimension may be empty.
_WORTH: tuple[tuple[int, tuple[int, ...]], ...] = (
    (1, (1,)),
    (2, (2, 1)),
    (0, (0,)),
    (2, (-1, 1)),
    (1, (0,)),
    (1, (-1,)),
    (3, (0, 2, 1)),
    (2, (2, -1)),
    (2, (0,)),
    (3, (2, -1, 1)),
    (3, (0,)),
    (1, (3,)),
    (2, (1, 3)),
)


def representative_shapes(specs: Sequence[TensorSpec], limit: int) -> tuple[tuple[Shape, ...], ...]:
    """Return up to ``limit`` joint shapes, simplest first, that stand for all of them.

    In the order of what they are worth: ordinary shapes of rank 1 and 2, 0-d, an empty dimension that is not
    the first, size 1, an empty one, rank 3. Used where each new shape costs an export.
    """
    if not specs:
        return ((),)
    rows = itertools.zip_longest(*(spec.ranks() for spec in specs))
    choices = [
        tuple(spec.ranks()[-1] if rank is None else rank for spec, rank in zip(specs, row, strict=True))
        for row in rows
    ]
    # Inputs that broadcast may have fewer dimensions than each other.
    loose = [number for number, spec in enumerate(specs) if spec.lead_one]
    if len(specs) > 1:
        choices += [
            (*ranks[:number], ranks[number] - 1, *ranks[number + 1 :])
            for ranks in choices
            for number in loose
            if ranks[number] > len(specs[number].dims)
        ]
    joint_shapes: dict[tuple[Shape, ...], None] = {}
    for rank, pattern in _WORTH:
        for ranks in choices:
            if max(ranks) == rank or (max(ranks) > 3 and rank == 3) or min(map(max, choices)) > rank == 1:
                joint_shapes.setdefault(shapes_of_ranks(specs, ranks, itertools.cycle(pattern)))
    for ranks in choices:
        joint_shapes.setdefault(shapes_of_ranks(specs, ranks, itertools.cycle((2, 1))))
    return tuple(sorted(list(joint_shapes)[:limit], key=shape_complexity))


def shape_complexity(shapes: Iterable[Shape]) -> tuple[int, ...]:
    """Sort key of joint shapes, simplest first: none empty, elements, rank, then the sizes themselves."""
    joint = tuple(shapes)
    return (
        sum(0 in shape for shape in joint),
        sum(math.prod(shape) for shape in joint),
        sum(len(shape) for shape in joint),
        *(size for shape in joint for size in shape),
    )
