from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
import trustme

from controller.fleet.pulse import PROBE_INTERVAL
from controller.fleet.state import ClusterState, Phase, Reason
from controller.fleet.way import RETIRE_GRACE
from controller.kube.client import Client
from controller.kube.errors import ClusterUnavailable, ConnectionLost, KubeError
from controller.kube.resources import CONFIG_MAPS, PODS, SECRETS
from controller.sandbox.apiserver import Fault
from tests.unit.fleet.world import AUTHORITY, FIRST, NAMESPACE, SECOND, Connected, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet
from tests.unit.kube.kubeconfigs import b64

pytestmark = pytest.mark.looptime


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Two addresses of one and the same cluster."""
    async with make_fleet() as made:
        made.servers[SECOND] = made.servers[FIRST]
        yield made


async def connected(fleet: Fleet) -> Connected:
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, kinds=(CONFIG_MAPS, PODS))
    await found.until(Reason.CONNECTED)
    await found.until_watching()
    return found


async def write(fleet: Fleet, every: float = 0.05) -> None:
    """Write ConfigMaps for ever, whatever becomes of those who watch."""
    client, number = fleet.remote(), 0
    while True:
        await client.create(CONFIG_MAPS, "default", {"metadata": {"name": f"m-{number}"}})
        number += 1
        await asyncio.sleep(every)


def restarts(found: Connected) -> list[dict[str, int]]:
    return [dict(reflector.counters.restarts) for _, reflector in found.cluster.reflectors]


def relists(found: Connected) -> list[dict[str, int]]:
    return [dict(reflector.counters.relists) for _, reflector in found.cluster.reflectors]


async def names(client: Client) -> set[str]:
    return {one.head.name for one in await client.list_all(CONFIG_MAPS, "default")}


def now() -> float:
    return asyncio.get_running_loop().time()


# ── a token ─────────────────────────────────────────────────────────────────────────────────────────


async def test_ten_tokens_one_after_the_other_break_no_watch(fleet: Fleet) -> None:
    found = await connected(fleet)
    client, generation = found.cluster.client, found.connection.generation
    writer = fleet.run(write(fleet))
    for number in range(10):
        token = await fleet.token(account=f"account-{number}")
        await fleet.put_secret(fleet.kubeconfig(token=token))
        begun = now()
        await eventually(lambda token=token: fleet.ways[1].credentials.bearer() == token, "it is in use")  # type: ignore[misc]
        assert now() - begun <= 2.0
        await asyncio.sleep(1.3)
    writer.cancel()
    await asyncio.sleep(0.1)
    assert found.cluster.client is client
    assert found.connection.generation == generation
    assert found.phases == [Phase.CONNECTING, Phase.READY]
    assert restarts(found) == relists(found) == [{}, {}]
    assert fleet.open_ways == 2
    assert {one.head.name for one in found.cluster.cache.objects(CONFIG_MAPS, "default")} == await names(fleet.remote())


async def test_a_token_is_used_for_looks_and_for_work(fleet: Fleet) -> None:
    found = await connected(fleet)
    token = await fleet.token()
    await fleet.put_secret(fleet.kubeconfig(token=token))
    await asyncio.sleep(2.0)
    assert [way.credentials.bearer() for way in fleet.ways if not way.closed] == [token, token]
    assert found.connection.access is not None
    assert found.connection.access.token == token


async def test_a_new_token_repairs_a_cluster_that_refused_the_old_one(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig(token=await fleet.token()))
    found = Connected(fleet)
    await found.until_watching()
    await fleet.revoke()
    await found.until_phase(Phase.AUTH_FAILED)
    await asyncio.sleep(60.0)
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until_phase(Phase.READY) <= 1.1
    assert not found.cluster.queue.paused
    assert relists(found) == [{}]


# ── an address, a CA, a client certificate ──────────────────────────────────────────────────────────

Change = Callable[[Fleet], bytes]


def _endpoint(fleet: Fleet) -> bytes:
    return fleet.kubeconfig(SECOND)


def _authority(fleet: Fleet) -> bytes:
    bundle = AUTHORITY.cert_pem.bytes() + trustme.CA().cert_pem.bytes()
    return fleet.kubeconfig(**{"certificate-authority-data": b64(bundle)})


@pytest.mark.parametrize("change", [_endpoint, _authority])
async def test_a_new_connection_takes_over_and_nothing_is_missed(fleet: Fleet, change: Change) -> None:
    found = await connected(fleet)
    generation = found.connection.generation
    deltas: list[str] = []
    found.cluster.on_change(lambda _, __, changes: deltas.extend(one.object.head.name for one in changes))
    writer = fleet.run(write(fleet))
    await asyncio.sleep(1.0)
    await fleet.put_secret(change(fleet))
    await eventually(lambda: found.connection.generation == generation + 1, "the new connection is in use", within=2.0)
    await eventually(lambda: fleet.open_ways == 2, "the old one is closed", within=RETIRE_GRACE + 1.0)
    assert [way.closed for way in fleet.ways] == [True, True, False, False]
    await asyncio.sleep(1.0)
    writer.cancel()
    await asyncio.sleep(0.1)
    written = await names(fleet.remote())
    assert len(written) > 20
    assert {one.head.name for one in found.cluster.cache.objects(CONFIG_MAPS, "default")} == written
    assert written <= set(deltas)
    assert len(deltas) == len(set(deltas))  # and nothing came twice
    assert relists(found) == [{}, {}]
    assert restarts(found) == [{"interrupted": 1}, {"interrupted": 1}]
    assert found.phases == [Phase.CONNECTING, Phase.READY]


async def test_what_is_under_way_on_the_old_connection_is_finished(fleet: Fleet) -> None:
    found = await connected(fleet)
    old = found.cluster.client
    fleet.servers[FIRST].faults.add(Fault(verb="create", delay=5.0))
    call = asyncio.ensure_future(old.create(CONFIG_MAPS, "default", {"metadata": {"name": "x"}}))
    await asyncio.sleep(0.1)
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await eventually(lambda: found.cluster.client is not old, "the new connection is in use", within=2.0)
    assert not call.done()
    with pytest.raises(ConnectionLost, match="replaced"):
        await old.get(CONFIG_MAPS, "default", "x")
    assert (await call).head.name == "x"
    await eventually(lambda: fleet.open_ways == 2, "the old connection is closed", within=0.1)


async def test_what_never_ends_does_not_keep_the_old_connection(fleet: Fleet) -> None:
    found = await connected(fleet)
    old = found.cluster.client
    fleet.servers[FIRST].faults.add(Fault(verb="list", resource="pods", delay=3600.0))
    call = asyncio.ensure_future(old.list_page(PODS))  # 30 s
    await asyncio.sleep(0.1)
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await eventually(lambda: fleet.open_ways == 2 and len(fleet.ways) == 4, "it is closed", within=RETIRE_GRACE + 1.0)
    with pytest.raises(ConnectionLost):
        await call


async def test_what_an_old_connection_reports_is_ignored(fleet: Fleet) -> None:
    found = await connected(fleet)
    await asyncio.sleep(1.0)
    old = found.cluster.client
    fleet.servers[FIRST].faults.add(Fault(verb="get", effect="lose", delay=1.0))
    call = asyncio.ensure_future(old.get(CONFIG_MAPS, "default", "x"))
    await asyncio.sleep(0.1)
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await eventually(lambda: found.cluster.client is not old, "the new connection is in use", within=0.5)
    swapped = now()
    with pytest.raises(ConnectionLost):
        await call
    await asyncio.sleep(swapped + 0.7 * PROBE_INTERVAL - now())
    assert [path for moment, path in fleet.sent if moment > swapped] == []  # nobody looked because of it


@pytest.mark.parametrize("fault", [{"status": 403, "reason": "Forbidden"}, {"status": 500}, {"delay": 3600.0}])
async def test_a_new_access_that_may_not_do_our_work_is_not_taken(fleet: Fleet, fault: dict[str, Any]) -> None:
    found = await connected(fleet)
    client = found.cluster.client
    fleet.servers[FIRST].faults.add(Fault(verb="list", resource="configmaps", times=1, **fault))
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await found.until(Reason.ROTATION_FAILED)
    assert found.cluster.state.usable
    assert found.cluster.client is client
    await found.until(Reason.CONNECTED)  # the next try is good
    assert found.cluster.client is not client


async def test_a_new_address_that_leads_to_another_cluster_is_not_taken(fleet: Fleet) -> None:
    judged: list[Client] = []

    async def verify(client: Client) -> ClusterState | None:
        judged.append(client)
        stranger = bool(fleet.ways) and fleet.ways[-1].credentials.access.server == SECOND
        return ClusterState(False, Reason.IDENTITY_CHANGED, "another cluster") if stranger else None

    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=verify)
    await found.until_watching()
    client = found.cluster.client
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await found.until(Reason.ROTATION_FAILED)
    assert found.cluster.client is client
    assert found.message == "the last good credentials are still in use; another cluster"
    assert fleet.open_ways == 2


async def test_a_bad_new_address_does_not_keep_an_outage_from_being_noticed(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[SECOND].blacken()
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await found.until(Reason.ROTATION_FAILED)
    fleet.links[FIRST].refuse()
    assert await found.until_phase(Phase.UNREACHABLE) <= 7.0  # one attempt over there may be under way
    begun = now()
    await asyncio.sleep(120.0)
    times = [moment for moment, _ in fleet.sent if moment > begun]
    assert all(later - earlier >= 0.999 for earlier, later in pairwise(times))
    fleet.links[FIRST].restore()
    assert await found.until_phase(Phase.READY) <= 12.0
    assert found.cluster.state.reason is Reason.ROTATION_FAILED


async def test_a_new_address_is_taken_when_the_old_one_is_dead(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].blacken()
    await found.until_phase(Phase.UNREACHABLE)
    await asyncio.sleep(60.0)
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    assert await found.until_phase(Phase.READY) <= 6.0
    assert relists(found) == [{}, {}]
    await eventually(lambda: fleet.open_ways == 2, "the old connection is closed", within=1.0)


# ── in the middle of a list ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", [FIRST, SECOND])
async def test_a_secret_that_changes_while_everything_is_listed(fleet: Fleet, url: str) -> None:
    admin = fleet.remote()
    for number in range(50):
        await admin.create(CONFIG_MAPS, "default", {"metadata": {"name": f"m-{number}"}})
    await fleet.put_secret(fleet.kubeconfig())
    fleet.servers[FIRST].faults.add(Fault(verb="watch", resource="configmaps", delay=2.0))
    found = Connected(fleet)
    await found.until(Reason.CONNECTED)
    await asyncio.sleep(0.5)
    assert not found.cluster.cache.synced(CONFIG_MAPS)
    await fleet.put_secret(fleet.kubeconfig(url, token=await fleet.token()))
    await found.until_watching()
    assert {one.head.name for one in found.cluster.cache.objects(CONFIG_MAPS, "default")} == await names(admin)
    assert sum(sum(each.values()) for each in relists(found)) <= 1
    assert found.phases == [Phase.CONNECTING, Phase.READY]


# ── a Secret that goes ──────────────────────────────────────────────────────────────────────────────


async def test_a_deleted_secret_ends_what_is_under_way_and_deletes_nothing(fleet: Fleet) -> None:
    found = await connected(fleet)
    writes = len(fleet.servers[FIRST].record.writes)
    cached = list(found.cluster.cache.objects(CONFIG_MAPS))
    fleet.servers[FIRST].faults.add(Fault(verb="get", delay=3600.0))
    call = asyncio.ensure_future(found.cluster.client.get(CONFIG_MAPS, "default", "x"))
    await asyncio.sleep(0.1)
    await fleet.delete(SECRETS, "kubeconfig")
    assert await found.until(Reason.SECRET_NOT_FOUND) <= 5.0
    with pytest.raises(KubeError):
        await asyncio.wait_for(call, 0.1)
    await eventually(lambda: fleet.open_ways == 0, "every connection is closed", within=0.1)
    with pytest.raises(ClusterUnavailable, match="does not exist"):
        _ = found.cluster.client
    await asyncio.sleep(60.0)
    assert list(found.cluster.cache.objects(CONFIG_MAPS)) == cached
    assert len(fleet.servers[FIRST].record.writes) == writes
    assert found.cluster.queue.paused


async def test_another_secret_is_followed_to(fleet: Fleet) -> None:
    found = await connected(fleet)
    await fleet.put_secret(fleet.kubeconfig(SECOND), "other")
    await asyncio.sleep(1.0)
    client = found.cluster.client
    found.connection.follow("other")
    await eventually(lambda: found.cluster.client is not client, "the other Secret is in use", within=2.0)
    await fleet.delete(SECRETS, "kubeconfig")
    await asyncio.sleep(3 * PROBE_INTERVAL)
    assert found.phases == [Phase.CONNECTING, Phase.READY]
    found.connection.follow("missing")
    await found.until(Reason.SECRET_NOT_FOUND, within=1.0)
    assert f"Secret {NAMESPACE}/missing does not exist" in found.message


# ── a Secret that changes while a look hangs ────────────────────────────────────────────────────────


async def test_a_corrected_secret_does_not_wait_for_an_address_that_does_not_answer(fleet: Fleet) -> None:
    fleet.links[SECOND].blacken()
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    found = Connected(fleet)
    await asyncio.sleep(1.0)  # of the 4.5 that it takes
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until_phase(Phase.READY) <= 1.1
    assert fleet.open_ways == 2


async def test_a_deleted_secret_does_not_wait_for_a_server_that_hangs(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.servers[FIRST].faults.add(Fault(verb="list", delay=3600.0, times=None))
    await asyncio.sleep(58.0)
    await eventually(lambda: fleet.sent[-1][1] == CONFIG_MAPS.path(), "rights are looked at, which takes 4 s")
    await asyncio.sleep(0.5)
    await fleet.delete(SECRETS, "kubeconfig")
    assert await found.until(Reason.SECRET_NOT_FOUND) <= 0.1
    await eventually(lambda: fleet.open_ways == 0, "every connection is closed", within=0.1)


async def test_secrets_that_change_all_the_time_hide_no_outage(fleet: Fleet) -> None:
    found = await connected(fleet)

    async def annotate() -> None:
        number = 0
        while True:
            number += 1
            metadata = {"name": "kubeconfig", "annotations": {"number": str(number)}}
            await fleet.client.replace(
                SECRETS,
                NAMESPACE,
                "kubeconfig",
                {"metadata": metadata, "data": {"kubeconfig": b64(fleet.kubeconfig())}},
            )
            await asyncio.sleep(0.1)

    fleet.run(annotate())
    await asyncio.sleep(10.0)
    fleet.links[FIRST].blacken()
    assert await found.until_phase(Phase.UNREACHABLE) <= 16.0
