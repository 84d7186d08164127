from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from controller.engine.chance import Chance
from controller.engine.events import Reference
from controller.engine.worker import Again, Done, Item
from controller.fleet.cache import WatchSpec
from controller.fleet.cluster import Cluster
from controller.fleet.health import health
from controller.fleet.member import Member
from controller.fleet.pace import pace
from controller.fleet.pool import Pool
from controller.fleet.state import ClusterState, Phase, Reason
from controller.fleet.status import KIND, ClientConfigStatus
from controller.fleet.types import CLIENT_CONFIGS
from controller.fleet.way import Way
from controller.kube.access import Access
from controller.kube.resources import CONFIG_MAPS, PODS
from controller.sandbox.apiserver import Fault
from tests.unit.fleet.world import FIRST, NAMESPACE, FixedClock, Fleet, definition, eventually
from tests.unit.fleet.world import fleet as make_fleet
from tests.unit.kube.kubeconfigs import CONTEXT
from tests.unit.kube.test_validity import jwt

pytestmark = pytest.mark.looptime

CONNECTED = ClusterState(True, Reason.CONNECTED, "connected, Kubernetes v1.36.0", "v1.36.0")
LOST = ClusterState(False, Reason.UNREACHABLE, "no route")


class LoopClock:
    """The wall clock that goes with the event loop; each test begins at midnight."""

    def now(self) -> datetime:
        return FixedClock().now() + timedelta(seconds=asyncio.get_running_loop().time())


