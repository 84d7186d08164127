"""Reconciles K8ssandraClusters: observe, plan, and carry out what the plan has for the item's own context."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog

from controller.cassandra import labels
from controller.cassandra.observe import Renderings, is_seed_slice, known, observe
from controller.cassandra.plan import Plan, Problem, plan
from controller.cassandra.plan.deletion import contexts_of
from controller.cassandra.plan.model import Chain, Status
from controller.cassandra.render import superuser_secret, superuser_secret_name
from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.cassandra.routing import KIND, Router
from controller.cassandra.snapshot import Snapshot
from controller.cassandra.status_writer import StatusWriter
from controller.cassandra.watches import OWNER
from controller.engine.clock import Clock
from controller.engine.events import EventRecorder, Reference
from controller.engine.worker import Again, Done, Item, Parked, Rejected, Result, Retry
from controller.fleet.absences import Absences
from controller.fleet.actions import (
    Action,
    Apply,
    Create,
    Delete,
    Merge,
    MustWait,
    NameConflict,
    ObserveAgain,
    Replace,
    destroys,
    perform,
)
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.conditions import Condition
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, SECRETS, Resource

_log = structlog.get_logger(__name__)

# Errors that only somebody else's action can end, of which no event tells: tried again slowly.
_PERMANENT: Final = (NameConflict, errors.Invalid, errors.BadRequest, errors.NotSupported)
RECHECK: Final = 60.0  # s until they are looked at again
REMOVAL_RECHECK: Final = 5.0  # s until a removal is tried again that had to wait


class K8ssandraClusterReconciler:
    """``reconcile`` for items of kind K8ssandraCluster.

    The item of context X carries out what is to be done in X. The item of context "" does the same for the control
    plane, and alone writes finalizer, annotations and status; what went wrong in a context is kept in memory for it.
    """

    def __init__(
        self, pool: Pool, recorder: EventRecorder, clock: Clock, make_password: Callable[[], str], router: Router
    ) -> None:
        self._pool = pool
        self._recorder = recorder
        self._make_password = make_password
        self._router = router
        self._renderings = Renderings()
        self._status = StatusWriter(pool.local, clock)
        self._problems: dict[tuple[str, str], tuple[Problem, ...]] = {}  # by UID and context, of the last pass there
        self._absent = Absences(pool)
        self._uids: dict[tuple[str, str], str] = {}  # by namespace and name: of what the other fields speak
        self._announced: dict[str, frozenset[tuple[str, str]]] = {}  # by UID: reason and message of known problems

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
            snapshot = self._observe(found)
        except errors.Malformed as error:
            if not item.context:
                await self._status.write(found, _unreadable(found, error))
            return Rejected(error)
        reported = self._reported(snapshot)
        result = plan(snapshot, reported)
        failures = await self._carry_out(cluster, snapshot, result)
        if item.context in result.prove_absent:
            failures += await self._prove_absent(cluster, snapshot)
        self._report(snapshot, item.context, failures)
        wait = 0.0 if item.context else await self._finish_control(snapshot, result, reported)
        return _outcome([error for _, error in failures], wait)

    def _observe(self, found: Object) -> Snapshot:
        absent = tuple(sorted(self._absent.contexts(found.head.uid)))
        return observe(self._pool, found, self._renderings, absent)

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
                await perform(action, cluster.client, cluster.cache, partial(owned, snapshot), ground=ground)
            except ObserveAgain:
                error = errors.Conflict(409, "Conflict", f"{action.resource.kind} changed meanwhile")
                return [(chain.datacenter, error)]
            except (errors.KubeError, NameConflict) as error:
                return [(chain.datacenter, error)]
            self._tell(cluster, snapshot, action)
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
                    if live.head.deletion_timestamp is None and not _is_users(resource, live):
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
            if found is None or found.head.uid != head.uid or self._observe(found) != snapshot:
                return 0.0  # what was just written starts the next pass, which shows the world after it
        if (now := self._reported(snapshot)) != reported:
            result = plan(snapshot, now)  # what just failed, or was repaired, belongs into the status
        if snapshot.settling:
            return 0.0  # what is shown was true when written; soon there is something better to say than "unknown"
        self._announce(snapshot, result.problems)
        if result.status is None:
            return 0.0
        return await self._status.write(snapshot.object, result.status, patient=not result.problems)

    def _report(self, snapshot: Snapshot, context: str, failures: list[tuple[str, Exception]]) -> None:
        """Remember what went wrong in a context; the control plane's item shows it."""
        problems = tuple(
            problem for datacenter, error in failures if (problem := _problem(context, datacenter, error)) is not None
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

    def _forget(self, uid: str) -> None:
        self._problems = {key: value for key, value in self._problems.items() if key[0] != uid}
        self._absent.forget(uid)
        self._announced.pop(uid, None)
        self._status.forget(uid)

    # ── telling people ──────────────────────────────────────────────────────────────────────────────

    def _announce(self, snapshot: Snapshot, problems: tuple[Problem, ...]) -> None:
        """An event for every problem that is news."""
        asked = snapshot.rendered.unsupported + snapshot.rendered.warnings
        now = {(problem.reason, problem.message) for problem in problems} | {
            ("NotSupported" if problem in snapshot.rendered.unsupported else "Ineffective", str(problem))
            for problem in asked
        }
        before = self._announced.get(snapshot.object.head.uid, frozenset())
        for reason, message in sorted(now - before):
            self._recorder.record(_reference(snapshot), "Warning", reason, message)
            _log.warning(
                "K8ssandraCluster has a problem",
                namespace=snapshot.cluster.namespace,
                name=snapshot.cluster.name,
                reason=reason,
                message=message,
            )
        self._announced[snapshot.object.head.uid] = frozenset(now)

    def _tell(self, cluster: Cluster, snapshot: Snapshot, action: Action) -> None:
        verb = _PAST[type(action)]
        target = action.object["metadata"] if isinstance(action, (Create, Apply)) else None
        name = target["name"] if target is not None else _live(action).head.name
        where = cluster.context or "control plane"
        _log.info(
            verb,
            resource=str(action.resource),
            object=name,
            cluster=where,
            namespace=snapshot.cluster.namespace,
            name=snapshot.cluster.name,
        )
        if action.resource == CASSANDRA_DATACENTERS and isinstance(action, (Create, Apply, Delete)):
            self._recorder.record(
                _reference(snapshot),
                "Normal",
                f"Datacenter{verb.capitalize()}",
                f"{verb} CassandraDatacenter {name} in {where}",
            )


_PAST: Final[dict[type, str]] = {
    Create: "created",
    Apply: "updated",
    Replace: "replaced",
    Merge: "patched",
    Delete: "deleted",
}


def _outcome(failures: list[Exception], wait: float) -> Result:
    """What comes after a pass with these failures: the one that may pass soonest counts.

    ``wait``: seconds after which something is to be looked at again anyway, 0 for nothing.
    """
    passing = [error for error in failures if not isinstance(error, (*_PERMANENT, MustWait))]
    if passing:
        return Retry(passing[0])
    if any(isinstance(error, MustWait) for error in failures):
        return Again(REMOVAL_RECHECK)
    if failures or wait:
        return Again(wait or RECHECK)
    return Done()


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


def _is_users(resource: Resource, obj: Object) -> bool:
    """Whether it is a user's own ConfigMap, labelled to be watched and not because it was made for a cluster."""
    return resource == CONFIG_MAPS and (obj.head.labels or {}).get(labels.CLEANED_UP_BY) != labels.CLUSTER_CONTROLLER


def _problem(context: str, datacenter: str, error: Exception) -> Problem | None:
    """What people are told of a failure; None for what passes by itself and is seen in the cluster's state."""
    where = context or "the control plane"
    match error:
        case NameConflict():
            return Problem("NameConflict", f"{where}: {error}", datacenter)
        case MustWait(brief=True):
            return None
        case MustWait():
            return Problem("RemovalWaits", f"nothing is removed in {where} now: {error}", datacenter)
        case (
            errors.Conflict()
            | errors.TooManyRequests()
            | errors.TransportError()
            | errors.ClusterUnavailable()
            | errors.WritesForbidden()
        ):
            return None
        case errors.Forbidden():
            return Problem("Forbidden", f"{where}: {error}; apply the roles of manifests/ there", datacenter)
        case errors.NotFound():
            return Problem("NotFound", f"{where}: {error}; does the namespace exist there?", datacenter)
        case errors.ApiError():
            return Problem("Rejected", f"{where}: the API server refused: {error}", datacenter)
        case _:
            return Problem("InternalError", f"{where}: {type(error).__name__}", datacenter)


def _unreadable(found: Object, error: errors.Malformed) -> Status:
    """The status of a K8ssandraCluster that went past its schema."""
    message = f"this K8ssandraCluster cannot be read: {error}"
    generation = found.head.generation
    conditions = tuple(
        Condition(type=kind, status="False", reason="InvalidSpec", message=message, observed_generation=generation)
        for kind in ("Ready", "Progressing")
    )
    live: dict[str, Any] = found.decode(dict).get("status") or {}
    return Status(conditions, live.get("datacenters") or {}, message, live.get("observedGeneration") or 0)


def _live(action: Action) -> Object:
    assert not isinstance(action, Create)
    return action.live


def _reference(snapshot: Snapshot) -> Reference:
    head = snapshot.object.head
    return Reference(K8SSANDRA_CLUSTERS.api_version, KIND, head.namespace, head.name, head.uid)
