"""What is cached of one cluster: a store for each kind and namespace watched, read as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from controller.engine.store import Delta, Store
from controller.kube.objects import Head, Object
from controller.kube.resources import Resource

Indexer = Callable[[Object], Iterable[Hashable]]


class WatchSpec(msgspec.Struct, frozen=True):
    """One kind to watch and cache.

    ``label_selector`` is what the server filters by; ``selects`` is the same for answers to our own writes.
    ``metadata_only``: contents are neither asked for nor kept.
    """

    resource: Resource
    label_selector: str = ""
    selects: Callable[[Head], bool] = lambda _: True
    metadata_only: bool = False
    indexers: Mapping[str, Indexer] = {}


class Cache:
    """The stores of one cluster. Reads are of memory only; order is that of (namespace, name)."""

    def __init__(self, specs: Sequence[WatchSpec], namespaces: Sequence[str]) -> None:
        """``namespaces``: one store each per kind; () is one store over all namespaces."""
        self.namespaces = tuple(namespaces) or ("",)
        self.stores: dict[Resource, dict[str, Store]] = {
            spec.resource: {
                namespace: Store(
                    spec.resource.name,
                    selector=spec.selects,
                    metadata_only=spec.metadata_only,
                    indexers=spec.indexers,
                )
                for namespace in self.namespaces
            }
            for spec in specs
        }

    def synced(self, resource: Resource) -> bool:
        """Whether every namespace watched has been listed at least once."""
        for store in self.stores[resource].values():  # noqa: SIM110 -- asked some twenty times in each pass
            if not store.synced:
                return False
        return True

    def unsynced(self) -> list[Resource]:
        return [resource for resource in self.stores if not self.synced(resource)]

    @property
    def epoch(self) -> int:
        """Grows whenever a kind turned out to have another history, or the cluster to be another one."""
        return sum(store.epoch for by_namespace in self.stores.values() for store in by_namespace.values())

    def covers(self, namespace: str) -> bool:
        """Whether objects of this namespace are seen at all."""
        return namespace in self.namespaces or "" in self.namespaces

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        store = self._store(resource, namespace)
        return store.get(namespace, name) if store else None

    def objects(self, resource: Resource, namespace: str | None = None) -> Iterator[Object]:
        for store in self.stores[resource].values():
            yield from store.list(namespace)

    def by_index(self, resource: Resource, index: str, key: Hashable) -> list[Object]:
        stores = self.stores[resource]
        if len(stores) == 1:
            (store,) = stores.values()
            return store.by_index(index, key)
        found = [obj for store in stores.values() for obj in store.by_index(index, key)]
        return found if len(found) < 2 else sorted(found, key=lambda obj: (obj.head.namespace, obj.head.name))

    def index_keys(self, resource: Resource, index: str) -> tuple[Any, ...]:
        """The keys for which ``by_index`` gives anything, each once."""
        stores = self.stores[resource].values()
        return tuple(dict.fromkeys(key for store in stores for key in store.index_keys(index)))

    def count(self, resource: Resource, index: str, key: Hashable) -> int:
        """How many objects ``by_index`` gives."""
        return sum(store.count(index, key) for store in self.stores[resource].values())

    def write_through(self, resource: Resource, obj: Object) -> None:
        if resource in self.stores and (store := self._store(resource, obj.head.namespace)):
            store.write_through(obj)

    def write_deleted(self, resource: Resource, head: Head) -> None:
        if resource in self.stores and (store := self._store(resource, head.namespace)):
            store.write_deleted(head.uid)

    def subscribe(self, callback: Callable[[Resource, list[Delta]], None]) -> None:
        """Call back once per batch and kind, in the loop turn in which it arrived."""
        for resource, by_namespace in self.stores.items():
            for store in by_namespace.values():
                store.subscribe(partial(callback, resource))

    def _store(self, resource: Resource, namespace: str) -> Store | None:
        by_namespace = self.stores[resource]
        return by_namespace.get(namespace) or by_namespace.get("")
