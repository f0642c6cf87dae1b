"""From one call that runs to all that do: which sizes are free, which have a minimum, which must match.

Each step is a hypothesis that is kept only where calls bear it out: dimensions of equal size are told apart by
changing one of them, sizes are tried one by one, leading dimensions are added and taken away, and bounds of the values
are loosened as long as few of what diffexport would generate is rejected.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diffexport.infer.search import CallOutcome, Candidate, Flattened, Prober, tensor_of
from diffexport.infer.widening.value_bounds import REJECTED, Sizes, ValueBounds, at_least, rejected
from diffexport.values import MAX_LEADING, Dim, TensorSpec, ValueKind

#: Sizes that are tried for a dimension.
_SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17)
#: Most sizes of weights that are tried as the most that a dimension may have, and the largest.
_TABLES, _LARGEST_TABLE = 8, 1 << 13
#: Names for dimensions of several inputs that must match.
_NAMES = "NMKPQRSTUVW"
#: Leading dimensions that are put in front to see how many there may be, by the most of them.
_LEADS: dict[int, tuple[tuple[int, ...], ...]] = {
    3: ((), (3,), (2, 3), (2, 1, 2)),
    2: ((), (3,), (2, 3)),
    1: ((), (3,)),
}
#: What is put in front as well where there are indices: those that point into the first dimension do not suit it then.
_LEADS_OF_INDICES: dict[int, tuple[tuple[int, ...], ...]] = {3: ((1, 2),), 2: ((1, 2),), 1: ((1,),)}


@dataclass
class WidenedInputs:
    """Specs for the tensors of a candidate, by place in the [flattened][Flattened] one, and what is worth a note."""

    specs: dict[int, TensorSpec]
    notes: list[str] = field(default_factory=list)


def widened(prober: Prober, candidate: Candidate, *, as_it_is: bool = False) -> WidenedInputs:
    """Return the most general specs that the model bears out, starting from a candidate that runs.

    ``as_it_is`` tries nothing else: other inputs are known to end the process.
    """
    if as_it_is:
        specs = {
            place: TensorSpec(argument.choice.dtype, tuple(Dim(n, n) for n in argument.shape or ()), False)
            for place, argument in enumerate(Flattened.of(candidate).arguments)
            if argument.choice.is_tensor
        }
        return WidenedInputs(specs, ["only the sizes shown are known to work"])
    return _Widener(prober, candidate).go()


def rewidened(prober: Prober, candidate: Candidate, known: Mapping[int, TensorSpec]) -> dict[int, TensorSpec]:
    """Return specs of a candidate that differs in dtypes from one whose specs are known: the same, if they suit it."""
    flat = Flattened.of(candidate)
    specs = {}
    for place, spec in known.items():
        choice = flat.arguments[place].choice
        if choice.dtype == spec.dtype:
            specs[place] = spec
            continue
        is_mask = choice.domain == "mask"
        if spec.is_bounded and spec.kind is None and not is_mask:
            # What pointed into a dimension has another shape than what stands for each element of it.
            return widened(prober, candidate).specs
        plain = replace(spec, dtype=choice.dtype, low=None, high=None, kind=None)
        specs[place] = replace(plain, low=0.0, high=1.0, kind=ValueKind("mask")) if is_mask else plain
    if rejected(prober, flat, specs) <= REJECTED:
        return specs
    return widened(prober, candidate).specs


class _Widener:
    def __init__(self, prober: Prober, candidate: Candidate) -> None:
        self._prober, self._flat = prober, Flattened.of(candidate)
        self._candidate = self._flat.arguments
        self._tensors = [place for place, argument in enumerate(self._candidate) if argument.choice.is_tensor]
        self._has_index = any(argument.choice.domain == "index" for argument in self._candidate)
        self._notes: list[str] = []
        #: Of each dimension, (place, axis), the symbol; of each symbol, its size.
        self._symbols: dict[tuple[int, int], int] = {}
        self._sizes: dict[int, int] = {}
        #: The specs before any had a lead.
        self._plain: dict[int, TensorSpec] = {}

    def go(self) -> WidenedInputs:
        self._same_sizes()
        self._tell_apart()
        dims = {symbol: self._dim(symbol) for symbol in list(self._sizes)}
        self._order(dims)
        self._bound_by_tables(dims)
        self._fixed_together(dims)
        specs = self._named(dims)
        self._plain = dict(specs)
        specs = self._leads(specs)
        specs = self._bounds(specs)
        return WidenedInputs(specs, self._notes)

    def _shape(self, place: int) -> tuple[int, ...]:
        return self._candidate[place].shape or ()

    def _same_sizes(self) -> None:
        """Begin with every two dimensions of one size being the same one."""
        by_size: dict[int, int] = {}
        for place in self._tensors:
            for axis, size in enumerate(self._shape(place)):
                self._symbols[place, axis] = by_size.setdefault(size, len(by_size))
        self._sizes = {symbol: size for size, symbol in by_size.items()}

    def _runs(self, shapes: dict[int, tuple[int, ...]], number: int = 0) -> CallOutcome:
        arguments: list[Any] = []
        for place, argument in enumerate(self._candidate):
            if place in shapes:
                choice = argument.choice
                arguments.append(tensor_of(shapes[place], choice.dtype, choice.domain, 10 * number + place))
            else:
                arguments.append(argument.value(10 * number + place))
        return self._prober.call(self._flat.grouped(arguments), copied=False)

    def _works(self, sizes: dict[int, int], changed: dict[tuple[int, int], int] | None = None) -> bool:
        """Return whether the model runs where symbols have these sizes and some dimensions others."""
        if self._prober.over:
            return False
        changed = changed or {}
        shapes = {
            place: tuple(
                changed.get((place, axis), sizes[self._symbols[place, axis]])
                for axis in range(len(self._shape(place)))
            )
            for place in self._tensors
        }
        if sum(math.prod(shape) for shape in shapes.values()) > 1 << 18:
            return False
        outcome = self._runs(shapes)
        return outcome.ran and bool(outcome.tensors)

    def _tell_apart(self) -> None:
        """Give a symbol of its own to what need not match the others of its size, one by one, then two by two."""
        for together in (1, 2):
            groups = self._groups()
            for symbol, members in groups.items():
                if len(members) <= together:
                    continue
                for some in itertools.combinations(members, together):
                    left = [m for m in self._groups()[symbol] if m not in some]
                    if not left or any(self._symbols[m] != symbol for m in some):
                        continue
                    if together == 2 and some[0][0] == some[1][0]:
                        continue
                    size = self._sizes[symbol]
                    others = [n for n in (size + 1, size + 2, max(size - 1, 2), 2 * size, 3) if n != size][:4]
                    # Two others will do: a kernel may be smaller than its image, and not larger.
                    good = (n for n in others if self._works(self._sizes, dict.fromkeys(some, n)))
                    if len(list(itertools.islice(good, 2))) == 2:
                        new = max(self._sizes) + 1
                        self._sizes[new] = self._fresh_size(size)
                        self._symbols.update(dict.fromkeys(some, new))
                        if not self._works(self._sizes):
                            self._symbols.update(dict.fromkeys(some, symbol))
                            del self._sizes[new]

    def _fresh_size(self, near: int) -> int:
        used = set(self._sizes.values())
        return next(
            (n for n in (*_SIZES[_SIZES.index(3) :], *range(18, 64)) if n not in used and n != near), near + 1
        )

    def _groups(self) -> dict[int, list[tuple[int, int]]]:
        groups: dict[int, list[tuple[int, int]]] = {}
        for member, symbol in self._symbols.items():
            groups.setdefault(symbol, []).append(member)
        return groups

    def _dim(self, symbol: int) -> Dim:
        """Return the sizes that a symbol may have."""
        base = self._sizes[symbol]
        good = {n for n in _SIZES if n == base or self._works({**self._sizes, symbol: n})} | {base}
        tried = sorted({*_SIZES, base})
        low = high = tried.index(base)
        while low > 0 and tried[low - 1] in good:
            low -= 1
        while high + 1 < len(tried) and tried[high + 1] in good:
            high += 1
        low, high = tried[low], tried[high]
        if high == tried[-1]:
            return Dim(low, None)
        if high == low and len(good) > 2:
            steps = sorted(good)
            self._note(
                f"a dimension of size {base} may also be {', '.join(map(str, steps))}, and not what lies between"
            )
        return Dim(low, high)

    def _order(self, dims: dict[int, Dim]) -> None:
        """Where a size may not exceed or fall below another one, have the least of one be the most of the other."""
        groups = self._groups()
        for symbol, dim in dims.items():
            if dim.high is None or dim.high == dim.low or symbol not in groups:
                continue
            for other, theirs in dims.items():
                if (
                    other != symbol
                    and theirs.high is None
                    and theirs.low > 0
                    and abs(dim.high - self._sizes[other]) <= 1
                ):
                    most = max(dim.low, min(3, dim.high))
                    dims[symbol] = Dim(dim.low, most)
                    dims[other] = Dim(max(theirs.low, most), None)

    def _bound_by_tables(self, dims: dict[int, Dim]) -> None:
        """Where a size may not exceed that of a weight, as of positions that are looked up, have that be its most."""
        module = self._prober.subject.module
        weights = (*module.parameters(), *module.buffers())
        sizes = {size for weight in weights for size in weight.shape if _SIZES[-1] < size <= _LARGEST_TABLE}
        for symbol, dim in dims.items():
            if dim.high is not None:
                continue
            for size in sorted(sizes)[:_TABLES]:
                at_most = self._works({**self._sizes, symbol: size})
                if at_most and not self._works({**self._sizes, symbol: size + 1}):
                    dims[symbol] = Dim(dim.low, size)
                    break

    def _fixed_together(self, dims: dict[int, Dim]) -> None:
        """A dimension that several inputs share and that cannot be large gets its one size."""
        for symbol, members in self._groups().items():
            dim = dims[symbol]
            if len(members) > 1 and dim.high is not None and dim.high <= _SIZES[-1]:
                dims[symbol] = Dim(self._sizes[symbol], self._sizes[symbol])

    def _named(self, dims: dict[int, Dim]) -> dict[int, TensorSpec]:
        names: dict[int, str] = {}
        free = iter(_NAMES)
        groups = self._groups()
        for symbol, members in groups.items():
            dim = dims[symbol]
            if (len(members) > 1 and dim.high is None) or (dim.high is not None and dim.high > _SIZES[-1]):
                names[symbol] = next(free, f"D{symbol}")
        specs = {}
        for place in self._tensors:
            symbols = [self._symbols[place, axis] for axis in range(len(self._shape(place)))]
            parts = tuple(replace(dims[s], name=names.get(s)) for s in symbols)
            choice = self._candidate[place].choice
            specs[place] = TensorSpec(choice.dtype, parts, False)
        return specs

    def _leads(self, specs: dict[int, TensorSpec]) -> dict[int, TensorSpec]:
        """Replace leading dimensions by any number of them, in as many tensors together as share them.

        Where not any number will do, as with a batch that may be left out, it is as many as will.
        """
        symbols = {p: [self._symbols[p, axis] for axis in range(len(self._shape(p)))] for p in self._tensors}
        done: set[int] = set()
        for most in _LEADS:
            for place in self._tensors:
                if place in done or not symbols[place]:
                    continue
                sharing = [p for p in self._tensors if p not in done and symbols[p][:1] == symbols[place][:1]]
                groups = [tuple(sharing), (place,)]
                if most < MAX_LEADING and not done:
                    groups.append(tuple(self._tensors))
                for group in dict.fromkeys(groups):
                    if most < MAX_LEADING and self._tensors[0] not in group:
                        # It is the first tensor that comes with a batch and without.
                        continue
                    strip = self._strip(specs, symbols, group, most)
                    if strip is None:
                        continue
                    lead = None if len(group) == 1 else f"B{len(done)}" if done else "B"
                    for p in group:
                        dims = specs[p].dims[strip:]
                        specs[p] = replace(specs[p], dims=dims, leading=True, lead=lead, most_leading=most)
                    done.update(group)
                    break
        return specs

    def _strip(
        self,
        specs: dict[int, TensorSpec],
        symbols: dict[int, list[int]],
        group: tuple[int, ...],
        most: int,
    ) -> int | None:
        """Return how many leading dimensions of a group can become up to ``most`` others; None for none."""
        common = 0
        for column in zip(*(symbols[p] for p in group), strict=False):
            if len(set(column)) > 1:
                break
            common += 1
        elsewhere = {
            s for p in self._tensors for axis, s in enumerate(symbols[p]) if p not in group or axis >= common
        }
        leads = _LEADS[most] + (_LEADS_OF_INDICES[most] if self._has_index else ())
        # Of an index, only the shape may vary: its values refer to the others.
        for count in range(common, -1, -1):
            stripped = {symbols[p][axis] for p in group for axis in range(count)}
            if stripped & elsewhere or any(
                specs[p].dims[axis].high is not None or specs[p].dims[axis].low > 1
                for p in group
                for axis in range(count)
            ):
                continue
            is_everything = most < MAX_LEADING and group == tuple(self._tensors)
            if count == 0 and ((len(group) > 1 and not is_everything) or not specs[group[0]].dims):
                continue
            if all(self._with_lead(lead, group, count) for lead in leads):
                return count
        return None

    def _with_lead(self, lead: tuple[int, ...], group: tuple[int, ...], count: int) -> bool:
        if self._prober.over:
            return False
        base = {
            p: tuple(self._sizes[self._symbols[p, a]] for a in range(len(self._shape(p))))
            for p in self._tensors
        }
        shapes = {p: (*lead, *shape[count:]) if p in group else shape for p, shape in base.items()}
        outcome = self._runs(shapes)
        return outcome.ran and bool(outcome.tensors)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _bounds(self, specs: dict[int, TensorSpec]) -> dict[int, TensorSpec]:
        """Bound the values no more than needed for the model to accept most of what is generated."""
        bounds = ValueBounds(self._prober, self._flat, Sizes(self._symbols, self._sizes))
        found = bounds.loosened(self._roomy(bounds.tightened(specs)))
        if self._has_index and not any(spec.named_bound for spec in found.values()):
            # Which dimension an index points into can be said only of one that has a place of its own.
            plain = bounds.loosened(self._roomy(bounds.tightened(self._plain)))
            if any(spec.named_bound for spec in plain.values()):
                return plain
        if not any(spec.low == spec.high == 0 for spec in found.values()):
            return found
        # Of an index that is always 0 nothing is seen.
        wider = bounds.loosened(self._roomy(bounds.tightened(specs, most_index=1)))
        share = rejected(self._prober, self._flat, wider)
        return wider if share <= max(REJECTED, rejected(self._prober, self._flat, found)) else found

    def _roomy(self, specs: dict[int, TensorSpec]) -> dict[int, TensorSpec]:
        """Give dimensions a minimum where what may be generated is rejected for being empty, or small."""
        if rejected(self._prober, self._flat, specs) <= REJECTED:
            return specs
        for least, plain in ((1, False), (1, True), (2, True)):
            raised = {
                p: replace(
                    given_spec,
                    dims=tuple(at_least(dim, least) for dim in given_spec.dims),
                    low=specs[p].low,
                    high=specs[p].high,
                    kind=specs[p].kind,
                )
                for p, given_spec in (self._plain if plain else specs).items()
            }
            if rejected(self._prober, self._flat, raised) <= REJECTED:
                return raised
        fixed = {}
        for p, spec in specs.items():
            sizes = [self._sizes[self._symbols[p, axis]] for axis in range(len(self._shape(p)))]
            fixed[p] = replace(spec, dims=tuple(Dim(n, n) for n in sizes), leading=False, lead=None)
        if rejected(self._prober, self._flat, fixed) < rejected(self._prober, self._flat, raised):
            self._note("only the sizes shown are known to work")
            return fixed
        return raised
