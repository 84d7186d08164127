from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from controller.engine.worker import Item
from controller.fleet.state import ClusterState, Phase, Reason
from controller.kube.client import Client
from controller.kube.errors import ClusterUnavailable, ConnectionLost
from controller.kube.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES
from controller.sandbox.apiserver import Fault, Link
from tests.unit.fleet.world import FIRST, Connected, Fleet, eventually
from tests.unit.fleet.world import fleet as make_fleet

pytestmark = pytest.mark.looptime

OFFSETS = [0.0, 0.4, 0.9, 1.3, 1.9, 2.4, 2.8, 3.3]  # s between the last look and the outage: it may begin at any time
KINDS = (CONFIG_MAPS, PODS, SECRETS, SERVICES)
REFUSED, BLACK = Link.refuse, Link.blacken
Break = Callable[[Link], None]


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        yield made


async def connected(fleet: Fleet, offset: float = 0.0) -> Connected:
    """A cluster that is watched; the last look was ``offset`` seconds ago, unless one came in between."""
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, kinds=KINDS)
    await found.until(Reason.CONNECTED)
    await found.until_watching()
    looks = len(fleet.sent)
    await eventually(lambda: len(fleet.sent) > looks, "there was a look")
    await asyncio.sleep(offset)
    return found


def now() -> float:
    return asyncio.get_running_loop().time()


# ── lost ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("fault", "suspect", "lost"), [(REFUSED, 1.0, 4.0), (BLACK, 6.0, 13.0)])
async def test_a_cluster_that_is_gone_is_suspected_and_lost_in_time(
    fleet: Fleet, fault: Break, suspect: float, lost: float, offset: float
) -> None:
    found = await connected(fleet, offset)
    fault(fleet.links[FIRST])
    begun = now()
    await found.until_phase(Phase.SUSPECT)
    assert now() - begun <= suspect
    assert found.cluster.state.usable
    assert found.cluster.queue.paused  # no new change begins
    await found.until_phase(Phase.UNREACHABLE)
    assert now() - begun <= lost
    assert found.phases[-3:] == [Phase.READY, Phase.SUSPECT, Phase.UNREACHABLE]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("fault", [REFUSED, BLACK])
async def test_a_blip_of_two_seconds_changes_no_condition_and_ends_no_work(
    fleet: Fleet, fault: Break, offset: float
) -> None:
    found = await connected(fleet, offset)
    fault(fleet.links[FIRST])
    await asyncio.sleep(2.0)
    fleet.links[FIRST].restore()
    await asyncio.sleep(15.0)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]
    assert found.cluster.state.phase is Phase.READY
    assert not found.cluster.queue.paused


