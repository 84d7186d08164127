"""Which ReplicatedSecrets may select a Secret: found by its labels, however many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from controller.replication.types import LabelSelector

Place = tuple[str, str]  # namespace and name


class _Asked(msgspec.Struct, frozen=True):
    """The labels that a selector asks for, sorted by key; in the namespace of its ReplicatedSecret."""

    namespace: str
    keys: tuple[str, ...]
    values: tuple[str, ...]


class Selections:
    """ReplicatedSecrets by the labels that they ask for.

    One that asks for none, but has expressions, may select every Secret of its namespace.
    """

    def __init__(self) -> None:
        self._asked: dict[Place, _Asked] = {}
        self._by_labels: dict[_Asked, set[Place]] = {}
        self._keys: Counter[tuple[str, ...]] = Counter()  # a few at most: most selectors are written by programs

    def learn(self, place: Place, selector: LabelSelector | None) -> None:
        """What the ReplicatedSecret of this place selects now; None: nothing."""
        before = self._asked.pop(place, None)
        if before is not None:
            self._by_labels[before].discard(place)
            if not self._by_labels[before]:
                del self._by_labels[before]
            self._keys[before.keys] -= 1
            if not self._keys[before.keys]:
                del self._keys[before.keys]
        if selector is None:
            return
        keys = tuple(sorted(selector.match_labels))
        asked = _Asked(place[0], keys, tuple(selector.match_labels[key] for key in keys))
        self._asked[place] = asked
        self._by_labels.setdefault(asked, set()).add(place)
        self._keys[keys] += 1

    def of(self, namespace: str, labels: Mapping[str, str] | None) -> Iterator[Place]:
        """The places of those that a Secret with these labels has all the labels for; expressions are not looked at."""
        have = labels or {}
        for keys in self._keys:
            if all(key in have for key in keys):
                yield from sorted(self._by_labels.get(_Asked(namespace, keys, tuple(have[key] for key in keys)), ()))
