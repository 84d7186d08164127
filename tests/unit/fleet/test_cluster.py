from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import msgspec
import pytest

from controller.engine.worker import Item
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import LISTS_AT_ONCE, Cluster
from controller.fleet.state import ClusterState, Phase, Reason
from controller.kube.client import Client
from controller.kube.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from controller.kube.transport import LineStream, Request, Response

pytestmark = pytest.mark.looptime

KINDS = (CONFIG_MAPS, PODS, SECRETS, SERVICES, EVENTS, SERVICE_ACCOUNTS, NAMESPACES, ENDPOINT_SLICES)
READY = ClusterState(True, Reason.CONNECTED)
SUSPECT = ClusterState(True, Reason.CONNECTED, phase=Phase.SUSPECT)
AWAY = ClusterState(False, Reason.UNREACHABLE, "connection refused")
ITEM = Item("Kind", "ns", "name", "east")


class Silence:
    """A server that accepts every watch and never says anything; a stream ends when it is told to."""

    def __init__(self) -> None:
        self.opened = 0
        self.ends = asyncio.Event()

    async def request(self, request: Request) -> Response:
        raise AssertionError("nothing is asked for")

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        self.opened += 1
        return self

    async def read(self) -> list[bytes]:
        await self.ends.wait()
        return []

    async def close(self) -> None:
        pass


@pytest.fixture
async def server() -> Silence:
    return Silence()


@pytest.fixture
async def cluster(server: Silence) -> AsyncIterator[Cluster]:
    """A cluster whose lists are all in, but which has no state yet."""
    made = Cluster("east", [WatchSpec(kind) for kind in KINDS], (), Random(0))
    made.connect(Client(server))
    watching = asyncio.ensure_future(made.watch(Random(0)))
    yield made
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def listed(cluster: Cluster) -> None:
    for _, reflector in cluster.reflectors:
        reflector.store.replace([], "1")
        reflector._progress._list_needed = False


async def opened(server: Silence) -> int:
    """How many watches have begun by now."""
    await asyncio.sleep(0.1)
    return server.opened


async def test_no_watch_begins_before_the_cluster_is_ready(cluster: Cluster, server: Silence) -> None:
    listed(cluster)
    for state in (SUSPECT, AWAY, SUSPECT):
        cluster.update(state)
        assert await opened(server) == 0
    cluster.update(READY)
    assert await opened(server) == len(KINDS)


async def test_few_lists_are_under_way_at_once(cluster: Cluster, server: Silence) -> None:
    cluster.update(READY)
    assert await opened(server) == LISTS_AT_ONCE


async def test_open_watches_stay_while_a_cluster_is_suspect_and_begin_anew_after_it_was_away(
    cluster: Cluster, server: Silence
) -> None:
    listed(cluster)
    for state in (READY, SUSPECT, READY, SUSPECT, AWAY):
        cluster.update(state)
        assert await opened(server) == len(KINDS)
    cluster.update(READY)
    assert await opened(server) == 2 * len(KINDS)


async def test_watches_that_end_wait_for_the_cluster_and_not_for_a_timer(cluster: Cluster, server: Silence) -> None:
    listed(cluster)
    cluster.update(READY)
    assert await opened(server) == len(KINDS)
    cluster.update(AWAY)
    server.ends.set()
    await asyncio.sleep(3600.0)
    assert await opened(server) == len(KINDS)
    server.ends.clear()
    cluster.update(READY)
    assert await opened(server) == 2 * len(KINDS)


async def test_held_watches_begin_when_they_are_released(cluster: Cluster, server: Silence) -> None:
    listed(cluster)
    cluster.hold()
    cluster.update(READY)
    assert await opened(server) == 0
    cluster.release()
    assert await opened(server) == len(KINDS)


async def test_no_change_begins_unless_the_cluster_is_ready(cluster: Cluster) -> None:
    cluster.queue.add(ITEM)
    taken = asyncio.ensure_future(cluster.queue.get())
    for state in (AWAY, SUSPECT):
        cluster.update(state)
        await asyncio.sleep(1.0)
        assert not taken.done()
    cluster.update(READY)
    assert await taken == ITEM


async def test_since_is_when_the_phase_began(cluster: Cluster) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(5.0)
    cluster.update(AWAY)
    begun = loop.time()
    await asyncio.sleep(5.0)
    cluster.update(msgspec.structs.replace(AWAY, message="no route"))
    assert (cluster.state.since, cluster.state.message) == (begun, "no route")
    cluster.update(READY)
    begun = loop.time()
    for state in (SUSPECT, READY):
        await asyncio.sleep(5.0)
        cluster.update(state)
        assert cluster.state.since == begun  # nothing has begun or ended


async def test_a_repeated_state_is_no_news(cluster: Cluster) -> None:
    told: list[Phase] = []
    cluster.on_state(lambda one: told.append(one.state.phase))
    for state in (READY, READY, SUSPECT, SUSPECT, READY):
        cluster.update(state)
        await asyncio.sleep(1.0)
    assert [phase for phase in told if phase is not Phase.READY] == [Phase.SUSPECT]


def test_a_suspect_cluster_is_shown_as_it_was() -> None:
    assert SUSPECT.shown == READY.shown
    assert msgspec.structs.replace(READY, since=5.0).shown == READY.shown
    assert AWAY.shown != READY.shown


@pytest.mark.parametrize(
    ("reason", "phase"),
    [
        (Reason.UNREACHABLE, Phase.UNREACHABLE),
        (Reason.TLS_ERROR, Phase.UNREACHABLE),
        (Reason.UNAUTHORIZED, Phase.AUTH_FAILED),
        (Reason.FORBIDDEN, Phase.FORBIDDEN),
        (Reason.SECRET_NOT_FOUND, Phase.CONFIG_INVALID),
        (Reason.KUBECONFIG_MALFORMED, Phase.CONFIG_INVALID),
        (Reason.IDENTITY_CHANGED, Phase.IDENTITY_MISMATCH),
        (Reason.SAME_CLUSTER, Phase.IDENTITY_MISMATCH),
        (Reason.CONNECTING, Phase.UNKNOWN),
    ],
)
def test_a_reason_implies_a_phase_unless_one_is_given(reason: Reason, phase: Phase) -> None:
    assert ClusterState(False, reason).phase is phase
    assert ClusterState(False, reason, phase=Phase.PAUSED).phase is Phase.PAUSED
