"""Where the Secrets that pods mount come from: a copy of the control plane's, or what the user put there herself.

A Secret that the user put beside the datacenter wins over the control plane's, and a password is taken from where its
store is, so that the two belong together.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final

from controller.cassandra.readings import Place, Readings, cached
from controller.cassandra.render import PasswordSource
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.cassandra.stores import Mounted, replicated_stores_name
from controller.cassandra.types import K8ssandraCluster
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube.resources import SECRETS
from controller.replication.copies import mark
from controller.replication.types import REPLICATED_FROM

LOOK_AFTER: Final = 0.5  # s that a copy is given to appear before it is looked whether the user has one there


class Origin(Enum):
    """Of one Secret that pods mount."""

    COPY = 1  # of the control plane's, or the control plane's itself
    OWN = 2  # the user put it there
    COMING = 3  # the control plane has it, and it is about to be copied
    UNKNOWN = 4  # it was not looked yet
    ABSENT = 5  # neither there nor in the control plane

    @property
    def there(self) -> bool:
        """Whether pods find it."""
        return self in (Origin.COPY, Origin.OWN)


class Origins:
    """Tells origins from what caches and readings show."""

    def __init__(self, pool: Pool, *, foreseeing: bool = False) -> None:
        self._pool = pool
        self._foreseeing = foreseeing  # what is about to be copied counts as copied
        self._since: dict[tuple[str, Place], float] = {}  # by UID of the cluster: since when a copy is waited for

    def of(self, cluster: K8ssandraCluster, mounted: Mounted, readings: Readings) -> Origin:
        """Where a mounted Secret comes from."""
        member, place = self._pool.get(mounted.context), place_of(mounted)
        in_control_plane = self.source(cluster, mounted.secret)
        if at_source(cluster, mounted):
            return Origin.COPY if in_control_plane else Origin.ABSENT
        if member is None:
            return Origin.UNKNOWN
        ours = (mark(cluster.namespace, replicated_stores_name(cluster)), mark(cluster.namespace, cluster.name))
        live, reading = cached(member, place), readings.get(place)
        if live is not None:
            return Origin.COPY if (live.head.labels or {}).get(REPLICATED_FROM) in ours else Origin.OWN
        if reading is not None and reading.content is not None:
            return Origin.COPY if reading.mark in ours else Origin.OWN
        if in_control_plane:
            return Origin.COPY if self._foreseeing else Origin.COMING
        return Origin.UNKNOWN if reading is None else Origin.ABSENT

    def source(self, cluster: K8ssandraCluster, name: str) -> bool:
        """Whether the control plane has a Secret beside the cluster."""
        return self._pool.local.cache.get(SECRETS, cluster.namespace, name) is not None

    def due(self, cluster: K8ssandraCluster, mounted: Mounted, readings: Readings, member: Cluster) -> float | None:
        """Seconds until it has to be looked in the datacenter's cluster; None while that would tell nothing."""
        place = place_of(mounted)
        key = (cluster.metadata.uid, place)
        known = cached(member, place) is not None or at_source(cluster, mounted)
        if known or not member.cache.covers(mounted.namespace):
            self._since.pop(key, None)
            return None
        running = member.cache.get(CASSANDRA_DATACENTERS, mounted.namespace, mounted.datacenter) is not None
        if place in readings or running or not self.source(cluster, mounted.secret):
            return 0.0
        now = asyncio.get_running_loop().time()
        return max(0.0, self._since.setdefault(key, now) + LOOK_AFTER - now)

    def password_places(
        self, cluster: K8ssandraCluster, source: PasswordSource, mounted: Mounted | None, readings: Readings
    ) -> tuple[Place, ...] | None:
        """Where a password is to be looked for, in this order; None while that is not known."""
        here = Place(SECRETS, "", source.namespace, source.secret)
        there = Place(SECRETS, source.context, source.namespace, source.secret)
        if here == there:
            return (here,)
        match self.of(cluster, mounted, readings) if mounted is not None else Origin.UNKNOWN:
            case Origin.COPY:
                return (here, there)
            case Origin.COMING:
                return None
            case _:
                return (there, here)

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._since = {key: since for key, since in self._since.items() if key[0] != uid}


def place_of(mounted: Mounted) -> Place:
    """Where pods look for it."""
    return Place(SECRETS, mounted.context, mounted.namespace, mounted.secret)


def at_source(cluster: K8ssandraCluster, mounted: Mounted) -> bool:
    """Whether pods look for it where the control plane's own is."""
    return (mounted.context, mounted.namespace) == ("", cluster.namespace)
