"""Is a mutant that was not caught equivalent to the original, or was it missed?

Both are run on ONNX Runtime without optimisation, on far more than the check drew, drawn in another way: every
float16 value, special values and the graph's own constants with their neighbours, all pairs of these where there are
several inputs, random bits, ordinary random numbers; at sizes from 0 to what the check never draws. The rule is the
oracle's: a difference it would not report is none. So what differs is checked against eager before it counts,
which tells a bug from what rounding explains.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffexport import oracle
from diffexport.arrays import BFLOAT16, Array, as_parts, finfo, is_complex, is_floating, part_dtype
from diffexport.backends import runtimes
from diffexport.processes import STEPS
from diffexport.strategies import arranged_rows, ordinary_values
from diffexport.values import Dim, Divergence, Severity, Shape, TensorSpec, bounded_at, representative_shapes

RUNTIME = "ort-disabled"
#: Most runs for one pool of values: at the first joint shape, at each of the others. Most elements of one tensor.
_RUNS, _FEW, _ELEMENTS = 4096, 24, 1 << 17
#: Differences that the check does not report, after which what is left of them is taken for rounding.
_MOST_UNREPORTED = 32
_SPECIAL = (
    *(
        0.0,
        0.5,
        1.0,
        1.5,
        2.0,
        2.5,
        3.0,
        3.5,
        4.0,
        5.0,
        7.5,
        8.0,
        10.0,
        16.0,
        64.0,
        88.0,
        89.0,
        99.5,
        100.0,
        100.5,
    ),
    *(
        127.0,
        128.0,
        255.0,
        256.0,
        1000.0,
        65504.0,
        65536.0,
        1e6,
        2.0**24,
        2.0**31,
        2.0**53,
        1e30,
        1e38,
        math.inf,
    ),
    *(0.1, 0.25, 1e-3, 1e-4, 1e-5, 1e-7, 1e-10, 1e-30, 1e-38, 1e-40, 1e-45),
)


@dataclass(frozen=True, eq=False)
class SurvivorEvidence:
    """Inputs on which a mutant differs from the original, and how."""

    inputs: tuple[Array, ...]
    message: str


class MutantComparer:
    """Compares mutants with one original.

    Args:
        original: the serialised model.
        names: the graph inputs, in the order of ``specs``.
        specs: what the inputs may be.
        constants: numbers that matter to the model.
        seed: of what is random.
        strict: let the sign of zero count.
    """

    def __init__(
        self,
        original: bytes,
        names: Sequence[str],
        specs: Sequence[TensorSpec],
        constants: Sequence[float] = (),
        *,
        seed: int = 0,
        strict: bool = False,
    ) -> None:
        self._session = runtimes.load(RUNTIME, original)
        self._names, self._specs, self._strict = tuple(names), tuple(specs), strict
        self._constants, self._seed = tuple(constants), seed
        self._own = self._constants

    def evidence(
        self,
        mutant: bytes,
        constants: Sequence[float] = (),
        *,
        confirm: Callable[[tuple[Array, ...]], bool] = lambda inputs: True,  # noqa: ARG005
    ) -> SurvivorEvidence | None:
        """Return where a mutant differs from the original; None if it does nowhere that was looked at.

        Args:
            mutant: the serialised model.
            constants: the numbers that matter to it.
            confirm: whether the check reports it on these inputs; asked about [_MOST_UNREPORTED][] differences at most.
        """
        unreported = 0
        self._own = tuple(dict.fromkeys((*self._constants, *constants)))
        try:
            STEPS.begin("load", runtime=RUNTIME)
            session = runtimes.load(RUNTIME, mutant)
        except runtimes.LoadError as error:
            return SurvivorEvidence((), f"{RUNTIME} does not load it: {error}")
        for inputs in self._samples():
            difference = self._difference(session, inputs)
            if difference and confirm(inputs):
                return self._smaller(session, SurvivorEvidence(inputs, difference))
            unreported += bool(difference)
            if unreported >= _MOST_UNREPORTED:
                break
        return None

    def _difference(self, session: runtimes.Session, inputs: Sequence[Array]) -> str:
        """Return how a mutant differs on some inputs; empty if it does not, or if the original fails on them."""
        feeds = {
            name: as_parts(array) if is_complex(array.dtype) else array
            for name, array in zip(self._names, inputs, strict=True)
        }
        try:
            STEPS.begin("judge")
            expected = self._session.run(feeds)
        except runtimes.RunError:
            return ""
        try:
            STEPS.begin("run", runtime=RUNTIME)
            got = session.run(feeds)
        except runtimes.RunError as error:
            return f"it fails where the original does not: {str(error).splitlines()[0]}"
        STEPS.begin("judge")
        for divergence in oracle.compare(expected, got):
            if self._strict or divergence.severity is Severity.FAILURE:
                return _message(divergence)
        return ""

    def _smaller(self, session: runtimes.Session, evidence: SurvivorEvidence) -> SurvivorEvidence:
        """Return a smaller input that shows a difference, if there is one full of one of the values."""
        if all(array.size <= 8 for array in evidence.inputs):
            return evidence
        shapes = representative_shapes(self._specs, 4)
        for joint in shapes:
            for place in range(min(max(array.size for array in evidence.inputs), 1 << 12)):
                inputs = tuple(
                    np.full(shape, array.reshape(-1)[place % max(array.size, 1)], array.dtype)
                    if array.size
                    else np.zeros(shape, array.dtype)
                    for shape, array in zip(joint, evidence.inputs, strict=True)
                )
                message = self._difference(session, inputs) if all(joint_fits(joint, evidence)) else ""
                if message:
                    return SurvivorEvidence(inputs, message)
        return evidence

    def _samples(self) -> Iterator[tuple[Array, ...]]:
        random = np.random.default_rng(self._seed + 1)
        runs = _RUNS
        for joint in self._shapes():
            for fill in (self._pairs, self._dense, self._finite, self._plain, self._bits):
                yield from itertools.islice(fill(joint, random), runs)
            runs = _FEW

    def _shapes(self) -> Iterator[tuple[Shape, ...]]:
        """Yield a large joint shape, then small ones, then sizes beyond those that a check draws."""
        seen: set[tuple[Shape, ...]] = set()
        large = [_sized(self._specs, sizes) for sizes in ((256, 64, 2), (7, 300, 3), (33, 17, 9))]
        for joint in (*large, *representative_shapes(self._specs, 12)):
            if joint not in seen:
                seen.add(joint)
                yield joint

    def _pool(self, spec: TensorSpec, kind: str, random: np.random.Generator) -> Array:
        """Return values of one kind that a spec admits."""
        pool = _pool(np.dtype(spec.dtype) if spec.dtype != "bfloat16" else BFLOAT16, kind, self._own, random)
        if spec.scope.ordinary:
            pool = ordinary_values(pool)
        if not spec.is_bounded:
            return pool
        least, most = spec.range_at()
        low = -math.inf if least is None else least
        high = math.inf if most is None else most
        within = pool[(pool >= low) & (pool <= high)]
        return within if within.size else np.full(1, min(max(0.0, low), high), pool.dtype)

    def _tensors(
        self, joint: tuple[Shape, ...], kind: str, random: np.random.Generator
    ) -> Iterator[tuple[Array, ...]]:
        """Yield samples whose elements go through a pool, each input in an order of its own."""
        specs = bounded_at(self._specs, joint)
        pools = [self._pool(spec, kind, random) for spec in specs]
        pools = [random.permutation(pool) for pool in pools]
        most = max((math.prod(shape) for shape in joint), default=0)
        runs = 1 if not most else math.ceil(max(pool.size for pool in pools) / most)
        for run in range(runs):
            yield tuple(
                arranged_rows(
                    np.take(pool, np.arange(math.prod(shape)) + run * most, mode="wrap").reshape(shape), spec
                )
                for pool, shape, spec in zip(pools, joint, specs, strict=True)
            )

    def _dense(self, joint: tuple[Shape, ...], random: np.random.Generator) -> Iterator[tuple[Array, ...]]:
        return self._tensors(joint, "dense", random)

    def _finite(self, joint: tuple[Shape, ...], random: np.random.Generator) -> Iterator[tuple[Array, ...]]:
        return self._tensors(joint, "finite", random)

    def _plain(self, joint: tuple[Shape, ...], random: np.random.Generator) -> Iterator[tuple[Array, ...]]:
        return self._tensors(joint, "plain", random)

    def _bits(self, joint: tuple[Shape, ...], random: np.random.Generator) -> Iterator[tuple[Array, ...]]:
        return self._tensors(joint, "bits", random)

    def _pairs(self, joint: tuple[Shape, ...], random: np.random.Generator) -> Iterator[tuple[Array, ...]]:
        """Yield tensors full of one special value each: every one of them, or every pair."""
        specs = bounded_at(self._specs, joint)
        pools = [self._pool(spec, "special", random)[: 4096 if len(specs) == 1 else 64] for spec in specs]
        for chosen in itertools.product(*pools):
            yield tuple(
                arranged_rows(np.full(shape, value, pool.dtype), spec)
                for shape, value, pool, spec in zip(joint, chosen, pools, specs, strict=True)
            )


def joint_fits(joint: tuple[Shape, ...], evidence: SurvivorEvidence) -> Iterator[bool]:
    """Yield for each input whether it is to be no larger than it was."""
    return (math.prod(shape) <= array.size for shape, array in zip(joint, evidence.inputs, strict=True))


def _message(divergence: Divergence) -> str:
    return divergence.message.replace("eager", "the original", 1).replace("exported model", "the mutant", 1)


def _sized(specs: Sequence[TensorSpec], sizes: Sequence[int]) -> tuple[Shape, ...]:
    """Return shapes whose free dimensions have the given sizes in turn, equal where they share a name."""
    named: dict[str, int] = {}
    turn = itertools.cycle(sizes)
    shapes = []
    for spec in specs:
        rank = max(len(spec.dims), 1) if spec.leading else len(spec.dims)
        shape: list[int] = []
        for dim in spec.dims_for(rank):
            size = named[dim.name] if dim.name in named else _within(dim, next(turn))
            if math.prod(shape) * size > _ELEMENTS:
                size = max(dim.low, 1)
            if dim.name is not None:
                size = named.setdefault(dim.name, size)
            shape.append(size)
        shapes.append(tuple(shape))
    return tuple(shapes)


def _within(dim: Dim, size: int) -> int:
    return max(dim.low, size if dim.high is None else min(size, dim.high))


def _pool(dtype: np.dtype[Any], kind: str, constants: Sequence[float], random: np.random.Generator) -> Array:
    if dtype == np.bool_:
        return np.array([False, True])
    if is_complex(dtype):
        part = _pool(part_dtype(dtype), kind, constants, random)
        return (
            np.ascontiguousarray(np.stack([part, random.permutation(part)], axis=-1)).view(dtype).reshape(-1)
        )
    with np.errstate(all="ignore"):
        if is_floating(dtype):
            return _FLOATING[kind](dtype, constants, random)
        return _integers(dtype, kind, constants, random)


def _special(dtype: np.dtype[Any], constants: Sequence[float], _random: np.random.Generator) -> Array:
    info = finfo(dtype)
    near = np.array([*_SPECIAL, *constants, float(info.max), float(info.smallest_normal)]).astype(dtype)
    neighbours = [near]
    for towards in (np.inf, -np.inf):
        step = near
        for _ in range(3):
            step = np.nextafter(step, dtype.type(towards))
            neighbours.append(step)
    values = np.concatenate([*neighbours, np.array([np.nan], dtype)])
    both = np.concatenate([values, -values])
    return both[np.sort(np.unique(both.view(f"u{dtype.itemsize}"), return_index=True)[1])]


def _every_half(dtype: np.dtype[Any], constants: Sequence[float], random: np.random.Generator) -> Array:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(dtype)
    return np.concatenate([halves, _special(dtype, constants, random)])


def _finite(dtype: np.dtype[Any], constants: Sequence[float], random: np.random.Generator) -> Array:
    values = _every_half(dtype, constants, random)
    return values[np.isfinite(values)]


def _plain(dtype: np.dtype[Any], _constants: Sequence[float], random: np.random.Generator) -> Array:
    normal = random.normal(size=1 << 13)
    return np.concatenate([(normal * scale).astype(dtype) for scale in (0.1, 1, 10, 100)])


def _bits(dtype: np.dtype[Any], _constants: Sequence[float], random: np.random.Generator) -> Array:
    return np.frombuffer(random.bytes((1 << 15) * dtype.itemsize), dtype)


_FLOATING: dict[str, Callable[[np.dtype[Any], Sequence[float], np.random.Generator], Array]] = {
    "special": _special,
    "dense": _every_half,
    "finite": _finite,
    "plain": _plain,
    "bits": _bits,
}


def _integers(
    dtype: np.dtype[Any], kind: str, constants: Sequence[float], random: np.random.Generator
) -> Array:
    info = np.iinfo(dtype)
    if kind == "bits":
        return np.frombuffer(random.bytes((1 << 13) * dtype.itemsize), dtype)
    reach = {"special": 8, "plain": 20, "finite": 300, "dense": 3000}[kind]
    wanted = [*range(-reach, reach + 1), *(int(c) + d for c in constants for d in (-1, 0, 1))]
    if kind in ("special", "dense"):
        wanted += [sign * (1 << power) + d for power in range(64) for d in (-1, 0, 1) for sign in (1, -1)]
    kept = dict.fromkeys(number for number in wanted if info.min <= number <= info.max)
    return np.array([*kept, info.min, info.max], dtype)
