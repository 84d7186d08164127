"""Which K8ssandraClusters a change concerns, and in which contexts they have to be looked at again."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from enum import Enum
from typing import Final, TypeVar

from controller.cassandra import labels, names
from controller.cassandra.contact_points import is_of_all_pods, pods
from controller.cassandra.observe import contexts, pod_address, read
from controller.cassandra.resources import CASSANDRA_DATACENTERS, CONTACT_SLICES, K8SSANDRA_CLUSTERS
from controller.cassandra.secrets import superuser_secret_name
from controller.cassandra.stores import STORES, needs
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.cassandra.watches import owner_of, ring_of
from controller.engine.store import Delta
from controller.engine.worker import Item
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube.errors import Malformed
from controller.kube.objects import Object
from controller.kube.resources import ENDPOINT_SLICES, PODS, SECRETS, SERVICES, Resource
from controller.replication.types import REPLICATED_SECRETS

KIND: Final = K8SSANDRA_CLUSTERS.kind
K = TypeVar("K", bound=Hashable)
# s; the seeds of a datacenter start side by side, and one write beside each other datacenter does for all of them.
SEEDS_TOGETHER: Final = 0.25
CONTACTS_TOGETHER: Final = 0.5  # s; a pod that starts is seen in its slice twice: with an address, and then ready


class _Known:
    """What routing needs of one K8ssandraCluster."""

    __slots__ = ("acted_on", "contexts", "prepared", "rings", "secrets", "updates")

    def __init__(self, cluster: K8ssandraCluster) -> None:
        metadata = cluster.metadata
        self.acted_on = (
            metadata.uid,
            metadata.generation,
            metadata.deletion_timestamp,
            metadata.finalizers,
            metadata.annotations,
        )
        self.updates = cluster.status.observed_generation < metadata.generation
        self.prepared = labels.FINALIZER in metadata.finalizers or bool(metadata.deletion_timestamp)
        self.contexts = tuple(contexts(cluster))
        template = cluster.spec.cassandra
        ring = names.label_value(cluster.cass_name)
        self.rings = frozenset(
            (entry.k8s_context, entry.metadata.namespace or cluster.namespace, ring, names.label_value(entry.name))
            for entry in (template.datacenters if template is not None else ())
        )
        named = {superuser_secret_name(cluster), *needs(cluster).secrets}
        self.secrets = frozenset((cluster.namespace, name) for name in named)


class _Reach(Enum):
    """Whom the change of a CassandraDatacenter concerns, beside the control plane, which shows it."""

    NOBODY = 1
    ITS_OWN_CONTEXT = 2
    ALL_CONTEXTS = 3


def _reach(delta: Delta) -> _Reach:
    """Others act on whether it is there no more, Ready, or has another name; its own context on much more."""
    if delta.new is None:
        return _Reach.ALL_CONTEXTS
    if delta.old is None:
        return _Reach.ITS_OWN_CONTEXT
    try:
        old, new = delta.old.decode(CassandraDatacenter), delta.new.decode(CassandraDatacenter)
    except Malformed:
        return _Reach.ALL_CONTEXTS
    if _acted_on_by_others(old) != _acted_on_by_others(new):
        return _Reach.ALL_CONTEXTS
    return _Reach.NOBODY if _acted_on(old) == _acted_on(new) else _Reach.ITS_OWN_CONTEXT


def _same_seed(delta: Delta) -> bool:
    """Whether a seed pod is the same seed as before: of the same datacenter, at the same address, or at none."""
    old, new = (
        (ring_of(side.head), address) if side is not None and (address := pod_address(side)) else None
        for side in (delta.old, delta.new)
    )
    return old == new


def _is_all_pods(resource: Resource, delta: Delta) -> bool:
    return resource == ENDPOINT_SLICES and is_of_all_pods(delta.object)


def _same_pods(delta: Delta) -> bool:
    """Whether a slice leads to the same pods as before, wherever else it changed."""
    old, new = (pods([side]) if side is not None else None for side in (delta.old, delta.new))
    return old == new


def _acted_on(datacenter: CassandraDatacenter) -> tuple[object, ...]:
    """What its own context acts on; the specification is known by its generation."""
    metadata = datacenter.metadata
    ours = labels.FINALIZER in metadata.finalizers
    return (metadata.generation, metadata.annotations, ours, _acted_on_by_others(datacenter))


def _acted_on_by_others(datacenter: CassandraDatacenter) -> tuple[object, ...]:
    metadata, status = datacenter.metadata, datacenter.status
    done = status.observed_generation == metadata.generation and status.cassandra_operator_progress == "Ready"
    return (
        metadata.uid,
        metadata.deletion_timestamp,
        metadata.labels,
        done and status.is_true("Ready"),
        done and status.is_true("Stopped"),
        status.datacenter_name,
    )


def _drop(index: dict[K, set[tuple[str, str]]], key: K, owner: tuple[str, str]) -> None:
    owners = index.get(key, set())
    owners.discard(owner)
    if not owners:
        index.pop(key, None)


class Router:
    """Turns changes into items of kind K8ssandraCluster."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[str, str], _Known] = {}  # by namespace and name
        self._by_ring: dict[tuple[str, str, str, str], set[tuple[str, str]]] = {}
        self._by_secret: dict[tuple[str, str], set[tuple[str, str]]] = {}  # of the control plane

    def route(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        """Queue what a batch of changes in ``cluster`` concerns."""
        if resource == K8SSANDRA_CLUSTERS:
            for delta in deltas:
                self._cluster_changed(delta)
            return
        for delta in deltas:
            if cluster is self._pool.local and resource in (SECRETS, REPLICATED_SECRETS):
                self._secret_changed(resource, delta)
            for owner in self._owners(cluster, resource, delta):
                if resource == CASSANDRA_DATACENTERS:
                    self._datacenter_changed(owner, cluster, _reach(delta))
                elif resource == PODS:
                    if not _same_seed(delta):
                        self._seed_changed(owner, cluster, delta)
                elif _is_all_pods(resource, delta):
                    if not _same_pods(delta):
                        self._queue(owner, "", after=CONTACTS_TOGETHER)
                elif resource in (REPLICATED_SECRETS, SERVICES, CONTACT_SLICES):
                    self._queue(owner, "")
                elif cluster is self._pool.local:
                    self._everywhere(owner)  # it may be one cluster with that of a context
                else:
                    self._queue(owner, cluster.context)

    def revisit(self, cluster: Cluster) -> None:
        """The cluster came or went: everything that names its context is looked at again."""
        for owner, known in self._known.items():
            if cluster.context in known.contexts:
                self._everywhere(owner)
            elif cluster is self._pool.local:
                self._queue(owner, "")  # its contact points are there

    def queue_all(self) -> None:
        """Have every K8ssandraCluster looked at in every context of its."""
        for owner in self._known:
            self._everywhere(owner)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _cluster_changed(self, delta: Delta) -> None:
        head = delta.object.head
        owner = (head.namespace, head.name)
        before = self._known.get(owner)
        if delta.new is None:
            self._forget(owner)
        else:
            self._learn(owner, delta.new)
        after = self._known.get(owner)
        if before is not None and after is not None and before.acted_on == after.acted_on:
            self._queue(owner, "")
            if not after.updates or before.updates:
                return  # only what the status shows has changed: nothing is to be done for it elsewhere
        for context in before.contexts if before is not None else ():
            self._queue(owner, context)
        self._everywhere(owner)

    def _datacenter_changed(self, owner: tuple[str, str], cluster: Cluster, reach: _Reach) -> None:
        if reach is _Reach.ALL_CONTEXTS or cluster is self._pool.local:  # which may be one with that of a context
            self._everywhere(owner)
            return
        self._queue(owner, "")
        if reach is _Reach.ITS_OWN_CONTEXT:
            self._queue(owner, cluster.context)

    def _secret_changed(self, resource: Resource, delta: Delta) -> None:
        """A Secret of the control plane that a cluster names: its own item reads it there, and tells the others.

        Of ReplicatedSecrets it matters when one is gone that had a name which a cluster needs.
        """
        head = delta.object.head
        if resource == REPLICATED_SECRETS:
            for name in (head.name, head.name.removesuffix(STORES)):
                if delta.new is None and (head.namespace, name) in self._known:
                    self._queue((head.namespace, name), "")
            return
        for owner in sorted(self._by_secret.get((head.namespace, head.name), ())):
            if delta.old is None or delta.new is None:
                self._everywhere(owner)  # whether there is a copy to wait for concerns all
            else:
                self._queue(owner, "")

    def _seed_changed(self, owner: tuple[str, str], cluster: Cluster, delta: Delta) -> None:
        """Seeds are written beside all datacenters but their own."""
        old, new = (ring_of(side.head) if side is not None else None for side in (delta.old, delta.new))
        ring = new or old
        if ring is None or (old is not None and old != ring):  # it was of one datacenter and is of another now
            self._everywhere(owner)
            return
        others = self._known[owner].rings - {(cluster.context, *ring)}
        for context in sorted({other[0] for other in others}):
            self._queue(owner, context, after=SEEDS_TOGETHER)

    def _learn(self, owner: tuple[str, str], found: Object) -> None:
        try:
            cluster = read(found)
        except Malformed:
            return  # its own pass says so
        self._forget(owner)
        known = self._known[owner] = _Known(cluster)
        for ring in known.rings:
            self._by_ring.setdefault(ring, set()).add(owner)
        for secret in known.secrets:
            self._by_secret.setdefault(secret, set()).add(owner)

    def _forget(self, owner: tuple[str, str]) -> None:
        known = self._known.pop(owner, None)
        for ring in known.rings if known is not None else ():
            _drop(self._by_ring, ring, owner)
        for secret in known.secrets if known is not None else ():
            _drop(self._by_secret, secret, owner)

    def _owners(self, cluster: Cluster, resource: Resource, delta: Delta) -> set[tuple[str, str]]:
        """The K8ssandraClusters that name the place of this object: a label alone proves nothing."""
        found: set[tuple[str, str]] = set()
        for side in (delta.old, delta.new):
            if side is None:
                continue
            if resource == PODS or _is_all_pods(resource, delta):
                ring = ring_of(side.head)
                found |= self._by_ring.get((cluster.context, *ring), set()) if ring else set()
                continue
            owner = owner_of(side.head)
            if owner is None or owner not in self._known:
                continue
            if cluster is self._pool.local or cluster.context in self._known[owner].contexts:
                found.add(owner)
        return found

    def _everywhere(self, owner: tuple[str, str]) -> None:
        self._queue(owner, "")
        known = self._known.get(owner)
        if known is not None and not known.prepared:
            return  # its finalizer comes first, and with it the next change
        for context in known.contexts if known is not None else ():
            if context:
                self._queue(owner, context)

    def wake(self, namespace: str, name: str, contexts: Iterable[str] | None = None) -> None:
        """Have one K8ssandraCluster looked at in the control plane and in these contexts, None: in all of its."""
        if contexts is None:
            self._everywhere((namespace, name))
            return
        for context in {"": None, **dict.fromkeys(contexts)}:
            self._queue((namespace, name), context)

    def queue(self, namespace: str, name: str, context: str) -> None:
        """Have one K8ssandraCluster looked at in one context."""
        self._queue((namespace, name), context)

    def _queue(self, owner: tuple[str, str], context: str, *, after: float = 0.0) -> None:
        if (cluster := self._pool.get(context)) is not None:
            cluster.queue.add_after(Item(KIND, *owner, context), after)
