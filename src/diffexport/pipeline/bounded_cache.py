"""A cache of bounded size: what the pipeline remembers between calls."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """A mapping that forgets what was used longest ago.

    Args:
        size: most values.
        most_bytes: most bytes that all of them may take; the last one is kept whatever it takes.
        bytes_of: how many bytes a value takes.
    """

    def __init__(
        self, size: int, *, most_bytes: float = math.inf, bytes_of: Callable[[V], int] = lambda _: 0
    ) -> None:
        self._size, self._most_bytes, self._bytes_of = size, most_bytes, bytes_of
        self._items: OrderedDict[Hashable, V] = OrderedDict()
        self._bytes: dict[Hashable, int] = {}
        self._total = 0

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value for ``key``, making it when it is not there."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        value = self._items[key] = make()
        if self._most_bytes < math.inf:
            self._bytes[key] = self._bytes_of(value)
            self._total += self._bytes[key]
        while len(self._items) > self._size or (self._total > self._most_bytes and len(self._items) > 1):
            oldest, _ = self._items.popitem(last=False)
            self._total -= self._bytes.pop(oldest, 0)
        return value

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._items
