"""What an ONNX file says of its inputs, as tensor specs: alone, or together with what is said elsewhere.

A static dimension is fixed. A symbolic one is free and has the same size wherever its symbol occurs. Where a case or
the command line has specs too, both hold: what contradicts is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diffexport.arrays import BFLOAT16, is_complex, part_dtype
from diffexport.backends.graphs import Declared, DeclaredDim
from diffexport.errors import UsageError, one_line
from diffexport.values import DTYPES, Dim, TensorSpec, check_sizes, following

#: Sizes that are tried for a free dimension besides the usual ones.
LARGER = (9, 17, 65)


def declared_specs(declared: Sequence[Declared]) -> tuple[TensorSpec, ...]:
    """Return the specs of inputs of which nothing else is known.

    Raises:
        UsageError: an input has a type that cannot be generated.
    """
    specs = tuple(TensorSpec(_dtype(value), (), True) for value in declared)
    return narrowed(specs, declared, "the model")


def narrowed(
    specs: Sequence[TensorSpec], declared: Sequence[Declared], source: str
) -> tuple[TensorSpec, ...]:
    """Return specs that admit what both the given ones and the file admit.

    Args:
        specs: one for each input.
        declared: what the file says of each.
        source: who says what is in ``specs``, for messages.

    Raises:
        UsageError: they contradict each other; the message names input, dimension and both sides.
    """
    axes: list[list[_Axis]] = []
    for number, (spec, value) in enumerate(zip(specs, declared, strict=True)):
        where = f"input {number} ({value.name!r}): {source} says {spec}, the file declares {show(value)}"
        dims = _dims(spec, value, where)
        if dims is None:
            # Without a declared shape the axes are not known, so that names of theirs are kept as they are.
            axes.append([])
            continue
        own = spec.dims_for(len(dims))
        axes.append([_Axis(dim, size, where, n) for n, (dim, size) in enumerate(zip(own, dims, strict=True))])
    _unify([axis for row in axes for axis in row])
    found = []
    now: dict[str, Dim] = {}
    for spec, value, row in zip(specs, declared, axes, strict=True):
        own = spec.dims_for(len(row)) if row else ()
        now |= {dim.name: axis.dim for dim, axis in zip(own, row, strict=True) if dim.name is not None}
        if not row and value.shape is None:
            found.append(spec)
            continue
        dims_of = tuple(axis.dim for axis in row)
        found.append(replace(spec, dims=dims_of, leading=False, lead=None, lead_one=False))
    found = [following(spec, now) for spec in found]
    check_sizes(found)
    return tuple(found)


def show(value: Declared) -> str:
    """Return a declared type in the form of a spec: ``float32[batch, 3]``."""
    dtype = "an undeclared dtype" if value.dtype is None else value.dtype.name
    if value.shape is None:
        return f"{dtype} of any shape"
    return f"{dtype}[{', '.join('?' if dim is None else one_line(str(dim), 60) for dim in value.shape)}]"


def _dtype(value: Declared) -> str:
    name = "float32" if value.dtype is None else value.dtype.name
    if name not in DTYPES:
        raise UsageError(
            f"graph input {value.name!r} is of type {name}, which is not generated (known: {', '.join(DTYPES)})"
        )
    return name


class FreeDim(Dim):
    """A free dimension of a file that is given: larger sizes are tried, too.

    Where sizes cost an export each, five are enough: what was frozen is frozen at one of them. Nobody knows at which
    sizes a given file was exported.
    """

    def sizes(self) -> tuple[int, ...]:
        """Return the usual sizes, and some beyond those that models are usually exported with, 0 last."""
        usual = super().sizes()
        if self.high is not None:
            return usual
        empty = tuple(size for size in usual if not size)
        least = [size for size in usual if size]
        return (*least, *(size for size in LARGER if size > least[-1]), *empty)


class _Axis:
    """One axis of one input: what the spec says and what the file says, later what both say."""

    def __init__(self, dim: Dim, declared: DeclaredDim, where: str, number: int) -> None:
        self.dim, self.where, self.number = dim, where, number
        self.declared = declared
        self.labels: set[tuple[str, str]] = set()
        if dim.name is not None and not dim.one:
            self.labels.add(("spec", dim.name))
        if isinstance(declared, str):
            self.labels.add(("file", declared))

    def contradiction(self, size: int) -> str:
        return f"{self.where}: dimension {self.number} is {size} in the file, which {str(self.dim)!r} does not admit"


def _dims(spec: TensorSpec, value: Declared, where: str) -> tuple[DeclaredDim, ...] | None:
    """Return the declared dimensions that a tensor of the spec has; None where no shape is declared."""
    dtype: np.dtype[Any] = np.dtype(BFLOAT16 if spec.dtype == "bfloat16" else spec.dtype)
    dims = value.shape
    if value.dtype is not None and value.dtype != dtype:
        # Exporters built on torch.export declare a complex input as real, with a last dimension of 2.
        split = is_complex(dtype) and value.dtype == part_dtype(dtype)
        if not split or (dims is not None and (not dims or dims[-1] not in (2, None))):
            raise UsageError(where)
        dims = None if dims is None else dims[:-1]
    if dims is None:
        return None
    if len(dims) < len(spec.dims) or (len(dims) > len(spec.dims) and not spec.leading):
        raise UsageError(f"{where}: the number of dimensions does not fit")
    return dims


def _unify(axes: Sequence[_Axis]) -> None:
    """Give axes that share a symbol, in the file or in the specs, one size; set ``dim`` of each."""
    groups: list[list[_Axis]] = []
    for axis in axes:
        joined = [group for group in groups if any(axis.labels & other.labels for other in group)]
        for group in joined:
            groups.remove(group)
        groups.append([*(other for group in joined for other in group), axis])
    taken: set[str] = set()
    fixed: dict[str, int] = {}
    for group in groups:
        sizes = {axis.declared for axis in group if isinstance(axis.declared, int)}
        # A fixed dimension of the specs is one in the file, too, where the file leaves it free.
        sizes |= {axis.dim.low for axis in group if axis.dim.high == axis.dim.low}
        if len(sizes) > 1:
            one = max(group, key=lambda axis: axis.declared is None or axis.declared != min(sizes))
            raise UsageError(f"{one.where}: dimension {one.number} would have to be {_either(sizes)}")
        if sizes:
            (size,) = sizes
            fixed.update((label, size) for axis in group for kind, label in axis.labels if kind == "spec")
            for axis in group:
                if not (axis.dim.admits(size) or (axis.dim.one and size == 1)):
                    raise UsageError(axis.contradiction(size))
                axis.dim = Dim(size, size)
            continue
        low = max(axis.dim.low for axis in group)
        highs = [axis.dim.high for axis in group if axis.dim.high is not None]
        high = min(highs, default=None)
        if high is not None and low > high:
            raise UsageError(
                f"{group[0].where}: dimension {group[0].number} has no size that suits all inputs"
            )
        if len(group) == 1 and (group[0].dim.one or high is not None):
            continue
        if not group[0].labels:
            group[0].dim = FreeDim(low)
            continue
        name = _name(group, taken)
        for axis in group:
            axis.dim = FreeDim(low, high, name)
    for axis in axes:
        if axis.dim.one and axis.dim.name in fixed:
            axis.dim = Dim(fixed[axis.dim.name], fixed[axis.dim.name])


def _either(sizes: Iterable[int]) -> str:
    return " and ".join(str(size) for size in sorted(sizes))


def _name(group: Sequence[_Axis], taken: set[str]) -> str:
    """Return a name that a spec can have: one of the specs' own, or the file's symbol."""
    # A name of the specs comes first: others may broadcast with it.
    labels = sorted({label for axis in group for label in axis.labels}, reverse=True)
    plain = re.sub(r"\W+", "_", labels[0][1], flags=re.ASCII).strip("_") or "d"
    if not re.match(r"[A-Za-z_]", plain):
        plain = f"d{plain}"
    name, number = plain, 1
    while name in taken:
        number += 1
        name = f"{plain}_{number}"
    taken.add(name)
    return name
