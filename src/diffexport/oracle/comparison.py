"""Compare the outputs of two sides: exact classes, and finite values within the tight tolerance of their dtype."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diffexport.arrays import Array, finfo, is_complex, is_floating
from diffexport.oracle.tolerance import TOLERANCES, tight, tight_measures
from diffexport.values import Aspect, Divergence, Kind, Place, Severity, Stage


def same_bits(eager: Sequence[Array], got: Sequence[Array]) -> bool:
    """Return whether both sides are identical to the last bit: the fast path."""
    if len(eager) != len(got):
        return False
    for one, other in zip(eager, got, strict=True):
        if one.dtype != other.dtype or one.shape != other.shape or one.tobytes() != other.tobytes():
            return False
    return True


def compare(eager: Sequence[Array], got: Sequence[Array], *, brief: bool = False) -> list[Divergence]:
    """Return every way in which ``got`` is not ``eager``, in the order of the outputs; empty if none.

    With ``brief``, values that differ get no message, which takes longer to write than to find them.
    """
    if same_bits(eager, got):
        return []
    if len(eager) != len(got):
        message = f"eager returns {len(eager)} outputs, the exported model {len(got)}"
        return [Divergence(Stage.COMPARE, Kind.STRUCTURE, Place.OUTPUTS, Aspect.NUMBER_OF_OUTPUTS, message)]
    differences: list[Divergence] = []
    for number, (one, other) in enumerate(zip(eager, got, strict=True)):
        differences += _compare_one(Place.output(number), one, other, brief)
    failures = [divergence for divergence in differences if divergence.severity is Severity.FAILURE]
    if len(failures) > 1 and _permuted(eager, got):
        message = "the outputs come in another order than in eager"
        return [Divergence(Stage.COMPARE, Kind.STRUCTURE, Place.OUTPUTS, Aspect.ORDER_OF_OUTPUTS, message)]
    return differences


_ANY = Place.output(0)


def _permuted(eager: Sequence[Array], got: Sequence[Array]) -> bool:
    remaining = list(got)
    for one in eager:
        match = next(
            (i for i, other in enumerate(remaining) if not _compare_one(_ANY, one, other, True)), None
        )
        if match is None:
            return False
        del remaining[match]
    return True


def _compare_one(place: Place, eager: Array, got: Array, brief: bool) -> list[Divergence]:
    if eager.dtype != got.dtype:
        signature = f"{eager.dtype}→{got.dtype}"
        message = f"{place}: eager has dtype {eager.dtype}, the exported model {got.dtype}"
        return [Divergence(Stage.COMPARE, Kind.DTYPE, place, signature, message)]
    if eager.shape != got.shape:
        signature = Aspect.RANK if eager.ndim != got.ndim else Aspect.SIZE
        message = f"{place}: eager has shape {list(eager.shape)}, the exported model {list(got.shape)}"
        return [Divergence(Stage.COMPARE, Kind.SHAPE, place, signature, message)]
    if _is_float(eager.dtype):
        return [] if _close(eager, got) else _compare_floats(place, eager, got, brief)
    if is_complex(eager.dtype):
        parts = _compare_floats(replace(place, part="real"), eager.real, got.real, brief)
        return parts + _compare_floats(replace(place, part="imag"), eager.imag, got.imag, brief)
    differing = np.flatnonzero(eager != got)
    if not differing.size:
        return []
    element = _index(differing[0], eager.shape)
    message = "" if brief else _message(place, element, eager[element], got[element], differing.size)
    return [Divergence(Stage.COMPARE, Kind.VALUE, place, Aspect.EXACT, message, element)]


def suspects(eager: Sequence[Sequence[Array]], got: Sequence[Sequence[Array] | None]) -> Collection[int]:
    """Return the numbers of the samples to [compare][]; all others agree, or have no outputs at all (None).

    ``eager`` and ``got`` hold the outputs of each sample. Where all have the same types they are compared together.
    """
    everyone = range(len(eager))
    given = [outputs for outputs in got if outputs is not None]
    if len(given) < len(got) or len({len(outputs) for outputs in (*eager, *given)}) != 1:
        return everyone
    unlike: set[int] = set()
    for one, other in zip(zip(*eager, strict=True), zip(*given, strict=True), strict=True):
        if len({(array.dtype, array.shape) for array in (*one, *other)}) != 1:
            return everyone
        together = np.array(one), np.array(other)
        if not same_bits(together[:1], together[1:]):
            unlike.update((_unlike(*together) // one[0].size).tolist())
    return unlike


def _unlike(eager: Array, got: Array) -> Array:
    """Return the flat positions at which arrays of one dtype and shape may not agree."""
    if _is_float(eager.dtype):
        differs, close = _closeness(eager, got)
        return np.flatnonzero(differs)[~close]
    if is_complex(eager.dtype):
        return np.arange(eager.size)
    return np.flatnonzero(eager != got)


def _close(eager: Array, got: Array) -> bool:
    """Return whether floats of one dtype and shape agree."""
    _, close = _closeness(eager, got)
    return bool(np.count_nonzero(close) == close.size)


def _closeness(eager: Array, got: Array) -> tuple[Array, Array]:
    """Return where floats are not the same to the last bit, and which of these are close or NaN twice.

    All four judgements of [_compare_floats][] at once, for the many outputs that differ by a rounding.
    """
    bits, rtol, atol = _measures(eager.dtype)
    differs = eager.view(bits) != got.view(bits)
    with np.errstate(all="ignore"):
        one, other = eager[differs].astype(np.float64), got[differs].astype(np.float64)
        excess = np.abs(other - one)
        excess /= np.abs(one) * rtol + atol
        # Two zeros of different sign are at distance 0; infinities give NaN or, on one side, inf.
        close = (excess > _ZERO) & (excess <= _ONE)
    if np.count_nonzero(close) < close.size:
        close |= np.isnan(one) & np.isnan(other)
    return differs, close


#: One-element arrays: numpy takes longer over a Python number than over the comparison.
_ZERO, _ONE = np.zeros(1), np.ones(1)


@functools.cache
def _measures(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], Array, Array]:
    """Return the integers of the same size, and the relative and absolute tolerance."""
    rtol, atol = tight_measures(dtype)
    return np.dtype(f"i{dtype.itemsize}"), np.array([rtol]), np.array([atol])


@functools.cache
def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.name in TOLERANCES and is_floating(dtype)


def _compare_floats(place: Place, eager: Array, got: Array, brief: bool) -> list[Divergence]:
    """Judge NaN placement, infinities, finite values and the sign of zero, each on its own.

    The first of these that fails speaks for the output, the others are named in its message: once a NaN
    stands elsewhere, the elements around it are usually displaced too, and that is not a second failure.
    """
    dtype = eager.dtype
    with np.errstate(all="ignore"):
        # Only what is not the same to the last bit: mostly a few elements, and one NaN is like another.
        bits = _measures(dtype)[0]
        places = np.flatnonzero(
            np.ascontiguousarray(eager).view(bits) != np.ascontiguousarray(got).view(bits)
        )
        mine, theirs = eager.reshape(-1)[places], got.reshape(-1)[places]
        one, other = mine.astype(np.float64), theirs.astype(np.float64)
        nan, other_nan = np.isnan(one), np.isnan(other)
        infinite, other_infinite = np.isinf(one), np.isinf(other)
        distance = np.abs(other - one)
        numbers = ~(nan | other_nan)
        finite = numbers & ~(infinite | other_infinite)
        opposite = np.signbit(one) != np.signbit(other)
        judged = (
            (Kind.NAN_PLACEMENT, nan != other_nan),
            (Kind.INFINITY, numbers & ((infinite != other_infinite) | (infinite & opposite))),
            (Kind.VALUE, finite & (distance > tight(one, dtype))),
            (Kind.SIGN_OF_ZERO, (one == 0) & (other == 0) & opposite),
        )
        kinds = [(kind, differs) for kind, differs in judged if differs.any()]
        if not kinds:
            return []
        kind, differs = kinds[0]
        first = int(differs.argmax())
        excess, signature = None, f"{value_class(one[first])}→{value_class(other[first])}"
        if kind is Kind.NAN_PLACEMENT:
            lost, gained = bool((nan & ~other_nan).any()), bool((other_nan & ~nan).any())
            signature = (
                Aspect.NAN_MOVED if lost and gained else Aspect.NAN_LOST if lost else Aspect.NAN_GAINED
            )
        elif kind is Kind.VALUE:
            rtol, atol = TOLERANCES[dtype.name]
            signature = Aspect.FINITE
            excess = float((distance / (atol + rtol * np.abs(one)))[differs].max())
    element = _index(places[first], eager.shape)
    message = ""
    if not brief:
        message = _message(place, element, mine[first], theirs[first], int(np.count_nonzero(differs)))
        if kind is Kind.VALUE:
            ulps = apart(mine[first], theirs[first])
            # Next to a zero, or of numbers that have nothing to do with each other, the number says nothing.
            message += f"; {ulps:,.0f} ulp apart" if ulps < _MOST_ULPS else "; over a million ulp apart"
        if len(kinds) > 1:
            message += f"; also differs in {', '.join(kind for kind, _ in kinds[1:])}"
    return [Divergence(Stage.COMPARE, kind, place, signature, message, element, excess)]


#: How many units in the last place are worth telling.
_MOST_ULPS = 1e6


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the element at a flat position."""
    index = []
    for size in reversed(shape):
        place, along = divmod(int(place), size)
        index.append(along)
    return tuple(reversed(index))


