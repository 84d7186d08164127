"""Metrics of many clusters written down piece by piece: a scrape must not hold up the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics, generate_latest
from prometheus_client.registry import Collector

AT_ONCE: Final = 250  # samples; writing them down takes some 3 ms, and there are 20,000 and more with 200 clusters

# When a series began: one series more for each counter and histogram, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

M = TypeVar("M", Counter, Histogram)


class ByContext(Collector, Generic[M]):
    """One metric whose first label is a context, kept for each context apart, so that it is collected bit by bit.

    ``make`` makes it, in no registry.
    """

    def __init__(self, registry: CollectorRegistry, make: Callable[[], M]) -> None:
        self._make: Callable[[], M] = make
        self._metrics: dict[str, M] = {}
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: the registry then does not collect to learn the names."""
        return []

    def labels(self, context: str, *values: str) -> M:
        """The series with these values."""
        metric = self._metrics.get(context)
        if metric is None:
            metric = self._metrics[context] = self._make()
        return metric.labels(context, *values)

    def forget(self, context: str) -> None:
        """Drop every series of a context."""
        self._metrics.pop(context, None)

    def collect(self) -> Iterator[Metric]:
        """The family once for each context; what it is about is said once, if there is none."""
        for metric in tuple(self._metrics.values()) or (self._make(),):
            yield from metric.collect()


def pieces(registry: CollectorRegistry) -> Iterator[bytes]:
    """The exposition text, in pieces between which others may have their turn."""
    last = ""
    for family in registry.collect():
        samples = family.samples
        for start in range(0, max(len(samples), 1), AT_ONCE):
            piece = Metric(family.name, family.documentation, family.type, family.unit)
            piece.samples = samples[start : start + AT_ONCE]
            text = generate_latest(_Only(piece))
            yield text if family.name != last else text.split(b"\n", 2)[2]  # what a family is about is said once
            last = family.name


class _Only(Collector):
    """One family, as a registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family
