"""Results of pure functions, kept for as long as they are likely to be asked for again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """At most ``size`` results; the one that was made first goes first. Whoever gets a result must not change it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The result for ``key``, made by ``make`` when it is not here."""
        try:
            return self._results[key]
        except KeyError:
            pass
        result = make()
        if len(self._results) >= self._size:
            del self._results[next(iter(self._results))]
        self._results[key] = result
        return result
