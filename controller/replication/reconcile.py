"""Reconciles ReplicatedSecrets: copies in each target's own context, status and finalizer in the control plane's."""

from __future__ import annotations

from typing import Final

import structlog

from controller.engine.clock import Clock
from controller.engine.events import EventRecorder
from controller.engine.store import Delta
from controller.engine.worker import Again, Done, Item, Parked, Rejected, Result, Retry
from controller.fleet.absences import Absences
from controller.fleet.actions import Merge, MustWait, NameConflict, ObserveAgain, perform
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.resources import SECRETS, Resource
from controller.replication import copies
from controller.replication.announcer import Announcer
from controller.replication.contents import Contents
from controller.replication.copier import BY_LABEL, BY_MARK, Copier, candidates, contexts, labels_of, mark_of
from controller.replication.copies import Refused, Wanted
from controller.replication.selections import BY_KEYS, BY_LABELS, keys_of, labels_asked, selecting
from controller.replication.selector import matches, problem
from controller.replication.status import PENDING, Outcome, ReplicationStatus, reason_of
from controller.replication.types import (
    FINALIZER,
    REPLICATED_FROM,
    REPLICATED_SECRETS,
    ReplicatedSecret,
    ReplicationTarget,
)

KIND: Final = REPLICATED_SECRETS.kind
KEPT_RECHECK: Final = 300.0  # s until it is looked whether a Secret that was found in a copy's place is still there
RECHECK: Final = 60.0  # s until a name is tried again that somebody else has; no event tells that it is free
REMOVAL_RECHECK: Final = 5.0  # s until a removal is tried again that had to wait

_log = structlog.get_logger(__name__)


def _mark(replicated: Object) -> str:
    """What its copies are marked with."""
    return copies.mark(replicated.head.namespace, replicated.head.name)


REMOTE_WATCHES: Final = (
    WatchSpec(
        SECRETS,
        label_selector=REPLICATED_FROM,
        selects=lambda head: REPLICATED_FROM in (head.labels or {}),
        metadata_only=True,
        indexers={BY_MARK: mark_of},
    ),
)
LOCAL_WATCHES: Final = (
    WatchSpec(SECRETS, metadata_only=True, indexers={BY_MARK: mark_of, BY_LABEL: labels_of}),
    WatchSpec(
        REPLICATED_SECRETS,
        indexers={BY_MARK: lambda found: (_mark(found),), BY_KEYS: keys_of, BY_LABELS: labels_asked},
    ),
)


class Kept(Exception):
    """Somebody else's Secret is in a copy's place, which is as it should be."""


