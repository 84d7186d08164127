"""Seeds of datacenters that cannot be seen: since when they are stale, and whether that is too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from controller.cassandra import labels
from controller.cassandra.annotations import drop_after
from controller.cassandra.snapshot import DatacenterView, Snapshot, Stale
from controller.engine.clock import Clock, rfc3339
from controller.kube.errors import Malformed
from controller.kube.objects import Object, decode

MARK_AFTER: Final = 60.0  # s; a connection that is lost for less is no reason for a write beside every datacenter


class Mark(msgspec.Struct, frozen=True):
    """What a slice says of one datacenter's seeds. ``since``: RFC 3339; ``addresses``: those that it had then."""

    since: str
    addresses: tuple[str, ...] = ()


class _Marked(msgspec.Struct, frozen=True):
    annotations: dict[str, str] = {}


class _Slice(msgspec.Struct, frozen=True):
    metadata: _Marked = _Marked()


def marks_of(slice_: Object) -> dict[str, Mark]:
    """The marks on a slice, by datacenter; what cannot be read is none."""
    try:
        text = slice_.decode(_Slice).metadata.annotations.get(labels.SEEDS_STALE_SINCE, "")
        return decode(text.encode(), dict[str, Mark]) if text else {}
    except Malformed:
        return {}


def written(marks: Mapping[str, Mark]) -> str:
    """The annotation."""
    return msgspec.json.encode(dict(sorted(marks.items()))).decode()


class StaleSeeds:
    """When the datacenters of each K8ssandraCluster were lost from sight, as far as this process knows.

    What it does not know, since it has not seen a datacenter yet, the marks on the slices of the others tell.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lost: dict[tuple[str, str], datetime] = {}  # by UID and datacenter
        self._seen: set[tuple[str, str]] = set()  # by this process

    def look(self, snapshot: Snapshot) -> tuple[tuple[Stale, ...], float]:
        """What is stale now, and the seconds until that changes by itself; 0 when it does not."""
        uid, now = snapshot.object.head.uid, self._clock.now().replace(microsecond=0)
        if snapshot.deleting:
            return (), 0.0
        found: list[Stale] = []
        due: list[float] = []
        limit = _limit(snapshot.cluster.metadata.annotations)
        for view in snapshot.views:
            key = (uid, view.name)
            if view.away is None:
                self._lost.pop(key, None)
                if view.known:
                    self._seen.add(key)
                continue
            since = self._lost.setdefault(key, now)
            if key not in self._seen:
                since = min([since, *_marked(snapshot.views, view)])
            age = (now - since).total_seconds()
            moments = [MARK_AFTER] if limit is None else [min(MARK_AFTER, limit), limit]
            due += [moment - age for moment in moments if moment > age]
            if age < moments[0]:
                continue
            # Who has just started may see it in a moment, and until then leaves everything as it is.
            dropped = None if snapshot.settling else limit is not None and age >= limit
            found.append(Stale(view.name, rfc3339(since), dropped))
        # A second more than needed is never too early: the clock's part of a second was left out.
        return tuple(found), min(due) + 1.0 if due else 0.0

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._lost = {key: value for key, value in self._lost.items() if key[0] != uid}
        self._seen = {key for key in self._seen if key[0] != uid}


def _limit(annotations: Mapping[str, str]) -> float | None:
    try:
        return drop_after(annotations.get(labels.STALE_SEEDS, ""))
    except ValueError:
        return None  # the plan says so


def _marked(views: Iterable[DatacenterView], lost: DatacenterView) -> list[datetime]:
    """When others that can be seen say that it was lost."""
    found: list[datetime] = []
    for view in views:
        for slice_ in view.slices if view.away is None else ():
            mark = marks_of(slice_).get(lost.name)
            if mark is not None and (moment := _moment(mark.since)) is not None:
                found.append(moment)
    return found


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else None
