"""Reconciles ReplicatedSecrets: copies in each target's own context, status and finalizer in the control plane's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import structlog

from controller.engine.clock import Clock, rfc3339
from controller.engine.store import Delta
from controller.engine.worker import Done, Item, Parked, Rejected, Result, Retry
from controller.fleet.actions import Create, Delete, Merge, NameConflict, ObserveAgain, Replace, perform
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.projection import Projection
from controller.kube.resources import SECRETS, Resource
from controller.replication import copies
from controller.replication.copies import Wanted
from controller.replication.selector import matches, problem
from controller.replication.types import (
    FINALIZER,
    ORPHAN,
    REPLICATED_FROM,
    REPLICATED_SECRETS,
    REPLICATION,
    ReplicatedSecret,
)

KIND: Final = REPLICATED_SECRETS.kind
_PENDING: Final = "Pending"
BY_MARK: Final = "mark"  # index of the copies in a cluster: by the label that names their ReplicatedSecret

_log = structlog.get_logger(__name__)


def _mark_of(obj: Object) -> Iterable[str]:
    value = (obj.head.labels or {}).get(REPLICATED_FROM)
    return (value,) if value else ()


REMOTE_WATCHES: Final = (
    WatchSpec(
        SECRETS,
        label_selector=REPLICATED_FROM,
        selects=lambda head: REPLICATED_FROM in (head.labels or {}),
        metadata_only=True,
        indexers={BY_MARK: _mark_of},
    ),
)
LOCAL_WATCHES: Final = (
    WatchSpec(SECRETS, metadata_only=True, indexers={BY_MARK: _mark_of}),
    WatchSpec(REPLICATED_SECRETS),
)


class Outcome(msgspec.Struct, frozen=True):
    """What became of one target in the last pass of its context."""

    context: str
    namespace: str
    ok: bool
    reason: str
    message: str = ""


class _Verified(msgspec.Struct, frozen=True):
    """Versions of a copy and of its source that were seen to agree; while neither changes nothing has to be read."""

    copy: tuple[str, str]
    source: tuple[str, str]
    generation: int


class ReplicatedSecretReconciler:
    """``reconcile`` for items of kind ReplicatedSecret.

    What a context's pass found is kept in memory and shown by the control plane's item, which alone writes status; it
    is found anew after a restart.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._projection = Projection()
        self._outcomes: dict[tuple[str, str], tuple[Outcome, ...]] = {}  # by UID and context
        self._emptied: set[tuple[str, str]] = set()  # UID and context where live reads found no copy left
        self._verified: dict[tuple[str, str, str], _Verified] = {}  # by context, namespace and name of the copy

    # ── from events to items ────────────────────────────────────────────────────────────────────────

    def route(self, cluster: Cluster, resource: Resource, deltas: list[Delta]) -> None:
        """Queue what a batch of changes concerns."""
        if resource == REPLICATED_SECRETS:
            for delta in deltas:
                self._enqueue_everywhere(delta.object, also=delta.old)
        elif resource == SECRETS:
            marks = {_mark for delta in deltas for _mark in _mark_of(delta.object)}
            for replicated in self._all() if marks else ():
                head = replicated.head
                if copies.mark(head.namespace, head.name) in marks:
                    cluster.queue.add(Item(KIND, head.namespace, head.name, cluster.context))
            if cluster is self._pool.local:
                namespaces = {delta.object.head.namespace for delta in deltas}
                for replicated in self._all():
                    if replicated.head.namespace in namespaces and self._selects_any(replicated, deltas):
                        self._enqueue_everywhere(replicated)

    def revisit(self, cluster: Cluster) -> None:
        """The cluster came or went: look again at what concerns it."""
        for replicated in self._all():
            typed = _decode(replicated)
            if typed is not None and cluster.context in _contexts(typed):
                head = replicated.head
                self._pool.local.queue.add(Item(KIND, head.namespace, head.name))
                cluster.queue.add(Item(KIND, head.namespace, head.name, cluster.context))

    def queue_all(self) -> None:
        """Have every ReplicatedSecret looked at in every context of its."""
        for replicated in self._all():
            self._enqueue_everywhere(replicated)

    def _all(self) -> list[Object]:
        return list(self._pool.local.cache.objects(REPLICATED_SECRETS))

    def _selects_any(self, replicated: Object, deltas: list[Delta]) -> bool:
        typed = _decode(replicated)
        if typed is None or typed.spec.selector is None:
            return False
        selector = typed.spec.selector
        return any(
            matches(selector, side.head.labels)
            for delta in deltas
            for side in (delta.old, delta.new)
            if side is not None and side.head.namespace == replicated.head.namespace
        )

    def _enqueue_everywhere(self, replicated: Object, also: Object | None = None) -> None:
        contexts = {""}
        for version in (replicated, also):
            typed = _decode(version) if version is not None else None
            contexts.update(_contexts(typed) if typed is not None else ())
        for context in sorted(contexts):
            if (cluster := self._pool.get(context)) is not None:
                cluster.queue.add(Item(KIND, replicated.head.namespace, replicated.head.name, context))

    # ── one pass ────────────────────────────────────────────────────────────────────────────────────

    async def reconcile(self, item: Item) -> Result:
        cluster = self._pool.get(item.context)
        found = self._pool.local.cache.get(REPLICATED_SECRETS, item.namespace, item.name)
        if found is None or cluster is None:
            return Done()
        try:
            replicated = found.decode(ReplicatedSecret)
        except errors.Malformed as error:
            return Rejected(error)
        if not cluster.cache.synced(SECRETS):
            return Parked(item.context)
        deleting = found.head.deletion_timestamp is not None
        if not deleting and FINALIZER not in replicated.metadata.finalizers:
            if item.context:
                return Done()  # the control plane's pass puts it there, and its event comes back here
            finalizers = [*replicated.metadata.finalizers, FINALIZER]
            await self._merge(found, {"metadata": {"finalizers": finalizers}}, exactly=True)
            return Done()
        failure = await self._replicate(cluster, found, replicated, deleting)
        if not item.context:
            await (self._finish(found, replicated) if deleting else self._show(found, replicated))
        return Retry(failure) if failure is not None else Done()

    async def _replicate(
        self, cluster: Cluster, found: Object, replicated: ReplicatedSecret, deleting: bool
    ) -> errors.KubeError | None:
        """Make the copies of one context right; remember what came of it. Returns what may go better later."""
        uid, context = found.head.uid, cluster.context
        refused = "" if deleting else problem(replicated.spec.selector)
        sources = self._pool.local.cache.objects(SECRETS, found.head.namespace)
        todo = [] if deleting or refused else copies.wanted(replicated, context, list(sources))
        failures: dict[str, tuple[str, Exception]] = {}
        for copy in todo:
            try:
                await self._copy(cluster, found, replicated, copy)
            except (NameConflict, errors.KubeError, _Refused) as error:
                failures.setdefault(copy.target.namespace or found.head.namespace, (_reason(error), error))
        leftovers = await self._remove_leftovers(cluster, replicated, todo) if not refused else None
        if deleting and leftovers is None and not self._marked(cluster, replicated):
            await self._prove_empty(cluster, uid, replicated)
        outcomes = []
        for target in replicated.spec.replication_targets:
            if target.k8s_context_name == context:
                namespace = target.namespace or found.head.namespace
                if refused:
                    outcomes.append(Outcome(context, namespace, False, "InvalidSpec", refused))
                elif namespace in failures:
                    reason, failure = failures[namespace]
                    outcomes.append(Outcome(context, namespace, False, reason, str(failure)))
                else:
                    outcomes.append(Outcome(context, namespace, True, "Replicated"))
        key = (uid, context)
        if self._outcomes.get(key) != tuple(outcomes):
            self._outcomes[key] = tuple(outcomes)
            if context:
                self._pool.local.queue.add(Item(KIND, found.head.namespace, found.head.name))
        later = [error for _, error in failures.values() if isinstance(error, errors.KubeError)]
        return later[0] if later else leftovers

    async def _copy(self, cluster: Cluster, found: Object, replicated: ReplicatedSecret, copy: Wanted) -> None:
        place = (cluster.context, copy.namespace, copy.name)
        if not cluster.cache.covers(copy.namespace):
            raise _Refused(
                "NamespaceNotWatched", f"namespace {copy.namespace} is not watched; add it to WATCH_NAMESPACE"
            )
        live = cluster.cache.get(SECRETS, copy.namespace, copy.name)
        source_version = (copy.source.head.uid, copy.source.head.resource_version)
        if live is not None and not copies.is_copy_of(live.head, replicated):
            raise NameConflict(SECRETS, copy.namespace, copy.name)
        if live is not None and self._verified.get(place) == _Verified(
            (live.head.uid, live.head.resource_version), source_version, found.head.generation
        ):
            return
        whole = (await self._pool.local.client.get(SECRETS, copy.source.head.namespace, copy.source.head.name)).decode(
            dict
        )
        if whole.get("type") in copies.REFUSED_TYPES:
            raise _Refused("SecretTypeRefused", f"Secret {copy.name} has type {whole['type']}, which is never copied")
        rendered = copies.render(replicated, copy, whole)
        written = await self._write(cluster, replicated, rendered, live)
        metadata = whole["metadata"]
        self._verified[place] = _Verified(
            (written.head.uid, written.head.resource_version),
            (metadata["uid"], metadata["resourceVersion"]),
            found.head.generation,
        )

    async def _write(
        self, cluster: Cluster, replicated: ReplicatedSecret, rendered: dict[str, Any], live: Object | None
    ) -> Object:
        def owned(obj: Object) -> bool:
            return copies.is_copy_of(obj.head, replicated)

        for _ in range(3):  # a name that is taken, or a copy that changed meanwhile, is looked at once more
            try:
                if live is None:
                    written = await perform(Create(SECRETS, rendered), cluster.client, cluster.cache, owned)
                    assert written is not None
                    return written
                metadata = rendered["metadata"]
                now = await cluster.client.get(SECRETS, metadata["namespace"], metadata["name"])
                if not owned(now):
                    raise NameConflict(SECRETS, metadata["namespace"], metadata["name"])
                content = now.decode(dict)
                changed = copies.overlaid(rendered, content)
                if changed is None:
                    return now
                if content.get("immutable") and content.get("data") != rendered["data"]:
                    raise _Refused(
                        "ImmutableCopy",
                        f"Secret {metadata['namespace']}/{metadata['name']} is immutable and differs from its source; "
                        "delete it to have it made again",
                    )
                written = await perform(Replace(SECRETS, changed, now), cluster.client, cluster.cache, owned)
                assert written is not None
                return written
            except (ObserveAgain, errors.NotFound) as error:
                live = None if isinstance(error, errors.NotFound) else live
                if isinstance(error, ObserveAgain) and live is None:
                    metadata = rendered["metadata"]
                    live = cluster.cache.get(SECRETS, metadata["namespace"], metadata["name"])
        raise errors.Conflict(409, "Conflict", "the copy keeps changing")

    # ── copies that are no longer wanted ────────────────────────────────────────────────────────────

    def _marked(self, cluster: Cluster, replicated: ReplicatedSecret) -> list[Object]:
        value = copies.mark(replicated.metadata.namespace, replicated.metadata.name)
        return [obj for obj in cluster.cache.by_index(SECRETS, BY_MARK, value) if not _is_orphan(obj)]

    async def _remove_leftovers(
        self, cluster: Cluster, replicated: ReplicatedSecret, todo: list[Wanted]
    ) -> errors.KubeError | None:
        keep = {(copy.namespace, copy.name) for copy in todo}
        failure: errors.KubeError | None = None
        for live in self._marked(cluster, replicated):
            if (live.head.namespace, live.head.name) in keep:
                continue
            try:
                # A live read just before: what is deleted is ours now, not only in a cache.
                now = await cluster.client.get(SECRETS, live.head.namespace, live.head.name, metadata_only=True)
                if now.head.uid == live.head.uid and copies.is_copy_of(now.head, replicated) and not _is_orphan(now):
                    await perform(Delete(SECRETS, now), cluster.client, cluster.cache, lambda _: False)
            except (errors.NotFound, ObserveAgain):
                continue
            except errors.KubeError as error:
                failure = error
        return failure

    async def _prove_empty(self, cluster: Cluster, uid: str, replicated: ReplicatedSecret) -> None:
        """Live lists that show no copy is left; only then may the finalizer go."""
        value = copies.mark(replicated.metadata.namespace, replicated.metadata.name)
        for namespace in cluster.cache.namespaces:
            found = await cluster.client.list_page(
                SECRETS, namespace, label_selector=f"{REPLICATED_FROM}={value}", metadata_only=True
            )
            if any(not _is_orphan(obj) for obj in found.objects):
                return
        if (uid, cluster.context) not in self._emptied:
            self._emptied.add((uid, cluster.context))
            if cluster.context:
                self._pool.local.queue.add(Item(KIND, replicated.metadata.namespace, replicated.metadata.name))

    # ── the control plane's part ────────────────────────────────────────────────────────────────────

    async def _finish(self, found: Object, replicated: ReplicatedSecret) -> None:
        """Let the finalizer go once every context is proven to hold no copy."""
        uid = found.head.uid
        waiting = [context for context in _contexts(replicated) if (uid, context) not in self._emptied]
        if waiting or FINALIZER not in replicated.metadata.finalizers:
            return
        rest = [name for name in replicated.metadata.finalizers if name != FINALIZER]
        await self._merge(found, {"metadata": {"finalizers": rest}}, exactly=True)
        self._emptied = {key for key in self._emptied if key[0] != uid}
        self._outcomes = {key: value for key, value in self._outcomes.items() if key[0] != uid}

    async def _show(self, found: Object, replicated: ReplicatedSecret) -> None:
        """Write one condition for each target, if they differ from the live ones."""
        live = (found.decode(dict).get("status") or {}).get("conditions") or []
        now = rfc3339(self._clock.now())
        entries: list[dict[str, Any]] = []
        outcomes = self._by_target(found, replicated)
        if any(outcome.reason == _PENDING for outcome in outcomes):
            return  # that context's own pass ends soon, and comes back here
        for index, outcome in enumerate(outcomes):
            before = live[index] if index < len(live) and live[index].get("cluster", "") == outcome.context else {}
            status = "True" if outcome.ok else "False"
            unchanged = before.get("status") == status and before.get("lastTransitionTime")
            entries.append(
                {
                    "cluster": outcome.context,
                    "type": REPLICATION,
                    "status": status,
                    "lastTransitionTime": before["lastTransitionTime"] if unchanged else now,
                    "namespace": outcome.namespace,
                    "reason": outcome.reason,
                    "message": errors.clean(outcome.message),
                    "observedGeneration": found.head.generation,
                }
            )
        status_wanted = {"conditions": entries}
        if self._projection.project(status_wanted)["conditions"] == live:
            return
        written = await self._merge(found, {"status": status_wanted}, subresource="status")
        if written is not None:
            self._projection.learn(status_wanted, written.decode(dict).get("status") or {})

    def _by_target(self, found: Object, replicated: ReplicatedSecret) -> list[Outcome]:
        shown = []
        for target in replicated.spec.replication_targets:
            context, namespace = target.k8s_context_name, target.namespace or found.head.namespace
            cluster = self._pool.get(context)
            if cluster is None:
                message = f"no ClientConfig names context {context}; register the cluster or correct the target"
                shown.append(Outcome(context, namespace, False, "ContextNotFound", message))
                continue
            known = [
                outcome
                for outcome in self._outcomes.get((found.head.uid, context), ())
                if outcome.namespace == namespace
            ]
            if cluster.settling:
                shown.append(Outcome(context, namespace, False, _PENDING))
            elif not cluster.state.usable:
                shown.append(Outcome(context, namespace, False, str(cluster.state.reason), cluster.state.message))
            else:
                pending = Outcome(context, namespace, False, _PENDING)
                shown.append(next((outcome for outcome in known if not outcome.ok), known[0] if known else pending))
        return shown

    async def _merge(
        self, found: Object, patch: dict[str, Any], *, subresource: str = "", exactly: bool = False
    ) -> Object | None:
        local = self._pool.local
        try:
            return await perform(
                Merge(REPLICATED_SECRETS, patch, found, subresource, exactly),
                local.client,
                local.cache,
                lambda _: False,
            )
        except (ObserveAgain, errors.NotFound):
            return None  # changed or gone: its event starts the next pass


class _Refused(Exception):
    """A copy that is not made, for a reason that only people can change."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _reason(error: Exception) -> str:
    match error:
        case _Refused():
            return error.reason
        case NameConflict():
            return "NameConflict"
        case errors.Forbidden():
            return "Forbidden"
        case errors.NotFound():
            return "NamespaceNotFound"
        case errors.ApiError():
            return "Rejected"
        case _:
            return "Unreachable"


def _decode(replicated: Object) -> ReplicatedSecret | None:
    try:
        return replicated.decode(ReplicatedSecret)
    except errors.Malformed as error:
        _log.warning(
            "ReplicatedSecret cannot be read",
            namespace=replicated.head.namespace,
            name=replicated.head.name,
            error=str(error),
        )
        return None


def _contexts(replicated: ReplicatedSecret) -> list[str]:
    return list(dict.fromkeys(target.k8s_context_name for target in replicated.spec.replication_targets))


def _is_orphan(obj: Object) -> bool:
    annotations = (obj.decode(dict).get("metadata") or {}).get("annotations") or {}
    return annotations.get(ORPHAN) == "true"
