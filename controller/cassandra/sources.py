"""Secrets and ConfigMaps of users that rendering needs: read where they are, each by the passes of its own cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from controller.cassandra import facts, labels
from controller.cassandra.images import Images, needs_image
from controller.cassandra.problems import FieldProblem
from controller.cassandra.render import Facts, needed_passwords
from controller.cassandra.system_replication import parse_replication
from controller.cassandra.types import K8ssandraCluster
from controller.cassandra.watches import owner_of
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, SECRETS, Resource

READ_AGAIN: Final = 300.0  # s between two reads of what no watch tells of: it is the user's, and not labelled as ours
LOOK_AGAIN: Final = 30.0  # s until something that was not there is looked for again
SUPERUSER_KEYS: Final = frozenset({"username", "password"})


class Place(NamedTuple):
    """Where an object is."""

    resource: Resource
    context: str
    namespace: str
    name: str


class _Reading(msgspec.Struct, frozen=True):
    """What was read. ``content``: of a Secret only the keys that are needed; None when there was no object."""

    content: dict[str, Any] | None
    found: Object | None  # of ConfigMaps
    version: tuple[str, str]
    at: float  # loop time

    @property
    def lasts(self) -> float:
        """Seconds for which it is believed where no watch tells."""
        return LOOK_AGAIN if self.content is None else READ_AGAIN

    def __repr__(self) -> str:
        return f"_Reading({self.version}, {'there' if self.content is not None else 'absent'})"


class Sources:
    """What is known of them, by K8ssandraCluster. What cannot be read again stays as it was read last."""

    def __init__(self, pool: Pool, images: Images | None = None) -> None:
        self._pool = pool
        self._images = images or Images()
        self._readings: dict[str, dict[Place, _Reading]] = {}  # by UID
        self._revisions: dict[str, int] = {}

    def revision(self, uid: str) -> int:
        """Another number whenever ``facts`` may say something else."""
        return self._revisions.get(uid, 0) + self._images.revision

    def facts(self, cluster: K8ssandraCluster) -> tuple[Facts, list[FieldProblem]]:
        """What is known now, and what is wrong with it."""
        annotation = cluster.metadata.annotations.get(labels.INITIAL_SYSTEM_REPLICATION, "")
        readings = self._readings.get(cluster.metadata.uid, {})

        def find(resource: Resource) -> facts.Find:
            def found(context: str, namespace: str, name: str) -> facts.Manifest | None:
                reading = readings.get(Place(resource, context, namespace, name))
                return None if reading is None else reading.content

            return found

        replication = parse_replication(annotation) if annotation else None
        known, problems = facts.gather(
            cluster,
            find(SECRETS),
            find(CONFIG_MAPS),
            replication=replication,
            image=self._images.image,
            image_problem=self._images.problem,
        )
        return known, [*problems, *_unfit_superuser(cluster, find(SECRETS))]

    def config_map(self, cluster: K8ssandraCluster, context: str, namespace: str, name: str) -> Object | None:
        """A ConfigMap as it was read last."""
        reading = self._readings.get(cluster.metadata.uid, {}).get(Place(CONFIG_MAPS, context, namespace, name))
        return None if reading is None else reading.found

    async def refresh(self, cluster: K8ssandraCluster, context: str) -> float:
        """Read what is new in one context; returns the seconds until that is due again, 0 when watches tell.

        ``revision`` says whether anything changed. Raises what the client raises; what was read before that counts.
        """
        due = await self._images.refresh() if needs_image(cluster) else 0.0
        return min(filter(None, (due, await self._refresh(cluster, context))), default=0.0)

    async def _refresh(self, cluster: K8ssandraCluster, context: str) -> float:
        member, uid = self._pool.get(context), cluster.metadata.uid
        needed = {place: keys for place, keys in _needed(cluster).items() if place.context == context}
        if member is None or not needed:
            return 0.0
        readings = self._readings.setdefault(uid, {})
        due = 0.0
        for place, keys in needed.items():
            before = readings.get(place)
            if before is None or _outdated(member, place, before):
                now = readings[place] = await _read(member, place, keys)
                if before is None or before.content != now.content or before.found != now.found:
                    self._revisions[uid] = self._revisions.get(uid, 0) + 1
            live = _cached(member, place)
            if live is None or owner_of(live.head) is None:  # no event of it leads here
                wait = LOOK_AGAIN if live is not None else readings[place].lasts
                due = min(due or wait, wait)
        return due

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._readings.pop(uid, None)
        self._revisions.pop(uid, None)

    def forget_context(self, context: str) -> None:
        """The context is no more: another cluster may be called so next."""
        for uid, readings in self._readings.items():
            for place in [place for place in readings if place.context == context]:
                del readings[place]
                self._revisions[uid] = self._revisions.get(uid, 0) + 1


def _needed(cluster: K8ssandraCluster) -> dict[Place, frozenset[str]]:
    """The objects, with the keys that are needed of each; () for all."""
    found: dict[Place, frozenset[str]] = {}
    for source in needed_passwords(cluster):
        place = Place(SECRETS, source.context, source.namespace, source.secret)
        found[place] = found.get(place, frozenset()) | {source.key}
    if name := _given_superuser(cluster):
        place = Place(SECRETS, "", cluster.namespace, name)
        found[place] = found.get(place, frozenset()) | SUPERUSER_KEYS
    return {**found, **dict.fromkeys(_per_node(cluster), frozenset())}


def _given_superuser(cluster: K8ssandraCluster) -> str:
    """Name of the superuser's Secret that a user provides, "" when we make it."""
    cassandra = cluster.spec.cassandra
    if cassandra is None or cluster.external_secrets or cassandra.superuser_secret_ref is None:
        return ""
    return cassandra.superuser_secret_ref.name