class Recorder:
    """Notes events instead of sending them."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.messages: list[str] = []

    def record(self, about: Reference, type: str, reason: str, message: str) -> None:
        self.events.append((about.name, type, reason))
        self.messages.append(message)


class Bench:
    """A fleet with its pool and the reconciler under test."""

    def __init__(self, fleet: Fleet, *, hot_reload: bool = False) -> None:
        self.fleet = fleet
        self.recorder = Recorder()
        self.pool = Pool(fleet.local, self._cluster, fleet.make_client, Chance(fleet.rng), ())
        self.clock = LoopClock()
        self.status = ClientConfigStatus(
            self.pool,
            self.recorder,  # type: ignore[arg-type]
            self.clock,
            hot_reload=hot_reload,
        )

    def _cluster(self, context: str) -> Cluster:
        return Cluster(context, [WatchSpec(CONFIG_MAPS)], (), self.fleet.rng)

    async def build(self) -> None:
        await self.fleet.put_config()
        await self.cached("dc-1")
        self.pool.build(self.fleet.local.cache.objects(CLIENT_CONFIGS))

    async def cached(self, name: str, present: bool = True) -> None:
        cache = self.fleet.local.cache
        await eventually(lambda: (cache.get(CLIENT_CONFIGS, NAMESPACE, name) is not None) is present, "it is cached")

    @property
    def member(self) -> Member:
        found = self.pool.member(NAMESPACE, "dc-1")
        assert found is not None
        return found

    def update(self, state: ClusterState) -> None:
        assert self.member.cluster is not None
        self.member.cluster.update(state)

    def use(self, token: str) -> None:
        """Have the connection work with a token."""
        access = Access(server=FIRST, certificate_authority=b"", token=token)
        connection = self.member.connection
        assert connection is not None
        connection._way = Way(access, CONTEXT, self.fleet.make_client)

    async def reconcile(self, name: str = "dc-1") -> float | None:
        """Seconds after which it wants to look again, None when only an event does."""
        result = await self.status.reconcile(Item(KIND, NAMESPACE, name))
        assert isinstance(result, Done | Again)
        return result.after if isinstance(result, Again) else None

    async def live(self, name: str = "dc-1") -> dict[str, Any]:
        found = await self.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, name)
        return found.decode(dict[str, Any]).get("status") or {}

    async def ready(self, name: str = "dc-1") -> tuple[str, str]:
        [condition] = (await self.live(name))["conditions"]
        return condition["status"], condition["reason"]

    @property
    def writes(self) -> int:
        subjects = [write.subject for write in self.fleet.control.record.writes]
        return sum(s.resource == CLIENT_CONFIGS.name and s.verb == "patch" for s in subjects)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with make_fleet() as fleet:
        made = Bench(fleet)
        await made.build()
        yield made


async def test_a_connected_cluster_is_ready(bench: Bench) -> None:
    bench.update(CONNECTED)
    await bench.reconcile()
    assert await bench.live() == {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Connected",
                "message": "connected, Kubernetes v1.36.0",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": 1,
            }
        ],
        "observedGeneration": 1,
        "serverVersion": "v1.36.0",
    }
    assert bench.recorder.events == [("dc-1", "Normal", "Connected")]


async def test_the_status_is_written_once_for_each_change(bench: Bench) -> None:
    for state, writes in ((CONNECTED, 1), (LOST, 2), (CONNECTED, 3)):
        bench.update(state)
        for _ in range(3):
            await bench.reconcile()
        assert bench.writes == writes
    assert len(bench.recorder.events) == 3


async def test_a_restart_says_nothing_again(bench: Bench) -> None:
    bench.update(CONNECTED)
    await bench.reconcile()
    again = Bench(bench.fleet)
    again.pool.build(bench.fleet.local.cache.objects(CLIENT_CONFIGS))
    again.update(CONNECTED)
    await again.reconcile()
    assert (again.recorder.events, again.writes) == ([], 1)


async def test_nothing_is_said_before_anything_is_known(bench: Bench) -> None:
    await bench.reconcile()
    assert (bench.writes, bench.recorder.events) == (0, [])


async def test_conditions_of_others_stay(bench: Bench) -> None:
    theirs = {"type": "Theirs", "status": "True", "reason": "A", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    await bench.fleet.client.patch(
        CLIENT_CONFIGS, NAMESPACE, "dc-1", {"status": {"conditions": [theirs]}}, kind="merge", subresource="status"
    )
    cache = bench.fleet.local.cache
    await eventually(lambda: b"Theirs" in getattr(cache.get(CLIENT_CONFIGS, NAMESPACE, "dc-1"), "raw", b""), "cached")
    bench.update(CONNECTED)
    await bench.reconcile()
    assert theirs in (await bench.live())["conditions"]


async def test_credentials_that_could_not_be_rotated_are_ready_with_a_warning(bench: Bench) -> None:
    bench.update(ClusterState(True, Reason.ROTATION_FAILED, "the last good credentials are still in use"))
    await bench.reconcile()
    assert await bench.ready() == ("True", "RotationFailed")
    assert bench.recorder.events == [("dc-1", "Warning", "RotationFailed")]


# ── what is wrong, and since when ───────────────────────────────────────────────────────────────────


async def test_what_is_wrong_is_said_with_the_server_and_since_when(bench: Bench) -> None:
    bench.use("abc")
    await asyncio.sleep(90)
    bench.update(LOST)
    await asyncio.sleep(5)
    await bench.reconcile()
    [condition] = (await bench.live())["conditions"]
    assert condition["message"] == f"no route (server {FIRST}, since 2026-01-01T00:01:30Z)"
    assert bench.recorder.messages == [condition["message"]]


async def test_since_when_stays_the_same_although_clocks_drift(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.sleep(90)
    bench.update(ClusterState(False, Reason.SECRET_NOT_FOUND, "there is no Secret"))
    for turn in range(5):
        moment = bench.clock.now() + timedelta(seconds=10 * turn)
        monkeypatch.setattr(bench.clock, "now", lambda now=moment: now)
        await bench.reconcile()
        monkeypatch.undo()
    assert bench.recorder.messages == ["there is no Secret (since 2026-01-01T00:01:30Z)"]
    assert bench.writes == 1


async def test_a_server_that_the_words_name_is_not_named_twice(bench: Bench) -> None:
    bench.use("abc")
    bench.update(ClusterState(False, Reason.UNREACHABLE, "ConnectFailed: 10.0.0.1:6443: refused"))
    await bench.reconcile()
    [message] = bench.recorder.messages
    assert message.startswith("ConnectFailed: 10.0.0.1:6443: refused (since 2026-01-01T")


async def test_a_cluster_under_suspicion_stays_as_it_was(bench: Bench) -> None:
    bench.update(CONNECTED)
    await bench.reconcile()
    bench.update(msgspec.structs.replace(CONNECTED, phase=Phase.SUSPECT))
    await bench.reconcile()
    assert (await bench.ready(), bench.writes, len(bench.recorder.events)) == (("True", "Connected"), 1, 1)


async def test_a_healthy_cluster_asks_for_nothing_and_writes_nothing(bench: Bench) -> None:
    bench.update(CONNECTED)
    for _ in range(20):
        assert await bench.reconcile() is None
        await asyncio.sleep(60)
    assert bench.writes == 1


async def test_figures_of_an_outage_are_brought_up_to_date_every_five_minutes(bench: Bench) -> None:
    connection = bench.member.connection
    assert connection is not None
    bench.update(CONNECTED)
    await bench.reconcile()
    connection.counters.last_success = asyncio.get_running_loop().time()
    bench.update(LOST)
    written: list[float] = []
    for turn in range(70):
        connection.counters.attempts["connect_failed"] = 3 + turn
        connection.counters.next_retry = asyncio.get_running_loop().time() + 2
        before = bench.writes
        again = await bench.reconcile()
        assert again is not None
        assert 1 <= again <= 300.001
        written += [asyncio.get_running_loop().time()] * (bench.writes - before)
        await asyncio.sleep(10)
    assert [later - former for former, later in pairwise(written)] == [pytest.approx(305, abs=6)] * 2
    live = await bench.live()
    assert (live["failedAttempts"], live["lastSuccessTime"]) == (pytest.approx(64, abs=2), "2026-01-01T00:00:00Z")
    assert live["nextRetryTime"] > "2026-01-01T00:10:00Z"
    assert len(bench.recorder.events) == 2
    bench.update(CONNECTED)
    assert await bench.reconcile() is None
    assert not {"failedAttempts", "lastSuccessTime", "nextRetryTime"} & set(await bench.live())


async def test_an_outage_with_changing_words_is_said_once(bench: Bench) -> None:
    for turn in range(20):
        bench.update(msgspec.structs.replace(LOST, message=f"cause {turn % 2}"))
        await bench.reconcile()
        await asyncio.sleep(10)
    assert (bench.writes, len(bench.recorder.events)) == (1, 1)


async def test_another_mistake_in_a_secret_is_said_at_once(bench: Bench) -> None:
    for turn, field in enumerate(("users[0].user.exec", "clusters[0].cluster.server"), 1):
        bench.update(ClusterState(False, Reason.INSECURE_KUBECONFIG, f"{field}: not allowed"))
        await bench.reconcile()
        assert (bench.writes, len(bench.recorder.events)) == (turn, turn)


async def test_the_clusters_uid_is_shown_and_stays_while_it_is_away(bench: Bench) -> None:
    for state, uid in (
        (msgspec.structs.replace(CONNECTED, cluster_uid="uid-1"), "uid-1"),
        (LOST, "uid-1"),
        (msgspec.structs.replace(CONNECTED, cluster_uid="uid-2"), "uid-2"),
        (CONNECTED, None),  # it may not be read any more
    ):
        bench.update(state)
        await bench.reconcile()
        assert (await bench.live()).get("clusterUID") == uid


# ── credentials that end ────────────────────────────────────────────────────────────────────────────


def token(bench: Bench, lifetime: float) -> str:
    now = bench.clock.now().timestamp()
    return jwt({"iat": int(now), "exp": int(now + lifetime)})


async def test_the_end_of_a_token_is_shown_and_said_when_a_fifth_is_left(bench: Bench) -> None:
    bench.update(CONNECTED)
    bench.use(token(bench, 1000))
    assert await bench.reconcile() == 300
    assert (await bench.live())["credentialsExpireAt"] == "2026-01-01T00:16:40Z"
    await asyncio.sleep(790)
    await bench.reconcile()
    assert len(bench.recorder.events) == 1
    await asyncio.sleep(11)
    for _ in range(3):
        assert await bench.reconcile() is not None
    assert bench.recorder.events[1:] == [("dc-1", "Warning", "CredentialsExpireSoon")]
    assert "the token ends at 2026-01-01T00:16:40Z" in bench.recorder.messages[1]
    assert bench.writes == 1


async def test_a_new_token_begins_anew(bench: Bench) -> None:
    bench.update(CONNECTED)
    for turn in (1, 2):
        bench.use(token(bench, 100))
        await bench.reconcile()
        await asyncio.sleep(90)
        await bench.reconcile()
        assert bench.writes == turn
        assert bench.recorder.events.count(("dc-1", "Warning", "CredentialsExpireSoon")) == turn


async def test_a_token_without_end_takes_the_end_away(bench: Bench) -> None:
    bench.update(CONNECTED)
    bench.use(token(bench, 100))
    await bench.reconcile()
    bench.use("without-an-end")
    assert await bench.reconcile() is None
    assert "credentialsExpireAt" not in await bench.live()


async def test_a_strange_annotation_is_said_once(bench: Bench) -> None:
    bench.update(CONNECTED)
    bench.member.go_at(pace({"k8ssandra.io/client-qps": "fast"}))
    for _ in range(3):
        await bench.reconcile()
    assert bench.recorder.events == [("dc-1", "Normal", "Connected"), ("dc-1", "Warning", "InvalidAnnotation")]


# ── what the controller has not taken over ──────────────────────────────────────────────────────────


async def test_one_created_later_needs_a_restart(bench: Bench) -> None:
    await bench.fleet.put_config("late", context="late")
    await bench.cached("late")
    await bench.reconcile("late")
    assert await bench.ready("late") == ("False", "RestartRequired")
    assert bench.status.restart_required == 1


async def test_one_changed_later_needs_a_restart(bench: Bench) -> None:
    bench.update(CONNECTED)
    changed = await bench.fleet.client.patch(
        CLIENT_CONFIGS, NAMESPACE, "dc-1", {"spec": {"contextName": "other"}}, kind="merge"
    )
    cache = bench.fleet.local.cache
    await eventually(lambda: changed == cache.get(CLIENT_CONFIGS, NAMESPACE, "dc-1"), "it is cached")
    await bench.reconcile()
    [condition] = (await bench.live())["conditions"]
    assert condition["reason"] == "RestartRequired"
    assert "still uses generation 1" in condition["message"]


async def test_our_own_status_does_not_ask_for_a_restart(bench: Bench) -> None:
    bench.update(CONNECTED)
    await bench.reconcile()
    await bench.reconcile()
    assert await bench.ready() == ("True", "Connected")


async def test_one_deleted_later_is_said_once(bench: Bench) -> None:
    bench.update(CONNECTED)
    await bench.reconcile()
    await bench.fleet.delete(CLIENT_CONFIGS, "dc-1")
    await bench.cached("dc-1", present=False)
    await bench.reconcile()
    await bench.reconcile()
    assert bench.recorder.events[1:] == [("dc-1", "Warning", "RestartRequired")]
    assert bench.status.restart_required == 1
    assert bench.pool.get(CONTEXT) is not None


async def test_one_created_again_needs_a_restart(bench: Bench) -> None:
    bench.update(CONNECTED)
    await bench.reconcile()
    await bench.fleet.delete(CLIENT_CONFIGS, "dc-1")
    await bench.cached("dc-1", present=False)
    await bench.fleet.put_config()
    await bench.cached("dc-1")
    await bench.reconcile()
    assert await bench.ready() == ("False", "RestartRequired")


async def test_one_replaced_while_its_status_is_written_is_left_alone(bench: Bench) -> None:
    bench.update(CONNECTED)
    bench.fleet.own.blacken()  # the cache learns nothing of what follows
    await bench.fleet.delete(CLIENT_CONFIGS, "dc-1")
    await bench.fleet.put_config()
    bench.fleet.own.black = False
    await bench.reconcile()
    assert await bench.live() == {}


# ── published definitions ───────────────────────────────────────────────────────────────────────────


async def test_a_definition_without_status_gets_events_only() -> None:
    crd = definition()
    [version] = crd["spec"]["versions"]
    del version["subresources"]
    del version["schema"]["openAPIV3Schema"]["properties"]["status"]
    async with make_fleet(crd) as fleet:
        bench = Bench(fleet)
        await bench.build()
        for state in (CONNECTED, LOST, CONNECTED):
            bench.update(state)
            await bench.reconcile()
        assert await bench.live() == {}
        assert len(bench.recorder.events) == 3
        assert fleet.control.record.requests(verb="patch", resource="clientconfigs") == 1


async def test_a_definition_that_drops_reasons_is_written_once_for_each_change() -> None:
    crd = definition()
    [version] = crd["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    condition = status["conditions"]["items"]
    for dropped in ("reason", "message", "observedGeneration"):
        del condition["properties"][dropped]
    condition["required"] = ["type", "status"]
    for dropped in [name for name in status if name != "conditions"]:
        del status[dropped]
    async with make_fleet(crd) as fleet:
        bench = Bench(fleet)
        await bench.build()
        for state, writes in ((CONNECTED, 1), (LOST, 2), (CONNECTED, 3)):
            bench.update(state)
            for _ in range(3):
                await bench.reconcile()
            assert bench.writes == writes
        assert bench.status.projection.dropped == [
            "conditions[*].message",
            "conditions[*].observedGeneration",
            "conditions[*].reason",
            "observedGeneration",
            "serverVersion",
        ]


# ── kinds ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (404, Reason.CRD_MISSING, "the cluster does not serve pods; install cass-operator there"),
        (403, Reason.FORBIDDEN, "the credentials may not list and watch pods; apply manifests/data-plane there"),
    ],
)
async def test_a_kind_that_cannot_be_watched_is_named(status: int, reason: Reason, text: str) -> None:
    async with make_fleet() as fleet:
        server = next(iter(fleet.servers.values()))
        server.faults.add(Fault(resource="pods", status=status, times=None))
        cluster = Cluster(CONTEXT, [WatchSpec(PODS), WatchSpec(CONFIG_MAPS)], (), fleet.rng)
        cluster.connect(fleet.remote())
        cluster.update(CONNECTED)
        fleet.run(cluster.watch(fleet.rng))
        await eventually(lambda: health(cluster).reason is reason, "the kind is named")
        assert text in health(cluster).message
        assert not health(cluster).usable
        assert cluster.state.shown == CONNECTED  # everything else there goes on