class ReplicatedSecretReconciler:
    """``reconcile`` for items of kind ReplicatedSecret.

    What a context's pass found is kept in memory and shown by the control plane's item, which alone writes status; it
    is found anew after a restart.
    """

    def __init__(self, pool: Pool, recorder: EventRecorder, clock: Clock, contents: Contents) -> None:
        self._pool = pool
        self._announcer = Announcer(recorder)
        self._copier = Copier(pool, contents)
        self._status = ReplicationStatus(pool, clock)
        self._outcomes: dict[tuple[str, str], tuple[Outcome, ...]] = {}  # by UID and context
        self._waiting: dict[tuple[str, str], tuple[Outcome, ...]] = {}  # by UID and context: removals that have to wait
        self._emptied = Absences(pool)  # of copies
        self._blocked: set[tuple[str, str]] = set()  # by UID and context: a copy's name was somebody else's

    # ── from events to items ────────────────────────────────────────────────────────────────────────

    def route(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        """Queue what a batch of changes concerns."""
        if resource == REPLICATED_SECRETS:
            for delta in deltas:
                if _same_work(delta):
                    self._queue(delta.object, {""})  # which shows the status
                else:
                    self._queue(delta.object, {"", *self._contexts(delta.object), *self._contexts(delta.old)})
        elif resource == SECRETS:
            self._route_copies(cluster, deltas)
            if cluster is self._pool.local:
                self._route_sources(deltas)

    def _route_copies(self, cluster: Cluster, deltas: list[Delta]) -> None:
        known = self._pool.local.cache
        marks = {value for delta in deltas for side in (delta.old, delta.new) if side for value in mark_of(side)}
        for value in sorted(marks):
            for replicated in known.by_index(REPLICATED_SECRETS, BY_MARK, value):
                # Elsewhere a copy may wait to be told apart from this one.
                doubtful = self._copier.doubtful(replicated)
                self._queue(replicated, {cluster.context, *self._strays(replicated), *doubtful})
        waiting = {uid for uid, context in self._blocked if context == cluster.context}
        if waiting and any(delta.new is None for delta in deltas):  # a name is free, perhaps one that a copy needs
            for replicated in self._all():
                if replicated.head.uid in waiting:
                    self._queue(replicated, {cluster.context})

    def _route_sources(self, deltas: list[Delta]) -> None:
        sides = [side.head for delta in deltas for side in (delta.old, delta.new) if side is not None]
        found = {
            (replicated.head.namespace, replicated.head.name): replicated
            for head in sides
            for replicated in selecting(self._pool.local.cache, head.namespace, head.labels)
        }
        for replicated in found.values():
            if _selects_any(replicated, deltas):
                self._queue(replicated, {"", *self._contexts(replicated)})

    def revisit(self, cluster: Cluster) -> None:
        """The cluster came or went: look again at what concerns it."""
        for replicated in self._all():
            # Looking for copies in every cluster is left to those that this one concerns: all of them come at start.
            if self._concerned(replicated, cluster):
                self._queue(replicated, {"", *self._contexts(replicated)})

    def queue_all(self) -> None:
        """Have every ReplicatedSecret looked at in every context of its."""
        for replicated in self._all():
            self._queue(replicated, {"", *self._contexts(replicated)})

    def forget_context(self, context: str) -> None:
        """The context is no more: what was found there says nothing of the cluster that may be called so next."""
        self._outcomes = {key: value for key, value in self._outcomes.items() if key[1] != context}
        self._emptied.forget_context(context)
        self._waiting = {key: value for key, value in self._waiting.items() if key[1] != context}
        self._blocked = {key for key in self._blocked if key[1] != context}
        self._copier.forget_context(context)

    def _all(self) -> list[Object]:
        return list(self._pool.local.cache.objects(REPLICATED_SECRETS))

    def _contexts(self, replicated: Object | None) -> set[str]:
        """The contexts of its targets, and those that have copies although no target names them any more."""
        typed = _decode(replicated) if replicated is not None else None
        if replicated is None or typed is None:
            return set()
        return {*contexts(typed), *self._strays(replicated)}

    def _concerned(self, replicated: Object, cluster: Cluster) -> bool:
        """Whether a cluster is among ``_contexts``."""
        typed = _decode(replicated)
        if typed is None:
            return False
        value = _mark(replicated)
        return cluster.context in contexts(typed) or bool(cluster.cache.by_index(SECRETS, BY_MARK, value))

    def _strays(self, replicated: Object) -> set[str]:
        value = _mark(replicated)
        typed = _decode(replicated)
        named = contexts(typed) if typed is not None else []
        return {
            cluster.context
            for cluster in self._pool
            if cluster.context not in named and cluster.cache.by_index(SECRETS, BY_MARK, value)
        }

    def _queue(self, replicated: Object, found: set[str]) -> None:
        for context in sorted(found):
            if (cluster := self._pool.get(context)) is not None:
                cluster.queue.add(Item(KIND, replicated.head.namespace, replicated.head.name, context))

    # ── one pass ────────────────────────────────────────────────────────────────────────────────────

    async def reconcile(self, item: Item) -> Result:
        local, cluster = self._pool.local, self._pool.get(item.context)
        found = local.cache.get(REPLICATED_SECRETS, item.namespace, item.name)
        if found is None or cluster is None:
            return Done()
        try:
            replicated = found.decode(ReplicatedSecret)
        except errors.Malformed as error:
            if not item.context:
                message = f"this ReplicatedSecret cannot be read: {error}"
                outcome = Outcome("", "", False, "InvalidSpec", message)
                self._announcer.announce(found, [outcome])
                await self._status.show(found, [outcome])
            return Rejected(error)
        if not cluster.cache.synced(SECRETS) or not local.cache.synced(SECRETS):
            if not item.context:
                await self._show(found, replicated)
            return Parked(item.context)
        deleting = found.head.deletion_timestamp is not None
        ours = FINALIZER in replicated.metadata.finalizers
        if not ours and not deleting and not item.context:
            await self._set_finalizers(found, [*replicated.metadata.finalizers, FINALIZER])
        if not ours:
            return Done()  # the finalizer comes first, and its event leads back here; at the end nothing is left to do
        errors_met = await (self._clear if deleting else self._replicate)(cluster, found, replicated)
        if not item.context:
            if deleting:
                errors_met += await self._finish(found, replicated)
            else:
                await self._show(found, replicated)
        return _outcome(errors_met)

    async def _replicate(self, cluster: Cluster, found: Object, replicated: ReplicatedSecret) -> list[Exception]:
        """Make the copies of one context right; remember what came of it. Returns what went wrong."""
        refusal = problem(replicated.spec.selector)
        failures: list[tuple[ReplicationTarget, Exception]] = []
        kept: list[str] = []
        met: list[Exception] = []
        if not refusal:
            sources = candidates(self._pool.local.cache, found.head.namespace, replicated.spec.selector)
            todo = copies.wanted(replicated, cluster.context, sources)
            for copy in todo:
                try:
                    await self._copier.make(cluster, replicated, copy)
                except (NameConflict, errors.KubeError, Refused) as error:
                    if isinstance(error, NameConflict) and copies.keeps_existing(replicated):
                        kept.append(f"Secret {copy.namespace}/{copy.name} is not ours and stays as it is")
                        met.append(Kept())
                        continue
                    failures.append((copy.target, error))
                    met.append(error)
            met += await self._remove_leftovers(cluster, replicated, todo)
        waits = [f"a copy that is wanted no more stays for now: {e}" for e in met if isinstance(e, MustWait)]
        outcomes = []
        for target in replicated.spec.replication_targets:
            if target.k8s_context_name != cluster.context:
                continue
            namespace = target.namespace or found.head.namespace
            if refusal:
                outcomes.append(Outcome(cluster.context, namespace, False, "InvalidSpec", refusal))
            elif (failure := next((error for of, error in failures if of == target), None)) is not None:
                outcomes.append(Outcome(cluster.context, namespace, False, reason_of(failure), str(failure)))
            else:
                outcomes.append(Outcome(cluster.context, namespace, True, "Replicated", "; ".join(waits[:1] + kept)))
        key = (found.head.uid, cluster.context)
        if any(isinstance(error, (NameConflict, Kept)) for error in met):
            self._blocked.add(key)
        else:
            self._blocked.discard(key)
        if self._outcomes.get(key) != tuple(outcomes):
            self._outcomes[key] = tuple(outcomes)
            self._tell_control(found, cluster)
        return met

    async def _remove_leftovers(
        self, cluster: Cluster, replicated: ReplicatedSecret, todo: list[Wanted]
    ) -> list[Exception]:
        try:
            keep = {copy.place for copy in todo}
            await self._copier.remove_leftovers(cluster, replicated, keep, deleting=False)
        except errors.KubeError as error:
            return [error]
        return []

    async def _clear(self, cluster: Cluster, found: Object, replicated: ReplicatedSecret) -> list[Exception]:
        """Take every copy away from one context, and prove by live lists that none is left."""
        uid = found.head.uid
        if cluster.context in self._emptied.contexts(uid):
            return []
        epoch = cluster.cache.epoch
        try:
            await self._copier.remove_leftovers(cluster, replicated, set(), deleting=True)
            if not await self._copier.is_empty(cluster, replicated):
                return [errors.Conflict(409, "Conflict", "a copy is still there")]
        except errors.KubeError as error:
            self._say_waiting(found, cluster, replicated, error)
            return [error]
        self._emptied.add(uid, cluster, epoch)
        self._waiting.pop((uid, cluster.context), None)
        self._tell_control(found, cluster)
        return []

    def _say_waiting(self, found: Object, cluster: Cluster, replicated: ReplicatedSecret, error: Exception) -> None:
        """Have the control plane's item show why the copies of a context stay for now."""
        if not isinstance(error, MustWait) or error.brief:
            return
        outcomes = tuple(
            Outcome(cluster.context, target.namespace or found.head.namespace, False, "RemovalWaits", str(error))
            for target in replicated.spec.replication_targets
            if target.k8s_context_name == cluster.context
        )
        key = (found.head.uid, cluster.context)
        if self._waiting.get(key) != outcomes:
            self._waiting[key] = outcomes
            self._tell_control(found, cluster)

    # ── the control plane's part ────────────────────────────────────────────────────────────────────

    def _tell_control(self, found: Object, cluster: Cluster) -> None:
        if cluster.context:
            self._queue(found, {""})

    async def _finish(self, found: Object, replicated: ReplicatedSecret) -> list[Exception]:
        """Let the finalizer go once every context is proven to hold no copy. Returns what it has to wait for."""
        uid = found.head.uid
        if self._contexts(found) <= self._emptied.contexts(uid):
            rest = [name for name in replicated.metadata.finalizers if name != FINALIZER]
            try:
                done = await self._set_finalizers(found, rest)
            except MustWait as error:
                return [error]
            if done:
                self._emptied.forget(uid)
                self._announcer.forget(uid)
                self._copier.forget(uid)
                self._blocked = {key for key in self._blocked if key[0] != uid}
                self._outcomes = {key: value for key, value in self._outcomes.items() if key[0] != uid}
                self._waiting = {key: value for key, value in self._waiting.items() if key[0] != uid}
        else:
            await self._show(found, replicated)
        return []

    async def _show(self, found: Object, replicated: ReplicatedSecret) -> None:
        """Write one condition for each target, when all of them are known."""
        uid = found.head.uid
        deleting = found.head.deletion_timestamp is not None
        source = self._waiting if deleting else self._outcomes  # what was replicated once says nothing when deleting
        known = {context: outcomes for (owner, context), outcomes in source.items() if owner == uid}
        outcomes = self._status.by_target(replicated, known, self._emptied.contexts(uid))
        if all(outcome.reason != PENDING for outcome in outcomes):
            self._announcer.announce(found, outcomes)
            await self._status.show(found, outcomes)

    async def _set_finalizers(self, found: Object, finalizers: list[str]) -> bool:
        """Whether it was done; if not, the object changed or is gone, and its event starts the next pass."""
        local = self._pool.local
        merge = Merge(REPLICATED_SECRETS, {"metadata": {"finalizers": finalizers}}, found, exactly=True)
        try:
            await perform(merge, local.client, local.cache, lambda _: True, ground=self._pool.ground(local))
        except (ObserveAgain, errors.NotFound):
            return False
        return True


def _outcome(met: list[Exception]) -> Result:
    """What comes after a pass with these failures: the one that may pass soonest counts."""
    passing = [
        error
        for error in met
        if isinstance(error, errors.KubeError) and not isinstance(error, errors.Invalid | MustWait)
    ]
    if passing:
        return Retry(passing[0])
    if any(isinstance(error, MustWait) for error in met):
        return Again(REMOVAL_RECHECK)
    if any(not isinstance(error, (Refused, Kept)) for error in met):
        return Again(RECHECK)
    return Again(KEPT_RECHECK) if any(isinstance(error, Kept) for error in met) else Done()


def _same_work(delta: Delta) -> bool:
    """Whether only the status of a ReplicatedSecret is another, or what nobody acts on."""
    old = _decode(delta.old) if delta.old is not None else None
    new = _decode(delta.new) if delta.new is not None else None
    if old is None or new is None:
        return False
    return _acted_on(old) == _acted_on(new)


def _acted_on(replicated: ReplicatedSecret) -> tuple[object, ...]:
    metadata = replicated.metadata
    return (replicated.spec, metadata.uid, metadata.deletion_timestamp, metadata.finalizers, metadata.annotations)


def _selects_any(replicated: Object, deltas: list[Delta]) -> bool:
    typed = _decode(replicated)
    if typed is None or typed.spec.selector is None:
        return False
    selector, namespace = typed.spec.selector, replicated.head.namespace
    return any(
        side is not None and side.head.namespace == namespace and matches(selector, side.head.labels)
        for delta in deltas
        for side in (delta.old, delta.new)
    )


def _decode(replicated: Object) -> ReplicatedSecret | None:
    """None for one that cannot be read, which its own pass says."""
    try:
        return replicated.decode(ReplicatedSecret)
    except errors.Malformed:
        return None
