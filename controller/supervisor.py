"""Composes the controller: connections, watches, queues and workers, in task groups that somebody owns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Final, Protocol

import anyio
import structlog
from anyio.abc import TaskGroup
from structlog.contextvars import bound_contextvars

from controller import watched
from controller.admission.webhook import Webhook
from controller.cassandra.images import Images
from controller.cassandra.keyspaces import Keyspaces
from controller.cassandra.passwords import system_password
from controller.cassandra.reconcile import K8ssandraClusterReconciler
from controller.cassandra.routing import KIND as K8SSANDRA_CLUSTER
from controller.cassandra.routing import Router
from controller.cassandra.seed_names import Resolve, SeedNames, system_resolve
from controller.change_handlers import ChangeHandlers
from controller.engine.chance import Chance
from controller.engine.clock import Clock, SystemClock
from controller.engine.events import EventRecorder
from controller.engine.steps import Phase
from controller.engine.supervise import RestartObserver, keep_running
from controller.engine.sweep import Sweep
from controller.engine.worker import Done, Item, Result, Workers
from controller.fleet.breaker import Guard
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.limits import say_if_too_low
from controller.fleet.member import Member
from controller.fleet.metrics import FleetCollector
from controller.fleet.pool import Moves, Pool
from controller.fleet.renewal import Renewal
from controller.fleet.state import ClusterState, Reason
from controller.fleet.status import KIND as CLIENT_CONFIG
from controller.fleet.status import ClientConfigStatus
from controller.fleet.throttle import Bucket, Throttled
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.client import Client
from controller.kube.credentials import Credentials
from controller.kube.resources import Resource
from controller.kube.transport import Transport
from controller.management.routes import OpenWay
from controller.observability import health
from controller.observability.metrics import Metrics
from controller.replication import reconcile as replication
from controller.replication.contents import Contents
from controller.replication.reconcile import ReplicatedSecretReconciler
from controller.settings import Settings

COMPONENT: Final = "k8ssandra-controller"

_log = structlog.get_logger(__name__)


class MakeTransport(Protocol):
    """Makes the way to an API server. ``remote``: its address came from a Secret and has to be judged."""

    def __call__(self, credentials: Credentials, *, remote: bool) -> Transport: ...


class Controller:
    """The whole controller for one control plane.

    ``credentials`` are its own. ``make_transport`` makes the way to any API server; ``rng``, ``clock``,
    ``make_password`` and ``resolve``, of seeds' host names, are the other seams. ``open_way`` makes ways straight to
    pods; None: there are none.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        make_transport: MakeTransport,
        *,
        rng: Random,
        clock: Clock | None = None,
        make_password: Callable[[], str] = system_password,
        open_way: OpenWay | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self.metrics: Final = Metrics()
        self.settings: Final = settings
        self._credentials = credentials
        self._make_transport = make_transport
        self._chance = Chance(rng)
        self._clock = clock or SystemClock()
        self._sweep = Sweep()
        self.health_port = 0
        self.metrics_port = 0
        self.started: Final = asyncio.Event()  # the ClientConfigs are read and their clusters begun with
        self.local: Final = self._make_cluster("", watched.local())
        self.pool: Final = Pool(self.local, self._make_remote, self._make_client, self._chance, settings.allow_proxy)
        self._remotes: TaskGroup | None = None
        self._own = self._make_client(credentials, "")
        self.recorder: Final = EventRecorder(self._own, COMPONENT, self._clock, rng=self._chance.source("events"))
        self._router = Router(self.pool)
        contents = Contents(self.local)
        self._keyspaces = Keyspaces(self.pool, self._router.wake, way=settings.management_api, open_way=open_way)
        self._seed_names = SeedNames(resolve or system_resolve(), self._router.wake)
        self._clusters = K8ssandraClusterReconciler(
            self.pool,
            self.recorder,
            self._clock,
            make_password,
            self._router,
            contents,
            self._keyspaces,
            self._seed_names,
            self.images(),
        )
        self._secrets = ReplicatedSecretReconciler(self.pool, self.recorder, self._clock, contents)
        self._configs = ClientConfigStatus(self.pool, self.recorder, self._clock, hot_reload=settings.hot_reload)
        projections = {CLIENT_CONFIG: self._configs.projection}
        self._figures = FleetCollector(self.pool, self._configs, self.recorder, self._clock, projections)
        self.metrics.registry.register(self._figures)
        self._handlers = ChangeHandlers(
            self.pool, self._router, self._secrets, self._configs, self._carry_out, hot_reload=settings.hot_reload
        )
        self._follow(self.local)
        self.webhook = Webhook(settings, self.pool, self.metrics) if settings.webhook_address else None

    async def run(self) -> None:
        """Run until cancelled; then close every connection."""
        try:
            async with AsyncExitStack() as stack:
                await self._serve(stack)
                async with anyio.create_task_group() as group:
                    self._keep(group, "events", self.recorder.run)
                    self._keep(group, "names of seeds", self._seed_names.run)
                    if self.webhook is not None:
                        self._keep(group, "webhook", self.webhook.follow)
                    self._figures.begun(self.local)
                    self.local.connect(self._own)
                    self.local.update(ClusterState(True, Reason.CONNECTED))
                    self.local.queue.pause()  # until the caches are in and the pool is built
                    group.start_soon(self.local.watch, self._chance.source("watches", ""), self._restarted(""))
                    await self._wait_for_caches()
                    self._remotes = group
                    moves = self.pool.build(self.local.cache.objects(CLIENT_CONFIGS))
                    _log.info("caches are in", client_configs=len(self.pool.members()))
                    for config in self.local.cache.objects(CLIENT_CONFIGS):
                        self.local.queue.add(Item(CLIENT_CONFIG, config.head.namespace, config.head.name))
                    self._carry_out(moves)
                    self.started.set()
                    self._start_workers(group, self.local)
                    self._router.queue_all()
                    self._secrets.queue_all()
                    self.local.queue.resume()
        finally:
            self._sweep.cancel()
            with anyio.CancelScope(shield=True):
                await self._own.close()

    def images(self) -> Images:
        """What knows the reference operator's ImageConfig; nothing is read before it is needed."""
        return Images(self.local, self.settings.own_namespace, self.settings.per_node_config_image)

    def waiting_for(self) -> list[str]:
        """What is missing before the controller is ready: caches of the control plane; never a remote cluster."""
        absent = {resource for resource, phase in self.local.untold() if phase is Phase.ABSENT}
        missing = [
            f"the list of {resource}" + (", which the control plane does not serve" if resource in absent else "")
            for resource in self._unsynced()
        ]
        if self.webhook is not None:
            missing += self.webhook.waiting_for()
        return missing or ([] if self.pool.built else ["the ClientConfigs"])

    # ── running ─────────────────────────────────────────────────────────────────────────────────────

    async def _serve(self, stack: AsyncExitStack) -> None:
        """The HTTP endpoints, on an address each."""
        settings = self.settings
        if settings.health_address:
            served = health.serve(settings.health_address, ready=self.waiting_for)
            self.health_port = await stack.enter_async_context(served)
        if settings.metrics_address:
            served = health.serve(settings.metrics_address, metrics=self.metrics)
            self.metrics_port = await stack.enter_async_context(served)
        if self.webhook is not None:
            await stack.enter_async_context(self.webhook.serve())

    async def _wait_for_caches(self) -> None:
        """Wait for the kinds that only the control plane has; Cassandra's own may be absent there."""
        for resource in watched.needed_locally():
            for store in self.local.cache.stores[resource].values():
                await store.wait_synced()

    def _unsynced(self) -> list[Resource]:
        return [resource for resource in watched.needed_locally() if not self.local.cache.synced(resource)]

    async def _run_remote(self, member: Member) -> None:
        """One remote cluster's tasks, in a group of their own."""
        cluster, connection = member.cluster, member.connection
        assert cluster is not None
        assert connection is not None
        with member.scope:
            async with anyio.create_task_group() as group:
                self._keep(group, "connection", connection.run, cluster.context)
                await cluster.wait_first_usable()
                rng, restarted = self._chance.source("watches", cluster.context), self._restarted(cluster.context)
                group.start_soon(cluster.watch, rng, restarted)
                self._start_workers(group, cluster)
                if self.settings.renew_tokens:
                    self._keep(group, "renewal", self._renewal(member).run, cluster.context)
        if self.pool.get(cluster.context) is None:  # else another has the context by now, and its figures with it
            self.metrics.forget(cluster.context)
        self._sweep.soon()

    # ── clusters that come and go ───────────────────────────────────────────────────────────────────

    def _carry_out(self, moves: Moves) -> None:
        """Begin and end the tasks of remote clusters; nothing here waits for any of them."""
        for member in moves.ended:
            self._end(member)
        if moves.begun:
            watches = len(watched.remote()) * max(len(self.settings.watch_namespaces), 1)
            say_if_too_low(sum(member.cluster is not None for member in self.pool.members()), watches)
        for member in moves.begun:
            assert self._remotes is not None
            assert member.cluster is not None
            self._figures.begun(member.cluster)
            self._remotes.start_soon(self._run_remote, member, name=f"remote {member.context}")
        for member in (*moves.begun, *moves.told):
            self.local.queue.add(Item(CLIENT_CONFIG, member.namespace, member.name))

    def _end(self, member: Member) -> None:
        """Let go of a cluster: its tasks, connections, caches and figures go; nothing in it is touched."""
        cluster = member.cluster
        assert cluster is not None
        _log.info("disconnecting", cluster=cluster.context, namespace=member.namespace, name=member.name)
        member.scope.cancel()
        cluster.queue.shut_down()
        self._clusters.forget_context(cluster.context)
        self._secrets.forget_context(cluster.context)
        self._handlers.gone(cluster)

    def _start_workers(self, group: TaskGroup, cluster: Cluster) -> None:
        if not self.settings.workers:
            return  # only looking on
        workers = Workers(cluster.queue, self._reconcile, self.settings.workers, observer=self._worked)
        self._keep(group, "workers", workers.run, cluster.context)
        self._keep(group, "keyspaces", partial(self._keyspaces.run, cluster.context), cluster.context)

    def _keep(self, group: TaskGroup, name: str, make: Callable[[], Awaitable[None]], context: str = "") -> None:
        rng = self._chance.source(name, context)
        restarted = self._restarted(context)
        task = f"{name} of {context}" if context else name

        async def kept() -> None:
            await keep_running(task, make, rng=rng, on_restart=lambda _, error: restarted(name, error))

        group.start_soon(kept, name=task)

    def _restarted(self, context: str) -> RestartObserver:
        def count(name: str, error: BaseException | None) -> None:
            self.metrics.task_restarts.labels(context, name.removesuffix(f" in {context or 'control plane'}")).inc()

        return count

    # ── from items to reconcilers ───────────────────────────────────────────────────────────────────

    async def _reconcile(self, item: Item) -> Result:
        with bound_contextvars(cluster=item.context, kind=item.kind, namespace=item.namespace, name=item.name):
            return await self._dispatch(item)

    async def _dispatch(self, item: Item) -> Result:
        match item.kind:
            case kind if kind == K8SSANDRA_CLUSTER:
                return await self._clusters.reconcile(item)
            case kind if kind == replication.KIND:
                return await self._secrets.reconcile(item)
            case kind if kind == CLIENT_CONFIG:
                return await self._configs.reconcile(item)
            case _:
                return Done()

    def _worked(self, item: Item, outcome: str, seconds: float) -> None:
        self.metrics.reconciles.labels(item.context, item.kind, outcome).inc()
        self.metrics.reconcile_seconds.labels(item.context, item.kind).observe(seconds)

    # ── making ──────────────────────────────────────────────────────────────────────────────────────

    def _make_cluster(self, context: str, specs: Sequence[WatchSpec]) -> Cluster:
        return Cluster(context, specs, self.settings.watch_namespaces, self._chance.source("cluster", context))

    def _make_remote(self, context: str) -> Cluster:
        cluster = self._make_cluster(context, watched.remote())
        self._follow(cluster)
        return cluster

    def _follow(self, cluster: Cluster) -> None:
        cluster.on_change(self._handlers.changed)
        cluster.on_state(self._figures.visited)
        cluster.on_state(self._handlers.visited)

    def _renewal(self, member: Member) -> Renewal:
        return Renewal(
            member,
            local=self.local,
            make_client=self._make_client,
            recorder=self.recorder,
            clock=self._clock,
            rng=self._chance.source("renewal", member.context),
            allow_proxy=self.settings.allow_proxy,
        )

    def _make_client(self, credentials: Credentials, context: str, guard: Guard | None = None) -> Client:
        transport = self._make_transport(credentials, remote=bool(context))
        if guard is not None:
            member = self.pool.holder(context)
            # From the outside in: what is refused takes no token, and what waits for one holds no connection.
            transport = guard(Throttled(transport, Bucket() if member is None else member.bucket))
        return Client(transport, observer=self.metrics.observer(context))
