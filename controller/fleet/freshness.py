"""The staleness bound: nothing is removed from a cluster on a view of it that may be out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from controller.engine.reflector import Reflector
from controller.engine.steps import Phase as WatchPhase
from controller.engine.store import Store
from controller.fleet.actions import MustWait, ObserveAgain
from controller.fleet.cluster import Cluster
from controller.fleet.evidence import Evidence
from controller.fleet.identity import Pin
from controller.fleet.state import Phase
from controller.kube.objects import Object
from controller.kube.resources import Resource

STALE_AFTER: Final = 90.0  # s since the last event or bookmark; API servers send a bookmark about every 60 s
LIST_WAIT: Final = 10.0  # s for a list that was demanded to be complete
IDENTITY_AGE: Final = 2.0  # s for which a look at the cluster's identity counts: for the steps of one pass

Version: TypeAlias = tuple[str, str]


def unready(cluster: Cluster) -> str | None:
    """Why nothing may be removed from the cluster whatever the caches say; None when it is Ready."""
    state = cluster.state
    if state.phase is Phase.READY:
        return None
    where = _where(cluster)
    if state.usable:
        return f"{where} did not answer when it was looked at last"
    return f"{where} is not connected: {state.message}"


def stale(cluster: Cluster, kinds: Iterable[Resource], now: float) -> str | None:
    """Why a removal that rests on the caches of ``kinds`` has to wait at loop time ``now``; None when it has not to."""
    why = unready(cluster)
    if why is not None:
        return why
    wanted = frozenset(kinds)
    for resource, reflector in cluster.reflectors:
        if resource in wanted and (why := _unheard(cluster, reflector, now)) is not None:
            return f"the {resource} of {_where(cluster)} {why}"
    return None


class Ground:
    """What destructive steps in one cluster stand on; ``pin`` is None for the control plane, which is our own.

    A cluster that was not heard of for too long is listed at once, so a step waits for news only where there are none.
    """

    def __init__(self, cluster: Cluster, pin: Pin | None = None, evidence: Evidence | None = None) -> None:
        self._cluster = cluster
        self._pin = pin
        self._evidence = evidence
        self._one = asyncio.Lock()  # one step at a time has lists made; the others find them
        self._epochs = self._now_epochs()
        self._identified_at = -STALE_AFTER

    async def allow(self, resource: Resource, live: Object, owned: Callable[[Object], bool]) -> Object:
        """``live`` as a live read shows it now, the cluster being the one it was and the caches being fresh.

        Raises ``MustWait``; ``ObserveAgain`` when lists showed something new; and what the client raises.
        """
        await self.survey(resource)
        now = await self._cluster.client.get(resource, live.head.namespace, live.head.name, metadata_only=True)
        if self._evidence is not None and now.head.uid == live.head.uid and owned(now):
            self._evidence.removed(resource, now)
        return now

    async def survey(self, *kinds: Resource) -> None:
        """Return when what the caches of ``kinds`` say may be acted on; raises as ``allow`` does.

        Also to be asked before a live list is taken as the proof that nothing is left.
        """
        async with self._one:
            await self._refresh(kinds)
            await self._identify()
            if (why := unready(self._cluster)) is not None:  # meanwhile
                raise MustWait(why, brief=True)

    def created(self, resource: Resource, made: Object) -> None:
        """An object was made by us."""
        if self._evidence is not None:
            self._evidence.created(resource, made)

    # ── the caches ──────────────────────────────────────────────────────────────────────────────────

    async def _refresh(self, kinds: Sequence[Resource]) -> None:
        cluster = self._cluster
        now = asyncio.get_running_loop().time()
        if (why := unready(cluster)) is not None:
            raise MustWait(why, brief=True)
        # Another history of one kind is another history of all: none is believed before all were listed again.
        known, epochs = self._epochs, self._now_epochs()
        turned = epochs != known
        due = [
            reflector
            for (resource, reflector), before, after in zip(cluster.reflectors, known, epochs, strict=True)
            if reflector.state.phase is not WatchPhase.ABSENT
            and (
                (turned and (before == after or not reflector.store.synced))
                or (resource in kinds and _unheard(cluster, reflector, now) is not None)
            )
        ]
        changed = await self._list(due)
        if turned:
            self._epochs = self._now_epochs()
        if turned or changed or self._now_epochs() != self._epochs:
            raise ObserveAgain  # what was decided rested on another view

    async def _list(self, reflectors: Sequence[Reflector]) -> bool:
        """Have lists made and wait for them; whether they showed anything new."""
        before = [(reflector, reflector.store.lists, _versions(reflector.store)) for reflector in reflectors]
        for reflector in reflectors:
            if reflector.store.synced:  # else it is about to be listed anyway
                reflector.relist("stale")
        missing: Reflector | None = None
        try:
            async with asyncio.timeout(LIST_WAIT):
                for missing, lists, _ in before:
                    await missing.store.wait_list(lists)
        except TimeoutError:
            assert missing is not None
            error = missing.state.error
            raise MustWait(
                f"the {missing.name} of {_where(self._cluster)} could not be listed within {LIST_WAIT:g} s"
                + (f": {error}" if error is not None else "")
            ) from None
        return any(_versions(reflector.store) != versions for reflector, _, versions in before)

    def _now_epochs(self) -> tuple[int, ...]:
        return tuple(reflector.store.epoch for _, reflector in self._cluster.reflectors)

    # ── the identity ────────────────────────────────────────────────────────────────────────────────

    async def _identify(self) -> None:
        """Raise ``MustWait`` unless the cluster is known to be the one that it was."""
        pin = self._pin
        if pin is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._identified_at > IDENTITY_AGE or not pin.verified:
            state = await pin.check(self._cluster.client)
            if not state.usable:
                pin.on_doubt()
                raise MustWait(state.message)
            self._identified_at = loop.time()
        if pin.verified or self._evidence is None:
            return
        if (why := self._evidence.against()) is not None:
            raise MustWait(f"{_where(self._cluster)}: {why}")


def _unheard(cluster: Cluster, reflector: Reflector, now: float) -> str | None:
    """Why a cache may be out of date: what was heard before the cluster was lost last says nothing of now."""
    store = reflector.store
    if not store.synced:
        return "have not been listed yet"
    if store.last_heard < cluster.state.since:
        return "have not been heard of since the cluster came back"
    if now - store.last_heard > STALE_AFTER:
        return f"have not been heard of for more than {STALE_AFTER:g} s"
    return None


def _versions(store: Store) -> frozenset[Version]:
    return frozenset((obj.head.uid, obj.head.resource_version) for obj in store.list())


def _where(cluster: Cluster) -> str:
    return f"context {cluster.context}" if cluster.context else "the control plane's cluster"
