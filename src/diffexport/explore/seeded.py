"""How Hypothesis draws: as a function of the seed alone, and long strings of bytes at once.

Hypothesis collects the numbers and texts in the source of every module of the user's own that is loaded, and draws one
of them now and then. So what is drawn would depend on which modules a process happens to have loaded, and with it on
which worker did what before. Constants that matter are taken from the exported graph instead.

It draws bytes one at a time, which takes a tenth of a check. Here as many as are asked for are drawn at once, and they
are the same ones: each takes the highest byte of 32 random bits.

Private names used here, checked on Hypothesis 6.170: ``_get_local_constants``, ``CONSTANTS_CACHE``, ``Constants`` and
``HypothesisProvider`` of ``hypothesis.internal.conjecture.providers``, with ``draw_bytes``, ``_random`` and
``_maybe_draw_constant`` of the last. If they are gone nothing is changed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

#: Which constants Hypothesis found of its own for what kind of draw; takes the place of its cache.
_found: dict[Any, Any] = {}


def _providers() -> Any:
    from hypothesis.internal.conjecture import providers

    return providers


@contextlib.contextmanager
def steady_draws() -> Iterator[None]:
    """Have Hypothesis draw no constants from the modules that are loaded, and bytes at once."""
    with _no_local_constants(), _bytes_at_once():
        yield


@contextlib.contextmanager
def _no_local_constants() -> Iterator[None]:
    providers = _providers()
    collect = getattr(providers, "_get_local_constants", None)
    cache = getattr(providers, "CONSTANTS_CACHE", None)
    kind = getattr(providers, "Constants", None)
    if collect is None or cache is None or kind is None:
        yield
        return
    nothing = kind()
    providers._get_local_constants = lambda: nothing
    providers.CONSTANTS_CACHE = _found
    try:
        yield
    finally:
        providers._get_local_constants, providers.CONSTANTS_CACHE = collect, cache


@contextlib.contextmanager
def _bytes_at_once() -> Iterator[None]:
    provider = getattr(_providers(), "HypothesisProvider", None)
    one_by_one = getattr(provider, "draw_bytes", None)
    if one_by_one is None or not hasattr(provider, "_maybe_draw_constant"):
        yield
        return

    def draw_bytes(self: Any, min_size: int = 0, max_size: int | None = None) -> bytes:
        if max_size is None:
            return bytes(one_by_one(self, min_size))
        if min_size != max_size or type(getattr(self, "_random", None)) is not random.Random:
            return bytes(one_by_one(self, min_size, max_size))
        constant = self._maybe_draw_constant("bytes", {"min_size": min_size, "max_size": max_size})
        if constant is not None:
            return bytes(constant)
        return drawn(self._random, min_size)

    setattr(provider, "draw_bytes", draw_bytes)  # noqa: B010 - it is of no known type
    try:
        yield
    finally:
        setattr(provider, "draw_bytes", one_by_one)  # noqa: B010


def drawn(source: random.Random, count: int) -> bytes:
    """Return the bytes that ``count`` calls of ``randbytes(1)`` give."""
    return source.getrandbits(32 * count).to_bytes(4 * count, "little")[3::4] if count else b""
