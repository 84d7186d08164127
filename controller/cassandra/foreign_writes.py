"""Somebody else writes what this controller manages: who, and until when it is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.memo import Memo
from controller.cassandra.snapshot import ForeignWrite, Snapshot
from controller.engine.clock import Clock
from controller.fleet import former
from controller.fleet.actions import FIELD_MANAGER
from controller.kube.objects import Object

FORGOTTEN: Final = 86400.0  # s after which nobody remembers when a write was first seen
QUIET: Final = 300.0  # s without another write; the reference operator looks at what is not done every 15 s

_OVERWRITTEN: Final = Memo[bytes, former.Overwritten | None](4096)


class ForeignWrites:
    """Tells which objects are left alone now. ``clock`` is the wall clock.

    An object is quiet ``QUIET`` seconds after the write, by the clock of its API server or since it was seen here,
    whichever is sooner: so a clock that is wrong does not hold it up for longer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}  # by UID and time of the write: when it was first seen
        self._told: dict[str, tuple[ForeignWrite, ...]] = {}  # by UID of the K8ssandraCluster

    def told(self, snapshot: Snapshot) -> Snapshot:
        """``snapshot`` with what is left alone; nearly always as it is."""
        found = self.among(snapshot)
        return msgspec.structs.replace(snapshot, foreign=found) if found else snapshot

    def among(self, snapshot: Snapshot) -> tuple[ForeignWrite, ...]:
        """What of a K8ssandraCluster was written by somebody else after us, and may not be written now."""
        found = [
            (context, datacenter, obj, written)
            for context, datacenter, obj in managed(snapshot)
            if (written := _overwritten(obj))
        ]
        if not found:
            return ()
        now = self._clock.now().timestamp()
        self._seen = {key: since for key, since in self._seen.items() if now - since < FORGOTTEN}
        writes = []
        for context, datacenter, obj, written in found:
            since = self._seen.setdefault((obj.head.uid, written.at), now)
            until = min(written.seconds, since) + QUIET
            if until > now:
                kind, place = _kind(obj), f"{obj.head.namespace}/{obj.head.name}"
                writes.append(
                    ForeignWrite(
                        context, datacenter, f"{kind} {place}", obj.head.uid, written.manager, written.at, until
                    )
                )
        return tuple(writes)

    def news(self, snapshot: Snapshot) -> bool:
        """Whether this is other than when it was asked last; the control plane's item has to be told."""
        uid, now = snapshot.object.head.uid, snapshot.foreign
        before = self._told.get(uid, ())
        if now:
            self._told[uid] = now
        else:
            self._told.pop(uid, None)
        return now != before

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._told.pop(uid, None)

    def wait(self, snapshot: Snapshot) -> float:
        """Seconds until the next of them is quiet; 0 when there is none."""
        if not snapshot.foreign:
            return 0.0
        return max(min(each.until for each in snapshot.foreign) - self._clock.now().timestamp(), 1.0)


def managed(snapshot: Snapshot) -> Iterator[tuple[str, str, Object]]:
    """Context, datacenter and each object that is made and kept right for a K8ssandraCluster."""
    if snapshot.replicated is not None:
        yield "", "", snapshot.replicated
    for obj in (*snapshot.contacts.services, *snapshot.contacts.slices):
        yield "", (obj.head.labels or {}).get(labels.DATACENTER, ""), obj
    for view in snapshot.views:
        if view.live is not None:
            yield view.context, view.name, view.live
        for obj in (*view.config_maps, *view.slices):
            yield view.context, view.name, obj


def _overwritten(obj: Object) -> former.Overwritten | None:
    return _OVERWRITTEN.get(obj.raw, lambda: former.overwritten(obj, FIELD_MANAGER))


class _Kind(msgspec.Struct):
    kind: str = "object"


def _kind(obj: Object) -> str:
    return obj.decode(_Kind).kind