async def test_a_frozen_server_is_lost_as_a_black_hole_is(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.servers[FIRST].faults.add(Fault(delay=3600.0, times=None))
    assert await found.until(Reason.UNREACHABLE) <= 13.0


async def test_a_full_pool_makes_no_cluster_look_dead(fleet: Fleet) -> None:
    found = await connected(fleet)
    fault = fleet.servers[FIRST].faults.add(Fault(verb="get", resource="configmaps", delay=3600.0, times=None))
    calls = [asyncio.ensure_future(found.cluster.client.get(CONFIG_MAPS, "default", "x")) for _ in range(50)]
    await asyncio.sleep(8.0)  # within the deadline of a read
    assert found.phases == [Phase.CONNECTING, Phase.READY]
    assert not any(call.done() for call in calls)
    fleet.servers[FIRST].faults.remove(fault)
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(2.0)
    assert found.phases == [Phase.CONNECTING, Phase.READY]


async def test_looks_go_over_a_connection_of_their_own(fleet: Fleet) -> None:
    found = await connected(fleet)
    [looks, used] = fleet.ways
    assert used.sent == {*(kind.path() for kind in KINDS)}
    assert looks.sent == {"/version", CONFIG_MAPS.path()}
    await found.cluster.client.raw("GET", "/readyz")
    assert "/readyz" in used.sent


# ── away ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [REFUSED, BLACK])
async def test_a_dead_cluster_is_asked_once_a_second_at_most_however_many_watch_it(fleet: Fleet, fault: Break) -> None:
    found = await connected(fleet)
    fault(fleet.links[FIRST])
    begun = now()
    await found.until_phase(Phase.SUSPECT)
    suspected = now()
    await asyncio.sleep(300.0)
    times = [moment for moment, _ in fleet.sent if moment >= begun]
    # What broke together did not try again together: from the first sign on there are only looks.
    after = [moment for moment in times if moment >= suspected]
    assert all(later - earlier >= 0.999 for earlier, later in pairwise(after))
    assert {path for moment, path in fleet.sent if moment > suspected} == {"/version"}
    assert len([moment for moment in times if moment < suspected]) <= 1
    assert len(after) >= 300 / 4.5  # and not less often than it takes to find it again in time


async def test_calls_to_a_lost_cluster_fail_at_once_without_being_sent(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].blacken()
    await found.until_phase(Phase.UNREACHABLE)
    lost, sent, client = now(), len(fleet.sent), found.cluster.client
    started = time.perf_counter()
    for _ in range(100):
        with pytest.raises(ClusterUnavailable) as caught:
            await client.get(CONFIG_MAPS, "default", "x")
    assert (time.perf_counter() - started) / 100 < 0.001
    assert (now(), len(fleet.sent)) == (lost, sent)
    assert caught.value.since == found.cluster.state.since == pytest.approx(lost, abs=0.011)
    assert caught.value.next_retry is not None
    assert lost - 0.011 <= caught.value.next_retry <= lost + 3.0


async def test_what_is_under_way_when_a_cluster_is_lost_fails_then_and_not_at_its_deadline(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].blacken()
    await found.until_phase(Phase.SUSPECT)
    call = asyncio.ensure_future(
        found.cluster.client.create(CONFIG_MAPS, "default", {"metadata": {"name": "x"}})  # may take 15 s
    )
    await found.until_phase(Phase.UNREACHABLE)
    lost = now()
    with pytest.raises(ConnectionLost):
        await call
    assert now() - lost <= 0.01


async def test_an_outage_is_told_once_and_then_once_a_minute(fleet: Fleet) -> None:
    found = await connected(fleet)
    with capture_logs() as logs:
        fleet.links[FIRST].refuse()
        await asyncio.sleep(605.0)
        away = [line for line in logs if line["log_level"] != "debug"]
        fleet.links[FIRST].restore()
        await found.until(Reason.CONNECTED)
        await asyncio.sleep(5.0)
    assert [line["event"] for line in away[:3]] == [
        "cluster is Suspect",
        "cluster is Unreachable",
        "cluster is still Unreachable",
    ]
    assert 8 <= len(away) - 2 <= 10
    back = [line["event"] for line in logs if line["log_level"] != "debug"][len(away) :]
    assert back == ["cluster is Ready"]


async def test_what_happens_is_counted(fleet: Fleet) -> None:
    found = await connected(fleet)
    counters = found.connection.counters
    assert counters.transitions == {("Unknown", "Connecting"): 1, ("Connecting", "Ready"): 1}
    assert counters.next_retry is None
    fleet.links[FIRST].refuse()
    begun = now()
    await found.until_phase(Phase.UNREACHABLE)
    assert counters.probe_failures == {"connect_failed": 3}
    assert counters.attempts["connect_failed"] == 3
    assert counters.last_success is not None
    assert counters.last_success <= begun
    await asyncio.sleep(0.5)
    assert counters.next_retry is not None
    assert counters.next_retry > now()
    fleet.links[FIRST].restore()
    await found.until_phase(Phase.READY)
    assert counters.transitions["Ready", "Suspect"] == counters.transitions["Suspect", "Unreachable"] == 1
    assert counters.transitions["Unreachable", "Ready"] == 1
    await asyncio.sleep(0.5)
    assert counters.next_retry is None


# ── back ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [REFUSED, BLACK])
@pytest.mark.parametrize("length", [14.0, 31.7, 60.3, 61.1, 305.9, 1803.3])
async def test_a_cluster_that_is_back_is_ready_and_worked_on_in_time(fleet: Fleet, fault: Break, length: float) -> None:
    found = await connected(fleet)
    link, queue = fleet.links[FIRST], found.cluster.queue
    fault(link)
    await asyncio.sleep(length)
    item = Item("Kind", "ns", "name", found.cluster.context)
    queue.add(item)
    worker = asyncio.ensure_future(queue.get())
    await fleet.remote().create(CONFIG_MAPS, "default", {"metadata": {"name": "meanwhile"}})
    relists = [dict(reflector.counters.relists) for _, reflector in found.cluster.reflectors]
    assert not worker.done()
    link.restore()
    begun = now()
    await found.until_phase(Phase.READY)
    assert now() - begun <= 6.0
    assert await worker == item
    assert now() - begun <= 8.0
    await eventually(
        lambda: found.cluster.cache.get(CONFIG_MAPS, "default", "meanwhile") is not None,
        "what happened meanwhile is seen",
        within=0.1,
    )
    assert [dict(reflector.counters.relists) for _, reflector in found.cluster.reflectors] == relists
    assert found.phases[-2:] == [Phase.UNREACHABLE, Phase.READY]


async def test_one_answer_is_not_enough_to_be_back(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].refuse()
    await found.until_phase(Phase.UNREACHABLE)
    for _ in range(20):
        sent = len(fleet.sent)
        fleet.links[FIRST].restore()
        await eventually(lambda sent=sent: len(fleet.sent) > sent, "one look is answered")  # type: ignore[misc]
        fleet.links[FIRST].refuse()
        await asyncio.sleep(1.5)
    assert found.cluster.state.phase is Phase.UNREACHABLE


async def test_watches_that_broke_begin_again_only_when_the_server_has_answered(fleet: Fleet) -> None:
    await connected(fleet)
    sent = len(fleet.sent)
    fleet.servers[FIRST].faults.add(Fault(verb="", resource="", delay=1.0, times=1))  # of the look
    fleet.links[FIRST].cut()
    await asyncio.sleep(1.4)
    assert [path for _, path in fleet.sent[sent:]] == ["/version"]
    await asyncio.sleep(0.6)
    assert {path for _, path in fleet.sent[sent:]} == {"/version", *(kind.path() for kind in KINDS)}


async def test_an_answer_that_is_older_than_the_doubt_dispels_none(fleet: Fleet) -> None:
    await connected(fleet, 2.3)
    streams = fleet.ways[1].streams
    sent = len(fleet.sent)
    fleet.servers[FIRST].faults.add(Fault(verb="", delay=1.5))
    await eventually(lambda: len(fleet.sent) == sent + 1, "there is a look")
    await asyncio.sleep(0.5)
    for stream in streams:
        stream.lose()
    await asyncio.sleep(0.95)
    assert [path for _, path in fleet.sent[sent:]] == ["/version"]
    await asyncio.sleep(0.1)
    again, *watches = [path for _, path in fleet.sent[sent + 1 :]]
    assert again == "/version"
    assert set(watches) == {kind.path() for kind in KINDS}


# ── who we are, and what we may ─────────────────────────────────────────────────────────────────────


async def test_a_server_that_starts_and_does_not_know_us_yet_is_not_believed(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.servers[FIRST].faults.add(Fault(status=401, times=2))
    await asyncio.sleep(20.0)
    assert found.states == [Reason.CONNECTING, Reason.CONNECTED]
    fleet.servers[FIRST].faults.add(Fault(status=401, times=3))
    await found.until(Reason.UNAUTHORIZED, within=10.0)
    assert found.cluster.state.phase is Phase.AUTH_FAILED
    assert await found.until(Reason.CONNECTED) <= 6.0


async def test_a_restart_after_an_outage_is_not_taken_for_refused_credentials(fleet: Fleet) -> None:
    found = await connected(fleet)
    fleet.links[FIRST].refuse()
    await found.until_phase(Phase.UNREACHABLE)
    fleet.servers[FIRST].faults.add(Fault(status=401, times=2))
    fleet.links[FIRST].restore()
    await found.until(Reason.CONNECTED)
    assert Reason.UNAUTHORIZED not in found.states


async def test_a_request_that_is_refused_brings_the_look_forward(fleet: Fleet) -> None:
    await fleet.put_secret(fleet.kubeconfig(token=await fleet.token()))
    found = Connected(fleet)
    await found.until(Reason.CONNECTED)
    await asyncio.sleep(0.6)
    await fleet.revoke()
    with pytest.raises(Exception, match="401"):
        await found.cluster.client.get(CONFIG_MAPS, "default", "x")
    assert await found.until_phase(Phase.AUTH_FAILED) <= 3.1


async def test_rights_that_are_taken_away_are_noticed_within_a_minute_or_so_and_when_they_are_back(
    fleet: Fleet,
) -> None:
    found = await connected(fleet)
    refused = fleet.servers[FIRST].faults.add(
        Fault(verb="list", resource="configmaps", status=403, reason="Forbidden", times=None)
    )
    assert await found.until_phase(Phase.FORBIDDEN, within=90.0) <= 60.0 + 3.6 + 3.1
    assert found.cluster.state.reason is Reason.FORBIDDEN
    assert found.cluster.queue.paused
    fleet.servers[FIRST].faults.remove(refused)
    assert await found.until_phase(Phase.READY) <= 6.0


async def test_rights_are_looked_at_once_a_minute(fleet: Fleet) -> None:
    await connected(fleet)
    sent, begun = len(fleet.sent), now()
    await asyncio.sleep(600.0)
    lists = [path for _, path in fleet.sent[sent:] if path == CONFIG_MAPS.path()]
    looks = [path for _, path in fleet.sent[sent:] if path == "/version"]
    assert 9 <= len(lists) - 1 <= 11  # and the watch was begun anew once or twice
    assert (now() - begun) / 3.6 <= len(looks) <= (now() - begun) / 2.4


# ── identity ────────────────────────────────────────────────────────────────────────────────────────

STRANGER = ClusterState(False, Reason.IDENTITY_CHANGED, "another cluster")


class Judge:
    """Says ``verdict`` of every cluster, and notes when it was asked."""

    def __init__(self) -> None:
        self.verdict: ClusterState | None = None
        self.asked: list[float] = []

    async def __call__(self, client: Client) -> ClusterState | None:
        self.asked.append(now())
        await client.raw("GET", "/version")
        return self.verdict


async def test_the_right_cluster_is_verified_before_use_at_every_return_and_every_five_minutes(fleet: Fleet) -> None:
    judge = Judge()
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=judge)
    await found.until_watching()
    assert len(judge.asked) == 1
    await asyncio.sleep(3000.0)
    assert len(judge.asked) == 10
    asked = len(judge.asked)
    fleet.links[FIRST].refuse()
    await found.until_phase(Phase.UNREACHABLE)
    fleet.links[FIRST].restore()
    await found.until_phase(Phase.READY)
    assert len(judge.asked) == asked + 1
    fleet.links[FIRST].cut()  # whoever answers now may be another one
    await asyncio.sleep(1.0)
    assert len(judge.asked) == asked + 2


async def test_another_cluster_is_not_used_until_somebody_has_said_so(fleet: Fleet) -> None:
    judge = Judge()
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=judge)
    await found.until_watching()
    judge.verdict = STRANGER
    fleet.links[FIRST].cut()
    await found.until_phase(Phase.IDENTITY_MISMATCH, within=2.0)
    assert found.cluster.state.reason is Reason.IDENTITY_CHANGED
    assert found.cluster.queue.paused
    with pytest.raises(ClusterUnavailable, match="another cluster"):
        await found.cluster.client.get(CONFIG_MAPS, "default", "x")
    await asyncio.sleep(60.0)
    assert found.phases == [Phase.CONNECTING, Phase.READY, Phase.IDENTITY_MISMATCH]
    judge.verdict = ClusterState(True, Reason.CONNECTED, cluster_uid="new", note="acknowledged")
    found.connection.wake()
    assert await found.until_phase(Phase.READY) <= 0.6
    assert (found.cluster.state.cluster_uid, found.cluster.state.note) == ("new", "acknowledged")
    assert found.message.endswith("; acknowledged")


