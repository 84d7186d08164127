"""Which K8ssandraClusters a change concerns, and in which contexts they have to be looked at again."""

from __future__ import annotations

from typing import Final

from controller.cassandra import names
from controller.cassandra.observe import contexts, pod_address, read
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.cassandra.watches import owner_of, ring_of
from controller.engine.store import Delta
from controller.engine.worker import Item
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube.errors import Malformed
from controller.kube.objects import Object
from controller.kube.resources import PODS, Resource
from controller.replication.types import REPLICATED_SECRETS

KIND: Final = K8SSANDRA_CLUSTERS.kind


class _Known:
    """What routing needs of one K8ssandraCluster."""

    __slots__ = ("acted_on", "contexts", "rings")

    def __init__(self, cluster: K8ssandraCluster) -> None:
        metadata = cluster.metadata
        self.acted_on = (
            metadata.uid,
            metadata.generation,
            metadata.deletion_timestamp,
            metadata.finalizers,
            metadata.annotations,
            cluster.status.observed_generation,
        )
        self.contexts = tuple(contexts(cluster))
        template = cluster.spec.cassandra
        ring = names.label_value(cluster.cass_name)
        self.rings = frozenset(
            (entry.k8s_context, entry.metadata.namespace or cluster.namespace, ring, names.label_value(entry.name))
            for entry in (template.datacenters if template is not None else ())
        )


def _only_shown(delta: Delta) -> bool:
    """Whether a CassandraDatacenter changed in its status only, and there only in what the status of ours shows."""
    if delta.old is None or delta.new is None:
        return False
    try:
        old, new = delta.old.decode(CassandraDatacenter), delta.new.decode(CassandraDatacenter)
    except Malformed:
        return False
    return _acted_on(old) == _acted_on(new)


def _same_seed(delta: Delta) -> bool:
    """Whether a seed pod is the same seed as before: of the same datacenter, at the same address, or at none."""
    old, new = (
        (ring_of(side.head), address) if side is not None and (address := pod_address(side)) else None
        for side in (delta.old, delta.new)
    )
    return old == new


def _acted_on(datacenter: CassandraDatacenter) -> tuple[object, ...]:
    """Everything of a CassandraDatacenter that a plan acts on; its specification is known by the generation."""
    metadata, status = datacenter.metadata, datacenter.status
    return (
        metadata.uid,
        metadata.generation,
        metadata.deletion_timestamp,
        metadata.labels,
        metadata.annotations,
        metadata.finalizers,
        status.observed_generation == metadata.generation and status.cassandra_operator_progress == "Ready",
        status.is_true("Ready"),
        status.is_true("Stopped"),
        status.datacenter_name,
    )


class Router:
    """Turns changes into items of kind K8ssandraCluster."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[str, str], _Known] = {}  # by namespace and name
        self._by_ring: dict[tuple[str, str, str, str], set[tuple[str, str]]] = {}

    def route(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        """Queue what a batch of changes in ``cluster`` concerns."""
        if resource == K8SSANDRA_CLUSTERS:
            for delta in deltas:
                self._cluster_changed(delta)
            return
        for delta in deltas:
            for owner in self._owners(cluster, resource, delta):
                if resource == CASSANDRA_DATACENTERS and _only_shown(delta):
                    self._queue(owner, "")
                elif resource == PODS and _same_seed(delta):
                    continue
                elif resource in (CASSANDRA_DATACENTERS, PODS):
                    self._everywhere(owner)
                elif resource == REPLICATED_SECRETS:
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
            self._queue(owner, "")  # only what the status shows has changed: nothing is to be done for it elsewhere
            return
        for context in before.contexts if before is not None else ():
            self._queue(owner, context)
        self._everywhere(owner)

    def _learn(self, owner: tuple[str, str], found: Object) -> None:
        try:
            cluster = read(found)
        except Malformed:
            return  # its own pass says so
        self._forget(owner)
        known = self._known[owner] = _Known(cluster)
        for ring in known.rings:
            self._by_ring.setdefault(ring, set()).add(owner)

    def _forget(self, owner: tuple[str, str]) -> None:
        known = self._known.pop(owner, None)
        for ring in known.rings if known is not None else ():
            owners = self._by_ring.get(ring, set())
            owners.discard(owner)
            if not owners:
                self._by_ring.pop(ring, None)

    def _owners(self, cluster: Cluster, resource: Resource, delta: Delta) -> set[tuple[str, str]]:
        """The K8ssandraClusters that name the place of this object: a label alone proves nothing."""
        found: set[tuple[str, str]] = set()
        for side in (delta.old, delta.new):
            if side is None:
                continue
            if resource == PODS:
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
        for context in known.contexts if known is not None else ():
            if context:
                self._queue(owner, context)

    def queue(self, namespace: str, name: str, context: str) -> None:
        """Have one K8ssandraCluster looked at in one context."""
        self._queue((namespace, name), context)

    def _queue(self, owner: tuple[str, str], context: str) -> None:
        if (cluster := self._pool.get(context)) is not None:
            cluster.queue.add(Item(KIND, *owner, context))
