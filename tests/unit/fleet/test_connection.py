from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import trustme

from controller.fleet.connection import PROBE_INTERVAL
from controller.fleet.state import Reason
from controller.kube.errors import ClusterUnavailable
from controller.kube.resources import CONFIG_MAPS, SECRETS
from controller.sandbox.apiserver import ApiServer, Fault
from tests.unit.fleet.world import FIRST, NAMESPACE, SECOND, Connected, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet
from tests.unit.kube.kubeconfigs import document, dump

pytestmark = pytest.mark.looptime

WHO = f"ClientConfig {NAMESPACE}/dc-1"
SECRET = f"Secret {NAMESPACE}/kubeconfig"


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        yield made


async def connected(fleet: Fleet) -> Connected:
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet)
    await found.until(Reason.CONNECTED)
    await found.until_watching()
    return found


# ── what is wrong, and the way out ──────────────────────────────────────────────────────────────────


async def test_a_good_secret_connects(fleet: Fleet) -> None:
    found = await connected(fleet)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]
    assert found.cluster.state.usable
    assert found.cluster.state.server_version.startswith("v1.")
    assert found.message == f"connected, Kubernetes {found.cluster.state.server_version}"


async def test_a_missing_secret_is_named_and_connects_when_it_appears(fleet: Fleet) -> None:
    found = Connected(fleet)
    await found.until(Reason.SECRET_NOT_FOUND)
    assert found.message == (
        f'{WHO}: {SECRET} does not exist; create it with the kubeconfig under the key "kubeconfig", '
        "or correct spec.kubeConfigSecret.name"
    )
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until(Reason.CONNECTED) < 1.0


async def test_a_missing_key_is_named(fleet: Fleet) -> None:
    await fleet.put_secret(None, data={"config": "eA=="})
    found = Connected(fleet)
    await found.until(Reason.SECRET_KEY_MISSING)
    assert found.message == f'{WHO}: {SECRET} has no key "kubeconfig"; put the kubeconfig there'
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until(Reason.CONNECTED) < 1.0


@pytest.mark.parametrize(
    ("content", "reason", "text"),
    [
        (b"", Reason.KUBECONFIG_MALFORMED, "empty"),
        (b"{", Reason.KUBECONFIG_MALFORMED, ""),
        (b"\xff\xfe", Reason.KUBECONFIG_MALFORMED, ""),
        (b"a" * 70_000, Reason.KUBECONFIG_TOO_LARGE, ""),
        (dump(document(contexts=[])), Reason.CONTEXT_NOT_FOUND, "kind-k8ssandra-1"),
        (dump(document(user={"exec": {"command": "sh"}})), Reason.INSECURE_KUBECONFIG, "users[0].user.exec"),
        (
            dump(document(cluster={"insecure-skip-tls-verify": True})),
            Reason.INSECURE_KUBECONFIG,
            "clusters[0].cluster.insecure-skip-tls-verify",
        ),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(
    fleet: Fleet, content: bytes, reason: Reason, text: str
) -> None:
    await fleet.put_secret(content)
    found = Connected(fleet)
    await found.until(reason)
    assert found.message.startswith(f"{WHO}: {SECRET}: ")
    assert text in found.message
    assert fleet.ways == []  # nothing is connected to before the kubeconfig is judged
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until(Reason.CONNECTED) < 1.0


async def test_an_unreachable_server_is_named_and_found_again(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig("https://10.0.0.3:6443"))
    found = Connected(fleet)
    await found.until(Reason.UNREACHABLE)
    assert found.message == f"{WHO}: ConnectFailed: https://10.0.0.3:6443: connection refused"
    fleet.servers["https://10.0.0.3:6443"] = fleet.servers[FIRST]
    fleet.links["https://10.0.0.3:6443"] = fleet.links[FIRST]
    fleet.servers[FIRST].accounts.admin_token = "abc"
    assert await found.until(Reason.CONNECTED) < 6.0
    assert fleet.open_ways == 2


async def test_another_ca_is_named(fleet: Fleet) -> None:
    fleet.servers[SECOND] = ApiServer(name="other", authority=trustme.CA())
    await fleet.put_secret(
        fleet.kubeconfig(FIRST).replace(FIRST.encode(), SECOND.encode()),
    )
    found = Connected(fleet)
    await found.until(Reason.TLS_ERROR)
    assert found.message == (
        f"{WHO}: {SECOND}: certificate verify failed; compare the kubeconfig's CA and server name with the server's "
        "certificate"
    )


async def test_credentials_that_are_refused_are_named(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig(token="expired"))
    found = Connected(fleet)
    await found.until(Reason.UNAUTHORIZED)
    assert found.message.startswith(f"{WHO}: the server refuses the kubeconfig's credentials (401)")
    assert "register the cluster again" in found.message
    assert "expired." not in found.message


async def test_a_secret_that_may_not_be_read_is_named_and_read_when_it_may(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig())
    fault = fleet.control.faults.add(Fault(verb="get", resource="secrets", status=403, reason="Forbidden", times=None))
    found = Connected(fleet)
    await found.until(Reason.FORBIDDEN)
    assert found.message == (
        f"{WHO}: the controller may not read {SECRET}; grant `get` on secrets in namespace {NAMESPACE}"
    )
    fleet.control.faults.remove(fault)
    assert await found.until(Reason.CONNECTED) < 6.0


async def test_a_control_plane_that_fails_is_asked_again(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig())
    fleet.control.faults.add(Fault(verb="get", resource="secrets", status=500, times=3))
    found = Connected(fleet)
    await found.until(Reason.CONNECTED)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]


async def test_a_server_that_keeps_its_version_to_itself_is_connected(fleet: Fleet) -> None:
    fleet.hides_version = True
    found = await connected(fleet)
    assert found.message == "connected"


# ── rotation ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_token_is_taken_over_in_place(fleet: Fleet) -> None:
    found = await connected(fleet)
    client = found.cluster.client
    [(_, reflector)] = found.cluster.reflectors
    token = await fleet.token()
    await fleet.put_secret(fleet.kubeconfig(token=token))
    way = fleet.ways[0]
    await eventually(lambda: way.credentials.bearer() == token, "the new token is in use", within=2.0)
    await asyncio.sleep(2 * PROBE_INTERVAL)
    assert found.cluster.client is client
    assert reflector.counters.restarts == {}
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]
    assert fleet.open_ways == 2


