"""Objects of users as they were read: a Secret reduced to the keys that are needed, and for how long that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from controller.fleet.cluster import Cluster
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, SECRETS, Resource
from controller.replication.contents import Contents
from controller.replication.copies import REFUSED_TYPES
from controller.replication.types import REPLICATED_FROM

READ_AGAIN: Final = 300.0  # s between two reads of what no watch tells of: it is the user's, and not labelled as ours
LOOK_AGAIN: Final = 30.0  # s until something that was not there is looked for again


class Place(NamedTuple):
    """Where an object is."""

    resource: Resource
    context: str
    namespace: str
    name: str


class Reading(msgspec.Struct, frozen=True):
    """What was read. ``content``: of a Secret only the keys that are needed; None when there was no object.

    ``mark``: which ReplicatedSecret it is a copy of, "" for none. ``refused``: it is a credential of another system.
    """

    content: dict[str, Any] | None
    found: Object | None  # of ConfigMaps
    version: tuple[str, str]
    at: float  # loop time
    keys: frozenset[str] = frozenset()
    mark: str = ""
    refused: bool = False

    @property
    def lasts(self) -> float:
        """Seconds for which it is believed where no watch tells."""
        return LOOK_AGAIN if self.content is None else READ_AGAIN

    def same(self, other: Reading) -> bool:
        """Whether both say the same, whenever they were read."""
        return (self.content, self.found, self.mark, self.refused) == (
            other.content,
            other.found,
            other.mark,
            other.refused,
        )

    def __repr__(self) -> str:
        return f"Reading({self.version}, {'there' if self.content is not None else 'absent'})"


Readings: TypeAlias = Mapping[Place, Reading]


def cached(member: Cluster, place: Place) -> Object | None:
    """The object, or its head, as the caches have it; they do not have what is not labelled as ours."""
    cache = member.cache
    if place.resource not in cache.stores or not cache.covers(place.namespace):
        return None
    return cache.get(place.resource, place.namespace, place.name)


def is_watched(member: Cluster, place: Place) -> bool:
    """Whether the caches have every object of this kind there: of the control plane's own Secrets."""
    return not member.context and place.resource == SECRETS and member.cache.covers(place.namespace)


def outdated(member: Cluster, place: Place, reading: Reading, keys: frozenset[str]) -> bool:
    """Whether it has to be read again."""
    if not keys <= reading.keys:
        return True
    live = cached(member, place)
    if live is not None:
        return (live.head.uid, live.head.resource_version) != reading.version
    if is_watched(member, place):
        return reading.version != ("", "")
    return asyncio.get_running_loop().time() - reading.at >= reading.lasts


async def read(member: Cluster, place: Place, keys: frozenset[str], contents: Contents) -> Reading:
    """Read it, with a request where the caches do not have it. Raises what the client raises."""
    now = asyncio.get_running_loop().time()
    live = cached(member, place)
    absent = Reading(None, None, ("", ""), now, keys)
    try:
        if is_watched(member, place):
            if live is None:
                return absent
            found = await contents.get(live)
        elif live is not None and place.resource == CONFIG_MAPS:
            found = live
        else:
            found = await member.client.get(place.resource, place.namespace, place.name)
    except errors.NotFound:
        return absent
    version = (found.head.uid, found.head.resource_version)
    whole = found.decode(dict)
    mark = (found.head.labels or {}).get(REPLICATED_FROM, "")
    if place.resource == SECRETS:
        if whole.get("type") in REFUSED_TYPES:
            # Whoever may write a K8ssandraCluster could have it shown in a CassandraDatacenter.
            return Reading(None, None, version, now, keys, mark, refused=True)
        data = whole.get("data") or {}
        kept = {"data": {key: data[key] for key in sorted(keys) if key in data}}
        return Reading(kept, None, version, now, keys, mark)
    return Reading({key: whole.get(key) or {} for key in ("data", "binaryData")}, found, version, now, keys, mark)
