"""What the fleet looks like at the moment of a scrape: read then, so that it costs nothing in between."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.engine.clock import Clock
from controller.engine.events import EventRecorder
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.fleet.remote_metrics import RemoteMetrics
from controller.fleet.status import ClientConfigStatus
from controller.kube.projection import Projection
from controller.kube.resources import Resource
from controller.observability.metrics import PREFIX

_CONTEXT: Final = ["context"]
_KIND: Final = ["context", "resource"]
_WATCH: Final = ["context", "resource", "reason"]


class _Syncs(msgspec.Struct):
    """How long the first list of each kind took; ``begun``: loop time."""

    begun: float
    seconds: dict[Resource, float] = msgspec.field(default_factory=dict)


class FleetCollector(Collector):
    """Clusters, their queues and watches. To be collected in the loop's thread, while the loop runs.

    ``projections``: by kind, what the installed CRDs drop of a status.
    """

    def __init__(
        self,
        pool: Pool,
        configs: ClientConfigStatus,
        recorder: EventRecorder,
        clock: Clock,
        projections: Mapping[str, Projection],
    ) -> None:
        self._pool = pool
        self._configs = configs
        self._recorder = recorder
        self._remotes = RemoteMetrics(pool, clock)
        self._syncs: WeakKeyDictionary[Cluster, _Syncs] = WeakKeyDictionary()
        self._projections = projections

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._queues()
        yield from self._watches()
        yield from self._ages()
        yield from self._remotes.collect()
        yield GaugeMetricFamily(
            PREFIX + "client_configs_restart_required",
            "ClientConfigs that were created, changed or deleted since the start, which takes effect at the next.",
            value=self._configs.restart_required,
        )
        dropped = GaugeMetricFamily(
            PREFIX + "status_fields_dropped",
            "Fields of a status that the installed CRD has no room for; events carry what they would say.",
            labels=["kind"],
        )
        for kind, projection in self._projections.items():
            dropped.add_metric([kind], len(projection.dropped))
        yield dropped
        yield CounterMetricFamily(
            PREFIX + "events_dropped", "Kubernetes Events that were not sent.", value=self._recorder.dropped
        )

    def _queues(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily(PREFIX + "queue_depth", "Items that wait for a worker.", labels=_CONTEXT)
        parked = GaugeMetricFamily(
            PREFIX + "queue_parked", "Items that wait for a cluster to be back.", labels=_CONTEXT
        )
        working = GaugeMetricFamily(PREFIX + "inflight_reconciles", "Items that are at a worker.", labels=_CONTEXT)
        for cluster in self._pool:
            depth.add_metric([cluster.context], cluster.queue.depth)
            parked.add_metric([cluster.context], cluster.queue.parked)
            working.add_metric([cluster.context], cluster.queue.processing)
        yield from (depth, parked, working)

    def _watches(self) -> Iterator[Metric]:
        restarts: Counter[tuple[str, str, str]] = Counter()  # of all namespaces together
        relists: Counter[tuple[str, str, str]] = Counter()
        cached: Counter[tuple[str, str]] = Counter()
        for cluster in self._pool:
            for resource, reflector in cluster.reflectors:
                where = (cluster.context, resource.name)
                cached[where] += reflector.store.size
                for reason, count in reflector.counters.restarts.items():
                    restarts[*where, reason] += count
                for reason, count in reflector.counters.relists.items():
                    relists[*where, reason] += count
        objects = GaugeMetricFamily(PREFIX + "cached_objects", "Objects in memory.", labels=_KIND)
        for place, number in cached.items():
            objects.add_metric(place, number)
        yield objects
        yield _counted("watch_restarts", "Watches that ended, by cause.", restarts)
        yield _counted("relists", "Full lists after the first, by cause.", relists)

    def _ages(self) -> Iterator[Metric]:
        streams = GaugeMetricFamily(
            PREFIX + "watch_streams", "Watches, by what they are in.", labels=["context", "resource", "state"]
        )
        ages = GaugeMetricFamily(
            PREFIX + "watch_last_event_age_seconds", "Since a watch brought the last event or bookmark.", labels=_KIND
        )
        firsts = GaugeMetricFamily(
            PREFIX + "initial_sync_seconds", "From the beginning of a cluster to its first complete list.", labels=_KIND
        )
        now = asyncio.get_running_loop().time()
        for cluster in self._pool:
            phases: Counter[tuple[str, str]] = Counter()
            heard: dict[str, float] = {}
            for resource, reflector in cluster.reflectors:
                phases[resource.name, reflector.state.phase] += 1
                heard[resource.name] = min(heard.get(resource.name, math.inf), reflector.store.last_heard)
            for (name, phase), count in phases.items():
                streams.add_metric([cluster.context, name, phase], count)
            for name, at in heard.items():
                if at > -math.inf:
                    ages.add_metric([cluster.context, name], now - at)
            if (syncs := self._syncs.get(cluster)) is not None:
                for resource, seconds in syncs.seconds.items():
                    firsts.add_metric([cluster.context, resource.name], seconds)
        yield from (streams, ages, firsts)

    # ── what has to be noted when it happens ────────────────────────────────────────────────────────

    def begun(self, cluster: Cluster) -> None:
        """Note that a cluster is begun with now."""
        self._syncs[cluster] = _Syncs(asyncio.get_running_loop().time())

    def visited(self, cluster: Cluster) -> None:
        """Note what of a cluster has been listed for the first time."""
        syncs = self._syncs.get(cluster)
        if syncs is None or len(syncs.seconds) == len(cluster.cache.stores):
            return
        now = asyncio.get_running_loop().time()
        for resource in cluster.cache.stores:
            if resource not in syncs.seconds and cluster.cache.synced(resource):
                syncs.seconds[resource] = now - syncs.begun


def _counted(name: str, text: str, counts: Counter[tuple[str, str, str]]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=_WATCH)
    for place, count in counts.items():
        family.add_metric(place, count)
    return family
