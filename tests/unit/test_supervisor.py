from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from controller.definitions import definitions
from controller.engine.clock import Clock
from controller.engine.worker import Item
from controller.fleet import limits
from controller.fleet.breaker import Guarded
from controller.fleet.status import KIND
from controller.fleet.throttle import Throttled
from controller.fleet.types import CLIENT_CONFIGS
from controller.kube.access import Access
from controller.kube.conditions import find
from controller.kube.credentials import StaticCredentials
from controller.kube.resources import CRDS
from controller.kube.transport import Transport
from controller.sandbox.apiserver import InProcessTransport
from controller.settings import Settings
from controller.supervisor import Controller
from tests.unit.fleet.world import FIRST, NAMESPACE, SECOND, FixedClock, Fleet, Way, eventually
from tests.unit.fleet.world import fleet as make_fleet

pytestmark = pytest.mark.looptime

OWN = "https://control-plane:6443"


class Run:
    """A controller on the control plane of a fleet; ``ways``: every transport it made."""

    def __init__(self, fleet: Fleet, clock: Clock | None = None, **settings: Any) -> None:
        self.fleet = fleet
        self.own: list[InProcessTransport] = []
        options = {"metrics_address": "", "health_address": "", **settings}
        access = Access(server=OWN, certificate_authority=b"", token=fleet.control.admin_token)
        self.controller = Controller(
            Settings(**options), StaticCredentials(access), self._transport, rng=fleet.rng, clock=clock
        )
        self.task: asyncio.Task[None] | None = None

    def _transport(self, credentials: Any, *, remote: bool) -> Transport:
        assert remote is (credentials.access.server != OWN)
        if not remote:
            self.own.append(InProcessTransport(self.fleet.control, credentials.bearer()))
            return self.own[-1]
        self.fleet.ways.append(Way(self.fleet, credentials))
        return self.fleet.ways[-1]

    def start(self) -> None:
        self.task = self.fleet.run(self.controller.run())

    async def ready(self) -> None:
        await eventually(lambda: not self.controller.waiting_for(), "the controller is ready", within=5.0)

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def reason(self, name: str) -> str:
        found = await self.fleet.client.get(CLIENT_CONFIGS, NAMESPACE, name)
        return str(find((found.decode(dict).get("status") or {}).get("conditions"), "Ready").get("reason", ""))

    async def until(self, name: str, reason: str, within: float = 10.0) -> None:
        async with asyncio.timeout(within):
            while await self.reason(name) != reason:
                await asyncio.sleep(0.01)

    def metric(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(b"".join(self.controller.metrics.render()).decode()):
            for sample in family.samples:
                if sample.name == f"k8ssandra_controller_{name}" and labels.items() <= sample.labels.items():
                    return sample.value
        return None


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with make_fleet() as made:
        for name, definition in definitions().items():
            if not name.startswith("clientconfigs"):
                await made.client.create(CRDS, "", definition)
        yield made


async def two_members(fleet: Fleet) -> None:
    for name, url in (("east", FIRST), ("west", SECOND)):
        await fleet.put_secret(kubeconfig(fleet, url, name), name)
        await fleet.put_config(name, secret=name, context=name)


def kubeconfig(fleet: Fleet, url: str, context: str, token: str | None = None) -> bytes:
    document = yaml.safe_load(fleet.kubeconfig(url, token))
    document["contexts"][0]["name"] = context
    return yaml.safe_dump(document).encode()


async def running(fleet: Fleet, **settings: Any) -> Run:
    run = Run(fleet, **settings)
    run.start()
    await run.ready()
    return run


# ── readiness ───────────────────────────────────────────────────────────────────────────────────────


async def test_every_client_config_is_connected_and_says_so(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")  # no cass-operator there
    await run.until("west", "CRDMissing")
    assert [cluster.context for cluster in run.controller.pool] == ["", "east", "west"]


async def test_remotes_that_do_not_answer_hold_up_nothing(fleet: Fleet) -> None:
    await two_members(fleet)
    fleet.links[FIRST].blacken()
    fleet.links[SECOND].refuse()
    started = asyncio.get_running_loop().time()
    run = await running(fleet)
    assert asyncio.get_running_loop().time() - started < 1.0
    await run.until("west", "Unreachable", within=4.0)


async def test_the_bad_harm_no_good_one(fleet: Fleet) -> None:
    await two_members(fleet)
    await fleet.put_config("missing", secret="missing", context="missing")
    await fleet.put_config("twin", secret="east", context="east")
    await fleet.put_secret(b"{", "broken")
    await fleet.put_config("broken", secret="broken", context="broken")
    run = await running(fleet)
    for name, reason in (("west", "CRDMissing"), ("missing", "SecretNotFound"), ("broken", "KubeconfigMalformed")):
        await run.until(name, reason, within=2.0)
    # Both were created in the same second, so their UIDs decide.
    assert sorted([await run.reason("east"), await run.reason("twin")]) == ["CRDMissing", "DuplicateContext"]
    await fleet.put_secret(kubeconfig(fleet, FIRST, "missing"), "missing")
    await fleet.put_secret(kubeconfig(fleet, SECOND, "broken"), "broken")
    # By now they are good, but lead where others lead already.
    await run.until("missing", "SameCluster", within=5.0)
    await run.until("broken", "SameCluster", within=5.0)


async def test_without_our_definitions_it_waits_and_names_them() -> None:
    async with make_fleet() as fleet:
        run = Run(fleet)
        run.start()
        waited_for = "the list of k8ssandraclusters.k8ssandra.io, which the control plane does not serve"
        await eventually(lambda: waited_for in run.controller.waiting_for(), "the missing kind is named")
        for name, definition in definitions().items():
            if not name.startswith("clientconfigs"):
                await fleet.client.create(CRDS, "", definition)
        await eventually(lambda: not run.controller.waiting_for(), "it is ready", within=60.0)


async def test_only_watched_namespaces_are_looked_at(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet, watch_namespaces=("elsewhere",))
    assert run.controller.pool.members() == []


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_task_that_dies_is_started_again_and_counted(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await two_members(fleet)
    run = Run(fleet)
    deaths = 2
    original = run.controller.recorder.run

    async def dying() -> None:
        nonlocal deaths
        if deaths:
            deaths -= 1
            raise RuntimeError("a defect")
        await original()

    monkeypatch.setattr(run.controller.recorder, "run", dying)
    run.start()
    await run.ready()
    await eventually(lambda: run.metric("task_restarts_total", task="events") == 2.0, "the deaths are counted")
    await run.until("east", "CRDMissing")
    await eventually(lambda: run.controller.recorder.sent > 0, "events are sent all the same")


async def test_a_connection_that_dies_is_made_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    member = run.controller.pool.member(NAMESPACE, "east")
    assert member is not None
    assert member.connection is not None
    assert member.cluster is not None

    async def defect() -> None:
        monkeypatch.undo()
        raise RuntimeError("a defect")

    monkeypatch.setattr(member.connection, "_follow_secret", defect)
    await eventually(
        lambda: run.metric("task_restarts_total", context="east", task="connection") == 1.0, "the death is counted"
    )
    cluster = member.cluster
    await eventually(lambda: cluster.state.usable and not cluster.queue.paused, "it is connected again")
    assert fleet.open_ways == 4  # of each the one in use, and the one for looks


async def test_the_end_leaves_no_task_and_no_connection(fleet: Fleet) -> None:
    await two_members(fleet)
    before = asyncio.all_tasks()
    run = await running(fleet, health_address="127.0.0.1:0", metrics_address="127.0.0.1:0")
    await run.until("east", "CRDMissing")
    started = asyncio.get_running_loop().time()
    await run.stop()
    assert asyncio.get_running_loop().time() - started < 10.0
    assert asyncio.all_tasks() - before == set()
    assert fleet.open_ways == 0
    assert [transport._closed for transport in run.own] == [True]


async def test_the_end_comes_while_remotes_hang(fleet: Fleet) -> None:
    await two_members(fleet)
    before = asyncio.all_tasks()
    for link in fleet.links.values():
        link.blacken()
    run = await running(fleet)
    started = asyncio.get_running_loop().time()
    await run.stop()
    assert asyncio.get_running_loop().time() - started < 1.0
    assert asyncio.all_tasks() - before == set()
    assert fleet.open_ways == 0


async def test_the_end_may_come_before_the_beginning(fleet: Fleet) -> None:
    before = asyncio.all_tasks()
    run = Run(fleet)
    run.start()
    await asyncio.sleep(0)
    await run.stop()
    assert asyncio.all_tasks() - before == set()


# ── what waits for a cluster ────────────────────────────────────────────────────────────────────────


async def test_an_item_that_waits_for_another_cluster_runs_when_that_is_back(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    fleet.links[FIRST].refuse()
    await run.until("east", "Unreachable")
    queue = run.controller.local.queue
    item = Item("Nothing", "ns", "name")
    queue.park(item, "east", since=queue.returns)
    fleet.links[SECOND].refuse()
    await run.until("west", "Unreachable")
    fleet.links[SECOND].restore()
    await run.until("west", "CRDMissing")
    assert queue.parked == 1
    fleet.links[FIRST].restore()
    await run.until("east", "CRDMissing")
    assert queue.parked == 0


async def test_a_call_to_a_cluster_without_connection_parks(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")

    async def call_nobody(item: Item) -> Any:
        cluster = run.controller.pool.get("gone")
        assert cluster is not None
        return cluster.client

    run.controller.pool._clusters["gone"] = run.controller._make_remote("gone")
    monkeypatch.setattr(run.controller._configs, "reconcile", call_nobody)
    run.controller.local.queue.add(Item(KIND, NAMESPACE, "east"))
    await eventually(lambda: run.controller.local.queue.parked == 1, "the item is parked")
    assert run.metric("reconciles_total", kind=KIND, outcome="parked") == 1.0


# ── what a ClientConfig says besides its specification ──────────────────────────────────────────────


async def annotate(fleet: Fleet, key: str, value: str | None, name: str) -> None:
    patch = {"metadata": {"annotations": {key: value}}}
    await fleet.client.patch(CLIENT_CONFIGS, NAMESPACE, name, patch, kind="merge")


async def test_requests_pass_the_breaker_and_then_the_clusters_own_bucket(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    member = run.controller.pool.holder("east")
    assert member is not None
    assert member.cluster is not None
    outer = member.cluster.client._transport
    assert isinstance(outer, Guarded)
    inner = outer._inner
    assert isinstance(inner, Throttled)
    assert inner._bucket is member.bucket
    assert isinstance(inner._inner, Way)


async def test_the_rate_follows_its_annotation(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    member = run.controller.pool.holder("east")
    assert member is not None
    for value, expected in (("5", (5.0, 10)), ("fast", (50.0, 100))):
        await annotate(fleet, "k8ssandra.io/client-qps", value, "east")
        await eventually(lambda rate=expected: (member.bucket._qps, member.bucket._burst) == rate, "it is followed")
    await eventually(lambda: run.controller.recorder.sent > 2, "a value that makes no sense is an event")


async def test_a_pin_that_a_person_changes_takes_effect_without_a_restart(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    await annotate(fleet, "k8ssandra.io/cluster-uid", "another", "east")
    await run.until("east", "IdentityChanged", within=5.0)
    await annotate(fleet, "k8ssandra.io/cluster-uid", None, "east")
    await run.until("east", "CRDMissing", within=15.0)


async def test_ten_quiet_minutes_pass_without_a_write(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    await run.until("west", "CRDMissing")
    await asyncio.sleep(5)
    servers = [fleet.control, *fleet.servers.values()]
    before = [len(server.record.writes) for server in servers]
    await asyncio.sleep(600)
    assert [len(server.record.writes) for server in servers] == before


async def test_ten_minutes_of_an_outage_cost_a_few_writes(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    fleet.links[SECOND].refuse()
    await run.until("west", "Unreachable")
    await asyncio.sleep(5)
    before = len(fleet.control.record.writes)
    await asyncio.sleep(600)
    assert len(fleet.control.record.writes) - before <= 2


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────


async def test_metrics_tell_the_state_of_the_fleet(fleet: Fleet) -> None:
    await two_members(fleet)
    run = Run(fleet, FixedClock())
    run.start()
    await run.ready()
    await run.until("east", "CRDMissing")
    fleet.links[SECOND].refuse()
    await run.until("west", "Unreachable")
    now = FixedClock().now().timestamp()
    assert run.metric("remote_cluster_up", context="east") == 1.0
    assert run.metric("remote_cluster_up", context="west") == 0.0
    last = run.metric("remote_cluster_last_success_timestamp_seconds", context="east")
    assert last is not None
    assert now - 10.0 <= last <= now
    assert run.metric("queue_depth", context="") == 0.0
    assert run.metric("cached_objects", context="", resource="clientconfigs.config.k8ssandra.io") == 2.0
    assert run.metric("watch_restarts_total", context="west", resource="secrets") is not None
    assert run.metric("client_configs_restart_required") == 0.0
    assert run.metric("api_requests_total", context="east", verb="watch", resource="secrets", code="200") is not None
    assert (run.metric("reconciles_total", context="", kind=KIND, outcome="done") or 0) > 0


async def test_metrics_name_no_objects_and_no_credentials(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    text = b"".join(run.controller.metrics.render()).decode()
    assert fleet.servers[FIRST].admin_token not in text
    assert NAMESPACE not in text


async def test_a_restart_that_is_required_is_counted(fleet: Fleet) -> None:
    await two_members(fleet)
    run = await running(fleet)
    await run.until("east", "CRDMissing")
    await fleet.put_config("late", context="late")
    await run.until("late", "RestartRequired")
    await fleet.delete(CLIENT_CONFIGS, "west")
    await eventually(lambda: run.metric("client_configs_restart_required") == 2.0, "both are counted")


async def test_too_few_open_files_for_the_clusters_are_said_at_start(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "open_files", lambda: 100)
    await two_members(fleet)
    with capture_logs() as said:
        await running(fleet)
    [warning] = [entry for entry in said if entry["event"].startswith("the limit of open files is too low")]
    assert (warning["limit"], warning["client_configs"]) == (100, 2)
    assert warning["needed"] > 100
