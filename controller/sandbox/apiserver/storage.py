"""Versions of objects under one monotone resourceVersion, and the log of events that made them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

Json = dict[str, Any]
EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]

HISTORY: Final = 10_000  # events per kind that a watch can resume over, unless told otherwise

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(dict[str, Any]).decode


class Owner(msgspec.Struct, frozen=True):
    """One ownerReference, as the garbage collector needs it."""

    uid: str
    api_version: str
    kind: str
    name: str
    block: bool


class Version:
    """One version of one object: its bytes, and the few facts that selecting and collecting need.

    The bytes are shared by every list and watch; ``decode`` gives a fresh dict that the caller owns.
    """

    __slots__ = (
        "deleting",
        "fields",
        "finalizers",
        "forms",
        "key",
        "labels",
        "name",
        "namespace",
        "origin",
        "owners",
        "raw",
        "rv",
        "uid",
    )

    def __init__(self, obj: Json, rv: int, fields: Mapping[str, str], origin: object) -> None:
        metadata = obj["metadata"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata.get("namespace", "")
        self.key = key_of(self.namespace, self.name)
        self.uid: str = metadata["uid"]
        self.rv = rv
        self.labels: Mapping[str, str] = metadata.get("labels") or {}
        self.fields = fields
        self.finalizers: list[str] = metadata.get("finalizers") or []
        self.deleting = "deletionTimestamp" in metadata
        self.owners = [
            Owner(
                o.get("uid", ""),
                o.get("apiVersion", ""),
                o.get("kind", ""),
                o.get("name", ""),
                bool(o.get("blockOwnerDeletion")),
            )
            for o in metadata.get("ownerReferences") or ()
        ]
        metadata["resourceVersion"] = str(rv)
        self.raw: bytes = encode(obj)
        self.origin = origin  # the schema generation that this was written under
        self.forms: dict[object, bytes] | None = None  # other renderings, by their key

    def decode(self) -> Json:
        return decode(self.raw)

    def rendered(self, key: object, make: Callable[[Json], bytes]) -> bytes:
        """The rendering of this version under ``key``: made once, then shared."""
        if self.forms is None:
            self.forms = {}
        found = self.forms.get(key)
        if found is None:
            found = self.forms[key] = make(self.decode())
        return found


class Event:
    """What happened to one object. Of a deletion ``version`` is the last state at the deletion's resourceVersion."""

    __slots__ = ("previous", "rv", "type", "version")

    def __init__(self, type: EventType, version: Version, previous: Version | None) -> None:
        self.type: EventType = type
        self.version = version
        self.previous = previous
        self.rv = version.rv


def key_of(namespace: str, name: str) -> str:
    """The key an object has within its collection; keys sort as etcd sorts them."""
    return f"{namespace}/{name}" if namespace else name


class Collection:
    """All objects of one kind, and the recent events among them."""

    def __init__(self, name: str, storage: Storage) -> None:
        self.name = name
        self.storage = storage
        self.objects: dict[str, Version] = {}
        self.keys: list[str] = []  # sorted
        self.log: deque[Event] = deque()
        self.floor = 0  # events up to and including this resourceVersion may be missing from the log
        self.listeners: dict[int, Callable[[Event], None]] = {}
        self.endings: dict[int, Callable[[], None]] = {}  # how to end the watch of each listener
        self._fields: Callable[[Json], Mapping[str, str]] = _no_fields
        self._origin: object = None

    def describe(self, fields: Callable[[Json], Mapping[str, str]], origin: object) -> None:
        """How to select by field from now on, and under which schema objects are written from now on."""
        self._fields = fields
        self._origin = origin

    def get(self, key: str) -> Version | None:
        return self.objects.get(key)

    def put(self, obj: Json) -> Version:
        """Create or replace; ``obj`` gets its resourceVersion and belongs to the storage afterwards."""
        rv = self.storage.next_rv()
        version = Version(obj, rv, self._fields(obj), self._origin)
        previous = self.objects.get(version.key)
        if previous is None:
            insort(self.keys, version.key)
        self.objects[version.key] = version
        self._append(Event("MODIFIED" if previous else "ADDED", version, previous))
        return version

    def remove(self, key: str) -> Version:
        """Delete; the version returned is the one that was stored, at the deletion's resourceVersion."""
        previous = self.objects.pop(key)
        del self.keys[bisect_left(self.keys, key)]
        rv = self.storage.next_rv()
        version = Version(previous.decode(), rv, previous.fields, previous.origin)
        self._append(Event("DELETED", version, previous))
        return version

    def since(self, rv: int) -> Iterator[Event]:
        """Events after ``rv``, oldest first; the caller has checked ``rv >= floor``."""
        newer = []
        for event in reversed(self.log):
            if event.rv <= rv:
                break
            newer.append(event)
        return reversed(newer)

    def at(self, rv: int) -> tuple[list[str], Mapping[str, Version]]:
        """Sorted keys and objects as they were at ``rv``, which is not below ``floor``."""
        if not self.log or self.log[-1].rv <= rv:
            return self.keys, self.objects
        objects = dict(self.objects)
        for event in reversed(self.log):
            if event.rv <= rv:
                break
            if event.previous is None:
                objects.pop(event.version.key, None)
            else:
                objects[event.version.key] = event.previous
        return sorted(objects), objects

    def within(self, keys: list[str], namespace: str, start: str = "") -> Iterator[str]:
        """The keys of ``namespace`` ("" for all) from ``start`` on."""
        prefix = f"{namespace}/" if namespace else ""
        for index in range(bisect_left(keys, max(prefix, start)), len(keys)):
            if prefix and not keys[index].startswith(prefix):
                return
            yield keys[index]

    def compact(self, rv: int) -> None:
        """Forget the events up to and including ``rv``."""
        while self.log and self.log[0].rv <= rv:
            self.log.popleft()
        self.floor = max(self.floor, rv)

    def interrupt(self) -> None:
        """End every open watch: what they were opened on is no more."""
        for end in tuple(self.endings.values()):
            end()

    def _append(self, event: Event) -> None:
        self.log.append(event)
        if len(self.log) > self.storage.history:
            self.floor = self.log.popleft().rv
        for listener in tuple(self.listeners.values()):
            listener(event)
        self.storage.committed(self, event)


class Storage:
    """Every collection of one server, under one counter."""

    def __init__(self, *, history: int = HISTORY) -> None:
        self.rv = 1
        self.history = history
        self.collections: dict[str, Collection] = {}
        self.observers: list[Callable[[Collection, Event], None]] = []

    def collection(self, name: str) -> Collection:
        """The collection ``plural.group``; made when it is first asked for."""
        found = self.collections.get(name)
        if found is None:
            found = self.collections[name] = Collection(name, self)
        return found

    def next_rv(self) -> int:
        self.rv += 1
        return self.rv

    def committed(self, collection: Collection, event: Event) -> None:
        for observer in self.observers:
            observer(collection, event)

    def compact(self, rv: int | None = None) -> int:
        """Forget all events up to ``rv`` (default: now); returns it."""
        limit = self.rv if rv is None else rv
        for collection in self.collections.values():
            collection.compact(limit)
        return limit


def _no_fields(obj: Json) -> Mapping[str, str]:
    return {}
