"""What is counted as it happens, in one registry of its own; what can be read at a scrape is not kept twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from controller.observability.exposition import ByContext, pieces

PREFIX: Final = "k8ssandra_controller_"
_CODES: Final = frozenset(str(status.value) for status in HTTPStatus)
_SECONDS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0)  # each is a series for every verb in every cluster


class Metrics:
    """The metrics, as attributes. Labels have few values: contexts, kinds, verbs, codes; never object names."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.gone: set[str] = set()  # contexts that were forgotten
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.reconciles = _counter(registry, "reconciles", "Finished reconciles by outcome.", "kind", "outcome")
        self.reconcile_seconds = _histogram(registry, "reconcile_seconds", "Duration of a reconcile.", "kind")
        self.requests = _counter(
            registry,
            "api_requests",
            "Requests to API servers by status code, or by the error's class when there was no response.",
            "verb",
            "resource",
            "code",
        )
        self.request_seconds = _histogram(
            registry, "api_request_seconds", "Duration of a request; of a watch, until it was open.", "verb"
        )
        self.task_restarts = _counter(registry, "task_restarts", "Tasks that died and were started again.", "task")
        self.admission_reviews = Counter(
            PREFIX + "admission_reviews",
            "Reviews that API servers asked for, by what was answered.",
            ["outcome"],
            registry=registry,
        )
        self.admission_seconds = Histogram(
            PREFIX + "admission_seconds", "Duration of a review.", buckets=_SECONDS, registry=registry
        )
        self.webhook_certificates = Counter(
            PREFIX + "webhook_certificates",
            "New certificates of the webhook, by whether they could be used.",
            ["outcome"],
            registry=registry,
        )
        self.webhook_certificate_end = Gauge(
            PREFIX + "webhook_certificate_expiry_timestamp_seconds",
            "When the certificate of the webhook ends; 0 while there is none.",
            registry=registry,
        )

    def observer(self, context: str) -> Requests:
        """A ``kube.client.RequestObserver`` for one cluster."""
        self.gone.discard(context)
        return Requests(self, context)

    def forget(self, context: str) -> None:
        """Drop every series of a context that is no more; a request that ends only now makes none again."""
        self.gone.add(context)
        by_context: tuple[ByContext[Any], ...] = (
            self.reconciles,
            self.reconcile_seconds,
            self.requests,
            self.request_seconds,
            self.task_restarts,
        )
        for metric in by_context:
            metric.forget(context)

    def render(self) -> Iterator[bytes]:
        """The exposition text, in pieces between which others may have their turn."""
        return pieces(self.registry)


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> ByContext[Counter]:
    return ByContext(registry, partial(Counter, PREFIX + name, text, ["context", *labels], registry=None))


def _histogram(registry: CollectorRegistry, name: str, text: str, *labels: str) -> ByContext[Histogram]:
    """Of seconds."""
    labels = ("context", *labels)
    return ByContext(registry, partial(Histogram, PREFIX + name, text, labels, buckets=_SECONDS, registry=None))


class Requests:
    """Counts the requests of one cluster; its children are bound once, which is four times as fast."""

    def __init__(self, metrics: Metrics, context: str) -> None:
        self._metrics = metrics
        self._context = context
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def __call__(self, verb: str, resource: str, outcome: str, seconds: float) -> None:
        if self._context in self._metrics.gone:
            return
        if outcome.isdecimal() and outcome not in _CODES:
            outcome = f"{outcome[0]}xx"  # a server may answer whatever it likes
        key = (verb, resource, outcome)
        if (counter := self._counters.get(key)) is None:
            counter = self._counters[key] = self._metrics.requests.labels(self._context, *key)
        counter.inc()
        if (histogram := self._histograms.get(verb)) is None:
            histogram = self._histograms[verb] = self._metrics.request_seconds.labels(self._context, verb)
        histogram.observe(seconds)
