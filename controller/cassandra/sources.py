"""Secrets and ConfigMaps of users that rendering needs: read where they are, each by the passes of its own cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from controller.cassandra import facts, labels
from controller.cassandra.images import Images, needs_image
from controller.cassandra.origins import Origin, Origins, place_of
from controller.cassandra.problems import FieldProblem
from controller.cassandra.readings import (
    LOOK_AGAIN,
    READ_AGAIN,
    Place,
    Reading,
    cached,
    is_watched,
    outdated,
    read,
)
from controller.cassandra.render import Facts, PasswordSource
from controller.cassandra.stores import Needs, needs
from controller.cassandra.system_replication import parse_replication
from controller.cassandra.types import K8ssandraCluster, K8ssandraClusterSpec
from controller.cassandra.watches import owner_of
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, SECRETS, Resource
from controller.replication.contents import Contents

ROUNDS: Final = 3  # of reading in one pass: where a store is tells where its password is, and that may be elsewhere
SUPERUSER_KEYS: Final = frozenset({"username", "password"})

__all__ = ["LOOK_AGAIN", "READ_AGAIN", "Place", "Sources"]


class _Unknown(Enum):
    UNKNOWN = 1


_UNKNOWN: Final = _Unknown.UNKNOWN


class Sources:
    """What is known of them, by K8ssandraCluster. What cannot be read again stays as it was read last."""

    def __init__(
        self, pool: Pool, contents: Contents, images: Images | None = None, *, foreseeing: bool = False
    ) -> None:
        self._pool = pool
        self._contents = contents
        self._images = images or Images()
        self._origins = Origins(pool, foreseeing=foreseeing)
        self._readings: dict[str, dict[Place, Reading]] = {}  # by UID
        self._revisions: dict[str, int] = {}
        self._needs: dict[str, tuple[K8ssandraClusterSpec, Needs]] = {}  # by UID

    def revision(self, uid: str) -> int:
        """Another number whenever ``facts`` may say something else."""
        return self._revisions.get(uid, 0) + self._images.revision

    def state(self, cluster: K8ssandraCluster) -> tuple[int, tuple[Origin, ...]]:
        """Another one whenever ``facts`` may say something else, also because of what caches show."""
        readings = self._readings.get(cluster.metadata.uid, {})
        origins = tuple(self._origins.of(cluster, each, readings) for each in self.needs(cluster).mounted)
        return self.revision(cluster.metadata.uid), origins

    def needs(self, cluster: K8ssandraCluster) -> Needs:
        """The Secrets of users that a cluster needs."""
        uid = cluster.metadata.uid
        known = self._needs.get(uid)
        if known is None or known[0] != cluster.spec:
            known = self._needs[uid] = (cluster.spec, needs(cluster))
        return known[1]

    def awaited(self, cluster: K8ssandraCluster) -> dict[str, tuple[str, ...]]:
        """By datacenter, the Secrets that it has to wait for: those that pods do not find, and unknown passwords."""
        readings = self._readings.get(cluster.metadata.uid, {})
        found: dict[str, dict[str, None]] = {}
        for mounted in self.needs(cluster).mounted:
            if not self._origins.of(cluster, mounted, readings).there:
                found.setdefault(mounted.datacenter, {})[mounted.secret] = None
        for source in self.needs(cluster).passwords:
            if self._password(cluster, source) is _UNKNOWN:
                found.setdefault(source.datacenter, {})[source.secret] = None
        return {name: tuple(secrets) for name, secrets in found.items()}

    def unknown(self, cluster: K8ssandraCluster) -> frozenset[str]:
        """The datacenters of which it is not known yet whether their passwords are there."""
        sources = self.needs(cluster).passwords
        return frozenset(each.datacenter for each in sources if self._password(cluster, each) is _UNKNOWN)

    def facts(self, cluster: K8ssandraCluster) -> tuple[Facts, list[FieldProblem]]:
        """What is known now, and what is wrong with it."""
        annotation = cluster.metadata.annotations.get(labels.INITIAL_SYSTEM_REPLICATION, "")
        readings = self._readings.get(cluster.metadata.uid, {})

        def find(resource: Resource) -> facts.Find:
            def found(context: str, namespace: str, name: str) -> facts.Manifest | None:
                reading = readings.get(Place(resource, context, namespace, name))
                return None if reading is None else reading.content

            return found

        passwords: dict[tuple[str, str, str], facts.Manifest | None] = {}
        for source in self.needs(cluster).passwords:
            content = self._password(cluster, source)
            if isinstance(content, dict):
                passwords[source.context, source.namespace, source.secret] = content
        replication = parse_replication(annotation) if annotation else None
        known, problems = facts.gather(
            cluster,
            lambda *place: passwords.get(place),
            find(CONFIG_MAPS),
            replication=replication,
            image=self._images.image,
            image_problem=self._images.problem,
        )
        problems += [*self._refused(cluster, readings), *self._absent(cluster, readings)]
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
        due = 0.0
        if member is None:
            return due
        for _ in range(ROUNDS):
            needed, due = self._needed(cluster, member, self._readings.get(uid, {}))
            before = self._revisions.get(uid, 0)
            for place, keys in needed.items():
                wait = await self._read(uid, member, place, keys)
                due = min(filter(None, (due, wait)), default=0.0)
            if self._revisions.get(uid, 0) == before:
                break
        return due

    async def _read(self, uid: str, member: Cluster, place: Place, keys: frozenset[str]) -> float:
        """Read one object if that is due; returns the seconds until it is due again, 0 when watches tell."""
        readings = self._readings.setdefault(uid, {})
        before = readings.get(place)
        if before is None or outdated(member, place, before, keys):
            now = readings[place] = await read(member, place, keys, self._contents)
            if before is None or not before.same(now):
                self._revisions[uid] = self._revisions.get(uid, 0) + 1
        live = cached(member, place)
        if is_watched(member, place) or (live is not None and owner_of(live.head) is not None):
            return 0.0  # its events lead here
        return LOOK_AGAIN if live is not None else readings[place].lasts

    def _needed(
        self, cluster: K8ssandraCluster, member: Cluster, readings: Mapping[Place, Reading]
    ) -> tuple[dict[Place, frozenset[str]], float]:
        """What is to be read in one context, with the keys that are needed; and seconds until more is, 0 for never."""
        found: dict[Place, frozenset[str]] = {place: frozenset() for place in _per_node(cluster)}
        due = 0.0

        def need(place: Place, *keys: str) -> None:
            if self._is_kubeconfig(place):
                return  # of all Secrets the last one to be shown in a CassandraDatacenter
            found[place] = found.get(place, frozenset()) | set(keys)

        needs = self.needs(cluster)
        for mounted in needs.mounted:
            if mounted.context == member.context:
                wait = self._origins.due(cluster, mounted, readings, member)
                if wait == 0.0:
                    need(place_of(mounted))
                elif wait is not None:
                    due = min(due or wait, wait)
        for source in needs.passwords:
            # The control plane's at once, so that they are there when the copies are.
            need(Place(SECRETS, "", source.namespace, source.secret), source.key)
            for place in self._places(cluster, source) or ():
                need(place, source.key)
                if place not in readings or readings[place].content is not None:
                    break
        if name := _given_superuser(cluster):
            need(Place(SECRETS, "", cluster.namespace, name), *SUPERUSER_KEYS)
        return {place: keys for place, keys in found.items() if place.context == member.context}, due

    def _places(self, cluster: K8ssandraCluster, source: PasswordSource) -> tuple[Place, ...] | None:
        beside = (source.datacenter, source.beside)
        mounted = next((one for one in self.needs(cluster).mounted if (one.datacenter, one.secret) == beside), None)
        readings = self._readings.get(cluster.metadata.uid, {})
        return self._origins.password_places(cluster, source, mounted, readings)

    def _password(self, cluster: K8ssandraCluster, source: PasswordSource) -> dict[str, Any] | _Unknown | None:
        """The Secret with a password: its content, None when there is none."""
        readings = self._readings.get(cluster.metadata.uid, {})
        places = self._places(cluster, source)
        for place in places if places is not None else ():
            if self._is_kubeconfig(place):
                continue
            if place not in readings:
                return _UNKNOWN
            if (content := readings[place].content) is not None:
                return content
        return _UNKNOWN if places is None else None

    def _is_kubeconfig(self, place: Place) -> bool:
        if place.context or place.resource != SECRETS:
            return False
        return any((each.namespace, each.secret) == (place.namespace, place.name) for each in self._pool.members())

    def _refused(self, cluster: K8ssandraCluster, readings: Mapping[Place, Reading]) -> Iterator[FieldProblem]:
        """Passwords that are to be read where credentials of other systems are."""
        for source in self.needs(cluster).passwords:
            for place in self._places(cluster, source) or ():
                reading = readings.get(place)
                if self._is_kubeconfig(place) or (reading is not None and reading.refused):
                    yield FieldProblem(
                        f"spec.cassandra.{source.side}EncryptionStores",
                        f"Secret {place.namespace}/{place.name} holds a credential of another system: it is not read",
                        f"name a Secret with the password of the {source.store}",
                        source.datacenter,
                        "SecretRefused",
                    )

    def _absent(self, cluster: K8ssandraCluster, readings: Mapping[Place, Reading]) -> Iterator[FieldProblem]:
        """The Secrets that pods would wait for in vain."""
        for mounted in self.needs(cluster).mounted:
            origin = self._origins.of(cluster, mounted, readings)
            if origin is Origin.COMING and self._is_kubeconfig(Place(SECRETS, "", cluster.namespace, mounted.secret)):
                yield FieldProblem(
                    mounted.field,
                    f"Secret {cluster.namespace}/{mounted.secret} is a kubeconfig of a ClientConfig: never copied",
                    "name another",
                    mounted.datacenter,
                    "SecretRefused",
                )
            if origin is Origin.ABSENT:
                where = f"in context {mounted.context}" if mounted.context else "in the control plane's cluster"
                yield FieldProblem(
                    mounted.field,
                    f"Secret {mounted.namespace}/{mounted.secret} is not there {where}",
                    f"create it there, or as {cluster.namespace}/{mounted.secret} in the control plane, to be copied",
                    mounted.datacenter,
                    "SecretNotFound",
                )

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._readings.pop(uid, None)
        self._revisions.pop(uid, None)
        self._needs.pop(uid, None)
        self._origins.forget(uid)

    def forget_context(self, context: str) -> None:
        """The context is no more: another cluster may be called so next."""
        for uid, readings in self._readings.items():
            for place in [place for place in readings if place.context == context]:
                del readings[place]
                self._revisions[uid] = self._revisions.get(uid, 0) + 1


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
