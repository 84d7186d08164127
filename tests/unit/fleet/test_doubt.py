"""What happens while a connection may lead elsewhere, is refused, or is too busy to say so. Times are virtual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from controller.fleet.state import ClusterState, Phase, Reason
from controller.kube.client import Client
from controller.kube.errors import ClusterUnavailable, TooManyRequests
from controller.kube.resources import CONFIG_MAPS
from controller.sandbox.apiserver.faults import Fault
from tests.unit.fleet.world import FIRST, Connected, Fleet
from tests.unit.fleet.world import fleet as make_fleet

pytestmark = pytest.mark.looptime

STRANGER = ClusterState(False, Reason.IDENTITY_CHANGED, "another cluster")


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        yield made


class Judge:
    """Takes ``seconds`` to say ``verdict``, or that the server is ``busy``."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.busy = False
        self.verdict: ClusterState | None = None

    async def __call__(self, client: Client) -> ClusterState | None:
        await asyncio.sleep(self.seconds)
        if self.busy:
            raise TooManyRequests(429, "TooManyRequests", "", 5.0)
        return self.verdict


async def connected(fleet: Fleet, judge: Judge | None = None) -> Connected:
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=judge)
    await found.until_watching()
    return found


def change(found: Connected) -> asyncio.Task[object]:
    """A change on its way to the cluster."""
    obj = {"metadata": {"name": "made"}}
    return asyncio.create_task(found.cluster.client.create(CONFIG_MAPS, "default", obj))


async def test_after_a_break_a_change_waits_until_it_is_the_same_cluster(fleet: Fleet) -> None:
    judge = Judge()
    found = await connected(fleet, judge)
    judge.seconds = 2.0
    fleet.links[FIRST].cut()
    await asyncio.sleep(1.0)
    made = change(found)
    await asyncio.sleep(0.5)
    assert await fleet.remote().list_all(CONFIG_MAPS, "default") == []
    await made
    assert len(await fleet.remote().list_all(CONFIG_MAPS, "default")) == 1


async def test_after_a_break_no_change_reaches_another_cluster(fleet: Fleet) -> None:
    judge = Judge()
    found = await connected(fleet, judge)
    judge.seconds, judge.verdict = 2.0, STRANGER
    fleet.links[FIRST].cut()
    await asyncio.sleep(1.0)
    with pytest.raises(ClusterUnavailable, match="another cluster"):
        await change(found)
    assert await fleet.remote().list_all(CONFIG_MAPS, "default") == []


async def test_a_server_too_busy_to_be_verified_is_not_lost_and_is_verified_later(fleet: Fleet) -> None:
    judge = Judge()
    found = await connected(fleet, judge)
    judge.busy = True
    fleet.links[FIRST].cut()
    await asyncio.sleep(1.0)
    made = change(found)
    await asyncio.sleep(10.0)
    assert (found.phases, made.done()) == ([Phase.CONNECTING, Phase.READY], False)
    judge.busy = False
    await asyncio.wait_for(made, 4.0)


async def test_a_server_too_busy_to_be_verified_is_not_begun_with(fleet: Fleet) -> None:
    judge = Judge()
    judge.busy = True
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=judge)
    await asyncio.sleep(30.0)
    assert Phase.READY not in found.phases
    judge.busy = False
    await found.until_phase(Phase.READY, within=6.0)


@pytest.mark.parametrize("status", [400, 404, 410, 422, 429])
async def test_a_server_that_will_not_list_is_not_lost(fleet: Fleet, status: int) -> None:
    found = await connected(fleet)
    fleet.servers[FIRST].faults.add(Fault(verb="list", status=status, times=None))
    await asyncio.sleep(120.0)
    assert found.phases == [Phase.CONNECTING, Phase.READY]


async def test_a_token_that_is_revoked_before_the_new_one_is_known_costs_nothing(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig(token=await fleet.token()))
    found = Connected(fleet)
    await found.until_watching()
    await fleet.revoke()
    found.connection.doubt()
    await found.until_phase(Phase.SUSPECT, within=5.0)
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until_phase(Phase.READY, within=2.0) <= 1.0
    assert set(found.states) == {Reason.CONNECTING, Reason.CONNECTED}


async def test_a_new_token_that_is_refused_too_does_not_hide_that_the_cluster_is_lost(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig(token=await fleet.token()))
    found = Connected(fleet)
    await found.until_phase(Phase.READY)
    await fleet.revoke()
    found.connection.doubt()
    await found.until_phase(Phase.SUSPECT, within=5.0)
    await fleet.put_secret(fleet.kubeconfig(token="wrong"))
    assert await found.until_phase(Phase.AUTH_FAILED, within=15.0) <= 6.0