def _message(place: Place, element: tuple[int, ...], one: Any, other: Any, count: int) -> str:
    where = f"{place}[{', '.join(map(str, element))}]" if element else place.text
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{where}: eager {show(one)}, exported model {show(other)}{more}"


def apart(one: Any, other: Any) -> float:
    """Return the distance of two finite numbers of one dtype in units in the last place of the first."""
    dtype = np.asarray(one).dtype
    limits = finfo(dtype)
    with np.errstate(all="ignore"):
        size = max(abs(float(one)), float(limits.smallest_normal))
        unit = 2.0 ** np.floor(np.log2(size)) * float(limits.eps)
        # Halved, for the largest numbers of float64.
        return float(abs(float(one) / 2 - float(other) / 2) / unit * 2)


def value_class(value: Any) -> str:
    """Return the class of a number: ``nan``, ``inf``, ``-inf``, ``-0`` or ``finite``."""
    number = float(value)
    if np.isnan(number):
        return "nan"
    if np.isinf(number):
        return "inf" if number > 0 else "-inf"
    return "-0" if number == 0 and np.signbit(number) else "finite"


def show(value: Any) -> str:
    """Return a number the way numpy prints it: shortest digits that read back to the same value."""
    return np.format_float_positional(value, trim="-") if _short(value) else str(value)


def _short(value: Any) -> bool:
    return np.issubdtype(np.asarray(value).dtype, np.floating) and (
        value == 0 or 1e-4 <= abs(float(value)) < 1e7
    )
