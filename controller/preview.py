"""The controller's eyes without its hands: what it would do for a K8ssandraCluster, found out by reading only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, Final

import anyio
import msgspec

from controller.cassandra.forecast import Forecast, forecast
from controller.cassandra.observe import Renderings, away, contexts, known, observe, read
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.snapshot import Snapshot
from controller.cassandra.sources import Sources
from controller.cassandra.stale_seeds import StaleSeeds
from controller.cassandra.types import K8ssandraCluster
from controller.engine.clock import SystemClock
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.fleet.state import Reason
from controller.kube import objects
from controller.kube.credentials import Credentials
from controller.kube.errors import ClusterUnavailable, KubeError
from controller.kube.objects import Object
from controller.kube.read_only import ReadOnly
from controller.replication.contents import Contents
from controller.settings import Settings
from controller.supervisor import Controller, MakeTransport

_UNBORN: Final = "unborn"  # stands for the UID of an object that does not exist yet


class Preview:
    """A controller that looks on. Times are in seconds."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    @property
    def pool(self) -> Pool:
        """The control plane's cluster, and those of the ClientConfigs."""
        return self._controller.pool

    def everything(self) -> list[Object]:
        """Every K8ssandraCluster that is watched, by namespace and name."""
        found = self._controller.local.cache.objects(K8SSANDRA_CLUSTERS)
        return sorted(found, key=lambda each: (each.head.namespace, each.head.name))

    def live(self, namespace: str, name: str) -> Object | None:
        """The K8ssandraCluster as it is now."""
        return self._controller.local.cache.get(K8SSANDRA_CLUSTERS, namespace, name)

    async def forecast(self, found: Object, *, within: float) -> Forecast:
        """What would be done for ``found``, which need not exist.

        Waits until the clusters that it names were seen or are known to be away, but not longer than ``within``.
        Raises ``Malformed`` when it cannot be read.
        """
        return forecast(*await self.observe(found, within=within))

    async def observe(self, found: Object, *, within: float) -> tuple[Snapshot, Renderings]:
        """What there is of ``found``, and what it means; as for ``forecast``."""
        pool = self._controller.pool
        await self.wait_for(contexts(read(found)), within=within)
        wanted, contents = read(found), Contents(pool.local)
        sources = Sources(pool, contents, self._controller.images(), foreseeing=True)
        for context in contexts(wanted):
            with suppress(KubeError):  # what cannot be read is not known, and the forecast says so
                await sources.refresh(wanted, context)
        renderings = Renderings(sources)
        snapshot = observe(pool, found, renderings, ())
        stale, _ = StaleSeeds(SystemClock()).look(snapshot)
        return msgspec.structs.replace(snapshot, stale=stale), renderings

    async def wait_for(self, named: Iterable[str], *, within: float) -> None:
        """Wait until clusters were seen or are known to be away, by their contexts, but not longer than ``within``."""
        with suppress(TimeoutError):  # what is not known by then is waited for, and said so
            async with asyncio.timeout(within):
                for context in named:
                    if (cluster := self._controller.pool.get(context)) is not None:
                        await self._seen(cluster)

    async def _seen(self, cluster: Cluster) -> None:
        changed = asyncio.Event()
        cluster.on_state(lambda _: changed.set())
        while not known(cluster):
            lost = cluster.state.reason is not Reason.CONNECTING
            if lost and away(self._controller.pool, cluster.context) is not None:
                return
            await changed.wait()
            changed.clear()


@asynccontextmanager
async def preview(
    settings: Settings,
    credentials: Credentials,
    make_transport: MakeTransport,
    *,
    rng: Random,
    within: float,
    asks: bool = False,
) -> AsyncIterator[Preview]:
    """A preview whose control plane is known; raises ``ClusterUnavailable`` when it is not within so many seconds.

    Nothing can be written: every connection is ``ReadOnly``, and no reconcile ever runs. ``asks``: API servers may be
    asked what the credentials are allowed to do.
    """

    def reading(credentials: Credentials, *, remote: bool) -> ReadOnly:
        return ReadOnly(make_transport(credentials, remote=remote), asks=asks)

    quiet = msgspec.structs.replace(
        settings, workers=0, metrics_address="", health_address="", webhook_address="", renew_tokens=False
    )
    controller = Controller(quiet, credentials, reading, rng=rng)
    async with anyio.create_task_group() as group:
        group.start_soon(controller.run)
        try:
            async with asyncio.timeout(within):
                await controller.started.wait()
        except TimeoutError:
            group.cancel_scope.cancel()
            raise ClusterUnavailable("", _why(controller, within)) from None
        try:
            yield Preview(controller)
        finally:
            group.cancel_scope.cancel()


def _why(controller: Controller, within: float) -> str:
    causes = [str(reflector.state.error) for _, reflector in controller.local.reflectors if reflector.state.error]
    missing = ", ".join(controller.waiting_for())
    return f"not within {within:g} s: {missing}" + (f" ({causes[0]})" if causes else "")


def desired(manifest: Mapping[str, Any], live: Object | None) -> Object:
    """A K8ssandraCluster as it would be after ``kubectl apply`` of ``manifest`` onto ``live``.

    Of the live one its identity, status, and what others put on it stay. Raises ``Malformed``.
    """
    metadata = dict(manifest["metadata"])
    if live is None:
        return _made({**manifest, "metadata": {**metadata, "uid": _UNBORN, "generation": 1}})
    before = live.decode(dict)
    merged = dict(before["metadata"])
    for key in ("labels", "annotations"):
        merged[key] = {**(merged.get(key) or {}), **(metadata.get(key) or {})}
    after = _made({**before, "spec": manifest.get("spec"), "metadata": merged})
    if after.decode(K8ssandraCluster).spec != live.decode(K8ssandraCluster).spec:
        merged["generation"] = live.head.generation + 1
        return _made({**after.decode(dict), "metadata": merged})
    return after


def _made(document: Mapping[str, Any]) -> Object:
    found = objects.parse(objects.encode(document))
    found.decode(K8ssandraCluster)
    return found
