"""Garbage collection along ownerReferences, as kube-controller-manager does it, one step at a time."""

from __future__ import annotations

from typing import Any

from controller.sandbox.apiserver.core import Core
from controller.sandbox.apiserver.kinds import Kind
from controller.sandbox.apiserver.options import DeleteOptions
from controller.sandbox.apiserver.remover import FOREGROUND, ORPHAN, Remover
from controller.sandbox.apiserver.storage import Collection, Event, Owner, Version
from controller.sandbox.apiserver.writer import is_final

Json = dict[str, Any]
Place = tuple[str, str]  # collection and key


class Garbage:
    """Remembers who owns whom; ``step`` deletes what lost its owners."""

    def __init__(self, core: Core, remover: Remover) -> None:
        self._core = core
        self._remover = remover
        self._dependents: dict[str, dict[Place, None]] = {}  # owner's UID → dependents, oldest first
        self._dirty: dict[Place, None] = {}
        core.storage.observers.append(self._observe)

    @property
    def idle(self) -> bool:
        return not self._dirty

    def _observe(self, collection: Collection, event: Event) -> None:
        version, previous = event.version, event.previous
        place = (collection.name, version.key)
        for owner in previous.owners if previous is not None else ():
            found = self._dependents.get(owner.uid)
            if found is not None:
                found.pop(place, None)
                if not found:
                    del self._dependents[owner.uid]
                self._mark_owner(owner, version)
        if event.type == "DELETED":
            self._dirty.pop(place, None)
            self._dirty.update(self._dependents.get(version.uid, ()))
            return
        for owner in version.owners:
            self._dependents.setdefault(owner.uid, {})[place] = None
            self._mark_owner(owner, version)
        if version.owners or version.deleting:
            self._dirty[place] = None
        if version.deleting and (
            previous is None or previous.finalizers != version.finalizers or not previous.deleting
        ):
            self._dirty.update(self._dependents.get(version.uid, ()))

    def _mark_owner(self, owner: Owner, dependent: Version) -> None:
        """An owner that waits for its dependents looks again when one of them changes."""
        found = self._owner(owner, dependent)
        if found is not None and found[1].deleting:
            self._dirty[found[0].collection, found[1].key] = None

    def step(self) -> None:
        """Look once at everything that changed."""
        dirty, self._dirty = self._dirty, {}
        for collection_name, key in dirty:
            kind = self._core.registry.stored(collection_name)
            version = self._core.storage.collection(collection_name).get(key)
            if kind is not None and version is not None:
                self._look(kind, version)

    def _look(self, kind: Kind, version: Version) -> None:
        if version.deleting and ORPHAN in version.finalizers:
            self._orphan(version)
            self._drop_finalizer(kind, version, ORPHAN)
        elif version.deleting and FOREGROUND in version.finalizers:
            self._wait_for_dependents(kind, version)
        elif not version.deleting and version.owners:
            self._judge(kind, version)

    def _wait_for_dependents(self, kind: Kind, version: Version) -> None:
        blocking = [
            (name, key)
            for name, key in self._dependents.get(version.uid, {})
            if any(o.block and o.uid == version.uid for o in self._version(name, key).owners)
        ]
        if not blocking:
            self._drop_finalizer(kind, version, FOREGROUND)

    def _judge(self, kind: Kind, version: Version) -> None:
        """Delete an object that has lost all owners; unlink it from those it has lost."""
        solid: list[Owner] = []
        gone: list[Owner] = []
        waiting: list[Owner] = []
        for owner in version.owners:
            found = self._owner(owner, version)
            if found is None:
                if not self._knowable(owner, version):
                    return  # nothing is decided about an owner of a kind that is not served
                gone.append(owner)
            elif found[1].deleting and FOREGROUND in found[1].finalizers:
                waiting.append(owner)
            else:
                solid.append(owner)
        if solid:
            self._unlink(kind, version, {owner.uid for owner in (*gone, *waiting)})
            return
        if waiting and self._dependents.get(version.uid):
            policy = "Foreground"
        elif ORPHAN in version.finalizers:
            policy = "Orphan"
        elif FOREGROUND in version.finalizers:
            policy = "Foreground"
        else:
            policy = "Background"
        self._remover.delete(kind, version, DeleteOptions(uid=version.uid, policy=policy))

    def _owner(self, owner: Owner, dependent: Version) -> tuple[Kind, Version] | None:
        """The owner, looked up in the dependent's own namespace, if it is there under its UID."""
        kind = self._core.registry.named(owner.api_version, owner.kind)
        if kind is None or (kind.resource.namespaced and not dependent.namespace):
            return None
        found = self._core.find(kind, dependent.namespace, owner.name)
        return (kind, found) if found is not None and found.uid == owner.uid else None

    def _knowable(self, owner: Owner, dependent: Version) -> bool:
        kind = self._core.registry.named(owner.api_version, owner.kind)
        return kind is not None and (not kind.resource.namespaced or bool(dependent.namespace))

    def _version(self, collection: str, key: str) -> Version:
        return self._core.storage.collection(collection).objects[key]

    # ── changes ─────────────────────────────────────────────────────────────────────────────────────

    def _orphan(self, owner: Version) -> None:
        for name, key in list(self._dependents.get(owner.uid, {})):
            kind = self._core.registry.stored(name)
            if kind is not None:
                self._unlink(kind, self._version(name, key), {owner.uid})

    def _unlink(self, kind: Kind, version: Version, uids: set[str]) -> None:
        obj = version.decode()
        kept = [o for o in obj["metadata"].get("ownerReferences") or () if o.get("uid") not in uids]
        if len(kept) == len(version.owners):
            return
        if kept:
            obj["metadata"]["ownerReferences"] = kept
        else:
            obj["metadata"].pop("ownerReferences", None)
        self._core.collection(kind).put(obj)

    def _drop_finalizer(self, kind: Kind, version: Version, finalizer: str) -> None:
        obj = version.decode()
        kept = [f for f in version.finalizers if f != finalizer]
        if kept:
            obj["metadata"]["finalizers"] = kept
        else:
            obj["metadata"].pop("finalizers", None)
        collection = self._core.collection(kind)
        if is_final(obj):
            collection.remove(version.key)
        else:
            collection.put(obj)