async def test_a_new_token_that_is_refused_leaves_the_old_one_in_use(fleet: Fleet) -> None:
    found = await connected(fleet)
    good = fleet.servers[FIRST].admin_token
    await fleet.put_secret(fleet.kubeconfig(token="bad"))
    await found.until(Reason.ROTATION_FAILED)
    await asyncio.sleep(3 * PROBE_INTERVAL)
    assert found.cluster.state.usable
    assert found.message.startswith(f"the last good credentials are still in use; {WHO}: the server refuses")
    assert fleet.ways[0].credentials.bearer() == good
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED, Reason.ROTATION_FAILED]
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until(Reason.CONNECTED) < 1.0
    assert fleet.open_ways == 2


async def test_a_new_endpoint_is_proven_before_the_old_one_goes(fleet: Fleet) -> None:
    found = await connected(fleet)
    old, delay = found.cluster.client, 1.0
    fleet.servers[SECOND].faults.add(Fault(delay=delay))
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await eventually(lambda: len(fleet.ways) == 2, "a second connection is made")
    await asyncio.sleep(delay / 2)
    assert found.cluster.client is old
    await eventually(lambda: found.cluster.client is not old, "the new connection is in use")
    await eventually(lambda: fleet.open_ways == 2, "the old connection is closed")
    assert fleet.ways[0].closed
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]
    await fleet.remote(SECOND).create(CONFIG_MAPS, "default", {"metadata": {"name": "there"}})
    await eventually(
        lambda: found.cluster.cache.get(CONFIG_MAPS, "default", "there") is not None, "the new cluster is watched"
    )


async def test_a_new_endpoint_that_does_not_answer_leaves_the_old_one_in_use(fleet: Fleet) -> None:
    found = await connected(fleet)
    client = found.cluster.client
    fleet.links[SECOND].refuse()
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await found.until(Reason.ROTATION_FAILED)
    assert found.cluster.client is client
    fleet.links[SECOND].restore()
    assert await found.until(Reason.CONNECTED) < 2 * PROBE_INTERVAL
    assert found.cluster.client is not client


async def test_a_broken_kubeconfig_leaves_the_old_one_in_use(fleet: Fleet) -> None:
    found = await connected(fleet)
    client = found.cluster.client
    await fleet.put_secret(b"{")
    await found.until(Reason.ROTATION_FAILED)
    await asyncio.sleep(3 * PROBE_INTERVAL)
    assert found.cluster.client is client
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED, Reason.ROTATION_FAILED]
    assert f"{SECRET}: " in found.message


async def test_the_last_good_credentials_survive_an_outage(fleet: Fleet) -> None:
    found = await connected(fleet)
    await fleet.put_secret(b"{")
    await found.until(Reason.ROTATION_FAILED)
    fleet.links[FIRST].refuse()
    await found.until(Reason.KUBECONFIG_MALFORMED)
    fleet.links[FIRST].restore()
    await found.until(Reason.ROTATION_FAILED)
    assert found.cluster.state.usable


async def test_a_right_to_read_that_is_lost_does_not_flap(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.control.faults.add(Fault(verb="get", resource="secrets", status=403, reason="Forbidden", times=None))
    await fleet.put_secret(fleet.kubeconfig(SECOND))
    await asyncio.sleep(10 * PROBE_INTERVAL)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED, Reason.ROTATION_FAILED]


