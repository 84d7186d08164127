"""The validating webhook as a whole: its certificate, its endpoint, and what the process says about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from controller.admission.certificate import Certificate, Outcome
from controller.admission.review import Rules
from controller.admission.server import serve
from controller.cassandra.judgement import Contexts
from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.types import K8ssandraCluster
from controller.fleet.member import read
from controller.fleet.pool import Pool
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.errors import Malformed
from controller.observability.metrics import Metrics
from controller.settings import Settings


class Webhook:
    """One webhook, as the settings say. It runs whether the process leads or not.

    ``port`` is 0 until it serves.
    """

    def __init__(self, settings: Settings, pool: Pool, metrics: Metrics) -> None:
        self.port = 0
        self._address = settings.webhook_address
        self._folder = settings.webhook_certificates
        self.rules: Final = Rules(
            partial(usable_contexts, pool), settings.watch_namespaces, partial(known_clusters, pool)
        )
        self._metrics = metrics
        self._certificate: Final = Certificate(self._folder, self._certificate_came)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve while the block runs; ``follow`` has to run beside it."""
        self._certificate.refresh()
        async with serve(self._address, self._certificate, self.rules, self._metrics) as self.port:
            yield

    async def follow(self) -> None:
        """Take over new certificates, for ever."""
        await self._certificate.follow()

    def waiting_for(self) -> list[str]:
        """What is missing before it can answer, [] when nothing is."""
        return [] if self._certificate.usable else [f"the webhook's certificate in {self._folder}"]

    def _certificate_came(self, outcome: Outcome) -> None:
        self._metrics.webhook_certificates.labels(outcome).inc()
        if self._certificate.ends is not None:
            self._metrics.webhook_certificate_end.set(self._certificate.ends)


def usable_contexts(pool: Pool) -> Contexts | None:
    """Which contexts a K8ssandraCluster may name now.

    None until the ClientConfigs have been read: an unknown context means nothing before that.
    """
    if not pool.built:
        return None
    registered = {read(config).context for config in pool.local.cache.objects(CLIENT_CONFIGS)}
    return Contexts(frozenset(cluster.context for cluster in pool), frozenset(registered - {""}))


def known_clusters(pool: Pool) -> Iterator[K8ssandraCluster]:
    """The K8ssandraClusters of the watched namespaces that can be read."""
    for found in pool.local.cache.objects(K8SSANDRA_CLUSTERS):
        with suppress(Malformed):
            yield found.decode(K8ssandraCluster)
