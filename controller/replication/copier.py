"""Makes the copies of one ReplicatedSecret in one cluster, and takes away those that are wanted no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from controller.fleet.actions import Create, Delete, NameConflict, ObserveAgain, Replace, perform
from controller.fleet.cache import Cache
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube import errors
from controller.kube.objects import Object
from controller.kube.resources import SECRETS
from controller.replication import copies
from controller.replication.contents import Contents
from controller.replication.copies import Refused, Wanted
from controller.replication.selector import text
from controller.replication.types import (
    ONLY,
    ORPHAN,
    REPLICATED_FROM,
    REPLICATED_SECRETS,
    LabelSelector,
    ReplicatedSecret,
)

BY_MARK: Final = "mark"  # index of the copies in a cluster: by the label that names their ReplicatedSecret
BY_LABEL: Final = "label"  # index of the control plane's Secrets: by namespace, label and value
_TRIES: Final = 3  # for a copy that changes while it is written

Place = tuple[str, str]  # namespace and name
Version = tuple[str, str]  # UID and resourceVersion


def mark_of(obj: Object) -> Iterable[str]:
    """The mark that a copy carries."""
    value = (obj.head.labels or {}).get(REPLICATED_FROM)
    return (value,) if value else ()


def labels_of(obj: Object) -> Iterable[tuple[str, str, str]]:
    """Every label of a Secret, with the namespace in which it is looked for."""
    return [(obj.head.namespace, key, value) for key, value in (obj.head.labels or {}).items()]


def candidates(cache: Cache, namespace: str, selector: LabelSelector | None) -> list[Object]:
    """The Secrets of the control plane that a selector may select: by its rarest label, else all of the namespace."""
    asked = [(namespace, *label) for label in (selector.match_labels if selector is not None else {}).items()]
    if not asked:
        return list(cache.objects(SECRETS, namespace))
    rarest = min(asked, key=lambda label: cache.count(SECRETS, BY_LABEL, label))
    return cache.by_index(SECRETS, BY_LABEL, rarest)


def version(obj: Object) -> Version:
    return obj.head.uid, obj.head.resource_version


class _Verified(msgspec.Struct, frozen=True):
    """Versions of a copy and of its source that were seen to agree; while neither changes nothing has to be read."""

    copy: Version
    source: Version
    generation: int


class Copier:
    """Remembers what it has verified, so that a pass over what is right costs no request."""

    def __init__(self, pool: Pool, contents: Contents) -> None:
        self._pool = pool
        self._contents = contents
        self._verified: dict[tuple[str, Place], _Verified] = {}  # by context and place of the copy
        # By context and place: UID of a source that is there itself, and the epoch in which it was found there.
        self._sources: dict[tuple[str, Place], tuple[str, int]] = {}
        # By context and place: names that somebody else has, which are looked at before they are tried again.
        self._taken: set[tuple[str, Place]] = set()
        self._doubtful: set[tuple[str, str]] = set()  # by UID of the ReplicatedSecret and context

    def forget_context(self, context: str) -> None:
        """What was found in a context says nothing of the cluster that may be called so next."""
        self._verified = {key: value for key, value in self._verified.items() if key[0] != context}
        self._sources = {key: value for key, value in self._sources.items() if key[0] != context}
        self._taken = {key for key in self._taken if key[0] != context}
        self._doubtful = {key for key in self._doubtful if key[1] != context}

    def forget(self, uid: str) -> None:
        """The ReplicatedSecret is gone."""
        self._doubtful = {key for key in self._doubtful if key[0] != uid}

    def marked(self, cluster: Cluster, replicated: ReplicatedSecret) -> list[Object]:
        """The copies in a cluster that do not outlive their ReplicatedSecret."""
        value = copies.mark(replicated.metadata.namespace, replicated.metadata.name)
        return [obj for obj in cluster.cache.by_index(SECRETS, BY_MARK, value) if not _is_orphan(obj)]

    async def make(self, cluster: Cluster, replicated: ReplicatedSecret, copy: Wanted) -> None:
        """Make one copy right. Raises ``Refused``, ``NameConflict`` and what the client raises."""
        if copy.refusal is not None:
            raise Refused(*copy.refusal)
        source = copy.source.head
        if any((member.namespace, member.secret) == (source.namespace, source.name) for member in self._pool.members()):
            raise Refused(
                "SecretRefused", f"Secret {source.name} is a ClientConfig's kubeconfig, which is never copied"
            )
        if not cluster.cache.covers(copy.namespace):
            message = f"namespace {copy.namespace} is not watched; add it to WATCH_NAMESPACE"
            raise Refused("NamespaceNotWatched", message)
        key = (cluster.context, copy.place)
        live = cluster.cache.get(SECRETS, *copy.place)
        here = (source.uid, cluster.cache.epoch)
        if live is None and self._sources.get(key) == here:
            return
        if live is not None and not copies.is_copy_of(live.head, replicated):
            raise NameConflict(SECRETS, *copy.place)
        if live is None and key in self._taken and await self._is_taken(cluster, replicated, copy):
            raise NameConflict(SECRETS, *copy.place)
        generation = replicated.metadata.generation
        if live is not None and self._verified.get(key) == _Verified(version(live), version(copy.source), generation):
            return
        whole = await self._contents.get(copy.source)
        content = whole.decode(dict)
        if content.get("type") in copies.REFUSED_TYPES:
            message = f"Secret {source.name} has type {content['type']}, which is never copied"
            raise Refused("SecretTypeRefused", message)
        try:
            written = await self._write(cluster, replicated, copy, copies.render(replicated, copy, content), live)
        except NameConflict:
            if live is not None:
                raise
            if not await self._is_source(cluster, copy):
                self._taken.add(key)
                raise
            self._sources[key] = here
            return
        self._verified[key] = _Verified(version(written), version(whole), generation)

    async def remove_leftovers(
        self, cluster: Cluster, replicated: ReplicatedSecret, keep: set[Place], *, deleting: bool
    ) -> None:
        """Delete the copies that are wanted no more, after live reads of everything that says so."""
        found = [live for live in self.marked(cluster, replicated) if (live.head.namespace, live.head.name) not in keep]
        if not deleting:
            others = [live for live in found if self._may_be_anothers(cluster, replicated, live)]
            found = [live for live in found if live not in others]
            self._doubt(cluster, replicated, bool(others))
        if not found:
            return
        await self._survey(cluster)
        await self._confirm(replicated)
        if not deleting:
            keep = {
                copy.place for copy in copies.wanted(replicated, cluster.context, await self._live_sources(replicated))
            }
        failure: errors.KubeError | None = None
        for live in found:
            if (live.head.namespace, live.head.name) in keep:
                continue
            try:
                await self._remove(cluster, replicated, live)
            except errors.KubeError as error:  # one that cannot go must not hold up the others
                failure = failure or error
        if failure is not None:
            raise failure

    def doubtful(self, replicated: Object) -> set[str]:
        """Contexts with copies of which it is not known yet whether another context leads to them too."""
        return {context for uid, context in self._doubtful if uid == replicated.head.uid}

    async def is_empty(self, cluster: Cluster, replicated: ReplicatedSecret) -> bool:
        """Whether live lists show that no copy is left."""
        await self._survey(cluster)  # another cluster's emptiness proves nothing
        value = copies.mark(replicated.metadata.namespace, replicated.metadata.name)
        for namespace in cluster.cache.namespaces:
            if any(not _is_orphan(obj) for obj in await _list(cluster, namespace, f"{REPLICATED_FROM}={value}")):
                return False
        return True

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    async def _write(
        self,
        cluster: Cluster,
        replicated: ReplicatedSecret,
        copy: Wanted,
        rendered: dict[str, Any],
        live: Object | None,
    ) -> Object:
        def owned(obj: Object) -> bool:
            return copies.is_copy_of(obj.head, replicated)

        for _ in range(_TRIES):
            try:
                if live is None:
                    written = await perform(Create(SECRETS, rendered), cluster.client, cluster.cache, owned)
                else:
                    now = await cluster.client.get(SECRETS, *copy.place)
                    if not owned(now):
                        raise NameConflict(SECRETS, *copy.place)
                    changed = copies.overlaid(rendered, now.decode(dict), copy.target.drop_labels)
                    if changed is None:
                        return now
                    if copies.must_be_replaced(changed, now.decode(dict)):
                        await self._make_room(cluster, replicated, now)
                        live = None
                        continue
                    written = await perform(Replace(SECRETS, changed, now), cluster.client, cluster.cache, owned)
                assert written is not None
                return written
            except ObserveAgain:
                live = cluster.cache.get(SECRETS, *copy.place)  # the name was taken, or the copy changed meanwhile
            except errors.NotFound:
                if live is None:
                    raise  # the namespace
                live = None
        raise errors.Conflict(409, "Conflict", "the copy keeps changing")

    async def _make_room(self, cluster: Cluster, replicated: ReplicatedSecret, live: Object) -> None:
        """Delete a copy that can only be replaced, as it is immutable or of another type."""
        await self._survey(cluster)
        await self._confirm(replicated)

        def owned(now: Object) -> bool:
            return copies.is_copy_of(now.head, replicated)

        ground = self._pool.ground(cluster)
        await perform(Delete(SECRETS, live), cluster.client, cluster.cache, owned, ground=ground)

    async def _is_taken(self, cluster: Cluster, replicated: ReplicatedSecret, copy: Wanted) -> bool:
        """Whether somebody else still has the name of a copy: a look, where another try would be a write."""
        try:
            now = await cluster.client.get(SECRETS, *copy.place, metadata_only=True)
        except errors.NotFound:
            taken = False
        else:
            taken = not copies.is_copy_of(now.head, replicated)
        if not taken:
            self._taken.discard((cluster.context, copy.place))
        return taken

    def _doubt(self, cluster: Cluster, replicated: ReplicatedSecret, doubtful: bool) -> None:
        key = (replicated.metadata.uid, cluster.context)
        if doubtful:
            self._doubtful.add(key)
        else:
            self._doubtful.discard(key)

    async def _is_source(self, cluster: Cluster, copy: Wanted) -> bool:
        """Whether what has the copy's name is the source itself: the context leads to the control plane's cluster."""
        now = await cluster.client.get(SECRETS, *copy.place, metadata_only=True)
        return now.head.uid == copy.source.head.uid

    def _may_be_anothers(self, cluster: Cluster, replicated: ReplicatedSecret, live: Object) -> bool:
        """Whether a copy in one context may be the one that another context has: both may lead to one cluster."""
        sources = list(self._pool.local.cache.objects(SECRETS, replicated.metadata.namespace))
        place = (live.head.namespace, live.head.name)
        for context in contexts(replicated):
            if context == cluster.context:
                continue
            if all(copy.place != place for copy in copies.wanted(replicated, context, sources)):
                continue
            other = self._pool.get(context)
            there = other.cache.get(SECRETS, *place) if other is not None else None
            if there is None or there.head.uid == live.head.uid:
                return True  # it is, or nobody can know yet
        return False

    async def _confirm(self, replicated: ReplicatedSecret) -> None:
        """Raise ``Conflict`` unless the ReplicatedSecret is now what was observed."""
        seen = replicated.metadata
        found = await self._pool.local.client.get(REPLICATED_SECRETS, seen.namespace, seen.name, metadata_only=True)
        now = found.head
        changed = (now.deletion_timestamp is None) != (not seen.deletion_timestamp)
        changed |= _annotations(found).get(ONLY) != seen.annotations.get(ONLY)  # which has no generation
        if now.uid != seen.uid or now.generation != seen.generation or changed:
            raise errors.Conflict(409, "Conflict", "the ReplicatedSecret changed meanwhile")

    async def _live_sources(self, replicated: ReplicatedSecret) -> list[Object]:
        assert replicated.spec.selector is not None
        return await _list(self._pool.local, replicated.metadata.namespace, text(replicated.spec.selector))

    async def _survey(self, cluster: Cluster) -> None:
        try:
            await self._pool.ground(cluster).survey(SECRETS)
        except ObserveAgain:
            raise errors.Conflict(409, "Conflict", "the copies changed meanwhile") from None

    async def _remove(self, cluster: Cluster, replicated: ReplicatedSecret, live: Object) -> None:
        def owned(now: Object) -> bool:
            return copies.is_copy_of(now.head, replicated) and not _is_orphan(now)

        ground = self._pool.ground(cluster)
        try:
            await perform(Delete(SECRETS, live), cluster.client, cluster.cache, owned, ground=ground)
        except ObserveAgain:
            return  # replaced meanwhile, or gone: its event starts the next pass
        self._verified.pop((cluster.context, (live.head.namespace, live.head.name)), None)


def contexts(replicated: ReplicatedSecret) -> list[str]:
    """The contexts of the targets, each once."""
    return list(dict.fromkeys(target.k8s_context_name for target in replicated.spec.replication_targets))


async def _list(cluster: Cluster, namespace: str, label_selector: str) -> list[Object]:
    """Metadata of the Secrets that a selector selects, as of now."""
    found: list[Object] = []
    token = ""
    while True:
        page = await cluster.client.list_page(
            SECRETS, namespace, label_selector=label_selector, continue_token=token, metadata_only=True
        )
        found += page.objects
        if not (token := page.continue_token):
            return found


def _is_orphan(obj: Object) -> bool:
    return _annotations(obj).get(ORPHAN) == "true"


def _annotations(obj: Object) -> dict[str, Any]:
    return (obj.decode(dict).get("metadata") or {}).get("annotations") or {}