async def test_a_secret_that_changed_in_its_annotations_only_changes_nothing(fleet: Fleet) -> None:
    found = await connected(fleet)
    client = found.cluster.client
    await fleet.put_secret(fleet.kubeconfig(), metadata={"name": "kubeconfig", "annotations": {"a": "b"}})
    await asyncio.sleep(2 * PROBE_INTERVAL)
    assert found.cluster.client is client
    assert len(fleet.ways) == 2


async def test_a_deleted_secret_disconnects_and_touches_nothing(fleet: Fleet) -> None:
    found = await connected(fleet)
    await fleet.remote().create(CONFIG_MAPS, "default", {"metadata": {"name": "kept"}})
    await eventually(lambda: len(list(found.cluster.cache.objects(CONFIG_MAPS))) > 0, "it is cached")
    cached = list(found.cluster.cache.objects(CONFIG_MAPS))
    writes = len(fleet.servers[FIRST].record.writes)
    await fleet.delete(SECRETS, "kubeconfig")
    assert await found.until(Reason.SECRET_NOT_FOUND) < 1.0
    await eventually(lambda: fleet.open_ways == 0, "every connection is closed", within=0.1)
    with pytest.raises(ClusterUnavailable, match="does not exist"):
        _ = found.cluster.client
    await asyncio.sleep(60.0)
    assert list(found.cluster.cache.objects(CONFIG_MAPS)) == cached
    assert len(fleet.servers[FIRST].record.writes) == writes
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until(Reason.CONNECTED) < 1.0


# ── lost and found ──────────────────────────────────────────────────────────────────────────────────


async def test_a_server_that_refuses_is_lost_within_seconds_and_found_again(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].refuse()
    assert await found.until(Reason.UNREACHABLE) < 4.0
    assert found.cluster.queue.paused
    await asyncio.sleep(60.0)
    fleet.links[FIRST].restore()
    assert await found.until(Reason.CONNECTED) < 6.0
    assert not found.cluster.queue.paused
    await fleet.remote().create(CONFIG_MAPS, "default", {"metadata": {"name": "news"}})
    await eventually(
        lambda: found.cluster.cache.get(CONFIG_MAPS, "default", "news") is not None,
        "the watch goes on at once, not after its own backoff",
        within=1.0,
    )


async def test_a_black_hole_is_lost_within_thirteen_seconds(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].blacken()
    assert await found.until(Reason.UNREACHABLE) < 13.0
    fleet.links[FIRST].restore()
    assert await found.until(Reason.CONNECTED) < 8.0


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_few_failed_looks_lose_nothing(fleet: Fleet, failures: int) -> None:
    found = await connected(fleet)
    fleet.servers[FIRST].faults.add(Fault(status=503, times=failures))
    await asyncio.sleep(5 * PROBE_INTERVAL)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]


async def test_a_watch_that_ends_is_not_a_cluster_that_is_lost(fleet: Fleet) -> None:
    found = await connected(fleet)
    for _ in range(10):
        fleet.links[FIRST].cut()
        await asyncio.sleep(2.0)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]


async def test_a_token_that_is_revoked_is_noticed(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig(token=await fleet.token()))
    found = Connected(fleet)
    await found.until(Reason.CONNECTED)
    await fleet.revoke()
    await found.until(Reason.UNAUTHORIZED, within=10.0)
    await fleet.put_secret(fleet.kubeconfig())
    assert await found.until(Reason.CONNECTED) < 1.0


async def test_the_last_answer_is_remembered(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].blacken()
    lost = asyncio.get_running_loop().time()
    await asyncio.sleep(60.0)
    assert found.cluster.answered_at is not None
    assert lost - 1.3 * PROBE_INTERVAL <= found.cluster.answered_at <= lost


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_end_closes_every_connection(fleet: Fleet) -> None:
    found = await connected(fleet)
    found.task.cancel()
    await asyncio.gather(found.task, return_exceptions=True)
    assert fleet.open_ways == 0
    assert not found.cluster.state.usable


async def test_the_end_closes_a_connection_that_is_being_made(fleet: Fleet) -> None:
    fleet.links[FIRST].blacken()
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet)
    await eventually(lambda: fleet.open_ways == 1, "a connection is being made")
    found.task.cancel()
    await asyncio.gather(found.task, return_exceptions=True)
    assert fleet.open_ways == 0


async def test_a_connection_that_is_started_again_releases_the_queue(fleet: Fleet) -> None:
    found = await connected(fleet)
    found.task.cancel()
    await asyncio.gather(found.task, return_exceptions=True)
    assert found.cluster.queue.paused
    fleet.run(found.connection.run())
    await found.until(Reason.CONNECTED)
    assert not found.cluster.queue.paused
