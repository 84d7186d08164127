"""The newest version seen of every object of one kind: from its stream, and from answers to our own writes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
import structlog

from controller.engine.projection import metadata_of
from controller.engine.versions import comparable, newer, older
from controller.kube.errors import Malformed
from controller.kube.objects import Head, Object
from controller.kube.watch import Change

_log = structlog.get_logger(__name__)

Key: TypeAlias = tuple[str, str]  # namespace, name
Indexer: TypeAlias = Callable[[Object], Iterable[Hashable]]


class Delta(msgspec.Struct, frozen=True, gc=False):
    """What became of one object: ``old`` is None when it is new, ``new`` when it is gone."""

    old: Object | None
    new: Object | None

    @property
    def object(self) -> Object:
        """The newest version known: of an object that is gone, the last."""
        found = self.new or self.old
        assert found is not None
        return found


Deltas: TypeAlias = list[Delta]
Objects: TypeAlias = list[Object]
Listener: TypeAlias = Callable[[Deltas], None]


class Store:
    """Objects by (namespace, name), never going back within an *epoch*.

    resourceVersions compare as decimals. The *position* is the version up to which the stream has been seen;
    an answer to a write of ours is newer than the stream exactly when its version is above the position. Where
    versions do not compare, the order of the stream alone counts and such answers are ignored: nothing tells
    whether the stream has passed them, and one that it had passed would stay for ever.

    ``selector`` must select what the stream's own selector does (None: everything); objects outside it do not
    enter. ``metadata_only`` keeps of every object only apiVersion, kind and metadata. ``indexers`` are pure.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        selector: Callable[[Head], bool] | None = None,
        metadata_only: bool = False,
        indexers: Mapping[str, Indexer] | None = None,
    ) -> None:
        self.resource_name: Final = resource_name
        self.epoch = 0  # grows when the server's history turned out to be another one
        self.last_heard = -math.inf  # loop time of the last event, bookmark or list; set by the reflector
        self.lists = 0  # complete lists taken over
        self.ignored = 0  # objects that the server sent although the selector leaves them out
        self._selector = selector
        self._metadata_only = metadata_only
        self._indexers = dict(indexers or {})
        self._objects: dict[Key, Object] = {}
        self._indexes: dict[str, dict[Hashable, set[Key]]] = {name: {} for name in self._indexers}
        self._position = ""
        self._tombstones: set[str] = set()  # UIDs that are gone though the stream does not know yet
        self._foreign_history = False  # what is here belongs to an earlier epoch, until the next list
        self._synced = asyncio.Event()
        self._next_list: asyncio.Event | None = None  # there while somebody waits for it
        self._listeners: tuple[Listener, ...] = ()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def size(self) -> int:
        """Objects that are here. (No ``__len__``: an empty store would be false.)"""
        return len(self._objects)

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> Objects:
        """Every object, or those of one namespace, ordered by (namespace, name)."""
        objects = self._objects
        return [objects[key] for key in sorted(objects) if namespace is None or key[0] == namespace]

    def by_index(self, name: str, key: Hashable) -> Objects:
        """The objects for which indexer ``name`` gave ``key``, ordered by (namespace, name)."""
        found = self._indexes[name].get(key)
        if not found:
            return []
        return [self._objects[each] for each in (sorted(found) if len(found) > 1 else found)]

    def index_keys(self, name: str) -> tuple[Any, ...]:
        """What indexer ``name`` gave for the objects that are here, each once."""
        return tuple(self._indexes[name])

    def count(self, name: str, key: Hashable) -> int:
        """How many objects ``by_index`` gives."""
        return len(self._indexes[name].get(key, ()))

    @property
    def synced(self) -> bool:
        """Whether a complete list of this epoch is in."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def wait_list(self, after: int) -> None:
        """Return once there have been more than ``after`` complete lists."""
        while self.lists <= after:
            if self._next_list is None:
                self._next_list = asyncio.Event()
            await self._next_list.wait()

    @property
    def resource_version(self) -> str:
        """The position; "" before the first list."""
        return self._position

    # ── listening ───────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, listener: Listener, *, replay: bool = False) -> Callable[[], None]:
        """Call ``listener`` with the deltas of every batch, at once and synchronously; returns how to stop that.

        ``replay``: first of all call it with everything that is here, as new. What it raises is logged; it
        holds up neither the store nor other listeners.
        """
        self._listeners += (listener,)
        if replay and self._objects:
            self._tell(listener, [Delta(None, found) for found in self.list()])

        def unsubscribe() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not listener)

        return unsubscribe

    def _dispatch(self, deltas: Deltas) -> Deltas:
        if deltas:
            for listener in self._listeners:
                self._tell(listener, deltas)
        return deltas

    def _tell(self, listener: Listener, deltas: Deltas) -> None:
        try:
            listener(deltas)
        except Exception as error:  # noqa: BLE001 - a listener's defect must not stop the stream
            _log.error("a listener failed", resource=self.resource_name, exc_info=error)

    # ── from the stream ─────────────────────────────────────────────────────────────────────────────

    def apply(self, changes: Iterable[Change]) -> Deltas:
        """Take over a batch of watch changes in stream order; tells listeners once and returns the deltas."""
        deltas: Deltas = []
        objects, selector = self._objects, self._selector
        version = ""
        for change in changes:
            new = change.object
            head = new.head
            version = head.resource_version
            key = (head.namespace, head.name)
            old = objects.get(key)
            if change.type == "DELETED":
                self._remove_from_stream(key, old, head, deltas)
                continue
            if old is not None:
                old_version = old.head.resource_version
                if old_version == version and old.head.uid == head.uid:
                    continue
                if older(version, old_version):
                    continue  # an answer to our own write is ahead of the stream
            if self._tombstones and not self._passes_tombstone(head):
                continue
            if selector is not None and not selector(head):
                self.ignored += 1
                self._remove_from_stream(key, old, head, deltas)
                continue
            if self._metadata_only:
                try:
                    new = metadata_of(new)
                except Malformed:
                    continue
            self._put(key, old, new, deltas)
        self.advance(version)
        return self._dispatch(deltas)

    def advance(self, resource_version: str) -> None:
        """The stream has passed ``resource_version``: a bookmark. Never goes back."""
        if resource_version and not older(resource_version, self._position):
            self._position = resource_version

    def admit(self, found: Object) -> Object | None:
        """``found`` as it may be kept until ``replace``: None when the selector leaves it out or it is malformed.

        What is here already in the same version and the same bytes is returned itself, so that listing again
        does not hold everything twice.
        """
        head = found.head
        if self._selector is not None and not self._selector(head):
            self.ignored += 1
            return None
        if self._metadata_only:
            try:
                found = metadata_of(found)
            except Malformed:
                return None
        old = self._objects.get((head.namespace, head.name))
        return old if old is not None and old.raw == found.raw else found

    def replace(self, found: Iterable[Object], resource_version: str, *, admitted: bool = False) -> Deltas:
        """Take over a complete, consistent list at ``resource_version``.

        Removes what the list lacks. Answers to our own writes above the list's version stay. A list that is
        below the position, or that holds an older version of something it ought to know, comes from another
        history (a restored etcd, another cluster): a new epoch begins, and everything is replaced.
        ``admitted``: every object came from ``admit``.
        """
        listed: dict[Key, Object] = {}
        for each in found:
            kept = each if admitted else self.admit(each)
            if kept is not None:
                listed[kept.head.namespace, kept.head.name] = kept
        afresh = self._foreign_history
        if not afresh and self._is_another_history(listed, resource_version):
            self.epoch += 1
            afresh = True
        if afresh:
            self._tombstones.clear()
        else:
            self._hide_deleted(listed)
        deltas: Deltas = []
        for key, old in list(self._objects.items()):
            if key not in listed and (afresh or not newer(old.head.resource_version, resource_version)):
                self._drop(key, old, deltas)
        for key, new in listed.items():
            present = self._objects.get(key)
            if present is None:
                self._put(key, None, new, deltas)
            elif present is not new and (
                afresh or not (_same(present, new) or newer(present.head.resource_version, resource_version))
            ):
                self._put(key, present, new, deltas)
        self._foreign_history = False
        self._position = resource_version
        self._synced.set()
        self.lists += 1
        if self._next_list is not None:
            self._next_list.set()
            self._next_list = None
        return self._dispatch(deltas)

    def begin_epoch(self) -> None:
        """The server is another one now: not synced until the next list, which replaces everything."""
        self.epoch += 1
        self._foreign_history = True
        self._position = ""
        self._tombstones.clear()
        self._synced.clear()

    # ── from our own writes ─────────────────────────────────────────────────────────────────────────

    def write_through(self, answer: Object) -> Deltas:
        """Take over the answer to a write of ours, unless something here is as new or newer."""
        head = answer.head
        version = head.resource_version
        if self._foreign_history or not comparable(version) or head.uid in self._tombstones:
            return []
        if self.synced and not newer(version, self._position):
            return []  # the stream has passed it: what it said since then is here already, a deletion too
        if self._selector is not None and not self._selector(head):
            return []  # if it was selected before, the stream will say that it left
        key = (head.namespace, head.name)
        old = self._objects.get(key)
        if old is not None and not newer(version, old.head.resource_version):
            return []
        if self._metadata_only:
            answer = metadata_of(answer)
        deltas: Deltas = []
        self._put(key, old, answer, deltas)
        return self._dispatch(deltas)

    def write_deleted(self, uid: str) -> Deltas:
        """The object ``uid`` is known to be gone: a delete of ours finished, or a live read found it replaced.

        To be called only then; a delete that was merely accepted leaves the object to its finalizers. What the
        stream still says about ``uid`` is ignored until it reports the deletion, unless it shows the object
        being deleted: then it is there after all.
        """
        if self._foreign_history or not uid:
            return []
        self._tombstones.add(uid)
        deltas: Deltas = []
        for key, old in self._objects.items():  # a scan: deletes are rare, an index of UIDs would cost every object
            if old.head.uid == uid:
                self._drop(key, old, deltas)
                break
        return self._dispatch(deltas)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _remove_from_stream(self, key: Key, old: Object | None, head: Head, deltas: Deltas) -> None:
        if self._tombstones:
            self._tombstones.discard(head.uid)
        if old is None or older(head.resource_version, old.head.resource_version):
            return  # never seen; or a newer object of that name is here, by an answer to our own write
        self._drop(key, old, deltas)

    def _passes_tombstone(self, head: Head) -> bool:
        if head.uid not in self._tombstones:
            return True
        if head.deletion_timestamp is None:
            return False
        self._tombstones.discard(head.uid)
        return True

    def _is_another_history(self, listed: Mapping[Key, Object], resource_version: str) -> bool:
        if older(resource_version, self._position):
            return True
        if not comparable(resource_version):
            return False
        for key, new in listed.items():
            old = self._objects.get(key)
            if (
                old is not None
                and old.head.uid == new.head.uid
                and older(new.head.resource_version, old.head.resource_version)
                and not newer(old.head.resource_version, resource_version)
            ):
                return True
        return False

    def _hide_deleted(self, listed: dict[Key, Object]) -> None:
        """Leaves out what a list from before our deletes still has; tombstones that it has passed are lifted."""
        if not self._tombstones:
            return
        hidden = [key for key, new in listed.items() if not self._passes_tombstone(new.head)]
        self._tombstones = {listed.pop(key).head.uid for key in hidden}

    def _put(self, key: Key, old: Object | None, new: Object, deltas: Deltas) -> None:
        self._objects[key] = new
        if self._indexers:
            self._reindex(key, old, new)
        deltas.append(Delta(old, new))

    def _drop(self, key: Key, old: Object, deltas: Deltas) -> None:
        del self._objects[key]
        if self._indexers:
            self._reindex(key, old, None)
        deltas.append(Delta(old, None))

    def _reindex(self, key: Key, old: Object | None, new: Object | None) -> None:
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            before, after = self._index_keys(indexer, old), self._index_keys(indexer, new)
            for gone in before - after:
                entries = index.get(gone)
                if entries is not None:
                    entries.discard(key)
                    if not entries:
                        del index[gone]
            for came in after - before:
                index.setdefault(came, set()).add(key)

    def _index_keys(self, indexer: Indexer, of: Object | None) -> frozenset[Hashable]:
        if of is None:
            return frozenset()
        try:
            return frozenset(indexer(of))
        except Exception as error:  # noqa: BLE001 - an object that cannot be indexed must not stop the stream
            _log.warning("an object could not be indexed", resource=self.resource_name, object=repr(of), error=error)
            return frozenset()


def _same(left: Object, right: Object) -> bool:
    return left.head.uid == right.head.uid and left.head.resource_version == right.head.resource_version
