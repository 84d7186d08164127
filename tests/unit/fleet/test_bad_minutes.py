"""A remote cluster to which everything happens, in any order: what holds all the time, and what holds at the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest

from controller.fleet.pulse import ATTEMPT_INTERVAL
from controller.fleet.state import Phase
from controller.kube.errors import KubeError
from controller.kube.resources import CONFIG_MAPS, PODS, SERVICES
from controller.sandbox.apiserver import Fault
from tests.unit.fleet.world import FIRST, SECOND, Connected, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet

pytestmark = pytest.mark.looptime

MINUTES = 10
LEGAL = {
    (Phase.CONNECTING, Phase.READY),
    (Phase.CONNECTING, Phase.UNREACHABLE),
    (Phase.CONNECTING, Phase.AUTH_FAILED),
    (Phase.READY, Phase.SUSPECT),
    (Phase.SUSPECT, Phase.READY),
    (Phase.SUSPECT, Phase.UNREACHABLE),
    (Phase.SUSPECT, Phase.AUTH_FAILED),
    (Phase.UNREACHABLE, Phase.READY),
    (Phase.UNREACHABLE, Phase.AUTH_FAILED),
    (Phase.AUTH_FAILED, Phase.READY),
    (Phase.AUTH_FAILED, Phase.UNREACHABLE),
}


class Trouble:
    """What may befall a cluster, and its Secret."""

    def __init__(self, fleet: Fleet, rng: Random) -> None:
        self.fleet = fleet
        self.rng = rng
        self.link = fleet.links[FIRST]
        self.faults = fleet.servers[FIRST].faults
        self.written = 0

    async def befall(self) -> None:
        rng, link = self.rng, self.link
        match rng.randrange(10):
            case 0:
                link.refuse()
            case 1:
                link.blacken()
            case 2 | 3:
                link.restore()
            case 4:
                link.cut()
            case 5:
                self.faults.add(Fault(status=rng.choice([401, 429, 500, 503]), times=rng.randrange(1, 8)))
            case 6:
                self.faults.add(Fault(delay=rng.uniform(0.1, 20.0), times=rng.randrange(1, 5)))
            case 7:
                self.faults.add(Fault(effect=rng.choice(["reset", "lose"]), times=rng.randrange(1, 5)))
            case 8:
                url, token = rng.choice([FIRST, SECOND]), rng.choice([None, "wrong"])
                await self.fleet.put_secret(self.fleet.kubeconfig(url, token))
            case 9:
                self.written += 1
                name = f"m-{self.written}"
                with suppress(KubeError):  # it may befall this one, too
                    await self.fleet.remote().create(CONFIG_MAPS, "default", {"metadata": {"name": name}})


async def watch_over(fleet: Fleet, found: Connected) -> None:
    """Fail when something that always holds does not."""
    while True:
        state, cluster = found.cluster.state, found.cluster
        assert cluster.queue.paused is (state.phase is not Phase.READY)
        assert state.usable is (state.phase in (Phase.READY, Phase.SUSPECT))
        assert fleet.open_ways <= 4  # two in use, and a candidate or a former pair
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_befalls_a_cluster_it_is_judged_soundly_and_found_again(seed: int) -> None:
    async with make_fleet() as fleet:
        fleet.servers[SECOND] = fleet.servers[FIRST]  # another address of the same cluster
        rng = Random(seed)
        await fleet.put_secret(fleet.kubeconfig())
        found = Connected(fleet, kinds=(CONFIG_MAPS, PODS, SERVICES))
        lost: list[tuple[float, float]] = []
        watching = fleet.run(watch_over(fleet, found))
        trouble, loop = Trouble(fleet, rng), asyncio.get_running_loop()
        ends = loop.time() + 60 * MINUTES
        while loop.time() < ends:
            began = loop.time()
            before = found.cluster.state
            await asyncio.sleep(rng.expovariate(1 / 6.0))
            if before is found.cluster.state and not before.usable:
                lost.append((began, loop.time()))
            await trouble.befall()
        trouble.faults.clear()
        trouble.link.restore()
        await fleet.put_secret(fleet.kubeconfig())
        await found.until_phase(Phase.READY, within=8.0)
        await asyncio.sleep(10.0)
        watching.cancel()
        assert found.cluster.state.phase is Phase.READY
        assert set(pairwise(found.phases)) <= LEGAL
        assert lost
        for began, ended in lost:
            times = [moment for moment, path in fleet.sent if began < moment < ended and path == "/version"]
            assert all(later - earlier >= ATTEMPT_INTERVAL - 0.002 for earlier, later in pairwise(times))
            assert {path for moment, path in fleet.sent if began < moment < ended} <= {"/version", CONFIG_MAPS.path()}
        there = {one.head.name for one in await fleet.remote().list_all(CONFIG_MAPS, "default")}
        await eventually(
            lambda: {one.head.name for one in found.cluster.cache.objects(CONFIG_MAPS, "default")} == there,
            "everything is seen",
        )
        await eventually(lambda: fleet.open_ways == 2, "nothing is left open", within=20.0)
