from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from controller.fleet.actions import Delete, MustWait, ObserveAgain, perform
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.freshness import LIST_WAIT, STALE_AFTER, Ground, stale
from controller.fleet.state import ClusterState, Phase, Reason
from controller.kube import errors
from controller.kube.client import Client
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, SECRETS
from controller.kube.transport import LineStream, Request, Response
from controller.sandbox.apiserver import ApiServer, Fault, InProcessTransport, Link
from tests.unit.fleet.world import eventually

pytestmark = pytest.mark.looptime

READY = ClusterState(True, Reason.CONNECTED)
SUSPECT = ClusterState(True, Reason.CONNECTED, phase=Phase.SUSPECT)
AWAY = ClusterState(False, Reason.UNREACHABLE, "nobody answers")


class Switch:
    """A way that leads to whichever server a test says, and counts what passes."""

    def __init__(self, server: ApiServer) -> None:
        self.link = Link()
        self.passed: list[tuple[str, str]] = []
        self.lead_to(server)

    def lead_to(self, server: ApiServer) -> None:
        self._inner = InProcessTransport(server, server.admin_token, link=self.link)

    async def request(self, request: Request) -> Response:
        self.passed.append((request.method, request.path))
        return await self._inner.request(request)

    async def stream(self, request: Request, *, silence: float) -> Response | LineStream:
        initial = dict(request.query).get("sendInitialEvents")
        self.passed.append(("LIST" if initial else "WATCH", request.path))
        return await self._inner.stream(request, silence=silence)

    async def close(self) -> None:
        await self._inner.close()


