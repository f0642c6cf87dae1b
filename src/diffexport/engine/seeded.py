"""Keep what Hypothesis draws a function of the seed alone.

Hypothesis collects the numbers and texts in the source of every module of the user's own that is loaded, and draws one
of them now and then. So what is drawn would depend on which modules a process happens to have loaded, and with it on
which worker did what before. Constants that matter are taken from the exported graph instead.

Private names used here, checked on Hypothesis 6.170: ``_get_local_constants`` and ``CONSTANTS_CACHE`` of
``hypothesis.internal.conjecture.providers``. If they are gone nothing is changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

#: Which constants Hypothesis found of its own for what kind of draw; takes the place of its cache.
_found: dict[Any, Any] = {}


@contextlib.contextmanager
def no_local_constants() -> Iterator[None]:
    """Have Hypothesis draw no constants from the modules that are loaded."""
    from hypothesis.internal.conjecture import providers as module

    providers: Any = module
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
