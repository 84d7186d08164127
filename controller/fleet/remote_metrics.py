"""Figures of remote clusters, read at a scrape; what is gone from the pool is gone from them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from controller.engine.clock import Clock
from controller.fleet import expiry
from controller.fleet.connection import Connection
from controller.fleet.member import Member
from controller.fleet.pool import Pool
from controller.fleet.state import Phase
from controller.observability.metrics import PREFIX

REMOTE: Final = PREFIX + "remote_cluster_"

_Connected: TypeAlias = tuple[Member, Connection]


class RemoteMetrics:
    """The families ``remote_cluster_*``, with the label ``context``. To be collected in the loop's thread."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        members = [(member, member.connection) for member in self._pool.members() if member.connection is not None]
        yield from self._state(members)
        yield from self._times(members)
        yield from self._counters(members)
        yield from self._credentials(members)

    def _state(self, members: list[_Connected]) -> Iterator[Metric]:
        phases = GaugeMetricFamily(REMOTE + "state", "1 for the phase that it is in.", labels=["context", "state"])
        up = GaugeMetricFamily(REMOTE + "up", "1 while the cluster is connected and usable.", labels=["context"])
        for member, _ in members:
            assert member.cluster is not None
            state = member.cluster.state
            for phase in Phase:
                phases.add_metric([member.context, phase], 1 if phase is state.phase else 0)
            up.add_metric([member.context], 1 if state.usable else 0)
        yield phases
        yield up

    def _times(self, members: list[_Connected]) -> Iterator[Metric]:
        last = _gauge("last_success_timestamp_seconds", "When the cluster last answered.")
        retry = _gauge("next_retry_timestamp_seconds", "When a cluster that is away is tried next.")
        probe = _gauge("probe_duration_seconds", "How long the last look at the cluster took.")
        offset = self._clock.now().timestamp() - asyncio.get_running_loop().time()
        for member, connection in members:
            counters = connection.counters
            if counters.last_success is not None:
                last.add_metric([member.context], offset + counters.last_success)
            if counters.next_retry is not None:
                retry.add_metric([member.context], offset + counters.next_retry)
            if counters.probe_seconds:
                probe.add_metric([member.context], counters.probe_seconds)
        yield from (last, retry, probe)

    def _counters(self, members: list[_Connected]) -> Iterator[Metric]:
        attempts = _counter("connect_attempts", "Looks at the cluster, by what came of them.", "result")
        failures = _counter("probe_failures", "Looks over the connection in use that failed, by cause.", "class")
        moves = _counter("state_transitions", "Changes of phase.", "from", "to")
        waited = _counter("throttle_wait_seconds", "Seconds that requests have waited for the cluster's own bucket.")
        throttled = _counter("server_throttled", "Answers of the server that asked to be left alone for a while.")
        renewed = _counter("token_renewals", "Tokens asked for before the present one ends.", "result")
        for member, connection in members:
            counters = connection.counters
            for result, count in counters.attempts.items():
                attempts.add_metric([member.context, result], count)
            for cause, count in counters.probe_failures.items():
                failures.add_metric([member.context, cause], count)
            for (before, after), count in counters.transitions.items():
                moves.add_metric([member.context, before, after], count)
            waited.add_metric([member.context], member.bucket.waited)
            throttled.add_metric([member.context], member.bucket.throttled)
            for result, count in member.renewals.items():
                renewed.add_metric([member.context, result], count)
        yield from (attempts, failures, moves, waited, throttled, renewed)

    def _credentials(self, members: list[_Connected]) -> Iterator[Metric]:
        ends = _gauge("credentials_expiry_timestamp_seconds", "When the credentials end, of those that do.")
        soon = _gauge("credentials_expire_soon", "1 from when on people are warned that the credentials end.")
        now = self._clock.now().timestamp()
        for member, _ in members:
            if (found := expiry.of_member(member)) is not None:
                ends.add_metric([member.context], found.ends)
                soon.add_metric([member.context], 1 if now >= expiry.warn_at(found) else 0)
        yield from (ends, soon)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(REMOTE + name, text, labels=["context"])


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(REMOTE + name, text, labels=["context", *labels])
