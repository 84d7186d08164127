"""From what changes in clusters, and of clusters, to what is looked at again: items in the clusters' queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from controller import watched
from controller.cassandra.routing import Router
from controller.engine.steps import Phase
from controller.engine.store import Delta
from controller.engine.worker import Item
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Moves, Pool
from controller.fleet.state import ClusterState
from controller.fleet.status import KIND as CLIENT_CONFIG
from controller.fleet.status import ClientConfigStatus
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.resources import SECRETS, Resource
from controller.replication.reconcile import ReplicatedSecretReconciler

TAKE_OVER: Final = 3.0  # s after which a Secret's new credentials are in use, if they are good

# What a visit of a cluster is about: its state, kinds that cannot be watched, kinds not listed yet.
_Sight: TypeAlias = tuple[ClusterState, tuple[tuple[Resource, Phase], ...], tuple[Resource, ...]]


class ChangeHandlers:
    """What is done when objects change, when the state of a cluster does, and when a cluster has gone.

    Nothing here waits. ``carry_out`` begins and ends the tasks of clusters; ``hot_reload``: whether a change of a
    ClientConfig moves any, or is only said.
    """

    def __init__(
        self,
        pool: Pool,
        router: Router,
        secrets: ReplicatedSecretReconciler,
        configs: ClientConfigStatus,
        carry_out: Callable[[Moves], None],
        *,
        hot_reload: bool,
    ) -> None:
        self._pool = pool
        self._local = pool.local
        self._router = router
        self._secrets = secrets
        self._configs = configs
        self._carry_out = carry_out
        self._hot_reload = hot_reload
        self._seen: dict[str, _Sight] = {}  # by context: what the last visit was about

    def changed(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        """Objects of ``cluster`` changed: queue whatever they concern."""
        if not self._pool.present(cluster):
            return  # of a connection that is over
        if not self._pool.built:
            if resource in watched.ROUTED_EARLY:
                self._route(cluster, resource, deltas)
            return
        if resource == CLIENT_CONFIGS:
            for delta in deltas:
                self._client_config_changed(delta)
            return
        if resource == SECRETS and cluster is self._local:
            for delta in deltas:
                for member in self._pool.secret_changed(delta.object.head.namespace, delta.object.head.name):
                    # The end of the credentials is shown too, which changes without a change of the state.
                    self._local.queue.add_after(Item(CLIENT_CONFIG, member.namespace, member.name), TAKE_OVER)
        self._route(cluster, resource, deltas)

    def visited(self, cluster: Cluster) -> None:
        """A state changed: look again at what depends on it, once for each change that matters."""
        if not (self._pool.built and self._pool.present(cluster)):
            return
        now = (cluster.state.shown, tuple(cluster.untold()), tuple(cluster.cache.unsynced()))
        before = self._seen.get(cluster.context)
        if before == now:
            return
        self._seen[cluster.context] = now
        if cluster.state.usable and not (before and before[0].usable):
            for other in self._pool:  # what waits elsewhere for this cluster; its own queue resumes by itself
                if other is not cluster:
                    other.queue.unpark(cluster.context)
        for item in self._configs.items(cluster):
            self._local.queue.add(item)
        self._revisit(cluster)

    def gone(self, cluster: Cluster) -> None:
        """The cluster is let go of: whatever waits for it sees that there is nothing to wait for."""
        self._seen.pop(cluster.context, None)
        for other in self._pool:
            other.queue.unpark(cluster.context)
        self._revisit(cluster)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _route(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        self._router.route(cluster, resource, deltas)
        self._secrets.route(cluster, resource, deltas)

    def _revisit(self, cluster: Cluster) -> None:
        self._router.revisit(cluster)
        self._secrets.revisit(cluster)

    def _client_config_changed(self, delta: Delta) -> None:
        head = delta.object.head
        if delta.new is not None:
            self._pool.noticed(delta.new)
        if self._hot_reload:
            # Let go of one that is being deleted, although a finalizer may keep it for long.
            now = delta.new if head.deletion_timestamp is None else None
            self._carry_out(self._pool.follow(head.namespace, head.name, now))
        else:
            member = self._pool.member(head.namespace, head.name)
            gone = delta.new is None or (member is not None and member.uid != head.uid)
            if gone and member is not None and member.cluster is not None:
                self._router.revisit(member.cluster)  # what uses a deleted one says so
        self._local.queue.add(Item(CLIENT_CONFIG, head.namespace, head.name))