def _unfit_superuser(cluster: K8ssandraCluster, find: facts.Find) -> Iterator[FieldProblem]:
    name = _given_superuser(cluster)
    secret = find("", cluster.namespace, name) if name else None
    if secret is None:
        return
    if missing := [repr(key) for key in sorted(SUPERUSER_KEYS) if not secret["data"].get(key)]:
        yield FieldProblem(
            "spec.cassandra.superuserSecretRef.name",
            f"Secret {cluster.namespace}/{name} has no {' and no '.join(missing)}",
            "put the superuser's name and password there, in base64",
            reason="SecretKeyMissing",
        )


def _per_node(cluster: K8ssandraCluster) -> Iterator[Place]:
    cassandra = cluster.spec.cassandra
    for datacenter in cassandra.datacenters if cassandra is not None else ():
        reference = datacenter.per_node_config_map_ref
        if reference is not None and reference.name:
            namespace = datacenter.metadata.namespace or cluster.namespace
            yield Place(CONFIG_MAPS, datacenter.k8s_context, namespace, reference.name)


def _cached(member: Cluster, place: Place) -> Object | None:
    cache = member.cache
    if place.resource not in cache.stores or not cache.covers(place.namespace):
        return None
    return cache.get(place.resource, place.namespace, place.name)


def _outdated(member: Cluster, place: Place, reading: _Reading) -> bool:
    live = _cached(member, place)
    if live is not None:
        return (live.head.uid, live.head.resource_version) != reading.version
    return asyncio.get_running_loop().time() - reading.at >= reading.lasts


async def _read(member: Cluster, place: Place, keys: frozenset[str]) -> _Reading:
    now = asyncio.get_running_loop().time()
    try:
        found = await member.client.get(place.resource, place.namespace, place.name)
    except errors.NotFound:
        return _Reading(None, None, ("", ""), now)
    version = (found.head.uid, found.head.resource_version)
    whole = found.decode(dict)
    if place.resource == SECRETS:
        data = whole.get("data") or {}
        return _Reading({"data": {key: data[key] for key in sorted(keys) if key in data}}, None, version, now)
    return _Reading({key: whole.get(key) or {} for key in ("data", "binaryData")}, found, version, now)
