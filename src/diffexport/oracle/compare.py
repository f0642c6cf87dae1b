"""Compare the outputs of two sides: exact classes, and finite values within the tight tolerance of their dtype."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diffexport.dtypes import finfo, is_complex, is_floating
from diffexport.oracle.tolerance import TOLERANCES, tight, tight_measures
from diffexport.verdict import Divergence, Kind, Severity, Stage

Array = np.ndarray[Any, Any]


def same_bits(eager: Sequence[Array], got: Sequence[Array]) -> bool:
    """Return whether both sides are identical to the last bit: the fast path."""
    if len(eager) != len(got):
        return False
    for one, other in zip(eager, got, strict=True):
        if one.dtype != other.dtype or one.shape != other.shape or one.tobytes() != other.tobytes():
            return False
    return True


def compare(eager: Sequence[Array], got: Sequence[Array]) -> list[Divergence]:
    """Return every way in which ``got`` is not ``eager``, in the order of the outputs; empty if none."""
    if same_bits(eager, got):
        return []
    if len(eager) != len(got):
        message = f"eager returns {len(eager)} outputs, the exported model {len(got)}"
        return [Divergence(Stage.COMPARE, Kind.STRUCTURE, "outputs", "number of outputs", message)]
    found: list[Divergence] = []
    for number, (one, other) in enumerate(zip(eager, got, strict=True)):
        found += _compare_one(f"output[{number}]", one, other)
    failures = [divergence for divergence in found if divergence.severity is Severity.FAILURE]
    if len(failures) > 1 and _permuted(eager, got):
        message = "the outputs come in another order than in eager"
        return [Divergence(Stage.COMPARE, Kind.STRUCTURE, "outputs", "order of outputs", message)]
    return found


def _permuted(eager: Sequence[Array], got: Sequence[Array]) -> bool:
    remaining = list(got)
    for one in eager:
        match = next((i for i, other in enumerate(remaining) if not _compare_one("", one, other)), None)
        if match is None:
            return False
        del remaining[match]
    return True


def _compare_one(where: str, eager: Array, got: Array) -> list[Divergence]:
    if eager.dtype != got.dtype:
        signature = f"{eager.dtype}→{got.dtype}"
        message = f"{where}: eager has dtype {eager.dtype}, the exported model {got.dtype}"
        return [Divergence(Stage.COMPARE, Kind.DTYPE, where, signature, message)]
    if eager.shape != got.shape:
        signature = "rank" if eager.ndim != got.ndim else "size"
        message = f"{where}: eager has shape {list(eager.shape)}, the exported model {list(got.shape)}"
        return [Divergence(Stage.COMPARE, Kind.SHAPE, where, signature, message)]
    if _is_float(eager.dtype):
        return [] if _close(eager, got) else _compare_floats(where, eager, got)
    if is_complex(eager.dtype):
        parts = _compare_floats(f"{where}.real", eager.real, got.real)
        return parts + _compare_floats(f"{where}.imag", eager.imag, got.imag)
    differs = eager != got
    if not differs.any():
        return []
    return [_at(where, Kind.VALUE, "exact", differs, eager, got)]


def suspects(eager: Sequence[Sequence[Array]], got: Sequence[Sequence[Array] | None]) -> Collection[int]:
    """Return the numbers of the samples to [compare][]; all others agree, or have no outputs at all (None).

    ``eager`` and ``got`` hold the outputs of each sample. Where all have the same types they are compared together.
    """
    everyone = range(len(eager))
    given = [outputs for outputs in got if outputs is not None]
    if len(given) < len(got) or len({len(outputs) for outputs in (*eager, *given)}) != 1:
        return everyone
    found: set[int] = set()
    for one, other in zip(zip(*eager, strict=True), zip(*given, strict=True), strict=True):
        if len({(array.dtype, array.shape) for array in (*one, *other)}) != 1:
            return everyone
        together = np.array(one), np.array(other)
        if not same_bits(together[:1], together[1:]):
            found.update((_unlike(*together) // one[0].size).tolist())
    return found


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


def _compare_floats(where: str, eager: Array, got: Array) -> list[Divergence]:
    """Judge NaN placement, infinities, finite values and the sign of zero, each on its own.

    The first of these that fails speaks for the output, the others are named in its message: once a NaN
    stands elsewhere, the elements around it are usually displaced too, and that is not a second failure.
    """
    with np.errstate(invalid="ignore"):  # of a signalling NaN in bfloat16
        found = [
            judge
            for judge in (
                _nan_placement(where, eager, got),
                _infinities(where, eager, got),
                _finite(where, eager, got),
                _zeros(where, eager, got),
            )
            if judge is not None
        ]
    if len(found) > 1:
        also = ", ".join(other.kind for other in found[1:])
        found[0] = replace(found[0], message=f"{found[0].message}; also differs in {also}")
    return found[:1]


def _nan_placement(where: str, eager: Array, got: Array) -> Divergence | None:
    one, other = np.isnan(eager), np.isnan(got)
    differs = one != other
    if not differs.any():
        return None
    lost, gained = bool((one & ~other).any()), bool((other & ~one).any())
    signature = "NaN moved" if lost and gained else "NaN lost" if lost else "NaN gained"
    return _at(where, Kind.NAN_PLACEMENT, signature, differs, eager, got)


def _infinities(where: str, eager: Array, got: Array) -> Divergence | None:
    numbers = ~(np.isnan(eager) | np.isnan(got))
    one, other = np.isinf(eager), np.isinf(got)
    opposite = one & other & (np.signbit(eager) != np.signbit(got))
    differs = numbers & ((one != other) | opposite)
    return _at(where, Kind.INFINITY, None, differs, eager, got) if differs.any() else None


def _finite(where: str, eager: Array, got: Array) -> Divergence | None:
    finite = np.isfinite(eager) & np.isfinite(got)
    rtol, atol = TOLERANCES[eager.dtype.name]
    with np.errstate(all="ignore"):
        one, other = eager.astype(np.float64), got.astype(np.float64)
        distance = np.where(finite, np.abs(other - one), 0.0)
        excess = distance / (atol + rtol * np.abs(one))
        differs = distance > np.where(finite, tight(one, eager.dtype), 0.0)
    if not differs.any():
        return None
    return _at(where, Kind.VALUE, "finite→finite", differs, eager, got, float(excess[differs].max()))


def _zeros(where: str, eager: Array, got: Array) -> Divergence | None:
    differs = (eager == 0) & (got == 0) & (np.signbit(eager) != np.signbit(got))
    return _at(where, Kind.SIGN_OF_ZERO, None, differs, eager, got) if differs.any() else None


def _at(
    where: str,
    kind: Kind,
    signature: str | None,
    mask: Array,
    eager: Array,
    got: Array,
    excess: float | None = None,
) -> Divergence:
    """Describe the first element under ``mask``; without a signature, the classes of its two values."""
    element = tuple(int(i) for i in np.argwhere(mask)[0])
    one, other = eager[element], got[element]
    if signature is None:
        signature = f"{value_class(one)}→{value_class(other)}"
    place = f"{where}[{', '.join(map(str, element))}]" if element else where
    count = int(np.count_nonzero(mask))
    more = f" (and {count - 1} more)" if count > 1 else ""
    message = f"{place}: eager {show(one)}, exported model {show(other)}{more}"
    if excess is not None:
        distance = apart(one, other)
        message += f"; {distance:{',.0f' if distance < 1e6 else '.2g'}} ulp apart"
    return Divergence(
        Stage.COMPARE,
        kind,
        where,
        signature,
        message,
        element,
        excess,
    )


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