class World:
    """One cluster with two kinds in its caches, and a ConfigMap that is to be deleted."""

    def __init__(self) -> None:
        self.server = ApiServer(rng=Random(1))
        self.way = Switch(self.server)
        self.cluster = Cluster("dc-1", [WatchSpec(CONFIG_MAPS), WatchSpec(SECRETS)], (), Random(1))
        self.ground = Ground(self.cluster)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and fill the caches: in the test's own time, which is not the fixtures'."""
        self.cluster.connect(Client(self.way))
        self.cluster.update(READY)
        self._watching = asyncio.create_task(self.cluster.watch(Random(1)))
        await eventually(lambda: not self.cluster.cache.unsynced(), "the cluster is cached")

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def admin(self, server: ApiServer | None = None) -> Client:
        server = server or self.server
        return Client(InProcessTransport(server, server.admin_token))

    async def put(self, name: str = "it", server: ApiServer | None = None) -> Object:
        if self._watching is None:
            await self.start()
        return await self.admin(server).create(CONFIG_MAPS, "default", config_map(name))

    async def seen(self, name: str = "it") -> Object:
        """The object as the cache has it."""
        await eventually(lambda: self.cached(name) is not None, "the object is cached")
        found = self.cached(name)
        assert found is not None
        return found

    def cached(self, name: str = "it") -> Object | None:
        return self.cluster.cache.get(CONFIG_MAPS, "default", name)

    async def delete(self, live: Object) -> None:
        delete = Delete(CONFIG_MAPS, live)
        await perform(delete, self.cluster.client, self.cluster.cache, lambda _: True, ground=self.ground)

    async def exists(self, name: str = "it") -> bool:
        try:
            await self.admin().get(CONFIG_MAPS, "default", name)
        except errors.NotFound:
            return False
        return True

    def idle(self) -> None:
        """From now on the server sends no bookmarks: its storage reports no progress."""
        self.server.reader.bookmark_every = math.inf
        self.server.drop_watches()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.stop()


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


# ── the cluster's state ─────────────────────────────────────────────────────────────────────────────


async def test_from_a_cluster_that_is_ready_and_heard_of_things_are_removed_with_one_look(world: World) -> None:
    await world.put()
    live = await world.seen()
    world.way.passed.clear()
    await world.delete(live)
    assert not await world.exists()
    path = CONFIG_MAPS.path("default", "it")
    assert world.way.passed == [("GET", path), ("DELETE", path)]


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (SUSPECT, "context dc-1 did not answer when it was looked at last"),
        (AWAY, "context dc-1 is not connected: nobody answers"),
        (ClusterState(False, Reason.IDENTITY_CHANGED, "another"), "context dc-1 is not connected: another"),
    ],
)
async def test_from_a_cluster_that_is_not_ready_nothing_is_removed(world: World, state: ClusterState, why: str) -> None:
    await world.put()
    live = await world.seen()
    world.cluster.update(state)
    world.way.passed.clear()
    with pytest.raises(MustWait) as caught:
        await world.delete(live)
    assert (str(caught.value), caught.value.brief) == (why, True)
    assert stale(world.cluster, [CONFIG_MAPS], asyncio.get_running_loop().time()) == why
    assert world.way.passed == []
    assert await world.exists()


async def test_a_cluster_that_is_lost_while_a_list_is_awaited_loses_nothing(world: World) -> None:
    await world.put()
    live = await world.seen()
    world.idle()
    await asyncio.sleep(STALE_AFTER + 60.0)
    world.server.faults.add(Fault(verb="watch", resource="configmaps", delay=2.0))
    step = asyncio.create_task(world.delete(live))
    await asyncio.sleep(1.0)
    world.cluster.update(SUSPECT)
    with pytest.raises(MustWait):
        await step
    assert await world.exists()


# ── how old what is known may be ────────────────────────────────────────────────────────────────────


async def test_bookmarks_keep_an_idle_cluster_fresh(world: World) -> None:
    await world.put()
    live = await world.seen()
    await asyncio.sleep(10 * STALE_AFTER)
    assert stale(world.cluster, [CONFIG_MAPS, SECRETS], asyncio.get_running_loop().time()) is None
    world.way.passed.clear()
    await world.delete(live)
    assert [method for method, _ in world.way.passed] == ["GET", "DELETE"]


async def test_without_bookmarks_the_kind_concerned_is_listed_once_and_only_when_it_matters(world: World) -> None:
    await world.put("it")
    await world.put("other")
    live, other = await world.seen("it"), await world.seen("other")
    world.idle()
    await asyncio.sleep(STALE_AFTER + 60.0)
    assert stale(world.cluster, [CONFIG_MAPS], asyncio.get_running_loop().time()) == (
        "the configmaps of context dc-1 have not been heard of for more than 90 s"
    )
    world.way.passed.clear()
    await asyncio.gather(world.delete(live), world.delete(other))
    assert not await world.exists()
    lists = [(method, path) for method, path in world.way.passed if method == "LIST"]
    assert lists == [("LIST", CONFIG_MAPS.path())]


async def test_a_list_that_shows_something_new_has_everything_decided_anew(world: World) -> None:
    await world.put()
    live = await world.seen()
    world.idle()
    await asyncio.sleep(STALE_AFTER + 60.0)
    world.way.link.refuse()  # the watch breaks, and something happens meanwhile
    await asyncio.sleep(0.1)
    await world.put("another")
    world.way.link.restore()
    with pytest.raises(ObserveAgain):
        await world.delete(live)
    assert await world.exists()
    await world.delete(await world.seen())
    assert not await world.exists()


async def test_a_kind_that_cannot_be_listed_is_named(world: World) -> None:
    await world.put()
    live = await world.seen()
    world.idle()
    await asyncio.sleep(STALE_AFTER + 60.0)
    world.server.faults.add(Fault(verb="watch", resource="configmaps", status=500, times=None))
    world.server.faults.add(Fault(verb="list", resource="configmaps", status=500, times=None))
    started = asyncio.get_running_loop().time()
    with pytest.raises(
        MustWait, match=r"the configmaps of context dc-1 could not be listed within 10 s: 500"
    ) as caught:
        await world.delete(live)
    assert asyncio.get_running_loop().time() - started == pytest.approx(LIST_WAIT, abs=0.1)
    assert not caught.value.brief
    assert await world.exists()


async def test_what_was_heard_before_a_cluster_was_lost_counts_no_more_when_it_is_back(world: World) -> None:
    await world.put()
    live = await world.seen()
    world.way.link.blacken()
    world.cluster.update(AWAY)
    await asyncio.sleep(5.0)
    replaced = (await world.admin().get(CONFIG_MAPS, "default", "it")).head.uid
    await world.admin().delete(CONFIG_MAPS, "default", "it", uid=replaced)
    await world.put()
    world.way.link.black = False  # the watch that was open is dead, and nobody knows
    world.cluster.update(READY)
    with pytest.raises(ObserveAgain):
        await world.delete(live)
    assert await world.exists()
    assert (await world.seen()).head.uid != live.head.uid


async def test_an_object_that_was_made_anew_behind_a_lagging_watch_stays(world: World) -> None:
    await world.put()
    live = await world.seen()
    world.way.link.blacken()
    await asyncio.sleep(1.0)
    await world.admin().delete(CONFIG_MAPS, "default", "it", uid=live.head.uid)
    await world.put()
    world.way.link.black = False
    assert world.cached() == live
    with pytest.raises(ObserveAgain):
        await world.delete(live)
    assert await world.exists()


# ── another history ─────────────────────────────────────────────────────────────────────────────────


async def test_after_a_restored_backup_nothing_is_removed_before_every_kind_was_listed_again(world: World) -> None:
    for number in range(20):  # the storage that is lost is ahead of its backup
        await world.put(f"lost-{number}")
    await world.put()
    live = await world.seen()
    backup = ApiServer(rng=Random(2))
    await world.put(server=backup)
    world.server = backup
    world.way.lead_to(backup)
    world.way.link.cut()
    await asyncio.sleep(STALE_AFTER + 60.0)
    assert world.cached("lost-0") is not None  # watches from a version that is yet to come are silent
    for kind in (CONFIG_MAPS, SECRETS):
        world.way.passed.clear()
        with pytest.raises(ObserveAgain):
            await world.delete(live)
        assert [path for method, path in world.way.passed if method == "LIST"] == [kind.path()]
    assert world.cached("lost-0") is None
    assert await world.exists()
    world.way.passed.clear()
    await world.delete(await world.seen())
    assert [method for method, _ in world.way.passed] == ["GET", "DELETE"]
    assert not await world.exists()
