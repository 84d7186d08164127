"""What the fleet looks like at the moment of a scrape: read then, so that it costs nothing in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.engine.clock import Clock
from controller.engine.events import EventRecorder
from controller.fleet.pool import LOCAL, Pool
from controller.fleet.status import ClientConfigStatus
from controller.kube.projection import Projection
from controller.observability.metrics import PREFIX

_CONTEXT: Final = ["context"]
_WATCH: Final = ["context", "resource", "reason"]


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
        self._clock = clock
        self._projections = projections

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._queues()
        yield from self._watches()
        yield from self._remotes()
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
        for cluster in self._pool:
            depth.add_metric([cluster.context], cluster.queue.depth)
            parked.add_metric([cluster.context], cluster.queue.parked)
        yield depth
        yield parked

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
        objects = GaugeMetricFamily(PREFIX + "cached_objects", "Objects in memory.", labels=_WATCH[:2])
        for place, number in cached.items():
            objects.add_metric(place, number)
        yield objects
        yield _counted("watch_restarts", "Watches that ended, by cause.", restarts)
        yield _counted("relists", "Full lists after the first, by cause.", relists)

    def _remotes(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            PREFIX + "remote_cluster_up", "1 while the cluster is connected and usable.", labels=_CONTEXT
        )
        last = GaugeMetricFamily(
            PREFIX + "remote_cluster_last_success_timestamp_seconds", "When the cluster last answered.", labels=_CONTEXT
        )
        wall, monotonic = self._clock.now().timestamp(), asyncio.get_running_loop().time()
        for cluster in self._pool:
            if cluster.context == LOCAL:
                continue
            up.add_metric([cluster.context], 1 if cluster.state.usable else 0)
            if cluster.answered_at is not None:
                last.add_metric([cluster.context], wall - (monotonic - cluster.answered_at))
        yield up
        yield last
        yield GaugeMetricFamily(
            PREFIX + "client_configs_restart_required",
            "ClientConfigs that were created, changed or deleted since the start, which takes effect at the next.",
            value=self._configs.restart_required,
        )


def _counted(name: str, text: str, counts: Counter[tuple[str, str, str]]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=_WATCH)
    for place, count in counts.items():
        family.add_metric(place, count)
    return family