async def test_a_cluster_that_turns_out_to_be_another_is_listed_anew(fleet: Fleet) -> None:
    judge = Judge()
    judge.verdict = ClusterState(True, Reason.CONNECTED, cluster_uid="old")
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=judge)
    await found.until_watching()
    [(_, reflector)] = found.cluster.reflectors
    judge.verdict = ClusterState(True, Reason.CONNECTED, cluster_uid="new")
    fleet.links[FIRST].cut()
    await eventually(lambda: reflector.counters.relists["identity"] == 1, "it is listed anew")
    await asyncio.sleep(60.0)
    assert reflector.counters.relists == {"identity": 1}


async def test_a_stranger_at_the_first_connection_is_never_used(fleet: Fleet) -> None:
    judge = Judge()
    judge.verdict = STRANGER
    await fleet.put_secret(fleet.kubeconfig())
    found = Connected(fleet, verify=judge)
    await found.until_phase(Phase.IDENTITY_MISMATCH)
    with pytest.raises(ClusterUnavailable, match="another cluster"):
        _ = found.cluster.client
    await asyncio.sleep(60.0)
    assert fleet.open_ways == 0
    assert {path for _, path in fleet.sent} == {"/version", CONFIG_MAPS.path()}  # looks only
    judge.verdict = None
    found.connection.wake()
    assert await found.until_phase(Phase.READY) <= 1.1
