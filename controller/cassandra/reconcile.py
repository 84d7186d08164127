"""Reconciles K8ssandraClusters: observe, plan, and carry out what the plan has for the item's own context."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from controller.cassandra import labels
from controller.cassandra.announcer import Announcer
from controller.cassandra.failures import outcome, problem_of, unreadable
from controller.cassandra.foreign_writes import ForeignWrites
from controller.cassandra.images import Images
from controller.cassandra.keyspaces import Keyspaces
from controller.cassandra.observe import Renderings, contexts, is_seed_slice, known, observe, read
from controller.cassandra.plan import Plan, Problem
from controller.cassandra.plan.deletion import contexts_of
from controller.cassandra.plan.model import Chain
from controller.cassandra.plans import Plans
from controller.cassandra.render import superuser_secret, superuser_secret_name
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.routing import Router
from controller.cassandra.seed_names import SeedNames
from controller.cassandra.snapshot import Snapshot
from controller.cassandra.sources import Sources
from controller.cassandra.stale_seeds import StaleSeeds
from controller.cassandra.status_writer import StatusWriter
from controller.cassandra.watches import OWNER
from controller.engine.clock import Clock
from controller.engine.events import EventRecorder
from controller.engine.worker import Done, Item, Parked, Rejected, Result
from controller.fleet.absences import Absences
from controller.fleet.actions import (
    Create,
    Delete,
    Merge,
    NameConflict,
    ObserveAgain,
    destroys,
    perform,
)
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.fleet.webhooks import Configurations
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, SECRETS, Resource
from controller.replication.contents import Contents


class K8ssandraClusterReconciler:
    """``reconcile`` for items of kind K8ssandraCluster.

    The item of context X carries out what is to be done in X. The item of context "" does the same for the control
    plane, and alone writes finalizer, annotations and status; what went wrong in a context is kept in memory for it.
    """

    def __init__(
        self,
        pool: Pool,
        recorder: EventRecorder,
        clock: Clock,
        make_password: Callable[[], str],
        router: Router,
        contents: Contents,
        keyspaces: Keyspaces,
        seed_names: SeedNames,
        images: Images | None = None,
    ) -> None:
        self._pool = pool
        self._announcer = Announcer(recorder)
        self._make_password = make_password
        self._router = router
        self._contents = contents
        self._keyspaces = keyspaces
        self._sources = Sources(pool, contents, images)
        self._renderings = Renderings(self._sources)
        self._plans = Plans()
        self._status = StatusWriter(pool.local, clock)
        self._problems: dict[tuple[str, str], tuple[Problem, ...]] = {}  # by UID and context, of the last pass there
        self._absent = Absences(pool)
        self._seed_names = seed_names
        self._stale_seeds = StaleSeeds(clock)
        self._webhooks = Configurations()
        self._foreign = ForeignWrites(clock)
        self._uids: dict[tuple[str, str], str] = {}  # by namespace and name: of what the other fields speak

    async def reconcile(self, item: Item) -> Result:
        local, cluster = self._pool.local, self._pool.get(item.context)
        found = local.cache.get(K8SSANDRA_CLUSTERS, item.namespace, item.name)
        if found is None and not item.context:
            self._forget(self._uids.pop((item.namespace, item.name), ""))
        if cluster is None or found is None:
            return Done()
        if item.context and not known(cluster):
            return Parked(item.context)
        self._remember(found)
        try:
            unread, again = await self._read_sources(found, item.context)
            snapshot, due = self._observe(found)
        except errors.Malformed as error:
            if not item.context:
                await self._status.write(found, unreadable(found, error))
            return Rejected(error)
        reported = self._reported(snapshot)
        result = self._plans.get(snapshot, reported)
        failures = [*unread, *await self._carry_out(cluster, snapshot, result)]
        if item.context in result.prove_absent:
            failures += await self._prove_absent(cluster, snapshot)
        self._keyspaces.want(snapshot, item.context, result.keyspaces)
        self._report(snapshot, item.context, failures)
        if item.context and self._foreign.news(snapshot):
            self._router.queue(item.namespace, item.name, "")
        wait = 0.0 if item.context else await self._finish_control(snapshot, result, reported)
        moments = (wait, again, due, self._foreign.wait(snapshot))
        return outcome([error for _, error in failures], min(filter(None, moments), default=0.0))

    def _observe(self, found: Object) -> tuple[Snapshot, float]:
        """The snapshot, and the seconds until another comes without an event; 0 for never."""
        absent = tuple(sorted(self._absent.contexts(found.head.uid)))
        snapshot = self._foreign.told(observe(self._pool, found, self._renderings, absent))
        stale, due = self._stale_seeds.look(snapshot)
        names = () if snapshot.deleting else self._seed_names.look(snapshot.cluster)
        known = self._keyspaces.known(found.head.uid)
        return msgspec.structs.replace(snapshot, stale=stale, seed_names=names, keyspaces=known), due

    async def _read_sources(self, found: Object, context: str) -> tuple[list[tuple[str, Exception]], float]:
        """Read what rendering needs of one context: what went wrong, and the seconds until that is due again."""
        if found.head.deletion_timestamp is not None:
            return [], 0.0
        cluster, before = read(found), self._sources.revision(found.head.uid)
        failures: list[tuple[str, Exception]] = []
        again = 0.0
        try:
            again = await self._sources.refresh(cluster, context)
        except errors.KubeError as error:
            failures.append(("", error))
        if self._sources.revision(found.head.uid) != before:
            for other in {"": None, **dict.fromkeys(contexts(cluster))}:
                if other != context:
                    self._router.queue(found.head.namespace, found.head.name, other)
        return failures, again

    # ── carrying out ────────────────────────────────────────────────────────────────────────────────

    async def _carry_out(self, cluster: Cluster, snapshot: Snapshot, result: Plan) -> list[tuple[str, Exception]]:
        """Carry out the chains of one context; returns failures, each with its datacenter."""
        failures: list[tuple[str, Exception]] = []
        if not cluster.context and result.superuser:
            secret = superuser_secret(snapshot.cluster, self._make_password())
            failures += await self._chain(cluster, snapshot, Chain("", (Create(SECRETS, secret),)))
        for chain in result.chains.get(cluster.context, ()):
            failures += await self._chain(cluster, snapshot, chain)
        return failures

    async def _chain(self, cluster: Cluster, snapshot: Snapshot, chain: Chain) -> list[tuple[str, Exception]]:
        ground = self._pool.ground(cluster)
        for action in chain.actions:
            try:
                owned = _owned
                if destroys(action):
                    await ground.survey(action.resource)  # first, for it may take seconds
                    await self._check_owner(snapshot)
                    owned = _removable
                written = await perform(action, cluster.client, cluster.cache, partial(owned, snapshot), ground=ground)
                if isinstance(action, (Create, Merge)) and action.resource == SECRETS and written is not None:
                    self._contents.keep(written)  # it is about to be copied
            except ObserveAgain:
                error = errors.Conflict(409, "Conflict", f"{action.resource.kind} changed meanwhile")
                return [(chain.datacenter, error)]
            except (errors.KubeError, NameConflict) as error:
                if isinstance(error, errors.WebhookFailed):
                    error.configuration = await self._webhooks.of(cluster.context, cluster.client, error.webhook)
                return [(chain.datacenter, error)]
            self._announcer.tell(cluster, snapshot, action)
        return []

    async def _check_owner(self, snapshot: Snapshot) -> None:
        """A live read just before something is removed: its owner wants now what it wanted when it was observed."""
        seen = snapshot.object.head
        now = (
            await self._pool.local.client.get(K8SSANDRA_CLUSTERS, seen.namespace, seen.name, metadata_only=True)
        ).head
        same = now.uid == seen.uid and (now.deletion_timestamp is None) == (seen.deletion_timestamp is None)
        if not same or now.generation != seen.generation:
            raise ObserveAgain

    async def _prove_absent(self, cluster: Cluster, snapshot: Snapshot) -> list[tuple[str, Exception]]:
        """Live lists that show no CassandraDatacenter is left; then what served it goes too."""
        owner = (snapshot.cluster.namespace, snapshot.cluster.name)
        selector = f"{labels.CLUSTER_NAME}={owner[1]},{labels.CLUSTER_NAMESPACE}={owner[0]}"
        ground = self._pool.ground(cluster)
        try:
            epoch = cluster.cache.epoch
            await ground.survey(CASSANDRA_DATACENTERS)  # another cluster's emptiness proves nothing
            for namespace in cluster.cache.namespaces:
                page = await cluster.client.list_page(
                    CASSANDRA_DATACENTERS, namespace, label_selector=selector, metadata_only=True
                )
                if page.objects:
                    for obj in page.objects:
                        cluster.cache.write_through(CASSANDRA_DATACENTERS, obj)
                    return [("", errors.Conflict(409, "Conflict", "a CassandraDatacenter is still there"))]
            for resource in (ENDPOINT_SLICES, CONFIG_MAPS):
                for live in cluster.cache.by_index(resource, OWNER, owner):
                    if live.head.deletion_timestamp is None and not _is_others(resource, live):
                        await perform(
                            Delete(resource, live),
                            cluster.client,
                            cluster.cache,
                            partial(_removable, snapshot),
                            ground=ground,
                        )
        except (errors.KubeError, ObserveAgain) as error:
            return [("", error if isinstance(error, errors.KubeError) else errors.Conflict(409, "Conflict"))]
        self._absent.add(snapshot.object.head.uid, cluster, epoch)
        self._router.queue(*owner, "")
        return []

    # ── the control plane's part ────────────────────────────────────────────────────────────────────

    async def _finish_control(self, snapshot: Snapshot, result: Plan, reported: tuple[Problem, ...]) -> float:
        """Announce and show; returns the seconds after which the status has to be looked at again, 0 for never."""
        head = snapshot.object.head
        if snapshot.deleting:
            for context in contexts_of(snapshot):
                if context:
                    self._router.queue(head.namespace, head.name, context)
        if result.superuser or result.chains.get(""):
            found = self._pool.local.cache.get(K8SSANDRA_CLUSTERS, head.namespace, head.name)
            if found is None or found.head.uid != head.uid or self._observe(found)[0] != snapshot:
                return 0.0  # what was just written starts the next pass, which shows the world after it
        if (now := self._reported(snapshot)) != reported:
            result = self._plans.get(snapshot, now)  # what just failed, or was repaired, belongs into the status
        if snapshot.settling:
            return 0.0  # what is shown was true when written; soon there is something better to say than "unknown"
        self._announcer.announce(snapshot, result)
        if result.status is None:
            return 0.0
        return await self._status.write(snapshot.object, result.status, patient=not result.problems)

    def _report(self, snapshot: Snapshot, context: str, failures: list[tuple[str, Exception]]) -> None:
        """Remember what went wrong in a context; the control plane's item shows it."""
        problems = tuple(
            problem for datacenter, error in failures if (problem := problem_of(context, datacenter, error)) is not None
        )
        head = snapshot.object.head
        key = (head.uid, context)
        if self._problems.get(key, ()) == problems:
            return
        if problems:
            self._problems[key] = problems
        else:
            self._problems.pop(key, None)
        if context:
            self._router.queue(head.namespace, head.name, "")

    def _reported(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        """What went wrong in the last passes, where that still concerns this cluster."""
        uid, named = snapshot.object.head.uid, {"", *contexts_of(snapshot)}
        return tuple(
            problem
            for (owner, context), problems in sorted(self._problems.items())
            if owner == uid and context in named
            for problem in problems
        )

    def _remember(self, found: Object) -> None:
        """Forget what was known of an earlier object of this name."""
        key, uid = (found.head.namespace, found.head.name), found.head.uid
        if (former := self._uids.get(key)) != uid:
            self._uids[key] = uid
            self._forget(former or "")

    def forget_context(self, context: str) -> None:
        """The context is no more: what was found there says nothing of the cluster that may be called so next."""
        self._problems = {key: value for key, value in self._problems.items() if key[1] != context}
        self._absent.forget_context(context)
        self._keyspaces.forget_context(context)
        self._sources.forget_context(context)

    def _forget(self, uid: str) -> None:
        self._problems = {key: value for key, value in self._problems.items() if key[0] != uid}
        self._absent.forget(uid)
        self._keyspaces.forget(uid)
        self._announcer.forget(uid)
        self._plans.forget(uid)
        self._foreign.forget(uid)
        self._status.forget(uid)
        self._sources.forget(uid)
        self._seed_names.forget(uid)
        self._stale_seeds.forget(uid)


def _owned(snapshot: Snapshot, obj: Object) -> bool:
    """Whether an object found under a name of ours is ours: it names our K8ssandraCluster and its namespace.

    The superuser's Secret may be the user's own.
    """
    head, cluster = obj.head, snapshot.cluster
    if labels.owned_by(head.labels, cluster.name, cluster.namespace):
        return True
    return snapshot.superuser is None and (head.namespace, head.name) == (
        cluster.namespace,
        superuser_secret_name(cluster),
    )


def _removable(snapshot: Snapshot, obj: Object) -> bool:
    """Whether what is to be removed is ours still: the K8ssandraCluster itself, or what is labelled as its.

    Slices with seeds that the reference operator made say it by their name.
    """
    if obj.head.uid == snapshot.object.head.uid or _owned(snapshot, obj):
        return True
    return is_seed_slice(obj, snapshot.cluster)


def _is_others(resource: Resource, obj: Object) -> bool:
    """Whether it has our labels and was not made by us.

    A user's own ConfigMap is labelled to be watched; the slices of cass-operator's Services have the Services' labels.
    """
    have = obj.head.labels or {}
    if resource == ENDPOINT_SLICES:
        return have.get(labels.ENDPOINT_SLICE_MANAGED_BY) != labels.OPERATOR_NAME
    return resource == CONFIG_MAPS and have.get(labels.CLEANED_UP_BY) != labels.CLUSTER_CONTROLLER
