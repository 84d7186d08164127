"""Looks after the system keyspaces of every Cassandra cluster: carries out the rounds that plans ask for.

A Management API that hangs harms nobody: rounds have tasks of their own, beside the workers of their cluster's queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple

import msgspec
import structlog

from controller.cassandra.observe import away
from controller.cassandra.plan.keyspaces import desired
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.rounds import Round
from controller.cassandra.snapshot import Snapshot, SystemKeyspaces, Trouble
from controller.cassandra.watches import RING
from controller.engine.backoff import exponential
from controller.engine.worker import describe
from controller.engine.workqueue import WorkQueue
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.resources import PODS
from controller.management.api import ManagementApi, ManagementApiUnreachable, SchemaDisagreement
from controller.management.choice import RouteImpossible, chosen, routes
from controller.management.credentials import ClientSecretInvalid
from controller.management.pods import callees
from controller.management.replication import NETWORK_TOPOLOGY, Replication
from controller.management.routes import OpenWay

FRESH: Final = 60.0  # s for which a reading may be the ground of a change: the change replaces the whole map
RETRY_BASE: Final = 0.25  # s after the first failure
RETRY_CAP: Final = 30.0  # s
_log = structlog.get_logger(__name__)


class _Key(NamedTuple):
    uid: str
    context: str


class _Work(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    generation: int
    round: Round


class _News(Enum):
    """Whom the end of a round concerns, beside the control plane, which shows it."""

    NOBODY = 1  # not even that
    WHO_WAITED = 2
    ALL = 3  # the round is still to be done, and is asked for by the pass of its own context


class _Outdated(Exception):
    """What a round was planned for is not so any more."""


class _State(msgspec.Struct):
    """What is known of one K8ssandraCluster. ``due``: loop time before which nothing is tried again."""

    readings: dict[str, tuple[Replication, float]] = msgspec.field(default_factory=dict)  # with their loop times
    complete: bool = False
    uids: frozenset[str] = frozenset()
    failures: int = 0
    troubles: dict[str, Trouble] = msgspec.field(default_factory=dict)  # by datacenter that was asked
    busy: _Work | None = None
    missed: bool = False  # something else was asked for meanwhile
    due: float = 0.0


class Keyspaces:
    """What is known of system keyspaces, by UID of the K8ssandraCluster, and the rounds that are due.

    ``wake`` has a K8ssandraCluster (namespace, name) looked at again in the control plane and in some contexts, None:
    everywhere. ``way``: how pods are called where no ClientConfig says it. ``open_way``: None where there is no way
    straight to pods.
    """

    def __init__(
        self, pool: Pool, wake: Callable[[str, str, Iterable[str] | None], None], *, way: str, open_way: OpenWay | None
    ) -> None:
        self._pool = pool
        self._wake = wake
        self._way = way
        self._open_way = open_way
        self._states: dict[str, _State] = {}
        self._wanted: dict[_Key, _Work] = {}
        self._queues: dict[str, WorkQueue[_Key]] = {}

    def known(self, uid: str) -> SystemKeyspaces:
        """For a snapshot."""
        state = self._states.get(uid)
        if state is None:
            return SystemKeyspaces()
        read = {name: replication for name, (replication, _) in state.readings.items()} if state.complete else None
        return SystemKeyspaces(read=read, uids=state.uids, failures=state.failures, trouble=_told(state.troubles))

    def want(self, snapshot: Snapshot, context: str, wanted: Round | None) -> None:
        """What the plan of the item of one context asks for now; None: nothing of that context."""
        head = snapshot.object.head
        key = _Key(head.uid, context)
        if wanted is None or wanted.context != context:
            self._wanted.pop(key, None)
            return
        state = self._states.setdefault(head.uid, _State())
        work = _Work(head.namespace, head.name, head.generation, wanted)
        if state.busy is not None:
            state.missed |= work != state.busy
            return
        if self._wanted.get(key) == work:
            return
        self._wanted[key] = work
        self._queue(context).add_after(key, max(state.due - asyncio.get_running_loop().time(), 0.0))

    async def run(self, context: str) -> None:
        """Carry out the rounds of one context, each in a task of its own; for ever."""
        queue = self._queue(context)
        async with asyncio.TaskGroup() as group:
            while True:
                key = await queue.get()
                group.create_task(self._pass(queue, key), name=f"system keyspaces of {key.uid}")

    def forget(self, uid: str) -> None:
        """The K8ssandraCluster is gone."""
        self._states.pop(uid, None)
        for key in [key for key in self._wanted if key.uid == uid]:
            del self._wanted[key]

    def forget_context(self, context: str) -> None:
        """The context is no more."""
        self._queues.pop(context, None)
        for key in [key for key in self._wanted if key.context == context]:
            del self._wanted[key]

    # ── one round ───────────────────────────────────────────────────────────────────────────────────

    def _queue(self, context: str) -> WorkQueue[_Key]:
        return self._queues.setdefault(context, WorkQueue[_Key]())

    async def _pass(self, queue: WorkQueue[_Key], key: _Key) -> None:
        work, state = self._wanted.pop(key, None), self._states.get(key.uid)
        if work is None or state is None or state.busy is not None:
            queue.done(key)
            return
        state.busy, state.missed = work, False
        news = _News.ALL
        try:
            news = await self._try(work, state)
        finally:
            state.busy = None
            queue.done(key)
            if state.missed or news is _News.ALL:
                self._wake(work.namespace, work.name, None)
            elif news is _News.WHO_WAITED:
                self._wake(work.namespace, work.name, work.round.waiting)

    async def _try(self, work: _Work, state: _State) -> _News:
        """For whom plans may be others now."""
        asked = work.round.datacenter
        try:
            await self._carry_out(work, state)
        except (_Outdated, errors.ClusterUnavailable):
            # The next pass knows better; where the cluster is away, when it is back.
            state.due = asyncio.get_running_loop().time() + RETRY_BASE
            return _News.ALL
        except Exception as error:  # noqa: BLE001 - one bad answer must not end the rounds of all others
            if not isinstance(error, errors.KubeError):
                _log.error("round of system keyspaces failed", **_fields(work), exc_info=error)
            trouble = _trouble(work, error)
            if trouble is not None and state.troubles.get(asked) != trouble:
                state.troubles[asked] = trouble
                _log.warning("system keyspaces wait", **_fields(work), reason=trouble.reason, message=trouble.message)
            wait = exponential(state.failures, RETRY_BASE, RETRY_CAP)
            state.failures += 1
            state.due = asyncio.get_running_loop().time() + wait
            return _News.ALL
        news = _News.WHO_WAITED if work.round.awaited or state.failures > 0 else _News.NOBODY
        state.complete, state.uids = True, work.round.uids
        state.failures, state.due = 0, 0.0
        state.troubles.clear()
        return news

    async def _carry_out(self, work: _Work, state: _State) -> None:
        wanted = work.round
        api: ManagementApi | None = None
        for keyspace in wanted.keyspaces:
            now = asyncio.get_running_loop().time()
            live, at = state.readings.get(keyspace, (None, 0.0))
            if live is None or now - at > FRESH:
                api = api or await self._api(wanted)
                live = await api.replication(keyspace)
            if live is not None:
                state.readings[keyspace] = (live, now)
            replicas = self._lacking(wanted, live)
            if replicas is None:
                continue
            api = api or await self._api(wanted)
            if live is None and keyspace in await api.keyspaces():
                raise errors.Conflict(409, "Conflict", f"keyspace {keyspace} appeared meanwhile")
            self._check(work)
            await api.change(keyspace, replicas, create=live is None)
            state.readings[keyspace] = (Replication(NETWORK_TOPOLOGY, replicas), now)
            _log.info("system keyspace changed", **_fields(work), keyspace=keyspace, replicas=replicas)

    @staticmethod
    def _lacking(wanted: Round, live: Replication | None) -> dict[str, int] | None:
        return desired(live if live is not None else Replication("", {}), wanted.shares)

    async def _api(self, wanted: Round) -> ManagementApi:
        cluster = self._pool.get(wanted.context)
        if cluster is None:
            raise _Outdated
        client = cluster.client
        way = chosen(self._pool, wanted.context, self._way)
        found = await routes(way, client, wanted.namespace, wanted.client_secret, self._open_way)
        marks = dict(wanted.marks)
        known = cluster.cache.by_index(PODS, RING, (wanted.namespace, *marks.values()))
        pods = callees(known, wanted.namespace, marks)  # seeds, which are watched
        if not pods:
            selector = ",".join(f"{key}={value}" for key, value in wanted.marks)
            page = await client.list_page(PODS, wanted.namespace, label_selector=selector)
            pods = callees(page.objects, wanted.namespace, marks)
        return ManagementApi(f"datacenter {wanted.datacenter} in {_place(cluster)}", pods, found)

    def _check(self, work: _Work) -> None:
        """Just before a change: what it was planned for is still so, and no datacenter that counts is out of sight."""
        found = self._pool.local.cache.get(K8SSANDRA_CLUSTERS, work.namespace, work.name)
        if found is None or found.head.deletion_timestamp is not None or found.head.generation != work.generation:
            raise _Outdated
        if any(away(self._pool, context) is not None for context in work.round.contexts):
            raise _Outdated


def _trouble(work: _Work, error: Exception) -> Trouble | None:
    """What people are told of a failure; None for what is told elsewhere."""
    where = f"datacenter {work.round.datacenter}"
    match error:
        case errors.WritesForbidden() | errors.RateLimited():
            return None
        case SchemaDisagreement():
            return Trouble("SchemaDisagreement", str(error), passing=True)
        case ManagementApiUnreachable():
            return Trouble("ManagementApiUnreachable", str(error))
        case ClientSecretInvalid():
            return Trouble("ClientSecretInvalid", f"{where}: {error}")
        case RouteImpossible():
            return Trouble("ManagementApiUnreachable", f"{where}: {error}")
        case errors.Forbidden():
            return Trouble("Forbidden", f"{where}: {error}; apply the roles of manifests/ there")
        case errors.KubeError():
            return Trouble("ManagementApiUnreachable", f"{where}: {describe(error)}", passing=True)
        case _:
            return Trouble("InternalError", f"{where}: {type(error).__name__}")


def _told(troubles: dict[str, Trouble]) -> Trouble | None:
    """What is told of all datacenters that were asked in vain."""
    if not troubles:
        return None
    found = [troubles[name] for name in sorted(troubles)]
    message = "; ".join(dict.fromkeys(trouble.message for trouble in found))
    return Trouble(found[0].reason, message, all(trouble.passing for trouble in found))


def _place(cluster: Cluster) -> str:
    return cluster.context or "the control plane's cluster"


def _fields(work: _Work) -> dict[str, str]:
    wanted = work.round
    return {
        "cluster": wanted.context,
        "namespace": work.namespace,
        "name": work.name,
        "datacenter": wanted.datacenter,
    }
