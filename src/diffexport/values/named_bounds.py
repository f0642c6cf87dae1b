"""Specs whose bounds of values follow the sizes of dimensions, and specs with some dimensions at one size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from diffexport.errors import UsageError, shown, suggestion
from diffexport.values.spec import Dim, Shape, TensorSpec
from diffexport.values.value_ranges import SizeBound, least_size


def pinned(
    specs: Sequence[TensorSpec], shapes: Sequence[Shape], free: Sequence[Sequence[int]]
) -> tuple[TensorSpec, ...]:
    """Return the specs with every axis at the size it has in ``shapes``, save those that are ``free`` in each.

    A name that stands at an axis which is not free is pinned wherever it occurs.
    """
    every = [spec.dims_for(len(shape)) for spec, shape in zip(specs, shapes, strict=True)]
    fixed = {
        dim.name
        for dims, free_axes in zip(every, free, strict=True)
        for axis, dim in enumerate(dims)
        if axis not in free_axes and dim.name is not None
    }
    pinned_specs = []
    for spec, dims, shape, free_axes in zip(specs, every, shapes, free, strict=True):
        kept = tuple(
            dim if axis in free_axes and dim.name not in fixed else Dim(size, size)
            for axis, (dim, size) in enumerate(zip(dims, shape, strict=True))
        )
        pinned_specs.append(replace(spec, dims=kept, leading=False, lead=None, lead_one=False))
    sizes = {name: size for name, size in named_sizes(specs, shapes).items() if name in fixed}
    return tuple(with_sizes(spec, sizes) for spec in pinned_specs)


def named_sizes(specs: Sequence[TensorSpec], shapes: Sequence[Shape]) -> dict[str, int]:
    """Return the size that each named dimension has in joint shapes; where it broadcasts, the largest."""
    sizes: dict[str, int] = {}
    for spec, shape in zip(specs, shapes, strict=True):
        for dim, size in zip(spec.dims_for(len(shape)), shape, strict=True):
            if dim.name is not None:
                sizes[dim.name] = max(size, sizes.get(dim.name, size)) if dim.one else size
    return sizes


def with_sizes(spec: TensorSpec, sizes: Mapping[str, int]) -> TensorSpec:
    """Return a spec whose bounds are numbers, where they follow a dimension whose size is known."""
    if spec.named_bound is None or spec.named_bound not in sizes:
        return spec
    low, high = spec.range_at(sizes[spec.named_bound])
    return replace(spec, low=low, high=high)


def bounded_at(specs: Sequence[TensorSpec], shapes: Sequence[Shape]) -> Sequence[TensorSpec]:
    """Return the specs with the bounds that they have at joint shapes."""
    if all(spec.named_bound is None for spec in specs):
        return specs
    sizes = named_sizes(specs, shapes)
    return [
        # Of a tensor without elements no value is asked for, whatever the bounds.
        with_sizes(spec, sizes) if math.prod(shape) else replace(spec, low=None, high=None, kind=None)
        for spec, shape in zip(specs, shapes, strict=True)
    ]


def follow_dimensions(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs with dimensions large enough for the bounds that name them: an index needs a size of 1.

    Raises:
        UsageError: a bound names no dimension of any of them.
    """
    if all(spec.named_bound is None for spec in specs):
        return tuple(specs)
    names = sorted({dim.name for spec in specs for dim in spec.dims if dim.name is not None})
    least: dict[str, int] = {}
    for spec in specs:
        if spec.named_bound is None:
            continue
        if spec.named_bound not in names:
            raise UsageError(
                f"tensor spec {shown(str(spec))}: {spec.named_bound!r} names no dimension of any input"
                f"{suggestion(spec.named_bound, names) if names else ', of which none has a name'}"
            )
        needed = least_size(spec.low, spec.high) or 0
        least[spec.named_bound] = max(needed, least.get(spec.named_bound, 0))
    return tuple(
        replace(
            spec,
            dims=tuple(replace(dim, low=max(dim.low, least.get(dim.name or "", 0))) for dim in spec.dims),
        )
        for spec in specs
    )


def following(spec: TensorSpec, dims: Mapping[str, Dim]) -> TensorSpec:
    """Return a spec whose bounds follow a dimension by the name, or the one size, that it has in ``dims``."""
    dim = dims.get(spec.named_bound or "")
    if dim is None or (dim.name is None and dim.low != dim.high):
        return spec
    if dim.name is None:
        return with_sizes(spec, {str(spec.named_bound): dim.low})
    low, high = (
        replace(bound, name=dim.name) if isinstance(bound, SizeBound) else bound
        for bound in (spec.low, spec.high)
    )
    return replace(spec, low=low, high=high)
