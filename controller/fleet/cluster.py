"""One Kubernetes cluster as the rest of the controller sees it: a client, caches, a queue of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec
import structlog

from controller.engine.reflector import Phase, Reflector, State
from controller.engine.source import ResourceSource
from controller.engine.store import Delta
from controller.engine.supervise import RestartObserver, keep_running
from controller.engine.worker import Item
from controller.engine.workqueue import WorkQueue
from controller.fleet import state as states
from controller.fleet.cache import Cache, WatchSpec
from controller.fleet.state import UNKNOWN, ClusterState, Reason
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.errors import ClusterUnavailable
from controller.kube.resources import Resource

_UNTOLD: Final = frozenset({Phase.ABSENT, Phase.FORBIDDEN})
LISTS_AT_ONCE: Final = 4  # of one cluster: decoding lists is the peak of memory and of loop lag

_AWAY: Final = (
    errors.ClusterUnavailable,
    errors.ConnectFailed,
    errors.ConnectionLost,
    errors.DeadlineExceeded,
    errors.NameResolutionFailed,
    errors.TLSFailed,
    errors.Unauthorized,
)

_log = structlog.get_logger(__name__)

StateListener = Callable[["Cluster"], None]
CacheListener = Callable[["Cluster", Resource, list[Delta]], None]


class Cluster:
    """One cluster. ``context`` "" is the control plane; the first of ``specs`` is its main kind.

    Everybody reads ``state``, ``cache`` and ``client``; only the owner of the connection calls ``connect``,
    ``disconnect``, ``update``, ``hold``, ``release``, ``relist`` and ``answered``. The queue hands out nothing, and no
    watch begins, while the cluster is not ready.
    """

    def __init__(
        self,
        context: str,
        specs: Sequence[WatchSpec],
        namespaces: Sequence[str],
        rng: Random,
    ) -> None:
        self.context: Final = context
        self.cache: Final = Cache(specs, namespaces)
        self.queue: Final = WorkQueue[Item]()
        self.queue.pause()
        self._state = UNKNOWN
        self._was_usable = asyncio.Event()
        self._client: Client | None = None
        self._held = False
        self._open = asyncio.Event()  # watches may begin
        self._answered_at: float | None = None
        self._state_listeners: list[StateListener] = []
        self._lists = asyncio.Semaphore(LISTS_AT_ONCE)
        self.reflectors: Final[list[tuple[Resource, Reflector]]] = []
        for spec in specs:
            for namespace, store in self.cache.stores[spec.resource].items():
                source = ResourceSource(
                    lambda: self.client,
                    spec.resource,
                    namespace,
                    label_selector=spec.label_selector,
                    metadata_only=spec.metadata_only,
                )
                changed = partial(self._watch_changed, spec.resource, namespace)
                reflector = Reflector(source, store, rng=rng, lists=self._lists, on_state=changed, available=self._open)
                self.reflectors.append((spec.resource, reflector))

    def __repr__(self) -> str:
        return f"Cluster({self.context!r}, {self._state.reason})"

    @property
    def state(self) -> ClusterState:
        """The latest snapshot."""
        return self._state

    @property
    def client(self) -> Client:
        """The client of the present connection; raises ``ClusterUnavailable`` when there is none."""
        if self._client is None:
            state = self._state
            raise ClusterUnavailable(self.context, state.message or "not connected", since=state.since)
        return self._client

    @property
    def main_kind(self) -> Resource | None:
        """The kind that the work in this cluster is mostly about; None when nothing is watched."""
        return self.reflectors[0][0] if self.reflectors else None

    @property
    def answered_at(self) -> float | None:
        """Loop time at which the server last answered a look, None when it never did."""
        return self._answered_at

    def on_state(self, listener: StateListener) -> None:
        """Call ``listener`` whenever the state, or what a watch says of its kind, changed."""
        self._state_listeners.append(listener)

    def on_change(self, listener: CacheListener) -> None:
        """Call ``listener`` once per batch of changed objects."""
        self.cache.subscribe(partial(listener, self))

    # ── for the owner of the connection ─────────────────────────────────────────────────────────────

    def connect(self, client: Client) -> None:
        """Use ``client`` from now on; watches resume from where they were."""
        self._client = client
        self._regulate()
        self._reconnect()

    def disconnect(self, state: ClusterState) -> None:
        """Have no client; ``state`` says why. Caches stay: a cluster that is away is not a cluster that is empty."""
        assert not state.usable
        self._client = None
        self.update(state)
        self._regulate()
        self._reconnect()

    def answered(self) -> None:
        """Note that the server has answered just now."""
        self._answered_at = asyncio.get_running_loop().time()

    def hold(self) -> None:
        """Let no watch begin until ``release``: those that end together must not all try a server that is gone."""
        self._held = True
        self._regulate()

    def release(self) -> None:
        """Let watches begin again."""
        self._held = False
        self._regulate()

    def relist(self, reason: str) -> None:
        """List every kind again."""
        for _, reflector in self.reflectors:
            reflector.relist(reason)

    def update(self, state: ClusterState) -> None:
        """Publish a state; the queue and the watches follow it.

        Watches of a cluster that is back begin anew, from where they were: what was open may be dead without a sign.
        """
        before = self._state
        now = asyncio.get_running_loop().time()
        same = state.phase is before.phase or (state.usable and before.usable)  # a suspicion ends nothing
        state = msgspec.structs.replace(state, since=before.since if same else now)
        if state == before:
            return
        self._state = state
        if state.server_version and state.server_version != before.server_version:
            for _, reflector in self.reflectors:
                reflector.forget_fallback()
        self._regulate()
        if state.usable:
            self._was_usable.set()
            if not before.usable or state.phase is states.Phase.READY:
                self._reconnect(only_failing=before.usable)
        if state.phase is not states.Phase.READY:
            self.queue.pause()
        elif before.phase is not states.Phase.READY:
            self.queue.resume()
        self._tell()

    def _regulate(self) -> None:
        if self._client is not None and not self._held and self._state.phase is states.Phase.READY:
            self._open.set()
        else:
            self._open.clear()

    def _reconnect(self, *, only_failing: bool = False) -> None:
        for _, reflector in self.reflectors:
            if not only_failing or reflector.state.phase is Phase.FAILING:
                reflector.reconnect()

    @property
    def settling(self) -> bool:
        """Whether this is only the beginning: nothing has failed, and not everything has been seen once."""
        if self._state.reason is Reason.CONNECTING:
            return True
        return self._state.usable and any(
            not reflector.store.synced and reflector.state.phase in (Phase.STARTING, Phase.SYNCING)
            for _, reflector in self.reflectors
        )

    def untold(self) -> list[tuple[Resource, Phase]]:
        """Kinds that this cluster does not serve (``ABSENT``) or does not let us watch (``FORBIDDEN``)."""
        return [
            (resource, reflector.state.phase)
            for resource, reflector in self.reflectors
            if reflector.state.phase in _UNTOLD
        ]

    def failing(self) -> int:
        """How many watches fail now."""
        return sum(reflector.state.phase is Phase.FAILING for _, reflector in self.reflectors)

    async def wait_first_usable(self) -> None:
        """Return once the cluster has been usable for the first time."""
        await self._was_usable.wait()

    async def watch(self, rng: Random, on_restart: RestartObserver | None = None) -> None:
        """Run one task for every kind watched, for ever."""
        async with asyncio.TaskGroup() as group:
            for resource, reflector in self.reflectors:
                name = f"watch {resource} in {self.context or 'control plane'}"
                group.create_task(keep_running(name, reflector.run, rng=rng, on_restart=on_restart), name=name)

    def _watch_changed(self, resource: Resource, namespace: str, state: State) -> None:
        if state.phase is not Phase.SYNCING:
            # What is wrong with the way to a remote cluster is told once, by the connection, and not by every watch.
            quiet = state.phase in (Phase.STARTING, Phase.LIVE) or (self.context and isinstance(state.error, _AWAY))
            log = _log.debug if quiet else _log.warning
            log(
                "watch is " + state.phase,
                cluster=self.context,
                kind=resource.kind,
                namespace=namespace,
                error=None if state.error is None else str(state.error),
            )
        self._tell()

    def _tell(self) -> None:
        for listener in self._state_listeners:
            listener(self)
