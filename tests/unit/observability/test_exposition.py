from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from controller.observability.exposition import AT_ONCE, ByContext, pieces

CONTEXTS = [f"context-{number}" for number in range(2 * AT_ONCE)]


def counters(registry: CollectorRegistry | None) -> Counter:
    return Counter("asked", "What was asked.", ["context", "verb"], registry=registry)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Two metrics by context and two others, one of them without any series."""
    made = CollectorRegistry()
    by_context = ByContext(made, lambda: counters(None))
    timed = ByContext(made, lambda: Histogram("seconds", "How long.", ["context"], buckets=(1.0,), registry=None))
    for context in CONTEXTS:
        by_context.labels(context, "get").inc()
        timed.labels(context).observe(0.5)
    Gauge("queue", "How\nmuch.", registry=made).set(3)
    Gauge("empty", "Nothing yet.", ["context"], registry=made)
    return made


def test_the_pieces_are_what_the_library_says_of_the_same_series(registry: CollectorRegistry) -> None:
    same = CollectorRegistry()
    asked, timed = counters(same), Histogram("seconds", "How long.", ["context"], buckets=(1.0,), registry=same)
    for context in CONTEXTS:
        asked.labels(context, "get").inc()
        timed.labels(context).observe(0.5)
    Gauge("queue", "How\nmuch.", registry=same).set(3)
    Gauge("empty", "Nothing yet.", ["context"], registry=same)
    assert b"".join(pieces(registry)) == generate_latest(same)


def test_no_piece_is_long(registry: CollectorRegistry) -> None:
    found = list(pieces(registry))
    assert len(found) > len(CONTEXTS)
    assert max(piece.count(b"\n") for piece in found) <= AT_ONCE + 2


def test_a_family_of_one_collector_is_cut_too() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("queue", "How much.", ["context"], registry=registry)
    for context in CONTEXTS:
        gauge.labels(context).set(1)
    assert len(list(pieces(registry))) == 2
    assert b"".join(pieces(registry)) == generate_latest(registry)


def test_a_metric_without_a_series_is_described() -> None:
    registry = CollectorRegistry()
    ByContext(registry, lambda: counters(None))
    assert b"# TYPE asked_total counter\n" in b"".join(pieces(registry))


def test_a_context_that_is_forgotten_is_not_told() -> None:
    registry = CollectorRegistry()
    asked = ByContext(registry, lambda: counters(None))
    for context in ("east", "west"):
        asked.labels(context, "get").inc()
    asked.forget("east")
    asked.forget("east")
    assert b'asked_total{context="west",verb="get"} 1.0\n' in (text := b"".join(pieces(registry)))
    assert b"east" not in text
